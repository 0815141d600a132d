//! The targets that need nothing but the library. `make test` takes the committed corpus through them, too.

pub mod bundle;
pub mod capture;
pub mod chain;
pub mod judgement;
pub mod key;
pub mod options;
pub mod sessions;
pub mod settings;
pub mod staple;

mod fixtures;
mod tape;

/// What may go into a log: one line of printable ASCII.
fn assert_printable(text: &str) {
    assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "not one printable line: {text:?}");
}
