//! The same world, made by openssl and ssh-keygen alone (`tests/fixtures/generate`, `hostile/`), judged at a pinned
//! instant. More of it stands in `fixtures/`: names, constraints, usages, delegates, and the forms of staples.

use std::fs;

use crate::fixtures::{Case, Scratch, each, key_line, path, read, same};

/// Certificates, staples, trusted roots, and the reason of the refusal; none where the two good keys come out.
struct Row(&'static str, &'static str, &'static str, Option<&'static str>);

fn judge(Row(certs, staples, anchors, reason): &Row) -> Result<(), String> {
    let scratch = Scratch::new();
    let roots = scratch.join("anchors.pem");
    fs::write(&roots, concatenated(anchors)).unwrap();
    let at = String::from_utf8(read("hostile/instants")).unwrap();
    let at = at.trim_end().strip_prefix("at=").and_then(|at| at.parse().ok()).expect("an instant");
    let mut case = Case::good().trust("--ca-file", &roots).at(at);
    case.keys = read("hostile/bundles/usual");
    case.signer_cert = concatenated(certs);
    case.staples = staples
        .split(' ')
        .filter(|name| !name.is_empty())
        .map(|name| (name.to_owned(), read(&format!("hostile/staples/{name}"))))
        .collect();
    let verdict = case.run();
    same("reason", reason, &verdict.signer_reason())?;
    if reason.is_some() {
        return same("keys", &0, &verdict.lines.len());
    }
    same("keys", &vec![key_line("ed25519"), key_line("rsa-2048")], &verdict.lines)?;
    same("refusals", &vec!["bad-signature"], &verdict.refusals())
}

fn concatenated(names: &str) -> Vec<u8> {
    names.split_whitespace().flat_map(|name| read(&format!("hostile/certs/{name}.pem"))).collect()
}

fn judge_all(rows: &[Row]) {
    each(rows, |row| row.0, judge);
}

const NOBODY: Option<&str> = Some("signer-untrusted");
const RESPONDER: Option<&str> = Some("staple-responder");
const SIGNATURE: Option<&str> = Some("staple-bad-signature");

#[test]
fn loops_and_lengths() {
    let looped = "under-loop a-by-b b-by-a loop-a loop-b";
    let staples = "under-loop a-by-b b-by-a";
    judge_all(&[
        Row("leaf intermediate", "leaf intermediate", "root", None),
        Row("leaf leaf leaf intermediate intermediate leaf", "leaf intermediate", "root", None),
        Row("intermediate root leaf", "leaf intermediate", "root", None),
        Row("stranger-leaf leaf stranger intermediate", "leaf intermediate", "root", None),
        Row(looped, staples, "root", NOBODY),
        Row(
            "under-loop a-by-b b-by-a loop-a loop-b a-by-root",
            "under-loop a-by-b b-by-a a-by-root",
            "root",
            None,
        ),
        // The anchor is one of the loop, and then it is no loop.
        Row("under-loop a-by-b b-by-a", staples, "loop-b", None),
        // openssl has no objection to a hundred; we take no more than six authorities below the root.
        Row("hundred", "leaf", "root", NOBODY),
        Row("leaf intermediate hundred", "leaf intermediate", "root", None),
        Row("hundred leaf intermediate", "leaf intermediate", "root", NOBODY),
    ]);
    assert!(path("hostile/certs/hundred.pem").metadata().unwrap().len() > 50_000);
}

/// RSA from 2,048 bits on, P-256 and P-384, with SHA-2: what Amazon's roots use, and what TLS clients take.
#[test]
fn curves_keys_and_digests_of_authorities() {
    judge_all(&[
        Row("under-P-256 P-256", "under-P-256 P-256", "root", None),
        Row("under-P-384 P-384", "under-P-384 P-384", "root", None),
        Row("under-P-521 P-521", "under-P-521 P-521", "root", NOBODY),
        Row("under-secp256k1 secp256k1", "under-secp256k1 secp256k1", "root", NOBODY),
        Row("under-brainpoolP256r1 brainpoolP256r1", "under-brainpoolP256r1 brainpoolP256r1", "root", NOBODY),
        Row("under-rsa-3072 rsa-3072", "under-rsa-3072 rsa-3072", "root", None),
        Row("under-rsa-1024 rsa-1024", "under-rsa-1024 rsa-1024", "root", NOBODY),
        Row("under-by-sha1 by-sha1", "under-by-sha1 by-sha1", "root", NOBODY),
        Row("under-by-pss by-pss", "under-by-pss by-pss", "root", NOBODY),
        // How a root signed itself says nothing of it (RFC 5280 section 6.1.1).
        Row("leaf intermediate", "leaf intermediate", "root-by-sha1", None),
        Row("leaf intermediate root-by-sha1", "leaf intermediate", "root", None),
    ]);
}

#[test]
fn staples_that_say_it_wrongly() {
    let certs = "leaf intermediate";
    let row = |staples, reason| Row(certs, staples, "root", reason);
    judge_all(&[
        row("leaf.delegate-early intermediate", RESPONDER),
        row("leaf.delegate-any-usage intermediate", RESPONDER),
        row("leaf.delegate-by-sha1 intermediate", RESPONDER),
        row("leaf.delegate-of-stranger intermediate", RESPONDER),
        row("leaf.zeros intermediate", SIGNATURE),
        row("leaf.garbage intermediate", SIGNATURE),
        row("leaf.byte-after intermediate", Some("staple-malformed")),
        row("leaf.sha512-id intermediate", Some("staple-missing")),
        row("leaf intermediate.by-itself", RESPONDER),
        row("leaf.good-second intermediate", None),
        row("leaf.revoked-second intermediate", Some("signer-revoked")),
        row("leaf leaf.revoked-second intermediate", Some("signer-revoked")),
        row("leaf leaf.zeros leaf.garbage leaf.byte-after leaf.sha512-id intermediate", None),
    ]);
}
