//! Instants, instances and other fields of an entry.

use data_encoding::BASE64;

use super::{BOTH, Evidence, FIRST, LAST, REPEATED, Row, TIMESTAMP};
use super::{instance_line, judged, line_before, other, timestamp_line};

/// Every one of these is signed. An unusual form must not be read as another instant.
pub(super) fn timestamps() -> Vec<Row> {
    vec![
        judged("negative", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=-4102444800")),
        judged("minus zero", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=-0")),
        judged("with a plus sign", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=+4102444800")),
        judged("with a leading zero", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=04102444800")),
        judged("2^63", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=9223372036854775808")),
        judged("2^64", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=18446744073709551616")),
        // Modulo 2^64, this is an instant in the year 2100.
        judged("2^64 and a good instant", BOTH, TIMESTAMP, |e| {
            e.between_timestamp("#Timestamp=18446744077811996416");
        }),
        judged("of a thousand digits", BOTH, TIMESTAMP, |e| {
            e.between_timestamp(&format!("#Timestamp=4{}", "0".repeat(1000)));
        }),
        // The largest value that fits. It is signed, and it is later than now.
        judged("2^63 - 1", &[FIRST, "other", LAST], &[], |e| {
            e.between_timestamp("#Timestamp=9223372036854775807");
        }),
        judged("the year 10000", &[FIRST, "other", LAST], &[], |e| {
            e.between_timestamp("#Timestamp=253402300800");
        }),
        judged("hexadecimal", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=0xf4865700")),
        judged("octal", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=0o36441453400")),
        judged("with a space before", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp= 4102444800")),
        judged("with a space after", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=4102444800 ")),
        judged("with a tab after", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=4102444800\t")),
        judged("with a space within", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=41024 44800")),
        judged("with a NUL after", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=4102444800\0")),
        judged("with underscores", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=4_102_444_800")),
        judged("with commas", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=4,102,444,800")),
        judged("a fraction", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=4102444800.5")),
        judged("with an exponent", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=4e9")),
        judged("infinite", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=inf")),
        judged("in Arabic digits", BOTH, TIMESTAMP, |e| {
            e.between_timestamp(
                "#Timestamp=\u{664}\u{661}\u{660}\u{662}\u{664}\u{664}\u{664}\u{668}\u{660}\u{660}",
            );
        }),
        judged("a date", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=2100-01-01T00:00:00Z")),
        judged("empty", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp=")),
        judged("with two equals signs", BOTH, TIMESTAMP, |e| e.between_timestamp("#Timestamp==4102444800")),
        judged("without an equals sign", BOTH, &["no-timestamp"], |e| {
            e.between_timestamp("#Timestamp 4102444800");
        }),
        judged("in lower case", BOTH, &["no-timestamp"], |e| e.between_timestamp("#timestamp=4102444800")),
        judged("after a space", BOTH, &["no-timestamp"], |e| e.between_timestamp("# Timestamp=4102444800")),
        judged("of 1970", BOTH, &["expired"], |e| e.between_timestamp("#Timestamp=0")),
        judged("a second ago", BOTH, &["expired"], |e| {
            let line = format!("#Timestamp={}", e.now - 1);
            e.between_timestamp(&line);
        }),
    ]
}

pub(super) fn fields() -> Vec<Row> {
    vec![
        judged("the instant twice, the same", BOTH, REPEATED, |e| {
            let line = timestamp_line(e);
            line_before(e, &line);
        }),
        judged("an expired instant, then a good one", BOTH, REPEATED, |e| {
            line_before(e, "#Timestamp=1600000000");
        }),
        judged("a broken instant, then a good one", BOTH, REPEATED, |e| line_before(e, "#Timestamp=")),
        judged("another instance, then this one", BOTH, REPEATED, |e| {
            line_before(e, "#Instance=i-0fedcba9876543210");
        }),
        judged("this instance, then another", BOTH, REPEATED, |e| {
            let lines = [timestamp_line(e), instance_line(), "#Instance=i-0fedcba9876543210".to_owned()];
            e.between_signed(&lines.each_ref().map(String::as_str), other());
        }),
        judged("the caller twice", BOTH, REPEATED, |e| {
            let lines =
                ["#Caller=arn:aws:iam::1:user/a".to_owned(), "#Caller=arn:aws:iam::1:user/b".to_owned()];
            let lines = [&lines[..], &[timestamp_line(e), instance_line()]].concat();
            e.between_signed(&lines.iter().map(String::as_str).collect::<Vec<_>>(), other());
        }),
        judged("the request twice", BOTH, REPEATED, |e| {
            let lines =
                ["#Request=1".to_owned(), "#Request=1".to_owned(), timestamp_line(e), instance_line()];
            e.between_signed(&lines.each_ref().map(String::as_str), other());
        }),
        judged("an unknown field, twice", &[FIRST, "other", LAST], &[], |e| {
            let lines = ["#New=1".to_owned(), "#New=2".to_owned(), timestamp_line(e), instance_line()];
            e.between_signed(&lines.each_ref().map(String::as_str), other());
        }),
        judged("sixty-four fields", &[FIRST, "other", LAST], &[], |e| many_fields(e, 62)),
        judged("sixty-five fields", BOTH, &["entry-too-large"], |e| many_fields(e, 63)),
        judged("another instance", BOTH, &["wrong-instance"], |e| {
            let line = timestamp_line(e);
            e.between_signed(&[&line, "#Instance=i-0fedcba9876543210"], other());
        }),
        judged("this instance in capitals", BOTH, &["wrong-instance"], |e| {
            let line = timestamp_line(e);
            e.between_signed(
                &[&line, &instance_line().to_uppercase().replace("#INSTANCE", "#Instance")],
                other(),
            );
        }),
        judged("this instance and more", BOTH, &["wrong-instance"], |e| {
            let line = timestamp_line(e);
            e.between_signed(&[&line, &format!("{}0", instance_line())], other());
        }),
        judged("this instance and a NUL", BOTH, &["wrong-instance"], |e| {
            let line = timestamp_line(e);
            e.between_signed(&[&line, &format!("{}\0", instance_line())], other());
        }),
        // Only 128 bytes of a value are kept. A longer value must not match.
        judged("an instance of 4,000 letters", BOTH, &["wrong-instance"], |e| {
            let line = timestamp_line(e);
            e.between_signed(&[&line, &format!("#Instance={}", "i".repeat(4000))], other());
        }),
        judged("no instance", BOTH, &["no-instance"], |e| {
            let line = timestamp_line(e);
            e.between_signed(&[&line], other());
        }),
        judged("no field at all", BOTH, &["no-timestamp"], |e| e.between_signed(&[], other())),
        judged("fields after the key", BOTH, &["no-timestamp", "no-key"], |e| {
            let signed = e.entry(other()).signed_text();
            let moved: Vec<_> = signed.split_inclusive(|&byte| byte == b'\n').rev().collect();
            let signature = e.key().sign(eic_emulator::pki::SignatureScheme::ENTRY, &moved.concat());
            // The order is key, fields, signature. The entry of the key ends at the fields, which begin the next
            // entry.
            let entry = [moved.concat(), BASE64.encode(&signature).into_bytes(), b"\n\n".to_vec()].concat();
            e.between(entry);
        }),
    ]
}

fn many_fields(e: &mut Evidence, count: usize) {
    let lines = [vec!["#New=1".to_owned(); count], vec![timestamp_line(e), instance_line()]].concat();
    e.between_signed(&lines.iter().map(String::as_str).collect::<Vec<_>>(), other());
}
