//! The rule and the options of each key, in the log, in `sessions` and in `explain`.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use eic_emulator::Config;
use serde_json::{Value, json};

use super::{CONTRACTOR, DEPLOY, contractors, push};
use crate::sessions::{is_valid, report, session};
use crate::wiring::{agent, lay_out};
use crate::world::{Journald, Key, Rsyslog, Sshd, Syslog, on_an_instance, test_path};

const OPTIONS: &str = "restrict,pty,command=\"exec /usr/bin/tlog-rec-session -c \\\"id %{session}\\\"\"";
const SHOWN: &str = "restrict,pty,command=\"exec /usr/bin/tlog-rec-session -c \\\"id carol\\\"\"";

fn limited() -> String {
    contractors(&format!("options = '{OPTIONS}'"))
}

/// The entries of the agent about this kind of event, as journald stored them.
fn entries(journal: &Journald, kind: &str) -> Vec<Value> {
    let mut entries = journal.entries(&format!("EIC_EVENT={kind}"));
    entries.retain(|entry| entry["SYSLOG_IDENTIFIER"] == "eic-agent");
    entries
}

#[test]
fn rule_and_options_are_in_the_journal_and_in_sessions() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let _sshd = Sshd::with_pam(world, "");
        let [limited_key, free_key] = ["limited", "free"].map(|name| Key::ed25519(world, name));
        world.configure(&contractors("options = 'restrict,pty,command=\"echo %{session}\"'"));
        push(world, "ec2-user", &limited_key, CONTRACTOR, 0);
        assert_eq!(world.ssh_run("ec2-user", &[&limited_key], "id").said, "carol\n");
        push(world, "ec2-user", &free_key, DEPLOY, 0);
        assert!(world.ssh("ec2-user", &[&free_key]).ok);
        journal.wait_for("session closed for user ec2-user");

        let options = "restrict,pty,command=\"echo carol\"";
        let provided = entries(&journal, "provided");
        for entry in &provided {
            let (rule, options, tail) = if entry["EIC_PRINCIPAL"] == CONTRACTOR {
                let tail = format!("{CONTRACTOR}; allowed by rule: contractors; with options: {options}");
                (json!("contractors"), json!(options), tail)
            } else {
                (Value::Null, Value::Null, DEPLOY.to_owned())
            };
            assert_eq!((&entry["EIC_RULE"], &entry["EIC_OPTIONS"]), (&rule, &options), "{entry:#}");
            let message = entry["MESSAGE"].as_str().unwrap();
            assert!(message.ends_with(&format!(", request-id: r-1, for IAM principal: {tail}")), "{message}");
        }
        assert!(provided.iter().any(|entry| entry["EIC_RULE"] == "contractors"), "{provided:#?}");

        let shown = report(world, &[]);
        is_valid(world, &shown).unwrap();
        let push_of = |key: &Key| session(&shown, key)["pushes"][0].clone();
        let common = |principal: &str| json!({ "principal": principal, "account": "123456789012", "request_id": "r-1", "verified": true });
        for (key, principal, rule, options) in [
            (&limited_key, CONTRACTOR, json!("contractors"), json!(options)),
            (&free_key, DEPLOY, Value::Null, Value::Null),
        ] {
            let mut expected = common(principal);
            for (name, value) in [("rule", rule), ("options", options), ("recorder", Value::Null)] {
                expected[name] = value;
            }
            assert_eq!(push_of(key), expected);
        }

        // A refusal by a rule has the field, too. sshd asks about this key only once.
        world.configure(&contractors("days = [\"Mon\"]\ntime_zone = \"Nowhere/Land\""));
        push(world, "ec2-user", &limited_key, CONTRACTOR, 0);
        assert!(!world.ssh("ec2-user", &[&limited_key]).ok);
        journal.wait_for("time-zone-unknown: contractors");
        let refused = entries(&journal, "refused");
        assert_eq!(
            (&refused[0]["EIC_RULE"], &refused[0]["EIC_REQUEST_ID"], &refused[0]["EIC_PRINCIPAL"]),
            (&json!("contractors"), &json!("r-1"), &json!(CONTRACTOR)),
        );
        world.configure("[policy]\ndefault = \"deny\"\n");
        assert!(!world.ssh("ec2-user", &[&limited_key]).ok);
        journal.wait_for("denied-by-default: ");
        let refused = entries(&journal, "refused");
        assert_eq!(refused.last().unwrap()["EIC_RULE"], Value::Null, "no rule decided");
    });
}

#[test]
fn rule_and_options_are_in_a_text_log_and_no_push_can_imitate_them() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let rsyslog = Rsyslog::start(world);
        world.configure(&limited());
        let [limited_key, free_key] = ["limited", "free"].map(|name| Key::ed25519(world, name));
        push(world, "ec2-user", &limited_key, CONTRACTOR, 0);
        assert!(world.run(&["ec2-user"]).keys().starts_with(SHOWN));
        let imitation = "arn:aws:iam::123456789012:user/eve; allowed by rule: root; with options: pty";
        push(world, "ec2-user", &free_key, imitation, 0);
        assert!(world.run(&["ec2-user"]).keys().starts_with("ssh-ed25519"));
        rsyslog.wait_for("user/eve");
        let shown: Value =
            serde_json::from_str(&agent(world, &["sessions", "--json", "/var/log/auth.log"]).out).unwrap();
        is_valid(world, &shown).unwrap();
        let of = |key: &Key| {
            let unused = shown["unused"].as_array().unwrap().iter();
            unused.clone().find(|unused| unused["fingerprint"] == key.fingerprint()).unwrap().clone()
        };
        let limited_push = of(&limited_key);
        assert_eq!(
            (&limited_push["rule"], &limited_push["options"], &limited_push["recorder"]),
            (&json!("contractors"), &json!(SHOWN), &json!("tlog-rec-session"))
        );
        assert_eq!(
            (&limited_push["principal"], &limited_push["verified"]),
            (&json!(CONTRACTOR), &json!(false))
        );
        let free = of(&free_key);
        assert_eq!((&free["rule"], &free["options"]), (&Value::Null, &Value::Null), "{free:#}");
        assert!(free["principal"].as_str().unwrap().starts_with("arn:aws:iam::123456789012:user/eve;\\x20"));
    });
}

#[test]
fn required_log_withholds_the_key_of_a_rule() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        // The longest line: the rule's options have the principal, and the name of the rule has many bytes.
        let long = format!("arn:aws:sts::123456789012:assumed-role/Contractor/{}", "\"".repeat(1990));
        let name = "n\u{e9} ".repeat(300);
        let rule = contractors("options = 'command=\"echo %{principal}\"'")
            .replace("\"contractors\"", &format!("\"{name}\""));
        world.configure(&format!("[audit]\nrequired = true\n{rule}"));
        push(world, "ec2-user", &key, &long, 0);
        let run = world.run(&["ec2-user"]);
        assert!(run.keys().is_empty() && run.notes().contains("audit-unavailable"), "{run:?}");
        let full = UnixDatagram::bind("/dev/log").unwrap();
        fs::set_permissions("/dev/log", std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let writer = UnixDatagram::unbound().unwrap();
        writer.set_nonblocking(true).unwrap();
        while writer.send_to(b"x", "/dev/log").is_ok() {}
        let run = world.run(&["ec2-user"]);
        assert!(run.keys().is_empty() && run.notes().contains("audit-unavailable"), "{run:?}");
        drop(full);
        fs::remove_file("/dev/log").unwrap();

        let syslog = Syslog::bind();
        let run = world.run(&["ec2-user"]);
        assert!(run.keys().starts_with("command=\"echo arn:aws:sts::123456789012:"), "{run:?}");
        let line = syslog.agent_lines().remove(0);
        let (start, options) = line.split_once("; with options: ").unwrap();
        assert!(options.ends_with("...") && options.len() == 1024 + 3, "{options}");
        let rule = start.split_once("; allowed by rule: ").unwrap().1;
        assert!(rule.starts_with("n\\xe9 n\\xe9") && rule.ends_with("..."), "{rule}");
    });
}

#[test]
fn explain_shows_the_options_of_each_key() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out("", &[]);
        assert_eq!(agent(world, &["enable"]).status, Some(0));
        world.configure_unhurried(&limited());
        let [limited_key, free_key] = ["limited", "free"].map(|name| Key::ed25519(world, name));
        for (key, caller, options) in
            [(&limited_key, CONTRACTOR, json!(SHOWN)), (&free_key, DEPLOY, Value::Null)]
        {
            push(world, "ec2-user", key, caller, 0);
            let json: Value =
                serde_json::from_str(&agent(world, &["explain", "ec2-user", "--json"]).out).unwrap();
            assert_eq!(json["judgement"]["keys"][0]["options"], options, "{json:#}");
            let text = agent(world, &["explain", "ec2-user"]).out;
            assert_eq!(text.contains("  options    restrict,pty,command="), options.is_string(), "{text}");
            let line = world.run(&["ec2-user"]).keys();
            let prefix = options.as_str().map_or_else(String::new, |options| format!("{options} "));
            assert_eq!(line, format!("{prefix}{}\n", key.bare_line()), "explain shows what sshd gets");
        }
        // A rule judges only proven keys, so the values of a key that it refuses are proven.
        world.configure_unhurried(&contractors("days = [\"Mon\"]\ntime_zone = \"Nowhere/Land\""));
        push(world, "ec2-user", &limited_key, CONTRACTOR, 0);
        let text = agent(world, &["explain", "ec2-user"]).out;
        assert!(
            text.contains("refused: time-zone-unknown: contractors") && !text.contains("(claimed)"),
            "{text}"
        );
    });
}

#[test]
fn rules_test_has_the_words_of_a_refusal() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        let rest = "[[rule]]\nname = \"rest\"\naction = \"deny\"\n";
        for (settings, words) in [
            (
                format!("{}{rest}", contractors("")),
                "denied-by-rule: rest (a rule of this instance), pushed by ARN; rules that allow keys for this user: contractors",
            ),
            (
                format!("[policy]\ndefault = \"deny\"\n{}", contractors("users = [\"root\"]")),
                "denied-by-default: no rule of this instance matches, and [policy] default is deny, pushed by ARN; no rule allows keys for this user",
            ),
        ] {
            world.configure(&settings);
            push(world, "ec2-user", &key, DEPLOY, 0);
            let words = words.replace("ARN", DEPLOY);
            let run = world.run(&["ec2-user"]);
            assert!(run.keys().is_empty() && run.notes().contains(&words), "{words}: {run:?}");
            let test = Command::new(world.agent())
                .args(["rules", "test", "--user", "ec2-user", "--principal", DEPLOY, "--json"])
                .output()
                .unwrap();
            let test: Value = serde_json::from_slice(&test.stdout).unwrap();
            assert!(words.ends_with(test["detail"].as_str().unwrap()), "{test:#}");
        }
    });
}
