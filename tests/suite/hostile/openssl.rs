//! Similar evidence, made by openssl and ssh-keygen alone (`tests/fixtures/generate`, `hostile/`), judged at a pinned
//! instant. `fixtures/` contains more of it: names, constraints, usages, delegates, and the forms of staples.

use std::fs;

use crate::fixtures::{Case, Scratch, each, key_line, path, read, same};

/// Names of files below `hostile/`, and the outcome.
struct Row {
    certs: &'static str,
    staples: &'static str,
    roots: &'static str,
    /// Why the signer is refused. `None` if the two good keys come out.
    refused: Option<&'static str>,
}

fn judge(Row { certs, staples, roots, refused }: &Row) -> Result<(), String> {
    let scratch = Scratch::new();
    let anchors = scratch.join("anchors.pem");
    fs::write(&anchors, concatenated(roots)).unwrap();
    let at = String::from_utf8(read("hostile/instants")).unwrap();
    let at = at.trim_end().strip_prefix("at=").and_then(|at| at.parse().ok()).expect("an instant");
    let mut case = Case::good().trust("--ca-file", &anchors).at(at);
    case.keys = read("hostile/bundles/usual");
    case.signer_cert = concatenated(certs);
    case.staples = staples
        .split(' ')
        .filter(|name| !name.is_empty())
        .map(|name| (name.to_owned(), read(&format!("hostile/staples/{name}"))))
        .collect();
    let verdict = case.run();
    same("reason", refused, &verdict.signer_reason())?;
    if refused.is_some() {
        return same("keys", &0, &verdict.lines.len());
    }
    same("keys", &vec![key_line("ed25519"), key_line("rsa-2048")], &verdict.lines)?;
    same("refusals", &vec!["bad-signature"], &verdict.refusals())
}

fn concatenated(names: &str) -> Vec<u8> {
    names.split_whitespace().flat_map(|name| read(&format!("hostile/certs/{name}.pem"))).collect()
}

fn judge_all(rows: &[Row]) {
    each(rows, |row| row.certs, judge);
}

const UNTRUSTED: Option<&str> = Some("signer-untrusted");
const RESPONDER: Option<&str> = Some("staple-responder");
const SIGNATURE: Option<&str> = Some("staple-bad-signature");

#[test]
fn path_among_loops_and_long_chains_is_found() {
    let looped = "under-loop a-by-b b-by-a loop-a loop-b";
    let staples = "under-loop a-by-b b-by-a";
    judge_all(&[
        Row { certs: "leaf intermediate", staples: "leaf intermediate", roots: "root", refused: None },
        Row {
            certs: "leaf leaf leaf intermediate intermediate leaf",
            staples: "leaf intermediate",
            roots: "root",
            refused: None,
        },
        Row { certs: "intermediate root leaf", staples: "leaf intermediate", roots: "root", refused: None },
        Row {
            certs: "stranger-leaf leaf stranger intermediate",
            staples: "leaf intermediate",
            roots: "root",
            refused: None,
        },
        Row { certs: looped, staples, roots: "root", refused: UNTRUSTED },
        Row {
            certs: "under-loop a-by-b b-by-a loop-a loop-b a-by-root",
            staples: "under-loop a-by-b b-by-a a-by-root",
            roots: "root",
            refused: None,
        },
        // The anchor is a part of the loop, so the path ends there.
        Row { certs: "under-loop a-by-b b-by-a", staples, roots: "loop-b", refused: None },
        // openssl accepts a hundred authorities. The agent accepts at most six below the root.
        Row { certs: "hundred", staples: "leaf", roots: "root", refused: UNTRUSTED },
        Row {
            certs: "leaf intermediate hundred",
            staples: "leaf intermediate",
            roots: "root",
            refused: None,
        },
        Row {
            certs: "hundred leaf intermediate",
            staples: "leaf intermediate",
            roots: "root",
            refused: UNTRUSTED,
        },
    ]);
    assert!(path("hostile/certs/hundred.pem").metadata().unwrap().len() > 50_000);
}

/// The agent accepts RSA from 2,048 bits on, P-256 and P-384, with SHA-2. Amazon's roots use them, and TLS clients
/// accept them.
#[test]
fn authority_with_a_weak_key_curve_or_digest_is_refused() {
    judge_all(&[
        Row { certs: "under-P-256 P-256", staples: "under-P-256 P-256", roots: "root", refused: None },
        Row { certs: "under-P-384 P-384", staples: "under-P-384 P-384", roots: "root", refused: None },
        Row { certs: "under-P-521 P-521", staples: "under-P-521 P-521", roots: "root", refused: UNTRUSTED },
        Row {
            certs: "under-secp256k1 secp256k1",
            staples: "under-secp256k1 secp256k1",
            roots: "root",
            refused: UNTRUSTED,
        },
        Row {
            certs: "under-brainpoolP256r1 brainpoolP256r1",
            staples: "under-brainpoolP256r1 brainpoolP256r1",
            roots: "root",
            refused: UNTRUSTED,
        },
        Row {
            certs: "under-rsa-3072 rsa-3072",
            staples: "under-rsa-3072 rsa-3072",
            roots: "root",
            refused: None,
        },
        Row {
            certs: "under-rsa-1024 rsa-1024",
            staples: "under-rsa-1024 rsa-1024",
            roots: "root",
            refused: UNTRUSTED,
        },
        Row {
            certs: "under-by-sha1 by-sha1",
            staples: "under-by-sha1 by-sha1",
            roots: "root",
            refused: UNTRUSTED,
        },
        Row {
            certs: "under-by-pss by-pss",
            staples: "under-by-pss by-pss",
            roots: "root",
            refused: UNTRUSTED,
        },
        // A root's own signature does not matter (RFC 5280 section 6.1.1).
        Row {
            certs: "leaf intermediate",
            staples: "leaf intermediate",
            roots: "root-by-sha1",
            refused: None,
        },
        Row {
            certs: "leaf intermediate root-by-sha1",
            staples: "leaf intermediate",
            roots: "root",
            refused: None,
        },
    ]);
}

#[test]
fn staple_by_a_wrong_responder_or_in_a_wrong_form_is_refused() {
    let certs = "leaf intermediate";
    let row = |staples, refused| Row { certs, staples, roots: "root", refused };
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
