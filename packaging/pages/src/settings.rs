//! eic-agent.toml(5). The frame is written by hand, because the source has no description of a setting's purpose. The
//! tests compare the page with the settings that the program reads.

use crate::{Error, fill};

const FRAME: &str = include_str!("../man/eic-agent.toml.5.in");

/// The page as man(7) source, with `date` as its date.
pub fn page(date: &str) -> Result<String, Error> {
    fill(FRAME, date, &[])
}
