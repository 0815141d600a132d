//! What the staples state, about which certificate, and until when.

use eic_emulator::pki::{
    CertId, CertIdHash, CertStatus, ResponderId, StapleBuilder, StapleName, der, oids, sha1,
};

use super::evidence::{Content, Evidence, Served};
use super::{Row, bad, good, judge_rows};

const REVOKED: &str = "signer-revoked";
const MISSING: &str = "staple-missing";
const MALFORMED: &str = "staple-malformed";
const UNKNOWN: &str = "staple-unknown";

judge_rows!();

fn rows() -> Vec<Row> {
    [presence(), dates(), statuses(), worst_of_several(), second_paths(), subjects(), forms()]
        .into_iter()
        .flatten()
        .collect()
}

fn presence() -> Vec<Row> {
    vec![
        bad("no staples at all", MISSING, |e| e.staples = Some(Vec::new())),
        bad("no staple for the leaf", MISSING, |e| drop(e.staples_mut().remove(0))),
        bad("no staple for the intermediate", MISSING, |e| drop(e.staples_mut().remove(1))),
        good("every staple three times, under other names", |e| {
            let all = e.staples_mut().clone();
            for (number, staple) in all.iter().chain(&all).enumerate() {
                e.staples_mut().push(Served { name: format!("{number}"), ..staple.clone() });
            }
        }),
        good("staples under SHA-256 names", |e| name_all(e, |_| StapleName::Sha256)),
        good("staples under names that mean nothing", |e| {
            name_all(e, |position| StapleName::Other(format!("staple-{position}")));
        }),
        good("staples under each other's names", |e| {
            let names: Vec<_> = e.staples_mut().iter().map(|staple| staple.name.clone()).collect();
            for (staple, name) in e.staples_mut().iter_mut().zip(names.into_iter().rev()) {
                staple.name = name;
            }
        }),
        good("staples under lower-case names", |e| {
            for staple in e.staples_mut() {
                staple.name = staple.name.to_lowercase();
            }
        }),
        good("SHA-256 names among a hundred others", |e| {
            name_all(e, |_| StapleName::Sha256);
            hundred_others(e);
        })
        .only_served(),
        // A limit: sixteen staples of a list are requested. Names that belong to the path's certificates come first.
        bad("meaningless names among a hundred others", MISSING, |e| {
            name_all(e, |position| StapleName::Other(format!("zz-{position}")));
            hundred_others(e);
        })
        .only_served(),
    ]
}

fn name_all(e: &mut Evidence, name: impl Fn(usize) -> StapleName) {
    let named = |at| e.signer.staple(at, e.now).named(name(at)).build().into();
    e.staples = Some((0..e.signer.chain.len()).map(named).collect());
}

fn hundred_others(e: &mut Evidence) {
    let stranger = e.stranger.staple(0, e.now).build();
    for number in 0..100 {
        let name = format!("{number:040}");
        e.staples_mut().push(Served { name, content: Content::Der(stranger.der.clone()) });
    }
}

/// Sets the dates of the leaf's staple, in seconds from now.
fn updates(e: &mut Evidence, this_update: i64, next_update: Option<i64>) {
    let now = e.now;
    e.staple(0, |staple| staple.updates(now + this_update, next_update.map(|until| now + until)));
}

fn dates() -> Vec<Row> {
    vec![
        bad("a stale staple", "staple-stale", |e| updates(e, -9000, Some(-400))),
        good("a staple that ended four minutes ago", |e| updates(e, -9000, Some(-240))),
        bad("a staple of the future", "staple-not-yet-valid", |e| updates(e, 400, Some(9000))),
        good("a staple of the next four minutes", |e| updates(e, 240, Some(9000))),
        // RFC 6960 section 4.2.2.1: without nextUpdate, newer information is always available. An attacker could
        // replay such a staple for ever.
        bad("a staple that never ends", "staple-no-next-update", |e| updates(e, -3600, None)),
        bad("a staple that ends before it begins", "staple-stale", |e| updates(e, -60, Some(-9000))),
        bad("a staple of the next four minutes that ended before", MALFORMED, |e| updates(e, 240, Some(120))),
        // The Baseline Requirements (section 4.9.10) allow ten days for the signer's staple, and a year for an
        // authority's.
        good("a staple of five weeks ago", |e| updates(e, -35 * 86_400, Some(3600))),
        bad("a staple of more than five weeks ago", "staple-stale", |e| {
            updates(e, -35 * 86_400 - 600, Some(3600));
        }),
        good("a staple of the intermediate of a year ago", |e| {
            let now = e.now;
            e.staple(1, |staple| staple.updates(now - 365 * 86_400, Some(now + 3600)));
        }),
        bad("a staple of the intermediate of more than a year ago", "staple-stale", |e| {
            let now = e.now;
            e.staple(1, |staple| staple.updates(now - 367 * 86_400, Some(now + 3600)));
        }),
        bad("a staple with producedAt before thisUpdate", MALFORMED, |e| {
            let now = e.now;
            e.staple(0, |staple| staple.produced_at(now - 9000));
        }),
        bad("a staple that was signed tomorrow", MALFORMED, |e| {
            let now = e.now;
            e.staple(0, |staple| staple.produced_at(now + 86_400));
        }),
        good("a staple of a hundred years", |e| updates(e, -3600, Some(3_155_760_000))),
        bad("a stale staple of the intermediate", "staple-stale", |e| {
            let now = e.now;
            e.staple(1, |staple| staple.updates(now - 9000, Some(now - 400)));
        }),
        good("a stale staple and a fresh one", |e| {
            let stale = e.signer.staple(0, e.now).updates(e.now - 9000, Some(e.now - 400));
            "later".clone_into(&mut e.staples_mut()[0].name);
            e.add_staple(stale.build());
        }),
    ]
}

fn revoked(e: &Evidence, reason: Option<u8>) -> CertStatus {
    CertStatus::Revoked { at: e.now - 60, reason }
}

fn statuses() -> Vec<Row> {
    vec![
        bad("the leaf is revoked", REVOKED, |e| {
            let revoked = revoked(e, Some(1));
            e.staple(0, |staple| staple.status(revoked));
        }),
        bad("the intermediate is revoked", REVOKED, |e| {
            let revoked = revoked(e, None);
            e.staple(1, |staple| staple.status(revoked));
        }),
        // RFC 6960 section 2.2: a certificate on hold counts as revoked.
        bad("the leaf is on hold", REVOKED, |e| {
            let revoked = revoked(e, Some(6));
            e.staple(0, |staple| staple.status(revoked));
        }),
        // The status counts, and its time does not. `openssl ocsp` does the same.
        bad("the leaf is revoked from tomorrow on", REVOKED, |e| {
            let status = CertStatus::Revoked { at: e.now + 86_400, reason: None };
            e.staple(0, |staple| staple.status(status));
        }),
        bad("the leaf was revoked by a staple that is stale by now", REVOKED, |e| {
            let (status, now) = (revoked(e, None), e.now);
            e.staple(0, |staple| staple.status(status).updates(now - 9000, Some(now - 8000)));
        }),
        bad("revoked by one staple, good by another", REVOKED, |e| {
            let status = revoked(e, None);
            let revoking = e.signer.staple(0, e.now).status(status).build();
            "another".clone_into(&mut e.staples_mut()[0].name);
            e.add_staple(revoking);
        }),
        bad("revoked and good in one staple", REVOKED, |e| {
            let mut other = e.signer.staple(0, e.now).answer();
            other.status = revoked(e, None);
            e.staple(0, |staple| staple.followed_by(other));
        }),
        // Without a valid signature, anyone could write a revocation.
        good("revoked by a staple with a broken signature", |e| {
            let status = revoked(e, None);
            e.add_staple(e.signer.staple(0, e.now).status(status).tampered().named(other("0")).build());
        }),
        good("revoked by a stranger", |e| {
            let status = revoked(e, None);
            let staple = e.signer.staple(0, e.now).status(status).signed_by(&e.stranger.root.key);
            e.add_staple(staple.named(other("0")).build());
        }),
        good("an unrelated certificate is revoked", |e| {
            let status = revoked(e, None);
            e.add_staple(e.stranger.staple(0, e.now).status(status).build());
        }),
        bad("the leaf is unknown", "staple-unknown", |e| {
            e.staple(0, |staple| staple.status(CertStatus::Unknown));
        }),
        bad("the intermediate is unknown", "staple-unknown", |e| {
            e.staple(1, |staple| staple.status(CertStatus::Unknown));
        }),
    ]
}

/// Puts a changed copy of the leaf's staple before the good one.
fn before_a_good_one(e: &mut Evidence, make: impl FnOnce(StapleBuilder) -> StapleBuilder) {
    let staple = make(e.signer.staple(0, e.now)).build();
    "another".clone_into(&mut e.staples_mut()[0].name);
    e.staples_mut().insert(0, staple.into());
}

/// Of several answers with a valid signature, the worst decides, even if it has another fault.
fn worst_of_several() -> Vec<Row> {
    vec![
        bad("unknown to one staple, good by another", UNKNOWN, |e| {
            before_a_good_one(e, |staple| staple.status(CertStatus::Unknown));
        }),
        bad("unknown and good in one staple", UNKNOWN, |e| {
            let mut unknown = e.signer.staple(0, e.now).answer();
            unknown.status = CertStatus::Unknown;
            e.staple(0, |staple| staple.followed_by(unknown));
        }),
        bad("unknown, said long ago, and good by another", UNKNOWN, |e| {
            let now = e.now;
            before_a_good_one(e, |staple| {
                staple.status(CertStatus::Unknown).updates(now - 9000, Some(now - 8000))
            });
        }),
        bad("revoked under a critical extension of the answer, good by another", REVOKED, |e| {
            let revoked = revoked(e, None);
            before_a_good_one(e, |staple| {
                staple.status(revoked).answer_extension(oids::UNHEARD_OF, true, &der::null())
            });
        }),
        bad("revoked under a critical extension of the response, good by another", REVOKED, |e| {
            let revoked = revoked(e, None);
            before_a_good_one(e, |staple| {
                staple.status(revoked).extension(oids::UNHEARD_OF, true, &der::null())
            });
        }),
        bad("revoked by a CertID of SHA-512, good by another", REVOKED, |e| {
            let revoked = revoked(e, None);
            before_a_good_one(e, |staple| staple.status(revoked).cert_id_hash(CertIdHash::Sha512));
        }),
        bad("revoked by a CertID of SHA-384, good by another", REVOKED, |e| {
            let revoked = revoked(e, None);
            before_a_good_one(e, |staple| staple.status(revoked).cert_id_hash(CertIdHash::Sha384));
        }),
        bad("revoked by a staple of tomorrow, good by another", REVOKED, |e| {
            let (revoked, now) = (revoked(e, None), e.now);
            before_a_good_one(e, |staple| staple.status(revoked).updates(now + 86_400, Some(now + 96_400)));
        }),
        bad("revoked by a staple with a byte after it, good by another", REVOKED, |e| {
            let revoked = revoked(e, None);
            before_a_good_one(e, |staple| staple.status(revoked));
            let served = &mut e.staples_mut()[0];
            served.content = Content::Der([served.der(), &[0]].concat());
        }),
        good("unknown by a staple with a broken signature", |e| {
            before_a_good_one(e, |staple| staple.status(CertStatus::Unknown).tampered());
        }),
        good("revoked under a critical extension, with a broken signature", |e| {
            let revoked = revoked(e, None);
            before_a_good_one(e, |staple| {
                staple.status(revoked).answer_extension(oids::UNHEARD_OF, true, &der::null()).tampered()
            });
        }),
    ]
}

fn other(name: &str) -> StapleName {
    StapleName::Other(name.to_owned())
}

/// Certifies the intermediate twice by the root. `change` makes the staples of the certificates at `bad`.
fn twice_certified(e: &mut Evidence, bad: &[usize], change: impl Fn(StapleBuilder) -> StapleBuilder) {
    let root = e.signer.root.clone();
    let again = root.sign(e.signer.intermediate_certificate().serial(&[0x77]));
    e.signer.chain.insert(2, (again, root));
    for &position in bad {
        e.staple(position, &change);
    }
}

fn second_paths() -> Vec<Row> {
    vec![
        good("the first path is revoked, the second is good", |e| {
            let status = revoked(e, None);
            twice_certified(e, &[1], |staple| staple.status(status));
        }),
        good("the second path is revoked, the first is good", |e| {
            let status = revoked(e, None);
            twice_certified(e, &[2], |staple| staple.status(status));
        }),
        bad("both paths are revoked", REVOKED, |e| {
            let status = revoked(e, None);
            twice_certified(e, &[1, 2], |staple| staple.status(status));
        }),
        good("the first path has a stale staple, the second a fresh one", |e| {
            let now = e.now;
            twice_certified(e, &[1], |staple| staple.updates(now - 9000, Some(now - 8000)));
        }),
        good("the first path has no staple, the second has", |e| {
            twice_certified(e, &[], |staple| staple);
            e.staples_mut().remove(1);
        }),
        // The leaf's own staple counts for every path.
        bad("two paths, and the leaf is revoked", REVOKED, |e| {
            let status = revoked(e, None);
            twice_certified(e, &[0], |staple| staple.status(status));
        }),
    ]
}

/// Makes the leaf's staple be about this certificate.
fn about(e: &mut Evidence, id: CertId) {
    e.staple(0, |staple| staple.about(id));
}

fn subjects() -> Vec<Row> {
    vec![
        bad("the intermediate's staple in the leaf's place", MISSING, |e| {
            let content = e.staples_mut()[1].content.clone();
            e.staples_mut()[0].content = content;
        }),
        bad("a staple for another certificate of the same issuer", MISSING, |e| {
            let other = e.signer.intermediate.sign(e.signer.leaf("www.tenant.example", e.now));
            about(e, CertId::new(CertIdHash::Sha1, &other, &e.signer.intermediate));
        }),
        bad("a staple for the same number of another issuer", MISSING, |e| {
            about(e, CertId::new(CertIdHash::Sha1, e.signer.leaf_certificate(), &e.signer.root));
        }),
        bad("a staple with the issuer's name and another's key", MISSING, |e| {
            let mut posing = e.signer.intermediate.clone();
            posing.key = e.stranger.root.key.clone();
            about(e, CertId::new(CertIdHash::Sha1, e.signer.leaf_certificate(), &posing));
        }),
        bad("a staple with the issuer's key and another's name", MISSING, |e| {
            let mut posing = e.signer.intermediate.clone();
            posing.name = e.signer.root.name.clone();
            about(e, CertId::new(CertIdHash::Sha1, e.signer.leaf_certificate(), &posing));
        }),
        // The intermediate signs the staple about itself, in its issuer's name. A certificate cannot vouch for
        // itself.
        bad("the intermediate vouches for itself", "staple-responder", |e| {
            let key = e.signer.intermediate.key.clone();
            e.staple(1, |staple| staple.signed_by(&key));
        }),
        bad("the intermediate vouches for itself in the leaf's staple", "staple-responder", |e| {
            let itself = e.signer.staple(1, e.now).answer();
            e.staple(0, |staple| staple.followed_by(itself));
            e.staples_mut().remove(1);
        }),
        good("several answers in one, this one last", |e| {
            let others: Vec<_> = (1..4).map(|at| e.signer.staple(at, e.now).answer()).collect();
            e.staple(0, |staple| others.into_iter().fold(staple, StapleBuilder::preceded_by));
        }),
        good("sixteen answers in one, this one last", |e| {
            let other = e.signer.staple(1, e.now).answer();
            e.staple(0, |staple| (0..15).fold(staple, |staple, _| staple.preceded_by(other.clone())));
        }),
        // A limit: at most sixteen answers of a staple count. The service's staples have one each.
        bad("seventeen answers in one, this one last", MISSING, |e| {
            let other = e.signer.staple(1, e.now).answer();
            e.staple(0, |staple| (0..16).fold(staple, |staple, _| staple.preceded_by(other.clone())));
        }),
        good("CertIDs of SHA-256", |e| {
            for position in 0..2 {
                e.staple(position, |staple| staple.cert_id_hash(CertIdHash::Sha256));
            }
        }),
        good("one CertID of SHA-1, one of SHA-256", |e| {
            e.staple(1, |staple| staple.cert_id_hash(CertIdHash::Sha256));
        }),
        good("CertIDs and names of SHA-256", |e| {
            let made =
                |at| e.signer.staple(at, e.now).cert_id_hash(CertIdHash::Sha256).named(StapleName::Sha256);
            e.staples = Some((0..2).map(|at| made(at).build().into()).collect());
        }),
        bad("a CertID of SHA-512, which is not supported", MISSING, |e| {
            e.staple(0, |staple| staple.cert_id_hash(CertIdHash::Sha512));
        }),
        // RFC 5754 section 2 and RFC 3370 section 2.1: the parameters are absent or NULL. Both forms must be read.
        good("a CertID whose digest has no parameters", |e| {
            let issuer = &e.signer.intermediate;
            let digests = (sha1(&issuer.name.der()), sha1(issuer.key.public().pkcs1_der()));
            let algorithm = der::sequence(&[der::oid(oids::SHA1)]);
            about(
                e,
                CertId::encoded(&algorithm, &digests.0, &digests.1, e.signer.leaf_certificate().serial()),
            );
        }),
        bad("a CertID of SHA-256 that holds digests of SHA-1", MISSING, |e| {
            let issuer = &e.signer.intermediate;
            let digests = (sha1(&issuer.name.der()), sha1(issuer.key.public().pkcs1_der()));
            let algorithm = der::sequence(&[der::oid(oids::SHA256), der::null()]);
            about(
                e,
                CertId::encoded(&algorithm, &digests.0, &digests.1, e.signer.leaf_certificate().serial()),
            );
        }),
        bad("a CertID of empty digests", MISSING, |e| {
            let algorithm = der::sequence(&[der::oid(oids::SHA1), der::null()]);
            about(e, CertId::encoded(&algorithm, &[], &[], e.signer.leaf_certificate().serial()));
        }),
    ]
}

fn forms() -> Vec<Row> {
    vec![
        good("plain DER", |e| {
            let der = e.signer.staple(0, e.now).build().der;
            e.raw_staple(der);
        }),
        good("base64 in lines that end with CRLF", |e| {
            let text = eic_emulator::pki::wrapped_base64(&e.signer.staple(0, e.now).build().der, 64);
            e.raw_staple(text.replace('\n', "\r\n"));
        }),
        good("a nonce that was not requested", |e| {
            e.staple(0, |staple| staple.extension(oids::OCSP_NONCE, false, &der::octets(&[7; 16])));
        }),
        // RFC 6960 section 4.4 and RFC 5280 section 4.2: an unknown critical extension must not be ignored.
        bad("an unknown critical extension of the response", MALFORMED, |e| {
            e.staple(0, |staple| staple.extension(oids::UNHEARD_OF, true, &der::null()));
        }),
        bad("an unknown critical extension of the answer", MALFORMED, |e| {
            e.staple(0, |staple| staple.answer_extension(oids::UNHEARD_OF, true, &der::null()));
        }),
        bad("the responder says to try later", MALFORMED, |e| {
            let error = e.signer.staple(0, e.now).build_error(3);
            e.staples_mut()[0] = error.into();
        }),
        bad("the responder says unauthorized", MALFORMED, |e| {
            let error = e.signer.staple(0, e.now).build_error(6);
            e.staples_mut()[0] = error.into();
        }),
        bad("a success without a response", MALFORMED, |e| {
            let error = e.signer.staple(0, e.now).build_error(0);
            e.staples_mut()[0] = error.into();
        }),
        bad("cut in half", MALFORMED, |e| {
            let der = e.signer.staple(0, e.now).build().der;
            e.raw_staple(&der[..der.len() / 2]);
        }),
        bad("one byte after the last", MALFORMED, |e| {
            let der = e.signer.staple(0, e.now).build().der;
            e.raw_staple([&der[..], &[0]].concat());
        }),
        bad("base64 cut short", MALFORMED, |e| {
            let text = e.signer.staple(0, e.now).build().text();
            e.raw_staple(&text.as_bytes()[..text.len() - 3]);
        }),
        bad("a page", MALFORMED, |e| e.raw_staple("<html><body>404 - Not Found</body></html>\n")),
        bad("nothing at all", MALFORMED, |e| e.raw_staple("")),
        bad("NULs", MALFORMED, |e| e.raw_staple(vec![0; 700])),
        bad("a thousand sequences in each other", MALFORMED, |e| {
            e.raw_staple((0..1000).fold(Vec::new(), |inner, _| der::sequence(&[inner])));
        }),
        bad("larger than any staple is", MALFORMED, |e| e.raw_staple(vec![b'A'; 9 * 1024]))
            .served("metadata-malformed"),
        good("rubbish together with good ones", |e| {
            for (number, bytes) in [&b"<html>"[..], b"", b"\0\0", b"MAMKAQM=\n"].into_iter().enumerate() {
                let content = Content::Raw(bytes.to_vec());
                e.staples_mut().push(Served { name: format!("{number}"), content });
            }
        }),
        bad("a responder of many names", "staple-responder", |e| {
            let many =
                (0..20).fold(eic_emulator::pki::Name::new(), |name, at| name.cn(&format!("responder {at}")));
            e.staple(0, |staple| staple.responder(ResponderId::Name(many)));
        }),
    ]
}
