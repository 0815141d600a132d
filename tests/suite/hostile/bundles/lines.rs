//! Bytes that no normal entry contains, lines in another layout, and signatures.

use data_encoding::BASE64;

use super::{BOTH, FIRST, LAST, MALFORMED, REPEATED, Row};
use super::{instance_line, judged, key_line, line_before, other, timestamp_line};

/// Bytes that no normal entry contains. They are not signed unless a row says so.
pub(super) fn bytes() -> Vec<Row> {
    vec![
        judged("a line of NULs", BOTH, &["no-key"], |e| e.between(b"\0\0\0\0\0\0\0\0\n\n")),
        judged("a NUL in the caller, signed", &[FIRST, "other", LAST], &[], |e| {
            line_before(e, "#Caller=a\0b");
        }),
        judged("a NUL after the key, signed", BOTH, MALFORMED, |e| e.between_key(format!("{}\0", other()))),
        // The comment is signed and never printed.
        judged("a NUL in the key's comment, signed", &[FIRST, "other", LAST], &[], |e| {
            e.between_key(format!("{} a\0b", other()));
        }),
        judged("escape sequences in the caller, signed", &[FIRST, "other", LAST], &[], |e| {
            line_before(e, "#Caller=\x1b[2J\x1b]0;owned\x07");
        }),
        judged("bytes that are no UTF-8 in the caller, signed", &[FIRST, "other", LAST], &[], |e| {
            let entry = e.entry(other()).line(b"#Caller=\xff\xfe\xc0\x80").sign(e.key());
            e.between(entry);
        }),
        judged("bytes that are no UTF-8 in the comment, signed", BOTH, MALFORMED, |e| {
            e.between_key([other().as_bytes(), b" \xff\xfe"].concat());
        }),
        judged("a byte order mark before the key, signed", BOTH, MALFORMED, |e| {
            e.between_key(format!("\u{feff}{}", other()));
        }),
        judged("lines that end with CRLF, signed", &[FIRST, "other", LAST], &[], |e| {
            let text = String::from_utf8(e.entry(other()).signed_text()).unwrap().replace('\n', "\r\n");
            let signature = e.key().sign(eic_emulator::pki::SignatureScheme::ENTRY, text.as_bytes());
            e.between(format!("{text}{}\r\n\r\n", BASE64.encode(&signature)));
        }),
        judged("line ends changed on the way", BOTH, &["bad-signature"], |e| {
            let text = String::from_utf8(e.signed("other")).unwrap().replace('\n', "\r\n");
            e.between(text);
        }),
        judged("a carriage return instead of a line end", BOTH, &["no-key"], |e| {
            let text = String::from_utf8(e.signed("other")).unwrap().replace('\n', "\r");
            e.between(format!("{text}\n\n"));
        }),
        judged("a form feed instead of a line end", BOTH, &["no-key"], |e| {
            let text = String::from_utf8(e.signed("other")).unwrap().replace('\n', "\x0c");
            e.between(format!("{text}\n\n"));
        }),
        judged("a page", BOTH, MALFORMED, |e| e.between("<html><body>503 Slow Down</body></html>\n\n")),
        judged("every value of a byte", BOTH, &["no-key", "key-malformed"], |e| {
            e.between([&(0..=255_u8).collect::<Vec<_>>()[..], b"\n\n"].concat());
        }),
    ]
}

pub(super) fn layouts() -> Vec<Row> {
    vec![
        judged("nothing at all between them", BOTH, &[], |e| e.between("")),
        judged("a thousand blank lines", BOTH, &[], |e| e.between("\n \n\t\n\r\n".repeat(250))),
        judged("a blank line within an entry", BOTH, &["no-key", "no-timestamp"], |e| {
            let text = String::from_utf8(e.signed("other")).unwrap().replace("ssh-", "\nssh-");
            e.between(text);
        }),
        judged("a blank line before the signature", BOTH, &["no-signature", "no-key"], |e| {
            let key = other();
            let text = String::from_utf8(e.signed("other")).unwrap().replace(&key, &format!("{key}\n"));
            e.between(text);
        }),
        judged("only the fields of an entry", BOTH, &["no-key"], |e| {
            let fields = format!("{}\n{}\n\n", timestamp_line(e), instance_line());
            e.between(fields);
        }),
        // Text without a blank line after it belongs to the next entry. That entry then differs from what was signed.
        judged("a field that runs into the next entry", &[FIRST], &["bad-signature"], |e| {
            e.between("#New=1\n");
        }),
        judged("an instant that runs into the next entry", &[FIRST], REPEATED, |e| {
            e.between("#Timestamp=1\n");
        }),
        judged("the same entry twice", &[FIRST, LAST], &[], |e| {
            let again = e.signed(FIRST);
            e.between(again);
        }),
        judged("two keys under one signature", BOTH, &["no-signature", "no-timestamp"], |e| {
            e.between_key(format!("{}\n{}", other(), key_line("ecdsa-256")));
        }),
        judged("the signature twice", BOTH, &["bad-signature"], |e| {
            let entry = String::from_utf8(e.signed("other")).unwrap();
            let signature = entry.lines().rev().nth(1).unwrap();
            e.between(format!("{}{signature}\n\n", entry.trim_end().to_owned() + "\n"));
        }),
        judged("another entry's signature", BOTH, &["bad-signature"], |e| {
            let first = String::from_utf8(e.signed(FIRST)).unwrap();
            let text = first.replace(&key_line(FIRST), &other());
            e.between(text);
        }),
    ]
}

pub(super) fn signatures() -> Vec<Row> {
    vec![
        judged("a signature of zeros", BOTH, &["bad-signature"], |e| {
            let entry = e.entry(other()).with_signature(&[0; 256]);
            e.between(entry);
        }),
        judged("a signature of no bytes", BOTH, &["no-signature"], |e| {
            let entry = e.entry(other()).with_signature(&[]);
            e.between(entry);
        }),
        judged("a signature of one byte", BOTH, &["bad-signature"], |e| {
            let entry = e.entry(other()).with_signature(&[7]);
            e.between(entry);
        }),
        judged("a signature cut in its base64", BOTH, &["signature-malformed"], |e| {
            let entry = e.signed("other");
            e.between([&entry[..entry.len() - 5], b"\n\n"].concat());
        }),
        judged("a signature and a byte more", BOTH, &["bad-signature"], |e| {
            let entry = e.entry(other());
            let signature = e.key().sign(eic_emulator::pki::SignatureScheme::ENTRY, &entry.signed_text());
            e.between(entry.with_signature(&[signature, vec![0]].concat()));
        }),
        judged("a signature in lines of one digit", &[FIRST, "other", LAST], &[], |e| {
            let entry = e.entry(other()).layout(eic_emulator::SignatureLayout::Wrapped(1)).sign(e.key());
            e.between(entry);
        }),
        judged("a signature by the intermediate", BOTH, &["bad-signature"], |e| {
            let entry = e.entry(other()).sign(&e.signer.intermediate.key);
            e.between(entry);
        }),
        judged("a signature by a stranger", BOTH, &["bad-signature"], |e| {
            let entry = e.entry(other()).sign(&e.stranger.leaf_key);
            e.between(entry);
        }),
    ]
}
