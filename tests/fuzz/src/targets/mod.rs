//! The targets that need only the library. `make test` also runs them with the committed corpus.

pub mod bundle;
pub mod capture;
pub mod chain;
pub mod judgement;
pub mod key;
pub mod memory;
pub mod options;
pub mod sessions;
pub mod settings;
pub mod staple;

mod fixtures;
mod tape;

/// Checks that a text may be logged: it must be one line of printable ASCII.
fn assert_printable(text: &str) {
    assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "not one printable line: {text:?}");
}
