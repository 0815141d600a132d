use eic_core::key_options::LinePrefix;
use eic_core::policy::Action;

use super::*;

pub(super) fn read(text: &str) -> Result<FileSettings, Vec<String>> {
    reader::parse(text).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn settings(given: &CommandLine, text: &str) -> Settings {
    Settings::merge(given, Some((Path::new("/etc/eic-agent.toml"), read(text).unwrap())))
}

const ALL: &str = r#"
[imds]
endpoint = "http://127.0.0.1:1338"
timeout = 2.5
[trust]
ca_file = "/etc/ca.pem"
ca_dir = "/etc/ca"
roots = "amazon"
revocation = "when-stapled"
region = "us-gov-west-1"
domain = "amazonaws.com"
[keys]
options = "restrict,pty"
environment = true

[[rule]]
name = "admins"
action = "allow"
users = ["root"]
principals = ["arn:aws:sts::*:assumed-role/Admin/*"]
accounts = ["123456789012"]
key_types = ["sk-*"]
hours = ["08:00-18:00"]
days = ["Mon-Fri"]
time_zone = "Europe/Berlin"
max_age = 20
[[rule]]
action = "deny"
[audit]
required = true
[policy]
default = "deny"
"#;

#[test]
fn every_setting_is_read_with_its_line() {
    let settings = settings(&CommandLine::default(), ALL);
    assert_eq!(settings.endpoint.origin, Origin::File(3));
    assert_eq!(settings.endpoints(), ["http://127.0.0.1:1338".parse().unwrap()]);
    assert_eq!(
        (settings.timeout.value, settings.timeout.origin),
        (Duration::from_millis(2500), Origin::File(4))
    );
    assert_eq!(settings.ca_file.value, Some("/etc/ca.pem".into()));
    assert_eq!(settings.ca_dir.value, Some("/etc/ca".into()));
    assert_eq!((settings.roots.value, settings.roots.origin), (Roots::Amazon, Origin::File(8)));
    assert_eq!(settings.revocation.value, RevocationPolicy::WhenStapled);
    assert_eq!(settings.options.value.as_ref().map(KeyOptions::as_str), Some("restrict,pty"));
    assert!(settings.environment.value && settings.audit_required.value);
    assert_eq!(settings.pins().to_string(), "region us-gov-west-1 and domain amazonaws.com");
    let [admins, rest] = settings.rules.as_slice() else { panic!("{:?}", settings.rules) };
    assert_eq!(
        (admins.value.name.as_str(), admins.value.action, admins.origin),
        ("admins", Action::Allow, Origin::File(16))
    );
    assert_eq!(admins.value.principals[0].as_str(), "arn:aws:sts::*:assumed-role/Admin/*");
    assert_eq!(
        (rest.value.name.as_str(), rest.value.action, rest.origin),
        ("#2", Action::Deny, Origin::File(27))
    );
    let limits = &admins.value.limits;
    let hours = limits.hours.as_ref().map(ToString::to_string);
    assert_eq!((hours.as_deref(), limits.max_age), (Some("Mon-Fri 08:00-18:00 Europe/Berlin"), Some(20)));
    assert!(rest.value.limits.is_empty());
    assert_eq!(
        (settings.default_action.value, settings.default_action.origin),
        (Action::Deny, Origin::File(32))
    );
    let zones = |user: &str| settings.zones(Some(&user.parse().unwrap())).len();
    assert_eq!(
        (zones("root"), zones("ubuntu"), settings.zones(None).len()),
        (1, 0, 1),
        "only if a rule needs it"
    );
}

#[test]
fn settings_without_a_file_are_the_defaults() {
    for text in ["", "# nothing\n", "[imds]\n[trust]\n[keys]\n[audit]\n"] {
        let settings = settings(&CommandLine::default(), text);
        assert_eq!(settings.endpoints(), Endpoint::of_service());
        assert_eq!(
            (settings.timeout.value, settings.timeout.origin),
            (Duration::from_secs(5), Origin::Default)
        );
        assert_eq!(settings.remember.value, Duration::from_secs(60));
        assert_eq!(settings.trust_store(), TrustStore::default());
        assert_eq!(settings.line_prefix(), LinePrefix::default());
        assert!(settings.rules.is_empty() && settings.pins().is_empty() && !settings.audit_required.value);
    }
}

#[test]
fn the_command_line_wins() {
    let given = CommandLine {
        config: None,
        endpoint: Some("http://127.0.0.1:9".parse().unwrap()),
        timeout: Some(Duration::from_secs(1)),
        ca_file: Some("/mine.pem".into()),
        ca_dir: None,
    };
    let settings = settings(&given, ALL);
    assert_eq!(settings.endpoints(), ["http://127.0.0.1:9".parse().unwrap()]);
    assert_eq!(
        (settings.timeout.value, settings.timeout.origin),
        (Duration::from_secs(1), Origin::CommandLine)
    );
    // The directory in the settings file must not be trusted in addition to the named file.
    assert_eq!(
        settings.trust_store(),
        TrustStore {
            ca_file: Some("/mine.pem".into()),
            ca_dir: None,
            roots: Roots::Amazon,
            owner: Owner::Root
        }
    );
}

#[test]
fn time_to_remember_is_whole_and_bounded() {
    for (seconds, remember) in [("0", 0), ("60", 60), ("300", 300)] {
        let settings = settings(&CommandLine::default(), &format!("[imds]\nremember = {seconds}\n"));
        assert_eq!(settings.remember.value, Duration::from_secs(remember));
    }
    for (text, fault) in [
        ("301", "expected 0 to 300 seconds, got 301"),
        ("-1", "expected 0 to 300 seconds, got -1"),
        ("1.5", "expected a whole number of seconds, 0 to 300, got 1.5"),
    ] {
        let faults = read(&format!("[imds]\nremember = {text}\n")).map(|_| ()).unwrap_err();
        assert_eq!(faults, [format!("2: imds.remember: {fault}")]);
    }
}

#[test]
fn every_fault_has_line_key_and_expected_value() {
    for (text, faults) in [
        (
            "[imds]\nendpoint = \"http://metadata.example\"\n",
            vec![
                "2: imds.endpoint: expected http://ADDRESS[:PORT] with an IP address, got \"http://metadata.example\"",
            ],
        ),
        ("[imds]\ntimeout = 0\n", vec!["2: imds.timeout: expected 0.1 to 60 seconds, got 0"]),
        (
            "[imds]\nproxy = 1\n",
            vec!["2: imds.proxy: no such setting; expected one of endpoint, timeout, remember"],
        ),
        (
            "[trust]\nroots = \"mine\"\n",
            vec!["2: trust.roots: expected \"system\" or \"amazon\", got \"mine\""],
        ),
        (
            "[trust]\nrevocation = \"never\"\n",
            vec!["2: trust.revocation: expected \"require\" or \"when-stapled\", got \"never\""],
        ),
        (
            "[trust]\nca_file = \"ca.pem\"\n",
            vec!["2: trust.ca_file: expected an absolute path, got \"ca.pem\""],
        ),
        (
            "[keys]\noptions = \"no-such\"\n",
            vec!["2: keys.options: sshd has no option \"no-such\" (sshd(8), AUTHORIZED_KEYS FILE FORMAT)"],
        ),
        (
            "[keys]\noptions = \"pty\\nssh-ed25519 AAAA\"\n",
            vec!["2: keys.options: expected printable ASCII, got '\\n'"],
        ),
        (
            "[typo]\n",
            vec![
                "1: typo: no such setting; expected one of [imds], [trust], [keys], [audit], [policy], [[rule]]",
            ],
        ),
        ("imds = 3\n", vec!["1: imds: expected a table [imds], got integer"]),
        ("[rule]\naction = \"deny\"\n", vec!["1: rule: expected [[rule]], a table in double brackets"]),
        (
            "[[rule]]\nusers = [\"root\"]\n",
            vec!["1: rule 1.action: expected \"allow\" or \"deny\", got nothing"],
        ),
        (
            "[[rule]]\naction = \"drop\"\n",
            vec!["2: rule 1.action: expected \"allow\" or \"deny\", got \"drop\""],
        ),
        (
            "[[rule]]\naction = \"deny\"\nusers = []\n",
            vec!["3: rule 1.users: expected at least one pattern, got []; remove the line to match all"],
        ),
        (
            "[[rule]]\naction = \"deny\"\nuser = [\"root\"]\n",
            vec![
                "3: rule 1.user: no such setting; expected one of name, action, users, principals, accounts, key_types, options, hours, days, time_zone, max_age",
            ],
        ),
        (
            "[imds]\ntimeout = 0\n[trust]\nroots = \"x\"\nfoo = 1\n",
            vec![
                "2: imds.timeout: expected 0.1 to 60 seconds, got 0",
                "4: trust.roots: expected \"system\" or \"amazon\", got \"x\"",
                "5: trust.foo: no such setting; expected one of ca_file, ca_dir, roots, revocation, region, domain",
            ],
        ),
    ] {
        assert_eq!(read(text).map(|_| ()).unwrap_err(), faults, "{text}");
    }
    for (list, words) in [
        ("users = [\"\"]", "a login name"),
        ("users = [\"a b\"]", "a login name"),
        ("principals = [\"bob\"]", "an ARN"),
        ("accounts = [\"1234 \"]", "twelve digits"),
        ("key_types = [\"ed25519\"]", "a key algorithm"),
    ] {
        let faults = read(&format!("[[rule]]\naction = \"deny\"\n{list}\n")).map(|_| ()).unwrap_err();
        assert!(
            faults[0].starts_with("3: rule 1.") && faults[0].contains(&format!("expected {words}")),
            "{faults:?}"
        );
    }
    for (text, start) in [
        (
            "[imds]\ntimeout = \"5\"\n",
            "2: imds.timeout: invalid type: string \"5\", expected a number of seconds, 0.1 to 60",
        ),
        ("[keys]\nenvironment = \"yes\"\n", "2: keys.environment: invalid type: string"),
        (
            "[[rule]]\naction = \"deny\"\nusers = \"root\"\n",
            "3: rule 1.users: expected a list: [\"root\"], got \"root\"",
        ),
        ("[imds\n", "1: "),
        ("\n\n= 1\n", "3: "),
        ("[trust]\nroots = \"amazon\"\nroots = \"system\"\n", "3: "),
    ] {
        let faults = read(text).map(|_| ()).unwrap_err();
        assert!(faults[0].starts_with(start), "{text}: {faults:?}");
    }
}

#[test]
fn pins_of_another_form_are_refused() {
    for (text, fault) in [
        (
            "[trust]\nregion = \"us-east-1.evil\"\n",
            "2: trust.region: expected an AWS region such as us-east-1, got \"us-east-1.evil\"",
        ),
        (
            "[trust]\ndomain = \"evil.example\"\n",
            "2: trust.domain: expected the services domain of an AWS partition (amazonaws.com, amazonaws.com.cn, ...), got \"evil.example\"",
        ),
    ] {
        assert_eq!(read(text).map(|_| ()).unwrap_err(), [fault]);
    }
}

#[test]
fn a_key_cannot_forge_a_line_of_the_report() {
    let faults = read("\"x\\n\\u001b[2J\" = 1\n").map(|_| ()).unwrap_err();
    assert!(faults[0].starts_with("1: x\\x0a\\x1b[2J: no such setting"), "{faults:?}");
}

#[test]
fn files_that_other_users_can_write_are_refused() {
    let file = std::env::temp_dir().join(format!("eic-agent-config-{}.toml", std::process::id()));
    std::fs::write(&file, "").unwrap();
    let given = |path: &Path| CommandLine { config: Some(path.to_owned()), ..CommandLine::default() };
    let refused = Settings::resolve(&given(&file)).unwrap_err();
    assert_eq!(refused.reason(), Reason::SettingsInsecure);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(Settings::resolve(&given(&file)).unwrap_err().reason(), Reason::SettingsUnreadable);
    assert_eq!(
        Settings::resolve(&given(Path::new("/dev/null"))).unwrap_err().reason(),
        Reason::SettingsInsecure
    );
}

#[test]
fn error_shows_the_first_fault_and_counts_the_rest() {
    let faults = reader::parse("[a]\n[b]\n[c]\n").unwrap_err();
    let error = ConfigError::Faults("/etc/eic-agent.toml".into(), faults);
    let words = error.to_string();
    assert!(words.starts_with("/etc/eic-agent.toml:1: a: no such setting"), "{words}");
    assert!(words.ends_with(" (and 2 more; run: eic-agent config)"), "{words}");
}

#[test]
fn file_full_of_faults_is_read_in_linear_time() {
    let started = std::time::Instant::now();
    let faults = reader::parse(&"a\n".repeat(100_000)).unwrap_err();
    assert_eq!(faults.len(), 11, "ten lines, and one for the rest");
    let settings: Vec<_> = (0..10_000).map(|number| format!("a{number} = 1\n")).collect();
    let settings = settings.concat();
    assert_eq!(reader::parse(&settings).unwrap_err().len(), 50);
    let rules = "[[rule]]\naction = \"deny\"\nusers = [\"root\"]\n".repeat(1000);
    assert_eq!(read(&rules).unwrap().rules.len(), 1000);
    // A quadratic algorithm took minutes here.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

/// A wrong `--config` can name a secret file. The messages may reach a log that other users read.
#[test]
fn file_that_is_no_settings_file_is_reported_briefly_and_without_its_content() {
    let shadow = "user:$y$j9T$secretsalt$secrethash/a.:20000:0:99999:7:::\n".repeat(300);
    let armour = format!(
        "-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n",
        "secretMIGHAgEAMBMG+/a==\n".repeat(40)
    );
    let variables = "DB_PASSWORD = \"secret one\"\n[session]\nkey = 'secret two'\n";
    for (text, most, first, last) in [
        (shadow.as_str(), 11, "1: ", "11: 290 more lines are not TOML; is this the settings file?"),
        (&armour, 11, "1: ", "11: 32 more lines are not TOML; is this the settings file?"),
        (variables, 2, "1: DB_PASSWORD: no such setting", "2: session: no such setting"),
    ] {
        let faults = read(text).unwrap_err();
        assert!(faults.len() <= most, "{faults:#?}");
        assert!(faults[0].starts_with(first), "{faults:#?}");
        assert!(faults.last().unwrap().starts_with(last), "{faults:#?}");
        assert!(!faults.concat().contains("secret"), "{faults:#?}");
    }
    // One line can have several faults. The first one names the line.
    let faults = read("[imds]\n a b c : d = = 3\ntimeout = 3\n").unwrap_err();
    assert!(faults.len() == 1 && faults[0].starts_with("2: "), "{faults:#?}");
}
