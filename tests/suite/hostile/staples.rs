//! Who may sign the staple of a certificate (RFC 6960 section 4.2.2.2), and with which algorithms.

use eic_emulator::pki::{KeyUsage, ResponderId, SignatureScheme, oids};

use super::evidence::Evidence;
use super::{Row, bad, good, judge_rows};

const RESPONDER: &str = "staple-responder";
const SIGNATURE: &str = "staple-bad-signature";

judge_rows!();

fn rows() -> Vec<Row> {
    [delegates(), others(), signatures()].into_iter().flatten().collect()
}

fn delegates() -> Vec<Row> {
    vec![
        good("a responder that the issuer marked", |e| {
            let issuer = e.signer.intermediate.clone();
            e.delegate(&issuer, |responder| responder.extended_key_usage(&[oids::OCSP_SIGNING]));
        }),
        good("a responder that is marked for this and other things", |e| {
            let issuer = e.signer.intermediate.clone();
            e.delegate(&issuer, |responder| {
                responder.extended_key_usage(&[oids::SERVER_AUTH, oids::OCSP_SIGNING])
            });
        }),
        bad("a responder without any mark", RESPONDER, |e| {
            let issuer = e.signer.intermediate.clone();
            e.delegate(&issuer, |responder| responder);
        }),
        bad("a responder that is marked for TLS", RESPONDER, |e| {
            let issuer = e.signer.intermediate.clone();
            e.delegate(&issuer, |responder| {
                responder.extended_key_usage(&[oids::SERVER_AUTH, oids::CLIENT_AUTH])
            });
        }),
        // RFC 6960 section 4.2.2.2 requires id-kp-OCSPSigning by name. openssl refuses this one too.
        bad("a responder that is marked for any usage", RESPONDER, |e| {
            let issuer = e.signer.intermediate.clone();
            e.delegate(&issuer, |responder| responder.extended_key_usage(&[oids::ANY_USAGE]));
        }),
        bad("an expired responder", RESPONDER, |e| {
            let (issuer, now) = (e.signer.intermediate.clone(), e.now);
            e.delegate(&issuer, |responder| {
                responder.extended_key_usage(&[oids::OCSP_SIGNING]).validity(now - 9000, now - 60)
            });
        }),
        bad("a responder that is not valid yet", RESPONDER, |e| {
            let (issuer, now) = (e.signer.intermediate.clone(), e.now);
            e.delegate(&issuer, |responder| {
                responder.extended_key_usage(&[oids::OCSP_SIGNING]).validity(now + 600, now + 9000)
            });
        }),
        bad("a stranger's responder", RESPONDER, |e| {
            let issuer = e.stranger.intermediate.clone();
            e.delegate(&issuer, |responder| responder.extended_key_usage(&[oids::OCSP_SIGNING]));
        }),
        bad("a responder of a stranger with the issuer's name", RESPONDER, |e| {
            let mut issuer = e.stranger.intermediate.clone();
            issuer.name = e.signer.intermediate.name.clone();
            e.delegate(&issuer, |responder| responder.extended_key_usage(&[oids::OCSP_SIGNING]));
        }),
        // "Issued directly by the CA that is identified in the request", and not by the authority above it.
        bad("the root's responder for what the intermediate issued", RESPONDER, |e| {
            let issuer = e.signer.root.clone();
            e.delegate(&issuer, |responder| responder.extended_key_usage(&[oids::OCSP_SIGNING]));
        }),
        bad("a responder that the issuer's responder marked", RESPONDER, |e| {
            let between = e.authority("tenant");
            e.delegate(&between, |responder| responder.extended_key_usage(&[oids::OCSP_SIGNING]));
        }),
        bad("a marked responder that may not sign data", RESPONDER, |e| {
            let issuer = e.signer.intermediate.clone();
            e.delegate(&issuer, |responder| {
                responder.extended_key_usage(&[oids::OCSP_SIGNING]).key_usage(&[KeyUsage::KeyEncipherment])
            });
        }),
        bad("a marked responder whose certificate is signed with SHA-1", RESPONDER, |e| {
            let issuer = e.signer.intermediate.clone();
            e.delegate(&issuer, |responder| {
                responder.extended_key_usage(&[oids::OCSP_SIGNING]).scheme(SignatureScheme::Pkcs1Sha1)
            });
        }),
        bad("a marked responder whose certificate is not signed", RESPONDER, |e| {
            let issuer = e.signer.intermediate.clone();
            e.delegate(&issuer, |responder| {
                responder.extended_key_usage(&[oids::OCSP_SIGNING]).signature(&[0; 256])
            });
        }),
        bad("a marked responder, and the staple signed by another", SIGNATURE, |e| {
            let responder = e.authority("responder");
            let certificate = e.signer.intermediate.sign(
                responder
                    .certificate()
                    .basic_constraints(false, None)
                    .extended_key_usage(&[oids::OCSP_SIGNING]),
            );
            let named = ResponderId::Key(responder.key.public().id());
            let other = e.stranger.leaf_key.clone();
            e.staple(0, |staple| staple.delegated_to(certificate, &other).responder(named));
        }),
        // If a certificate by the issuer were enough, the holder of the leaf's key could make a revoked leaf valid
        // again.
        bad("the leaf vouches for itself", RESPONDER, |e| {
            let (leaf, key) = (e.signer.leaf_certificate().clone(), e.key().clone());
            e.staple(0, |staple| staple.delegated_to(leaf, &key));
        }),
    ]
}

fn others() -> Vec<Row> {
    vec![
        bad("the root for what the intermediate issued", RESPONDER, |e| {
            let root = e.signer.root.key.clone();
            e.staple(0, |staple| staple.signed_by(&root));
        }),
        bad("a stranger, in its own name", RESPONDER, |e| {
            let stranger = e.stranger.intermediate.key.clone();
            e.staple(0, |staple| staple.signed_by(&stranger));
        }),
        bad("a stranger, in the issuer's name", SIGNATURE, |e| {
            let (key, name) = (e.stranger.intermediate.key.clone(), e.signer.intermediate.name.clone());
            e.staple(0, |staple| staple.signed_by(&key).responder(ResponderId::Name(name)));
        }),
        bad("a stranger, with the issuer's key hash", SIGNATURE, |e| {
            let (key, id) = (e.stranger.intermediate.key.clone(), e.signer.intermediate.key.public().id());
            e.staple(0, |staple| staple.signed_by(&key).responder(ResponderId::Key(id)));
        }),
        bad("a stranger, with the issuer's certificate in the staple", RESPONDER, |e| {
            let (key, certificate) = (e.stranger.intermediate.key.clone(), e.signer.chain[1].0.clone());
            e.staple(0, |staple| staple.delegated_to(certificate, &key));
        }),
        good("the issuer, by name", |e| {
            let name = e.signer.intermediate.name.clone();
            e.staple(0, |staple| staple.responder(ResponderId::Name(name)));
        }),
        good("the issuer, with its own certificate in the staple", |e| {
            let (key, certificate) = (e.signer.intermediate.key.clone(), e.signer.chain[1].0.clone());
            e.staple(0, |staple| staple.delegated_to(certificate, &key));
        }),
        bad("the issuer, in another's name", RESPONDER, |e| {
            let name = e.signer.root.name.clone();
            e.staple(0, |staple| staple.responder(ResponderId::Name(name)));
        }),
        bad("the issuer, with an empty key hash", RESPONDER, |e| {
            e.staple(0, |staple| staple.responder(ResponderId::Key(Vec::new())));
        }),
    ]
}

/// Replaces the signature of the leaf's staple.
fn signature(e: &mut Evidence, bytes: &[u8]) {
    e.staple(0, |staple| staple.signature(bytes));
}

fn signatures() -> Vec<Row> {
    vec![
        bad("all zeros", SIGNATURE, |e| signature(e, &[0; 256])),
        bad("all ones", SIGNATURE, |e| signature(e, &[0xff; 256])),
        bad("garbage", SIGNATURE, |e| signature(e, b"this is not a signature, however long it may be")),
        bad("no bits at all", SIGNATURE, |e| signature(e, &[])),
        bad("one bit off", SIGNATURE, |e| e.staple(0, eic_emulator::pki::StapleBuilder::tampered)),
        bad("the signature of another staple", SIGNATURE, |e| {
            let other = e.signer.staple(1, e.now).build().der;
            signature(e, &other[other.len() - 256..]);
        }),
        bad("SHA-1", SIGNATURE, |e| e.staple(0, |staple| staple.scheme(SignatureScheme::Pkcs1Sha1))),
        bad("SHA-1 that is marked as SHA-256", SIGNATURE, |e| {
            e.staple(0, |staple| {
                staple.scheme(SignatureScheme::Pkcs1Sha1).claimed_scheme(SignatureScheme::Pkcs1Sha256)
            });
        }),
        bad("SHA-256 that is marked as SHA-1", SIGNATURE, |e| {
            e.staple(0, |staple| staple.claimed_scheme(SignatureScheme::Pkcs1Sha1));
        }),
        bad("RSA-PSS", SIGNATURE, |e| {
            e.staple(0, |staple| staple.scheme(SignatureScheme::PssSha256 { salt: 32 }));
        }),
        bad("the intermediate's staple is all zeros", SIGNATURE, |e| {
            e.staple(1, |staple| staple.signature(&[0; 256]));
        }),
    ]
}
