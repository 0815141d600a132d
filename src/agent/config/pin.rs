//! Inserts region and domain into the settings file: two lines below `[trust]`. The rest of the text stays unchanged.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use eic_core::identity::{Domain, Region};
use eic_login::config::{ConfigError, FileSettings, file};

/// Why the pins cannot be written.
#[derive(Debug)]
pub enum PinError {
    /// The file has a fault, or a user other than root can write it. Such a file is not changed.
    Settings(ConfigError),
    /// The file has another pin: the file, its pin, the line of that pin, and what metadata reports.
    Otherwise(PathBuf, String, usize, String),
    /// The lines cannot be inserted without a change of other settings: the file, and the lines.
    NoPlace(PathBuf, String),
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(error) => error.fmt(f),
            Self::Otherwise(path, pinned, line, told) => write!(
                f,
                "{}:{line} pins {pinned}, metadata says {told}; if metadata is right, change that line by hand",
                path.display()
            ),
            Self::NoPlace(path, lines) => write!(
                f,
                "eic-agent cannot insert lines into {}; write below its [trust]: {}",
                path.display(),
                lines.trim_end().replace('\n', ", ")
            ),
        }
    }
}

/// The change of one file.
#[derive(Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The text of the file now. `None` if there is no file.
    pub before: Option<String>,
    /// The new text of the file.
    pub after: String,
}

/// Reads the settings file, and returns the change that pins both. `None` if the file already pins both.
pub fn pin(path: &Path, region: &Region, domain: &Domain) -> Result<Option<Pinned>, PinError> {
    let before = match file::read_settings(path) {
        Ok(text) => Some(text),
        Err(file::SettingsFileError::Absent) => None,
        Err(refused) => return Err(PinError::Settings(refused.for_path(path))),
    };
    let after = pinned_text(path, before.as_deref().unwrap_or_default(), region, domain)?;
    Ok(after.map(|after| Pinned { before, after }))
}

fn pinned_text(
    path: &Path,
    text: &str,
    region: &Region,
    domain: &Domain,
) -> Result<Option<String>, PinError> {
    let invalid = |faults| PinError::Settings(ConfigError::Faults(path.to_owned(), faults));
    let said = FileSettings::parse(text).map_err(invalid)?;
    let otherwise = |name: &str, pinned: &str, line: usize, told: &str| {
        Err(PinError::Otherwise(path.to_owned(), format!("{name} {pinned}"), line, format!("{name} {told}")))
    };
    let mut lines = String::new();
    match &said.region {
        Some((pinned, line)) if pinned != region => {
            return otherwise("region", pinned.as_str(), *line, region.as_str());
        }
        Some(_) => {}
        None => {
            let _ = writeln!(lines, "region = \"{region}\"");
        }
    }
    match &said.domain {
        Some((pinned, line)) if pinned != domain => {
            return otherwise("domain", pinned.as_str(), *line, domain.as_str());
        }
        Some(_) => {}
        None => {
            let _ = writeln!(lines, "domain = \"{domain}\"");
        }
    }
    if lines.is_empty() {
        return Ok(None);
    }
    // Parse each candidate to find the right one: both pins are set, and all other settings are unchanged.
    let mut wanted = said;
    wanted.region = Some((region.clone(), 0));
    wanted.domain = Some((domain.clone(), 0));
    let wanted = format!("{:?}", wanted.without_lines());
    let is_right = |text: &String| {
        FileSettings::parse(text).is_ok_and(|said| format!("{:?}", said.without_lines()) == wanted)
    };
    let place = candidates(text, &lines).find(is_right);
    place.map(Some).ok_or_else(|| PinError::NoPlace(path.to_owned(), lines))
}

/// Candidates for the new text. For each line that looks like `[trust]`, one candidate has the new lines below that
/// line. The last candidate has a new table at its end.
fn candidates<'t>(text: &'t str, lines: &'t str) -> impl Iterator<Item = String> + 't {
    let is_header = |line: &str| {
        let (header, _) = line.split_once('#').unwrap_or((line, ""));
        let name = header.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        name.is_some_and(|name| name.trim() == "trust")
    };
    let mut end = 0_usize;
    let ends = text.split_inclusive('\n').filter_map(move |line| {
        end = end.saturating_add(line.len());
        is_header(line).then_some((end, line))
    });
    let below = ends.filter_map(|(end, header)| {
        let (above, rest) = text.split_at_checked(end)?;
        let lines = if header.ends_with("\r\n") { lines.replace('\n', "\r\n") } else { lines.to_owned() };
        let gap = if header.ends_with('\n') { "" } else { "\n" };
        Some(format!("{above}{gap}{lines}{rest}"))
    });
    let gap = match text {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    below.chain(std::iter::once(format!("{text}{gap}[trust]\n{lines}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(text: &str) -> Result<Option<String>, String> {
        let (region, domain) = ("us-east-1".parse().unwrap(), "amazonaws.com".parse().unwrap());
        pinned_text(Path::new("/s"), text, &region, &domain).map_err(|error| error.to_string())
    }

    const BOTH: &str = "region = \"us-east-1\"\ndomain = \"amazonaws.com\"\n";

    #[test]
    fn two_lines_are_added_and_nothing_else_changes() {
        for (before, after) in [
            (String::new(), format!("[trust]\n{BOTH}")),
            ("# mine\n".into(), format!("# mine\n\n[trust]\n{BOTH}")),
            ("# mine".into(), format!("# mine\n\n[trust]\n{BOTH}")),
            ("[trust]".into(), format!("[trust]\n{BOTH}")),
            (
                " [ trust ] # who signs\nroots = \"amazon\" # few\n[keys]\n".into(),
                format!(" [ trust ] # who signs\n{BOTH}roots = \"amazon\" # few\n[keys]\n"),
            ),
            (
                "[trust]\r\nroots = \"amazon\"\r\n".into(),
                format!("[trust]\r\n{}roots = \"amazon\"\r\n", BOTH.replace('\n', "\r\n")),
            ),
            // A line inside a multi-line string is not a header.
            (
                "[[rule]]\nname = \"\"\"\n[trust]\n\"\"\"\naction = \"deny\"\n".into(),
                format!("[[rule]]\nname = \"\"\"\n[trust]\n\"\"\"\naction = \"deny\"\n\n[trust]\n{BOTH}"),
            ),
            (
                "[trust]\nregion = \"us-east-1\"\n".into(),
                "[trust]\ndomain = \"amazonaws.com\"\nregion = \"us-east-1\"\n".into(),
            ),
        ] {
            assert_eq!(pinned(&before), Ok(Some(after)), "{before:?}");
        }
        assert_eq!(pinned(&format!("[trust]\n{BOTH}")), Ok(None), "pinned already");
        let shipped = include_str!("../../../packaging/eic-agent.toml");
        let after = pinned(shipped).unwrap().unwrap();
        assert_eq!(after.replacen(BOTH, "", 1), shipped);
    }

    #[test]
    fn file_with_another_pin_or_a_fault_is_not_changed() {
        for (text, why) in [
            (
                "[trust]\nregion = \"eu-west-1\"\n",
                "/s:2 pins region eu-west-1, metadata says region us-east-1",
            ),
            (
                "[trust]\ndomain = \"amazonaws.eu\"\n",
                "/s:2 pins domain amazonaws.eu, metadata says domain amazonaws.com",
            ),
            ("[trust]\nregion = 1\n", "/s:2: trust.region"),
            ("[imds\n", "/s:1: "),
            (
                "trust = { roots = \"amazon\" }\n",
                "eic-agent cannot insert lines into /s; write below its [trust]: region =",
            ),
            ("trust.roots = \"amazon\"\n", "eic-agent cannot insert lines into /s"),
        ] {
            let refused = pinned(text).unwrap_err();
            assert!(refused.starts_with(why), "{text}: {refused}");
        }
    }
}
