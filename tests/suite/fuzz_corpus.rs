//! Runs the fuzz targets on their seeds, their corpus and the inputs of fixed crashes. This needs no fuzzer. Only
//! `make fuzz` runs the inputs for `http`, because `http` needs a clock that can be paused.

#[path = "../fuzz/src/targets/mod.rs"]
#[allow(unreachable_pub, reason = "the fuzz crate is a library")]
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use eic_login::memory::Record;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 10] = [
    ("bundle", targets::bundle::run),
    ("capture", targets::capture::run),
    ("chain", targets::chain::run),
    ("judgement", targets::judgement::run),
    ("key", targets::key::run),
    ("memory", targets::memory::run),
    ("options", targets::options::run),
    ("sessions", targets::sessions::run),
    ("settings", targets::settings::run),
    ("staple", targets::staple::run),
];

#[test]
fn input_that_fuzzing_found_causes_no_panic() {
    targets::judgement::prepare();
    let mut failures = Vec::new();
    for (name, run) in TARGETS {
        let mut inputs = 0;
        for kind in ["corpus", "crashes", "seeds"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(kind).join(name);
            for file in fs::read_dir(&folder).into_iter().flatten() {
                let path = file.unwrap().path();
                let input = fs::read(&path).unwrap();
                inputs += 1;
                if catch_unwind(|| run(&input)).is_err() {
                    failures.push(path);
                }
            }
        }
        assert!(inputs > 0, "{name}: tests/fuzz holds no input for it");
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// `sessions` decides by journald's `_EXE` which lines to trust. The seeds must contain lines with it and lines
/// without it.
#[test]
fn seeds_of_sessions_have_lines_of_known_other_and_unknown_programs() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds/sessions");
    let attributed = |name: &str| targets::sessions::attributed(&fs::read(seeds.join(name)).unwrap());
    assert_eq!(attributed("journal-programs"), [true, true, true]);
    // One line is by sshd in a unit that is not sshd's, and one is by no known program. The report does not list
    // lines by sudo.
    assert_eq!(attributed("journal-other-programs"), [false, false]);
    assert!(attributed("journal").iter().all(|attributed| !attributed));
}

/// The form of the file may change. Seeds of an older form reach nothing.
#[test]
fn seeds_of_memory_are_records() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds/memory");
    for file in fs::read_dir(seeds).unwrap() {
        let path = file.unwrap().path();
        let record = Record::parse(&fs::read(&path).unwrap());
        let record = record.unwrap_or_else(|| panic!("{}: no record", path.display()));
        assert!(record.evidence.is_none_or(|evidence| evidence.signer().is_some()), "{}", path.display());
    }
}
