//! The settings file.

use std::path::Path;
use std::time::Duration;

use eic_agent::config::show::ConfigReport;
use eic_login::config::{CommandLine, Settings};

/// Property: the result is settings within their limits, or errors that can be printed.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let path = Path::new("/etc/eic-agent.toml");
    let settings = match Settings::of_text(&CommandLine::default(), path, text) {
        Ok(settings) => settings,
        Err(error) => {
            let lines = error.lines();
            assert!((1..=50).contains(&lines.len()));
            let last = text.matches('\n').count() + 1;
            for line in &lines {
                assert!(!line.contains(char::is_control), "{line:?}");
                let number =
                    line.strip_prefix("/etc/eic-agent.toml:").and_then(|rest| rest.split(':').next());
                let number: usize = number.and_then(|number| number.parse().ok()).expect("a line number");
                assert!((1..=last).contains(&number), "{line:?} of {last}");
            }
            return assert!(error.to_string().starts_with(&lines[0]));
        }
    };
    assert!(!settings.endpoints().is_empty());
    let bounds = Duration::from_millis(100)..=Duration::from_secs(60);
    assert!(bounds.contains(&settings.timeout.value), "{:?}", settings.timeout);
    assert!(settings.rules.len() <= 1000);
    let store = settings.trust_store();
    assert!(store.ca_file.iter().chain(&store.ca_dir).all(|place| place.is_absolute()));
    let prefix = settings.line_prefix();
    assert_eq!(prefix.options, settings.options.value);
    drop(format!("{:?}", ConfigReport::of(&settings)));
}
