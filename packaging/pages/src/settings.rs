//! eic-agent.toml(5): written by hand, since no definition tells what a setting is for; the tests hold it against the
//! settings that the program reads.

use crate::{Error, fill};

const FRAME: &str = include_str!("../man/eic-agent.toml.5.in");

/// The page's source.
pub fn page(date: &str) -> Result<String, Error> {
    fill(FRAME, date, &[])
}
