//! Random options and principals: what OpenSSH's own parser reads in the lines that the agent renders.
//!
//! A real sshd reads some hundreds of lines, each with a key of its own. A client offers all keys and can sign with none, so
//! sshd judges each line and lets no one in. At `LogLevel DEBUG`, it logs what it read. Each test run tries other lines.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use data_encoding::BASE64;
use eic_core::key_options::{KeyOptions, LineError, LinePrefix, RuleOptions, Values};
use eic_emulator::Config;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::world::{Key, Sshd, Syslog, World, on_an_instance, test_path, without_penalties};

/// The number of lines.
const LINES: usize = 300;

/// ssh reads at most 100 identities.
const OFFERS: usize = 90;

/// What a key can do if no option changes it.
const PERMITS: [&str; 5] = ["agent-forwarding", "port-forwarding", "pty", "user-rc", "x11-forwarding"];

/// An option with its value, if it takes one.
type Opt = (&'static str, Option<String>);

#[derive(Clone, Debug)]
struct Case {
    keys: Vec<Opt>,
    rule: Option<Vec<Opt>>,
    environment: bool,
    role: String,
    session: String,
    names_a_principal: bool,
    request_id: Option<String>,
}

fn flag() -> impl Strategy<Value = Opt> {
    let names = PERMITS.into_iter().chain([
        "no-agent-forwarding",
        "no-port-forwarding",
        "no-pty",
        "no-user-rc",
        "no-x11-forwarding",
        "restrict",
    ]);
    select(names.collect::<Vec<_>>()).prop_map(|name| (name, None))
}

/// A text of fragments that could end a value, begin an option, or begin a template.
fn text(templates: &'static [&'static str]) -> impl Strategy<Value = String> {
    let fragments = [
        "a",
        " ",
        "\"",
        "\\",
        "\\\"",
        ",",
        "=",
        "'",
        "#",
        "%",
        "$(id)",
        "\",pty,command=\"",
        " ssh-ed25519 AAAA",
        "%%{x}",
    ];
    vec(select([&fragments, templates].concat()), 0..8).prop_map(|parts| {
        // sshd takes a backslash before the closing quote for an escape.
        format!("x {}.", parts.concat())
    })
}

fn option(templates: &'static [&'static str]) -> impl Strategy<Value = Opt> {
    let value = |name: &'static str, values: &[&'static str]| {
        select(values.to_vec()).prop_map(move |value| (name, Some(value.to_owned())))
    };
    let variable = (select(vec!["A", "B"]), text(templates));
    prop_oneof![
        3 => flag(),
        2 => text(templates).prop_map(|text| ("command", Some(text))),
        1 => variable.prop_map(|(name, text)| ("environment", Some(format!("{name}={text}")))),
        1 => value("from", &["127.0.0.1", "*,!10.0.0.0/8", "127.0.0.0/8,::1", "198.51.100.0/24"]),
        1 => value("permitopen", &["localhost:80", "db.example.com:5432", "*:443"]),
        1 => value("permitlisten", &["localhost:8080", "127.0.0.1:9"]),
        1 => value("expiry-time", &["20990101", "209912312359"]),
    ]
}

/// A name as no service signs it.
fn name() -> impl Strategy<Value = String> {
    let fragments = vec![
        "carol",
        "\"",
        "\\",
        "\\\"",
        " ",
        ",",
        "=",
        "\n",
        "\r",
        "\0",
        "\t",
        "%{role}",
        "%22",
        "'",
        "`id`",
        "$(id)",
        "..",
        "-x",
        "@",
        "+",
        "\u{e9}",
        "\u{202e}",
        "\",command=\"id\" ssh-ed25519 ",
        "\nssh-ed25519 AAAA",
    ];
    prop_oneof![
        9 => vec(select(fragments), 1..8).prop_map(|parts| parts.concat()),
        1 => Just("\"".repeat(1900)),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    const TEMPLATES: &[&str] =
        &["%{principal}", "%{account}", "%{role}", "%{session}", "%{request_id}", "%{session}"];
    let lists = (vec(option(&["%{role}", "%{x"]), 0..5), option::weighted(0.8, vec(option(TEMPLATES), 1..6)));
    let push = (name(), name(), option::weighted(0.9, Just(())), option::weighted(0.9, name()));
    (lists, any::<bool>(), push).prop_map(|((keys, rule), environment, push)| {
        let (role, session, principal, request_id) = push;
        let names_a_principal = principal.is_some();
        Case { keys, rule, environment, role, session, names_a_principal, request_id }
    })
}

/// The list as the settings have it. An option with a value occurs once, except those that can be repeated.
fn written(options: &[Opt]) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut texts = Vec::new();
    for (name, value) in options {
        let repeats = value.is_none() || name.starts_with("permit") || *name == "environment";
        if !seen.insert(name) && !repeats {
            return None;
        }
        texts.push(match value {
            None => (*name).to_owned(),
            Some(value) => format!("{name}=\"{}\"", value.replace('"', "\\\"")),
        });
    }
    Some(texts.join(","))
}

/// A value of a push in a command, as docs/settings.md describes it.
fn encoded(value: &str, assigned: bool) -> String {
    let mut text = String::new();
    let mut before = b'/';
    for byte in value.bytes().take(2048) {
        let inner = if assigned { &b":/+=.@-"[..] } else { b":/+.@-" };
        let is_kept = byte.is_ascii_alphanumeric() || byte == b'_';
        if is_kept || (inner.contains(&byte) && (assigned || before != b'/')) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").unwrap();
        }
        before = byte;
    }
    text
}

/// What sshd must read in a line.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    permits: BTreeSet<String>,
    command: Option<String>,
    environment: Vec<String>,
    opens: Vec<String>,
    listens: Vec<String>,
    is_from_here: bool,
}

impl Case {
    fn principal(&self) -> String {
        format!("arn:aws:sts::123456789012:assumed-role/{}/{}", self.role, self.session)
    }

    /// The line's prefix. `None` if the settings cannot have these options, or a line would be too long.
    fn prefix(&self) -> Option<Result<String, LineError>> {
        let keys = written(&self.keys)?;
        let keys = if keys.is_empty() {
            None
        } else {
            Some(KeyOptions::parse(&keys).unwrap_or_else(|_| panic!("{keys}")))
        };
        let rule = match &self.rule {
            Some(rule) => {
                let rule = written(rule)?;
                Some(RuleOptions::parse(&rule).unwrap_or_else(|_| panic!("{rule}")))
            }
            None => None,
        };
        let prefix = LinePrefix { options: keys, environment: self.environment };
        let principal = self.principal();
        let values = Values {
            principal: self.names_a_principal.then_some(principal.as_str()),
            request_id: self.request_id.as_deref(),
        };
        match prefix.of(rule.as_ref(), &values) {
            Err(LineError::TooLong(_)) => None,
            other => Some(other),
        }
    }

    /// The value with the values of the push. `None` if the push does not have one of them.
    fn expanded(&self, text: &str) -> Option<String> {
        let principal = self.principal();
        let of_principal = |value: &str| self.names_a_principal.then(|| encoded(value, false));
        let mut left = text.replace("%%{", "\0");
        for (template, value) in [
            ("%{principal}", of_principal(&principal)),
            ("%{account}", of_principal("123456789012")),
            ("%{role}", of_principal(&self.role)),
            ("%{session}", of_principal(&self.session)),
            ("%{request_id}", self.request_id.as_deref().map(|id| encoded(id, false))),
        ] {
            if left.contains(template) {
                left = left.replace(template, &value?);
            }
        }
        Some(left.replace('\0', "%{"))
    }

    /// What the options mean, as docs/settings.md describes it. `None` if the push does not have a value of the rule.
    fn meaning(&self) -> Option<Meaning> {
        let empty = Vec::new();
        let rule = self.rule.as_ref().unwrap_or(&empty);
        let all_of = |list: &[Opt], name: &str| -> Vec<String> {
            list.iter().filter(|(other, _)| *other == name).filter_map(|(_, value)| value.clone()).collect()
        };
        let values = |name: &str| -> Option<Vec<String>> {
            let own: Option<Vec<_>> = all_of(rule, name).iter().map(|text| self.expanded(text)).collect();
            own.map(|own| if own.is_empty() { all_of(&self.keys, name) } else { own })
        };
        let mut permits: BTreeSet<String> = PERMITS.map(str::to_owned).into();
        for (name, _) in self.keys.iter().chain(rule) {
            if *name == "restrict" {
                permits.clear();
            } else if PERMITS.contains(name) {
                permits.insert((*name).to_owned());
            } else if let Some(name) = name.strip_prefix("no-") {
                permits.remove(name);
            }
        }
        let variable = |text: &String| text.split('=').next().unwrap().to_owned();
        let own: Vec<String> =
            all_of(rule, "environment").iter().map(|text| self.expanded(text)).collect::<Option<_>>()?;
        let names: BTreeSet<_> = own.iter().map(variable).collect();
        let mut environment = all_of(&self.keys, "environment");
        environment.retain(|text| !names.contains(&variable(text)));
        environment.extend(own);
        if self.environment {
            let principal = self.names_a_principal.then(|| self.principal());
            for (name, value) in [("EIC_PRINCIPAL", &principal), ("EIC_REQUEST_ID", &self.request_id)] {
                environment.extend(value.as_ref().map(|value| format!("{name}={}", encoded(value, true))));
            }
        }
        // Of two definitions, sshd uses the first.
        let mut defined = BTreeSet::new();
        environment.retain(|text| defined.insert(variable(text)));
        Some(Meaning {
            permits,
            command: values("command")?.into_iter().next(),
            environment,
            opens: values("permitopen")?,
            listens: values("permitlisten")?,
            is_from_here: values("from")?.first().is_none_or(|from| !from.starts_with("198.")),
        })
    }
}

/// A public key without a private key.
pub(crate) fn public_key(number: usize) -> String {
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend(number.to_be_bytes());
    blob.extend([7; 24]);
    format!("ssh-ed25519 {}", BASE64.encode(&blob))
}

/// What sshd logged about each of these lines.
fn judged(world: &World, lines: &[String]) -> Vec<Vec<String>> {
    let syslog = Syslog::bind();
    let host = Key::ed25519(world, "host");
    let config = world.path("etc/sshd_config_debug");
    let host_key = host.file().display();
    let quiet = without_penalties(host.file());
    let settings = format!(
        "ListenAddress 127.0.0.1:22\nHostKey {host_key}\nPidFile none\nUsePAM no\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nLogLevel DEBUG\nLoginGraceTime 600\nMaxAuthTries 100000\n\
         PermitUserEnvironment yes\n{quiet}"
    );
    fs::write(&config, settings).unwrap();
    let _sshd = Sshd::listen(&["-f", config.to_str().unwrap()]);
    world.authorize("ec2-user", &host);
    let file = world.path("home/ec2-user/.ssh/authorized_keys");
    fs::write(&file, lines.concat()).unwrap();
    let numbers: Vec<_> = (0..lines.len()).collect();
    for some in numbers.chunks(OFFERS) {
        let mut client = World::ssh_command(&[]);
        for number in some {
            let name = world.path("etc").join(format!("offer-{number}"));
            fs::write(name.with_extension("pub"), public_key(*number)).unwrap();
            client.arg("-o").arg(format!("IdentityFile={}", name.display()));
        }
        let output = client.args(["ec2-user@127.0.0.1", "true"]).output().unwrap();
        assert_eq!(output.status.code(), Some(255), "no one may log in: {output:?}");
    }
    let said = syslog.sshd_lines();
    let of_line = |number: usize| {
        let place = format!("authorized_keys:{}: ", number + 1);
        said.iter().filter_map(|line| Some(line.split_once(&place)?.1.to_owned())).collect()
    };
    numbers.into_iter().map(of_line).collect()
}

/// Whether sshd logged this text. It cuts long messages, and doubles each backslash.
fn is_logged(logged: &str, text: &str) -> bool {
    let text = text.replace('\\', "\\\\");
    logged == text || (logged.len() > 400 && text.starts_with(logged.trim_end_matches('"')))
}

/// Compares what sshd logged about a line with what it must read in it.
fn check(said: &[String], meaning: &Meaning) -> Result<(), String> {
    let all =
        |start: &str| -> Vec<&str> { said.iter().filter_map(|text| text.strip_prefix(start)).collect() };
    let bad = all("bad key options: ");
    if !bad.is_empty() {
        return Err(format!("malformed: {bad:?}"));
    }
    if !said.iter().any(|text| text.starts_with("matching key found: ")) {
        return Err("sshd finds no key".to_owned());
    }
    let refused = said.iter().any(|text| text.contains("not from a permitted host"));
    if refused == meaning.is_from_here {
        return Err(format!("refused because of from: {refused}"));
    }
    if refused {
        return Ok(());
    }
    let options = all("key options:");
    // OpenSSH 9.2 writes no space before this word.
    let options = options.first().ok_or("no options are logged")?.replace("expires", " expires");
    let permits: BTreeSet<_> = options.split_whitespace().collect();
    let permits: BTreeSet<_> =
        permits.into_iter().filter(|name| PERMITS.contains(name)).map(str::to_owned).collect();
    if permits != meaning.permits {
        return Err(format!("permits {permits:?}"));
    }
    let commands: Vec<_> = all("forced command: \"").into_iter().collect();
    for (what, logged, expected) in [
        ("command", &commands, meaning.command.iter().map(|text| format!("{text}\"")).collect()),
        ("environment", &all("environment: "), meaning.environment.clone()),
        ("permitopen", &all("permitted open: "), meaning.opens.clone()),
        ("permitlisten", &all("permitted listen: "), meaning.listens.clone()),
    ] {
        let same = |(logged, text): (&&str, &String)| is_logged(logged, text);
        if logged.len() != expected.len() || !logged.iter().zip(&expected).all(same) {
            return Err(format!("{what}: sshd reads {logged:?}, not {expected:?}"));
        }
    }
    Ok(())
}

#[test]
fn sshd_reads_in_each_rendered_line_what_the_settings_mean() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let mut runner = TestRunner::default();
        let strategy = case();
        let (mut lines, mut cases, mut hosts, mut missing) = (Vec::new(), Vec::new(), 0, 0);
        while lines.len() < LINES {
            let case = strategy.new_tree(&mut runner).unwrap().current();
            let meaning = case.meaning();
            match (case.prefix(), meaning) {
                (None, _) => {}
                (Some(Ok(prefix)), Some(meaning)) => {
                    assert!(!prefix.contains(['\n', '\r', '\0']), "{case:?}");
                    hosts += usize::from(!meaning.is_from_here);
                    lines.push(format!("{prefix}{}\n", public_key(lines.len())));
                    cases.push((case, meaning));
                }
                (Some(Err(LineError::NoValue(_))), None) => missing += 1,
                (prefix, meaning) => panic!("{case:#?}\n{prefix:?}\n{meaning:#?}"),
            }
        }
        // The generator reaches each kind of outcome, and the harness notices lines that sshd does not read.
        assert!(hosts > 0 && missing > 0, "{hosts} {missing}");
        let wrong = [
            "frobnicate ",
            "command=\"a\",command=\"b\" ",
            "command=\"a\" id\" ",
            "command=\"a ",
            "from=\"127.0.0.1/8\" ",
            "expiry-time=\"tomorrow\" ",
        ];
        for prefix in wrong {
            lines.push(format!("{prefix}{}\n", public_key(lines.len())));
        }
        let said = judged(world, &lines);
        let (said, of_wrong) = said.split_at(LINES);
        let mut faults = Vec::new();
        for ((said, (case, meaning)), line) in said.iter().zip(&cases).zip(&lines) {
            if let Err(why) = check(said, meaning) {
                let shown = format!("{why}\n{line}{case:?}\n{meaning:?}\n{said:#?}");
                faults.push(shown.replace(&"%22".repeat(100), "%22.."));
            }
        }
        assert!(
            faults.is_empty(),
            "{} of {LINES} lines:\n{}",
            faults.len(),
            faults[..faults.len().min(3)].join("\n")
        );
        let plain = Case {
            keys: Vec::new(),
            rule: None,
            environment: false,
            role: String::new(),
            session: String::new(),
            names_a_principal: false,
            request_id: None,
        };
        let plain = plain.meaning().unwrap();
        for (said, prefix) in of_wrong.iter().zip(wrong) {
            assert!(check(said, &plain).is_err(), "{prefix}{said:#?}");
        }
    });
}
