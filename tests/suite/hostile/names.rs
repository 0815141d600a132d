//! The names of the leaf: common names, alternative names, and the constraints of its issuers.

use eic_emulator::pki::{CertificateBuilder, Name, NameConstraints, der, oids};

use super::evidence::Evidence;
use super::{Row, bad, good, judge_rows};
use crate::fixtures::SIGNER;

const MISMATCH: &str = "signer-name-mismatch";
const ELSEWHERE: &str = "managed-ssh-signer.us-west-2.amazonaws.com";

judge_rows!();

fn rows() -> Vec<Row> {
    [common_names(), look_alikes(), alternative_names(), constraints()].into_iter().flatten().collect()
}

/// Replaces the leaf's subject. The alternative name is still the signer's.
fn subject(e: &mut Evidence, subject: Name) {
    let key = e.key().public().clone();
    let now = e.now;
    e.leaf(|_| CertificateBuilder::new(subject, &key, now - 9000, now + 9000).signer_profile(SIGNER));
}

fn common_names() -> Vec<Row> {
    vec![
        bad("no common name", MISMATCH, |e| {
            subject(e, Name::new().attribute(oids::ORGANIZATION, &der::utf8("Amazon")));
        }),
        bad("an empty subject", MISMATCH, |e| subject(e, Name::new())),
        bad("the name as an organization", MISMATCH, |e| {
            subject(e, Name::new().attribute(oids::ORGANIZATION, &der::utf8(SIGNER)));
        }),
        bad("another region's name", MISMATCH, |e| subject(e, Name::common(ELSEWHERE))),
        bad("another partition's name", MISMATCH, |e| subject(e, Name::common(&format!("{SIGNER}.cn")))),
        bad("the name twice", MISMATCH, |e| subject(e, Name::common(SIGNER).cn(SIGNER))),
        bad("the name, then another", MISMATCH, |e| {
            subject(e, Name::common(SIGNER).cn("www.tenant.example"));
        }),
        bad("another name, then the name", MISMATCH, |e| {
            subject(e, Name::common("www.tenant.example").cn(SIGNER));
        }),
        bad("both names in one RDN", MISMATCH, |e| {
            subject(e, Name::new().cns_in_one_place(&[SIGNER, "www.tenant.example"]));
        }),
        good("the name with other attributes", |e| subject(e, Name::authority(SIGNER))),
        good("the name as PrintableString", |e| {
            subject(e, Name::new().attribute(oids::COMMON_NAME, &der::printable(SIGNER)));
        }),
        // RFC 5280 section 4.1.2.4 allows this form for old names only. No current authority writes it.
        bad("the name as BMPString", MISMATCH, |e| {
            let wide: Vec<u8> = SIGNER.encode_utf16().flat_map(u16::to_be_bytes).collect();
            subject(e, Name::new().attribute(oids::COMMON_NAME, &der::element(0x1e, &wide)));
        }),
    ]
}

fn look_alikes() -> Vec<Row> {
    vec![
        bad("with a domain after it", MISMATCH, |e| {
            subject(e, Name::common(&format!("{SIGNER}.evil.example")));
        }),
        bad("with a label before it", MISMATCH, |e| subject(e, Name::common(&format!("www.{SIGNER}")))),
        bad("with a dot after it", MISMATCH, |e| subject(e, Name::common(&format!("{SIGNER}.")))),
        bad("with a space after it", MISMATCH, |e| subject(e, Name::common(&format!("{SIGNER} ")))),
        bad("with a NUL and a domain after it", MISMATCH, |e| {
            subject(e, Name::common(&format!("{SIGNER}\0.evil.example")));
        }),
        bad("with a line end after it", MISMATCH, |e| subject(e, Name::common(&format!("{SIGNER}\n")))),
        bad("with a Cyrillic letter", MISMATCH, |e| {
            subject(e, Name::common(&SIGNER.replace('a', "\u{430}")));
        }),
        bad("with an invisible letter", MISMATCH, |e| {
            subject(e, Name::common(&SIGNER.replace("-ssh", "\u{200b}-ssh")));
        }),
        bad("in full-width letters", MISMATCH, |e| {
            subject(e, Name::common(&SIGNER.replace('m', "\u{ff4d}")));
        }),
        // DNS ignores the case. The service has one spelling, and RFC 9525 section 6.3 is about dNSNames only.
        bad("in capitals", MISMATCH, |e| subject(e, Name::common(&SIGNER.to_uppercase()))),
        bad("with another region's digit", MISMATCH, |e| {
            subject(e, Name::common(&SIGNER.replace("-1.", "-l.")));
        }),
        bad("a wildcard", MISMATCH, |e| subject(e, Name::common("*.us-east-1.amazonaws.com"))),
    ]
}

/// Encodes `GeneralName`s. Each has a number and its content.
fn general_names(names: &[(u8, &[u8])]) -> Vec<u8> {
    let names: Vec<_> = names.iter().map(|(number, bytes)| der::context_primitive(*number, bytes)).collect();
    der::sequence(&names)
}

fn alternative(e: &mut Evidence, names: &[(u8, &[u8])]) {
    e.leaf(|leaf| leaf.extension(oids::SUBJECT_ALT_NAME, false, &general_names(names)));
}

fn alternative_names() -> Vec<Row> {
    vec![
        // Names are in the SAN today (RFC 9525). No leaf of this service without a SAN was ever seen, but its single
        // common name is enough. A constrained authority requires a SAN: see `constraints`.
        good("no alternative names at all", |e| e.leaf(|leaf| leaf.without(oids::SUBJECT_ALT_NAME))),
        good("another alternative name and the right one", |e| {
            e.leaf(|leaf| leaf.san(&["www.tenant.example", SIGNER]));
        }),
        good("the alternative name in capitals", |e| e.leaf(|leaf| leaf.san(&[&SIGNER.to_uppercase()]))),
        bad("another alternative name", MISMATCH, |e| e.leaf(|leaf| leaf.san(&["www.tenant.example"]))),
        bad("a wildcard as alternative name", MISMATCH, |e| {
            e.leaf(|leaf| leaf.san(&["*.us-east-1.amazonaws.com"]));
        }),
        bad("an alternative name with a NUL in it", MISMATCH, |e| {
            e.leaf(|leaf| leaf.san(&[&format!("{SIGNER}\0.evil.example")]));
        }),
        bad("an empty alternative name", MISMATCH, |e| e.leaf(|leaf| leaf.san(&[""]))),
        bad("an empty list of alternative names", MISMATCH, |e| alternative(e, &[])),
        bad("only an address", MISMATCH, |e| alternative(e, &[(7, &[192, 0, 2, 1])])),
        bad("the name as a mail address and as a URI", MISMATCH, |e| {
            alternative(e, &[(1, SIGNER.as_bytes()), (6, SIGNER.as_bytes())]);
        }),
        bad("alternative names that cannot be read", MISMATCH, |e| {
            e.leaf(|leaf| leaf.extension(oids::SUBJECT_ALT_NAME, false, &[0x30, 0x05, 0x82]));
        }),
        // RFC 5280 section 4.2: an extension occurs at most once, because two readers could use different ones.
        bad("alternative names twice", "signer-untrusted", |e| {
            let other = general_names(&[(2, b"www.tenant.example")]);
            e.leaf(|leaf| leaf.another_extension(oids::SUBJECT_ALT_NAME, false, &other));
        }),
        bad("alternative names twice, the right ones last", "signer-untrusted", |e| {
            let right = general_names(&[(2, SIGNER.as_bytes())]);
            e.leaf(|leaf| {
                leaf.san(&["www.tenant.example"]).another_extension(oids::SUBJECT_ALT_NAME, false, &right)
            });
        }),
    ]
}

/// An authority that the root has constrained to some names issues the signer's leaf. Any large customer can have
/// such an authority.
fn constrained(e: &mut Evidence, constraints: &NameConstraints<'_>, with_names: bool) {
    let tenant = e.authority("tenant");
    let root = e.signer.root.clone();
    let its = root.sign(tenant.certificate().name_constraints(constraints));
    e.hang_from(&tenant, vec![(its, root)]);
    without_names(e, with_names);
}

fn without_names(e: &mut Evidence, with_names: bool) {
    if !with_names {
        let (_, issuer) = e.signer.chain[0].clone();
        let leaf = e.signer.leaf(SIGNER, e.now).without(oids::SUBJECT_ALT_NAME);
        e.signer.chain[0] = (issuer.sign(leaf), issuer);
    }
}

const OTHERS: NameConstraints<'static> = NameConstraints { permitted: &["tenant.example"], excluded: &[] };
const OURS: NameConstraints<'static> = NameConstraints { permitted: &["amazonaws.com"], excluded: &[] };
const NOT_OURS: NameConstraints<'static> = NameConstraints { permitted: &[], excluded: &["amazonaws.com"] };

fn constraints() -> Vec<Row> {
    vec![
        bad("permitted another domain, with alternative names", "signer-constrained", |e| {
            constrained(e, &OTHERS, true);
        }),
        // RFC 5280 section 4.2.1.10 applies dNSName constraints to the SAN alone, so webpki does not check a common
        // name. openssl also checks common names if there is no SAN.
        bad("permitted another domain, without alternative names", "signer-constrained", |e| {
            constrained(e, &OTHERS, false);
        }),
        bad("permitted another domain, its own as alternative name", MISMATCH, |e| {
            constrained(e, &OTHERS, true);
            let (_, issuer) = e.signer.chain[0].clone();
            let leaf = e.signer.leaf(SIGNER, e.now).san(&["www.tenant.example"]);
            e.signer.chain[0] = (issuer.sign(leaf), issuer);
        }),
        good("permitted this domain, with alternative names", |e| constrained(e, &OURS, true)),
        bad("permitted this domain, without alternative names", "signer-constrained", |e| {
            constrained(e, &OURS, false);
        }),
        bad("excluded this domain, with alternative names", "signer-constrained", |e| {
            constrained(e, &NOT_OURS, true);
        }),
        bad("excluded this domain, without alternative names", "signer-constrained", |e| {
            constrained(e, &NOT_OURS, false);
        }),
        // A subtree consists of whole labels: `naws.com` does not permit `amazonaws.com`.
        bad("permitted the end of a label", "signer-constrained", |e| {
            constrained(e, &NameConstraints { permitted: &["naws.com"], excluded: &[] }, true);
        }),
        bad("excluded everything", "signer-constrained", |e| {
            constrained(e, &NameConstraints { permitted: &[], excluded: &[""] }, true);
        }),
        bad("the root itself permits another domain, with alternative names", "signer-constrained", |e| {
            e.root(|root| root.name_constraints(&OTHERS));
            e.signer.chain.truncate(2);
        }),
        bad("the root itself permits another domain, without alternative names", "signer-constrained", |e| {
            e.root(|root| root.name_constraints(&OTHERS));
            e.signer.chain.truncate(2);
            without_names(e, false);
        }),
        bad("constraints that cannot be read, without alternative names", "signer-untrusted", |e| {
            let tenant = e.authority("tenant");
            let root = e.signer.root.clone();
            let its = tenant.certificate().extension(oids::NAME_CONSTRAINTS, true, &[0x30, 0x05, 0xa0]);
            e.hang_from(&tenant, vec![(root.sign(its), root)]);
            without_names(e, false);
        }),
        // Of two paths, the constrained one is skipped, and the other one is used.
        good("an authority that is bound in one of its two certificates", |e| {
            let root = e.signer.root.clone();
            let bound = e.signer.intermediate_certificate().name_constraints(&OTHERS).serial(&[9]);
            e.signer.chain.insert(1, (root.sign(bound), root));
        }),
    ]
}
