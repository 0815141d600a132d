use std::ffi::OsString;
use std::time::Duration;

use clap::Parser;
use eic_core::time::Timestamp;
use eic_login::config::parse_seconds;

use super::values::{parse_known_host, parse_when};
use super::{AuthorizedKeysArgs, Cli, Command, disarm_user, resolve_name};

/// Parses with the short parser of `authorized-keys` and with the full parser. Both must give the same result.
fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
    let arguments = resolve_name(arguments.iter().map(OsString::from), || false);
    let (short, long) = (Cli::of(&arguments), Cli::try_parse_from(&arguments));
    let words = |read: &Result<Cli, clap::Error>| match read {
        Ok(cli) => format!("{cli:?}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(words(&short), words(&long), "{arguments:?}");
    short
}

fn keys(arguments: &[&str]) -> AuthorizedKeysArgs {
    match parse(arguments).unwrap().command {
        Command::AuthorizedKeys(keys) => keys,
        other => panic!("{arguments:?} is {other:?}"),
    }
}

#[test]
fn clap_accepts_the_definition() {
    <Cli as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn names_of_amazons_agent_imply_the_subcommand() {
    for name in ["eic_run_authorized_keys", "/opt/aws/bin/eic_curl_authorized_keys"] {
        let called = keys(&[name, "ec2-user", "SHA256:x"]);
        assert_eq!((called.user, called.fingerprint), ("ec2-user".into(), Some("SHA256:x".into())));
    }
    assert!(parse(&["eic-agent", "ec2-user"]).is_err());
}

#[test]
fn defaults_are_as_documented() {
    let called = keys(&["eic-agent", "authorized-keys", "u"]);
    assert!(called.chosen_inputs().is_empty() && called.providers.is_empty());
    assert_eq!((called.overrides.timeout, called.sysfs), (None, "/sys".into()));
}

#[test]
fn login_name_that_looks_like_an_option_is_not_parsed_as_one() {
    for name in ["--help", "-h", "--timeout", "--config=/x", "--provider-user", "-"] {
        let called =
            keys(&["eic-agent", "authorized-keys", "--timeout", "3", name, "MD5:y", "--", "/bin/true", name]);
        assert_eq!(
            (called.user.as_os_str(), called.overrides.timeout),
            ("".as_ref(), Some(Duration::from_secs(3))),
            "{name}"
        );
        assert_eq!(called.providers, ["/bin/true", name], "{name}");
    }
    assert!(parse(&["eic-agent", "authorized-keys", "--help"]).is_err(), "an option without a key");
    let mut verify = ["eic-agent", "verify", "--fingerprint", "SHA256:x"].map(OsString::from);
    disarm_user(&mut verify, || false);
    assert_eq!(verify[2], "--fingerprint", "an option of another subcommand stays");
}

#[test]
fn option_before_a_fingerprint_is_no_login_name_for_a_person() {
    for (line, expected) in [
        ("--timout SHA256:x", "a similar argument exists: '--timeout'"),
        ("--confg=/c MD5:x", "a similar argument exists: '--config'"),
        ("--timeout SHA256:x", "invalid value 'SHA256:x' for '--timeout <SECONDS>'"),
    ] {
        let words = ["eic-agent", "authorized-keys"].into_iter().chain(line.split(' ')).map(OsString::from);
        let kept = resolve_name(words.clone(), || true);
        assert_eq!(kept, words.clone().collect::<Vec<_>>(), "{line}");
        let refused = Cli::unknown_option(&kept, || true).unwrap_or_else(|| Cli::of(&kept).unwrap_err());
        assert!(refused.to_string().contains(expected), "{line}: {refused}");
        let for_sshd = resolve_name(words, || false);
        assert!(Cli::of(&for_sshd).is_ok(), "{line}: the run goes on");
    }
}

#[test]
fn any_login_name_is_parsed() {
    for name in ["", "a b", "caf\u{e9}"] {
        let called = keys(&["eic-agent", "authorized-keys", name, "SHA256:y", "--", "/bin/true", name]);
        assert_eq!((called.user, called.fingerprint), (name.into(), Some("SHA256:y".into())), "{name:?}");
        assert_eq!(called.providers, ["/bin/true", name], "{name:?}");
    }
}

#[test]
fn providers_keep_their_own_options_and_each_others_separators() {
    let called = keys(&["eic-agent", "authorized-keys", "u", "--", "/a", "--timeout", "9", "--", "/b", "-h"]);
    assert_eq!(called.providers, ["/a", "--timeout", "9", "--", "/b", "-h"]);
    assert_eq!(called.overrides.timeout, None);
}

#[test]
fn short_and_full_parser_of_authorized_keys_agree() {
    for line in [
        "",
        "--timeout 3",
        "--timeout=3 u SHA256:x",
        "--timeout 99 u",
        "--version",
        "-V u",
        "--help",
        "help",
        "help u",
        "u SHA256:x more",
        "--sysfs /s --config /c --ca-file /f u",
        "--ca-file /f --ca-dir /d u",
        "--imds-endpoint x u",
        "--unknown u",
        "u -- /a b -- c",
        "--",
        "-- /a",
        "u --timeout 9 MD5:x",
        "verify",
        "--tim 3 u",
    ] {
        let words: Vec<_> =
            ["eic-agent", "authorized-keys"].into_iter().chain(line.split_whitespace()).collect();
        let _ = parse(&words);
    }
}

#[test]
fn unknown_option_of_authorized_keys_is_named_with_a_similar_one() {
    let unknown = |line: &str| {
        let words: Vec<_> = ["eic-agent", "authorized-keys"].into_iter().chain(line.split(' ')).collect();
        let words: Vec<_> = words.into_iter().map(OsString::from).collect();
        assert!(Cli::unknown_option(&words, || false).is_none(), "{line}");
        Cli::unknown_option(&words, || true).map(|error| error.to_string())
    };
    for (line, similar) in [
        ("--timout=3 u", "'--timeout'"),
        ("--timout 3 u SHA256:x", "'--timeout'"),
        ("u --confg /x", "'--config'"),
        ("--sysf /s", "'--sysfs'"),
        ("--provider-usr x u -- /a", "'--provider-user'"),
    ] {
        let said = unknown(line).unwrap();
        assert!(said.contains(&format!("a similar argument exists: {similar}")), "{line}: {said}");
        assert!(!said.contains("use '-- "), "a word after -- is a provider: {said}");
    }
    for line in ["u", "--timeout 3 u SHA256:x", "u -- /a --timout 3", "- SHA256:x", "--help", "u --timeout x"]
    {
        assert_eq!(unknown(line), None, "{line}");
    }
    let other = ["eic-agent", "doctor", "--quite"].map(OsString::from);
    assert!(Cli::unknown_option(&other, || true).is_none(), "the full parser reports it");
}

#[test]
fn options_that_choose_inputs_are_listed_with_their_values() {
    let words = "eic-agent authorized-keys --timeout 3 --config /c --imds-endpoint http://127.0.0.1:1338 --ca-file /f --ca-dir /d --sysfs /s u";
    let parsed = parse(&words.split(' ').collect::<Vec<_>>()).unwrap();
    let Command::AuthorizedKeys(called) = parsed.command else { panic!() };
    let told: Vec<_> =
        called.chosen_inputs().iter().map(|(option, value)| format!("{option} {value}")).collect();
    assert_eq!(
        told.join(" "),
        "--config /c --imds-endpoint http://127.0.0.1:1338 --ca-file /f --ca-dir /d --sysfs /s"
    );
}

#[test]
fn instants_and_ages_are_read() {
    let now = Timestamp::from_unix(1_738_238_400);
    for (text, instant) in [
        ("2025-01-30T12:00:00Z", 1_738_238_400),
        ("2025-01-30", 1_738_195_200),
        ("1738238399", 1_738_238_399),
        ("90s", 1_738_238_310),
        ("2h", 1_738_231_200),
        ("1d", 1_738_152_000),
        ("99999999999999d", 0),
    ] {
        assert_eq!(parse_when(text).unwrap().instant(now).as_unix(), instant, "{text}");
    }
    for bad in ["", "d", "-1d", "yesterday", "1w", "2025-13-01", "999999999999999999999d"] {
        assert!(parse_when(bad).unwrap_err().ends_with(&format!("got {bad}")), "{bad}");
    }
}

#[test]
fn timeouts_are_bounded() {
    for good in ["0.1", "5", "60"] {
        assert!(parse_seconds(good).is_ok(), "{good}");
    }
    for bad in ["0", "0.05", "61", "-1", "nan", "inf", "", "5s"] {
        assert!(parse_seconds(bad).is_err(), "{bad}");
    }
}

#[test]
fn names_for_known_hosts_are_about_one_host() {
    for good in ["203.0.113.5", "2001:db8::1", "i-0123456789abcdef0", "[example.com]:2222", "fe80::1%eth0"] {
        assert!(parse_known_host(good).is_ok(), "{good}");
    }
    for bad in ["", "*", "a,b", "a b", "!a", "|1|a", "@cert-authority", "#a", "-a", "a\nb", "a?", "\u{e9}"] {
        assert!(parse_known_host(bad).is_err(), "{bad}");
    }
}
