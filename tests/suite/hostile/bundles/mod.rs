//! Text between two good entries of the user's bundle. The two entries come out, unless a row says otherwise.

mod fields;
mod keys;
mod lines;

use super::evidence::Evidence;
use super::judges::{in_files, on_instances};
use super::{FIRST, LAST, Row, judged};
use crate::fixtures::{INSTANCE, key_line};
use crate::world::test_path;

const BOTH: &[&str] = &[FIRST, LAST];
const TIMESTAMP: &[&str] = &["timestamp-malformed"];
const REPEATED: &[&str] = &["repeated-field"];
const MALFORMED: &[&str] = &["key-malformed"];

#[test]
fn every_row_from_files_has_its_outcome() {
    in_files(&rows());
}

#[test]
fn every_row_from_metadata_has_its_outcome() {
    on_instances(test_path!(), &rows());
}

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
