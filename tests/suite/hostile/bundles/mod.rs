//! Text between two good entries of the user's bundle. The two entries come out, unless a row says otherwise.

mod fields;
mod keys;
mod lines;

use super::evidence::Evidence;
use super::{FIRST, LAST, Row, judge_rows, judged};
use crate::fixtures::{INSTANCE, key_line};

const BOTH: &[&str] = &[FIRST, LAST];
const TIMESTAMP: &[&str] = &["timestamp-malformed"];
const REPEATED: &[&str] = &["repeated-field"];
const MALFORMED: &[&str] = &["key-malformed"];

judge_rows!();

fn rows() -> Vec<Row> {
    [
        fields::timestamps(),
        fields::fields(),
        lines::bytes(),
        lines::layouts(),
        lines::signatures(),
        keys::key_lines(),
        keys::key_bodies(),
        keys::certificates(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The key of the entry in the middle.
fn other() -> String {
    key_line("other")
}

fn timestamp_line(e: &Evidence) -> String {
    format!("#Timestamp={}", e.now + 600)
}

fn instance_line() -> String {
    format!("#Instance={INSTANCE}")
}

/// Puts this line before the usual ones of the middle entry. The whole entry is signed.
fn line_before(e: &mut Evidence, line: &str) {
    let (timestamp, instance) = (timestamp_line(e), instance_line());
    e.between_signed(&[line, &timestamp, &instance], other());
}
