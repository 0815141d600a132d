//! The test cases of the reference implementation. Their test authority has the properties of the reference's own:
//! basicConstraints that are not critical, no keyUsage, a leaf without subjectAltName, and openssl's text between the
//! certificates. They also use its instance id, and one offered fingerprint.

use crate::fixtures::{Case, Verdict, fingerprint, key_line, path, read};

const INSTANCE: &str = "i-abcd1234";
const SIGNER: &str = "unittest.managedssh.amazonaws.com";

fn judge(bundle: &str) -> Verdict {
    let mut case = Case::good()
        .identity(INSTANCE, SIGNER)
        .trust("--ca-file", &path("reference/ca.pem"))
        .fingerprint(&fingerprint("rsa-2048"));
    case.keys = read(&format!("reference/bundles/{bundle}"));
    case.signer_cert = read("reference/chain.pem");
    case.staples.clear();
    for staple in std::fs::read_dir(path("reference/ocsp")).unwrap() {
        let staple = staple.unwrap();
        case.staples.insert(staple.file_name().into_string().unwrap(), std::fs::read(staple.path()).unwrap());
    }
    let verdict = case.run();
    assert_eq!(verdict.signer_reason(), None, "{bundle}: {}", verdict.report["signer"]);
    verdict
}

fn assert_refused(bundle: &str, reasons: &[&str]) {
    let verdict = judge(bundle);
    assert_eq!(verdict.lines, [""; 0], "{bundle}");
    assert_eq!(verdict.refusals(), reasons, "{bundle}");
}

#[test]
fn valid_key_is_printed() {
    let verdict = judge("valid");
    assert_eq!(verdict.lines, [key_line("rsa-2048")]);
    assert_eq!(verdict.refusals(), [""; 0]);
}

#[test]
fn an_entry_without_timestamp_is_refused() {
    assert_refused("no-timestamp", &["no-timestamp"]);
}

#[test]
fn an_entry_without_instance_is_refused() {
    assert_refused("no-instance", &["no-instance"]);
}

/// The parser expects the key on the line on which the signature begins.
#[test]
fn an_entry_without_key_is_refused() {
    assert_refused("no-key", &["no-key"]);
}

#[test]
fn an_expired_entry_is_refused() {
    assert_refused("expired", &["expired"]);
}

#[test]
fn empty_file_gives_no_key() {
    assert_refused("empty", &[]);
}

/// A good key that was not offered is not given, and not reported as refused.
#[test]
fn key_of_another_fingerprint_is_neither_printed_nor_refused() {
    assert_refused("different-fingerprint", &[]);
}

/// One or two entries are refused: the parser may read the text instead of the signature as the start of another
/// entry.
#[test]
fn a_rubbish_signature_is_refused() {
    let verdict = judge("invalid-signature");
    assert_eq!(verdict.lines, [""; 0]);
    assert!(
        matches!(verdict.refusals()[0], "no-signature" | "signature-malformed"),
        "{:?}",
        verdict.refusals()
    );
}

/// Each of four entries lacks something. The one that lacks only caller and request is good.
#[test]
fn entry_that_lacks_a_field_is_refused_and_the_complete_one_is_printed() {
    let verdict = judge("missing-data");
    assert_eq!(verdict.lines, [key_line("rsa-2048")]);
    assert_eq!(verdict.refusals(), ["no-timestamp", "no-instance", "no-key"]);
}

/// One of six entries is good. The others have an odd timestamp, another key, another instance, a rubbish signature,
/// or neither timestamp nor instance.
#[test]
fn good_entry_among_bad_ones_is_printed() {
    let verdict = judge("mixed");
    assert_eq!(verdict.lines, [key_line("rsa-2048")]);
    let refusals = verdict.refusals();
    assert_eq!(refusals[..2], ["timestamp-malformed", "wrong-instance"]);
    assert_eq!(refusals.last(), Some(&"no-timestamp"));
    assert_eq!(verdict.judged("not-offered").count(), 1);
}
