//! A capture file from an untrusted source.

use eic_agent::capture::document::{Capture, CapturedAnswer, Item};

use super::assert_printable;

const USER: &str = "/latest/meta-data/managed-ssh-keys/active-keys/ec2-user/";
const SECRETS: [&str; 3] = ["arn:aws:iam::998877665544:user/mallory", "Req-5ecret-1d", "i-0fedcba9876543210"];

/// Properties: writing and reading a capture gives the same items, and a redacted capture contains no identifiers.
pub fn run(input: &[u8]) {
    let mut capture = match Capture::parse(input) {
        Ok(capture) => capture,
        Err(error) => return assert_printable(&error.to_string()),
    };
    assert!(capture.taken_at().is_some());
    for item in &capture.items {
        if let CapturedAnswer::Failed(reason, detail) = item.answer() {
            assert_printable(reason.as_str());
            drop(detail);
        }
    }
    let again = Capture::parse(capture.to_json().unwrap().as_bytes()).unwrap();
    assert_eq!(again.items.len(), capture.items.len());
    for (written, read) in capture.items.iter().zip(&again.items) {
        assert_eq!((&written.path, written.answer()), (&read.path, read.answer()));
    }

    // Put an entry with known identifiers in front of each text of the input.
    let [caller, request, instance] = SECRETS;
    let entry = format!("#Caller={caller}\n#Request={request}\n#Instance={instance}\n");
    let texts: Vec<_> = capture.items.iter().map(Item::answer).collect();
    let bodies = texts.into_iter().filter_map(|answer| match answer {
        CapturedAnswer::Body(bytes) => Some(CapturedAnswer::Body([entry.as_bytes(), &bytes].concat())),
        _ => None,
    });
    let planted: Vec<_> = bodies.map(|body| Item::new(USER, 0.0, body)).collect();
    capture.items.extend(planted);
    let redacted = capture.redact();
    assert!(redacted.redacted);
    let json = redacted.to_json().unwrap();
    // Skip identifiers that the input itself contains: they may be in a field that is not redacted.
    for secret in SECRETS.into_iter().filter(|secret| !contains(input, secret)) {
        assert!(!json.contains(secret), "{secret} is still there: {json}");
    }
}

fn contains(input: &[u8], secret: &str) -> bool {
    input.windows(secret.len()).any(|window| window == secret.as_bytes())
}
