//! The signer's path: order, repetition, loops, length, cross-signs, dates, and permitted issuers.

use eic_emulator::pki::{Certificate, CertificateBuilder, Issuer, KeyUsage, der, oids};

use super::evidence::Evidence;
use super::{Row, bad, good, judge_rows};
use crate::fixtures::SIGNER;

judge_rows!();

fn rows() -> Vec<Row> {
    [order(), tails(), loops(), lengths(), dates(), issuers()].into_iter().flatten().collect()
}

fn order() -> Vec<Row> {
    vec![
        good("as the service sends it", |_| {}),
        // RFC 8446 section 4.4.2: a TLS server sends certificates in order, and a client accepts any order. The agent
        // does the same.
        good("the other way round", |e| {
            let mut blocks = e.blocks();
            blocks.reverse();
            e.serve_pem(&blocks);
        }),
        good("each certificate twenty times", |e| {
            let blocks = e.blocks().iter().map(|block| block.repeat(20)).collect::<Vec<_>>();
            e.serve_pem(&blocks);
        }),
        good("unrelated certificates between all of them", |e| {
            let blocks: Vec<_> =
                e.blocks().into_iter().zip(e.unrelated(4)).flat_map(|(a, b)| [b, a]).collect();
            e.serve_pem(&blocks);
        }),
        // The first certificate with the right name need not be the signer's.
        good("a stranger's whole chain, with the signer's name, first", |e| {
            let strangers = e.stranger.bundle_pem();
            e.serve_pem(&[&[strangers], &e.blocks()[..]].concat());
        }),
        good("thirty unrelated ones first", |e| {
            e.serve_pem(&[e.unrelated(30), e.blocks()[..2].to_vec()].concat());
        }),
        // A limit: only the first 32 certificates are read. The service sends far fewer.
        bad("thirty-two unrelated ones first", "signer-name-mismatch", |e| {
            e.serve_pem(&[e.unrelated(32), e.blocks()].concat());
        }),
        good("rubbish, a private key and an empty block between them", |e| {
            let rubbish = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n\
                           -----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n\
                           -----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
            let blocks: Vec<_> =
                e.blocks().into_iter().flat_map(|block| [rubbish.to_owned(), block]).collect();
            e.serve_pem(&blocks);
        }),
        bad("no leaf", "signer-name-mismatch", |e| {
            let blocks = e.blocks();
            e.serve_pem(&blocks[1..]);
        }),
        bad("nothing but the leaf", "signer-untrusted", |e| e.signer.chain.truncate(1)),
        bad("the leaf cut in half", "signer-malformed", |e| {
            let leaf = e.blocks().remove(0);
            e.serve_pem(&[leaf[..leaf.len() / 2].to_owned()]);
        }),
        bad("one byte after the leaf's last", "signer-name-mismatch", |e| {
            let longer = [e.signer.leaf_certificate().der(), &[0]].concat();
            let block = format!(
                "-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n",
                eic_emulator::pki::wrapped_base64(&longer, 64)
            );
            e.serve_pem(&[block, e.blocks().remove(1)]);
        }),
    ]
}

/// The real bundle ends in cross-signs, which may change.
fn tails() -> Vec<Row> {
    vec![
        good("no tail of cross-signs", |e| e.signer.chain.truncate(2)),
        good("the tail's staples are absent, and no path needs them", |e| e.staples_mut().truncate(2)),
        good("only the older root is trusted", Evidence::trust_older_root),
        good("the newest and the older root are trusted", |e| {
            let newest = e.anchors.clone();
            e.trust_older_root();
            e.anchors.insert_str(0, &newest);
        }),
        good("only the oldest root is trusted", |e| {
            let oldest = &e.signer.oldest_root;
            e.anchors = oldest.certificate().self_signed(&oldest.key).pem();
        }),
        bad("only the older root is trusted, and no tail", "signer-untrusted", |e| {
            e.trust_older_root();
            e.signer.chain.truncate(2);
        }),
        bad("only the older root is trusted, and the tail has no staple", "staple-missing", |e| {
            e.trust_older_root();
            e.staples_mut().truncate(2);
        }),
        good("an expired tail that no path needs", expire_tail),
        bad("an expired tail that the path needs", "signer-expired", |e| {
            e.trust_older_root();
            expire_tail(e);
        }),
        bad("only a stranger's root is trusted", "signer-untrusted", |e| e.anchors = e.stranger.anchor_pem()),
        bad("only the signer's own certificate is trusted", "signer-untrusted", |e| {
            e.anchors = e.signer.leaf_certificate().pem();
        }),
        // A subordinate authority may be an anchor, as in openssl with -partial_chain. Then it needs no staple.
        good("only the intermediate is trusted", |e| {
            e.anchors = e.signer.chain[1].0.pem();
            e.staples_mut().truncate(1);
        }),
    ]
}

fn expire_tail(e: &mut Evidence) {
    let older = e.signer.older_root.clone();
    let expired = e.signer.root.certificate().validity(e.now - 9000, e.now - 10);
    e.signer.chain[2] = (older.sign(expired), older);
}

fn loops() -> Vec<Row> {
    vec![
        bad("A signs B, B signs A", "signer-untrusted", |e| {
            let (a, b) = (e.authority("loop-a"), e.authority("loop-b"));
            let path = vec![(b.sign(a.certificate()), b.clone()), (a.sign(b.certificate()), a.clone())];
            e.hang_from(&a, path);
        }),
        good("A signs B, B signs A, and the root signed A", |e| {
            let (a, b, root) = (e.authority("loop-a"), e.authority("loop-b"), e.signer.root.clone());
            let path = vec![
                (b.sign(a.certificate()), b.clone()),
                (a.sign(b.certificate()), a.clone()),
                (root.sign(a.certificate()), root),
            ];
            e.hang_from(&a, path);
        }),
        bad("an authority that only signs itself", "signer-untrusted", |e| {
            let a = e.authority("loop-a");
            e.hang_from(&a, vec![(a.sign(a.certificate()), a.clone())]);
        }),
        bad("a leaf that signs itself", "signer-untrusted", |e| {
            let key = e.key().clone();
            let leaf = e.signer.leaf(SIGNER, e.now).self_signed(&key);
            let itself = Issuer { name: leaf.subject().clone(), key };
            e.signer.chain = vec![(leaf, itself)];
        }),
        bad("the leaf signs its own issuer", "signer-untrusted", |e| {
            let leaf = Issuer { name: e.signer.leaf_certificate().subject().clone(), key: e.key().clone() };
            let issuer = leaf.sign(e.signer.intermediate_certificate());
            e.signer.chain.truncate(1);
            e.signer.chain.push((issuer, leaf));
        }),
        bad("a ring of twelve", "signer-untrusted", |e| {
            let ring = links(e, 12);
            let path = (0..12)
                .map(|at| (ring[(at + 1) % 12].sign(ring[at].certificate()), ring[(at + 1) % 12].clone()));
            let path = path.collect();
            e.hang_from(&ring[0], path);
        }),
    ]
}

/// `count` authorities with one key. The rows test the search and not the keys.
fn links(e: &Evidence, count: usize) -> Vec<Issuer> {
    let key = e.pool.get("link");
    (0..count).map(|number| Issuer::new(&format!("L{number}"), key.clone())).collect()
}

/// A chain of `count` authorities below the root, with the signer below the last.
fn chain_of(e: &mut Evidence, count: usize) {
    let links = links(e, count);
    let mut path = Vec::new();
    for (place, link) in links.iter().enumerate().rev() {
        let above = if place == 0 { &e.signer.root } else { &links[place - 1] };
        path.push((above.sign(link.certificate().without(oids::SUBJECT_KEY_ID)), above.clone()));
    }
    e.hang_from(&links[count - 1], path);
}

fn lengths() -> Vec<Row> {
    vec![
        // RFC 5280 sets no limit. openssl's limit is 100, webpki's is six. Amazon's longest path has three
        // authorities.
        good("six authorities deep", |e| chain_of(e, 6)),
        bad("seven authorities deep", "signer-untrusted", |e| chain_of(e, 7)),
        bad("a path of 100", "signer-untrusted", |e| {
            chain_of(e, 99);
            e.staples = Some(Vec::new());
        }),
        good("100 certificates, and the path among the first", |e| {
            let usual = e.blocks();
            let staples = e.staples_mut().clone();
            chain_of(e, 96);
            e.serve_pem(&[usual, e.blocks()[1..].to_vec()].concat());
            e.staples = Some(staples);
        }),
    ]
}

fn dates() -> Vec<Row> {
    vec![
        bad("an expired leaf", "signer-expired", |e| {
            let now = e.now;
            e.leaf(|leaf| leaf.validity(now - 9000, now - 1));
        }),
        bad("a leaf that is not valid yet", "signer-not-yet-valid", |e| {
            let now = e.now;
            e.leaf(|leaf| leaf.validity(now + 600, now + 9000));
        }),
        // A staple's dates may be off by five minutes. A certificate's may not be off by one.
        bad("a leaf that is valid in a minute", "signer-not-yet-valid", |e| {
            let now = e.now;
            e.leaf(|leaf| leaf.validity(now + 60, now + 9000));
        }),
        bad("a leaf that ends before it begins", "signer-untrusted", |e| {
            let now = e.now;
            e.leaf(|leaf| leaf.validity(now + 9000, now - 9000));
        }),
        bad("an expired intermediate", "signer-expired", |e| {
            let now = e.now;
            e.intermediate(|authority| authority.validity(now - 9000, now - 1));
        }),
        bad("an intermediate that is not valid yet", "signer-not-yet-valid", |e| {
            let now = e.now;
            e.intermediate(|authority| authority.validity(now + 600, now + 9000));
        }),
        // openssl and webpki ignore the dates of a trusted root. RFC 5280 section 6.1 leaves the choice.
        bad("an expired root", "signer-expired", |e| {
            let now = e.now;
            e.root(|root| root.validity(now - 9000, now - 1));
            e.signer.chain.truncate(2);
        }),
        bad("a root that is not valid yet", "signer-not-yet-valid", |e| {
            let now = e.now;
            e.root(|root| root.validity(now + 600, now + 9000));
            e.signer.chain.truncate(2);
        }),
        good("an expired intermediate, and its renewed certificate after it", |e| renewed(e, false)),
        good("an expired intermediate, and its renewed certificate before it", |e| renewed(e, true)),
    ]
}

fn renewed(e: &mut Evidence, first: bool) {
    let expired = e.signer.intermediate_certificate().validity(e.now - 9000, e.now - 1).serial(&[7]);
    let root = e.signer.root.clone();
    let place = if first { 2 } else { 1 };
    e.signer.chain.insert(place, (root.sign(expired), root));
}

fn issuers() -> Vec<Row> {
    vec![
        bad("an issuer that is no authority", "signer-untrusted", |e| {
            e.intermediate(|authority| authority.basic_constraints(false, None));
        }),
        bad("an issuer without basicConstraints", "signer-untrusted", |e| {
            e.intermediate(|authority| authority.without(oids::BASIC_CONSTRAINTS));
        }),
        bad("an issuer of version 1, which has no extensions", "signer-untrusted", |e| {
            e.intermediate(|authority| authority.version(1));
        }),
        bad("an issuer that may not sign certificates", "signer-key-usage", |e| {
            e.intermediate(|authority| authority.key_usage(&[KeyUsage::DigitalSignature, KeyUsage::CrlSign]));
        }),
        good("an issuer without keyUsage", |e| {
            e.intermediate(|authority| authority.without(oids::KEY_USAGE));
        }),
        // The extensions of the root in the store count.
        bad("a root that is no authority", "signer-untrusted", |e| {
            e.root(|root| root.basic_constraints(false, None));
        }),
        bad("a root that may not sign certificates", "signer-untrusted", |e| {
            e.root(|root| root.key_usage(&[KeyUsage::DigitalSignature]));
        }),
        good("a root without keyUsage", |e| e.root(|root| root.without(oids::KEY_USAGE))),
        good("a root of version 1, which has no extensions", |e| e.root(|root| root.version(1))),
        bad("a root with an unknown critical extension", "signer-untrusted", |e| {
            e.root(|root| root.extension(oids::UNHEARD_OF, true, &eic_emulator::pki::der::null()));
        }),
        // The owner of a server's certificate must not issue others.
        bad("an issuer that is a leaf itself", "signer-untrusted", |e| {
            let tenant = e.authority("tenant");
            let its = e.signer.intermediate.sign(leaf_of(e, &tenant));
            let intermediate = e.signer.chain[1].clone();
            e.hang_from(&tenant, vec![(its, e.signer.intermediate.clone()), intermediate]);
        }),
        bad("an authority below one whose path length is 0", "signer-untrusted", |e| {
            let deep = e.authority("tenant");
            let its = e.signer.intermediate.sign(deep.certificate());
            let intermediate = e.signer.chain[1].clone();
            e.hang_from(&deep, vec![(its, e.signer.intermediate.clone()), intermediate]);
        }),
        bad("an issuer for code signing alone", "signer-key-usage", |e| {
            e.intermediate(|authority| authority.extended_key_usage(&[oids::CODE_SIGNING]));
        }),
        bad("an issuer with an unknown critical extension", "signer-untrusted", |e| {
            e.intermediate(|authority| authority.extension(oids::UNHEARD_OF, true, &der::null()));
        }),
        bad("an issuer whose key usage cannot be read", "signer-untrusted", |e| {
            e.intermediate(|authority| authority.extension(oids::KEY_USAGE, true, &der::null()));
        }),
        bad("an issuer of the right name with another key", "signer-untrusted", |e| {
            let posing = posing(e);
            e.signer.chain[1] = posing;
        }),
        good("an issuer of the right name with another key, before the right one", |e| {
            let posing = posing(e);
            e.signer.chain.insert(1, posing);
        }),
        bad("a leaf that is an authority", "signer-untrusted", |e| {
            e.leaf(|leaf| leaf.basic_constraints(true, None));
        }),
        good("a leaf without any extension that restricts it", |e| {
            e.leaf(|leaf| {
                let bare = leaf.without(oids::KEY_USAGE).without(oids::EXTENDED_KEY_USAGE);
                bare.without(oids::BASIC_CONSTRAINTS)
            });
        }),
        bad("a leaf for code signing alone", "signer-key-usage", |e| {
            e.leaf(|leaf| leaf.extended_key_usage(&[oids::CODE_SIGNING]));
        }),
        // "Any usage" does not count as the required usage. openssl's sslserver purpose has the same rule for a leaf.
        bad("a leaf for any usage", "signer-key-usage", |e| {
            e.leaf(|leaf| leaf.extended_key_usage(&[oids::ANY_USAGE]));
        }),
        bad("a leaf that may only encipher", "signer-key-usage", |e| {
            e.leaf(|leaf| leaf.key_usage(&[KeyUsage::KeyEncipherment]));
        }),
        bad("a leaf with an unknown critical extension", "signer-untrusted", |e| {
            e.leaf(|leaf| leaf.extension(oids::UNHEARD_OF, true, &der::null()));
        }),
        good("a leaf with an unknown extension that is not critical", |e| {
            e.leaf(|leaf| leaf.extension(oids::UNHEARD_OF, false, &der::null()));
        }),
        // RFC 6962 section 3.1: a precertificate has the same content and a good signature, and it is not a
        // certificate.
        bad("a precertificate", "signer-untrusted", |e| {
            e.leaf(|leaf| leaf.extension(oids::PRECERTIFICATE_POISON, true, &der::null()));
        }),
    ]
}

/// A certificate for a customer's own server, which any customer of a public authority can get.
fn leaf_of(e: &Evidence, tenant: &Issuer) -> CertificateBuilder {
    CertificateBuilder::new(tenant.name.clone(), tenant.key.public(), e.now - 9000, e.now + 9000)
        .signer_profile("www.tenant.example")
}

fn posing(e: &Evidence) -> (Certificate, Issuer) {
    let posing = Issuer { name: e.signer.intermediate.name.clone(), key: e.authority("posing").key };
    let root = e.signer.root.clone();
    (root.sign(posing.certificate()), root)
}
