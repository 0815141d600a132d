//! Parses our own command line in sshd's configuration, as a run parses it, and finds its faults.

use std::ffi::OsString;

use clap::Parser as _;
use eic_core::audit_line::IDENT;
use eic_core::fingerprint::Fingerprint;
use eic_core::identity::LoginName;
use eic_core::text::{MAX_SHOWN, printable_bytes};
use eic_host::instance::Machine;
use eic_host::sshd::command::split;
use eic_host::sshd::tokens::expand;
use eic_login::config::CommandLine;

use crate::cli::{AuthorizedKeysArgs, Cli, Command, SYSFS, resolve_name};

/// A user that every machine has, to expand the tokens of a command line.
const ANY_USER: &str = "root";

/// The fault in this command line of ours because of which no run gives a key, and what to change. `place` is where the line is.
pub(super) fn fault(command: &str, place: &str) -> Option<(String, String)> {
    if let Err(words) = words_of(Some(command)) {
        return Some(not_accepted(&format!("{command} ({place})"), &words));
    }
    let user = LoginName::try_from(ANY_USER).ok()?;
    let offered = Fingerprint::of(b"");
    let read = read(&without_providers(command), &user, Some(&offered)).ok()?;
    // A literal name is right for logins of that user.
    let is_name = read.user.to_str().is_some_and(|name| LoginName::try_from(name).is_ok());
    if !is_name {
        return Some(another_name(&read, "the login name", place));
    }
    is_not_ec2(&read)
}

/// The fault of a command line that does not parse, and the fix.
fn not_accepted(line: &str, words: &str) -> (String, String) {
    (
        format!("{IDENT} does not accept {line}: {words}"),
        format!("correct it (see {IDENT} authorized-keys --help)"),
    )
}

/// The fault of a command line whose first argument is not the login name.
pub(crate) fn another_name(read: &AuthorizedKeysArgs, expected: &str, place: &str) -> (String, String) {
    let got = printable_bytes(read.user.as_encoded_bytes(), MAX_SHOWN);
    (
        format!("expected {expected} as the first argument of AuthorizedKeysCommand, got {got}"),
        format!("write %u %f as its arguments, in this order, in {place}"),
    )
}

/// The fault of a `--sysfs` folder that does not identify an EC2 instance.
fn is_not_ec2(read: &AuthorizedKeysArgs) -> Option<(String, String)> {
    let has_option = read.sysfs.as_os_str() != SYSFS;
    (has_option && Machine::detect(&read.sysfs) == Machine::NotEc2).then(|| {
        (
            format!("{} does not identify an EC2 instance", read.sysfs.display()),
            "remove --sysfs from AuthorizedKeysCommand".to_owned(),
        )
    })
}

/// The options of our command line that override settings. Default if it does not parse.
pub(crate) fn options(command: Option<&str>) -> CommandLine {
    words_of(command).map(|words| words.overrides.settings()).unwrap_or_default()
}

/// The words of a command line of ours up to its providers.
pub(crate) fn without_providers(command: &str) -> Vec<String> {
    split(command).into_iter().take_while(|word| word != "--").collect()
}

/// Parses words of our command line for a login of `user` with the offered key.
pub(crate) fn read(
    words: &[String],
    user: &LoginName,
    offered: Option<&Fingerprint>,
) -> Result<AuthorizedKeysArgs, String> {
    understood(words.iter().map(|word| expand(word, user, offered)).collect::<Result<_, _>>()?)
}

/// Parses our command line. Tokens such as `%u` are not expanded.
pub(crate) fn words_of(command: Option<&str>) -> Result<AuthorizedKeysArgs, String> {
    understood(split(command.unwrap_or_default()))
}

/// Parses the words of our command line, after tokens were expanded.
fn understood(words: Vec<String>) -> Result<AuthorizedKeysArgs, String> {
    let words = resolve_name(words.into_iter().map(OsString::from), || false);
    // The parser takes a misspelt option for the login name, and then blames a later word.
    let parsed = Cli::unknown_option(&words, || true).map_or_else(|| Cli::try_parse_from(&words), Err);
    match parsed {
        Ok(Cli { command: Command::AuthorizedKeys(words) }) => Ok(words),
        Ok(_) => Err("expected the subcommand authorized-keys, got another".to_owned()),
        Err(error) => {
            let text = error.to_string();
            let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
            Err(lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_with_wrong_arguments_gets_advice_that_works() {
        let line = |arguments: &str| format!("/usr/bin/eic-agent authorized-keys {arguments}");
        for wrong in ["%f %u", "%f", "%U %f", "%h %u"] {
            let (seen, fix) = fault(&line(wrong), "/x:1").unwrap();
            assert!(seen.starts_with("expected the login name as the first argument"), "{wrong}: {seen}");
            assert_eq!(fix, "write %u %f as its arguments, in this order, in /x:1", "{wrong}");
        }
        for wrong in ["--bogus %u", "--bogus %u %f", "%u --bogus %f", "-x", "", "-- /x", "%u %f %t"] {
            let (seen, fix) = fault(&line(wrong), "/x:1").unwrap();
            assert!(seen.contains("does not accept") && !fix.contains("%u"), "{wrong}: {seen}; {fix}");
        }
        for right in ["%u %f", "%u", "--timeout 3 %u %f", "%u %f -- /x %u", "root %f"] {
            assert_eq!(fault(&line(right), "/x:1"), None, "{right}");
        }
    }
}
