//! README.md and docs: a test runs every command, and compares every screen with what the program prints.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use eic_core::reason::Reason;
use eic_emulator::{Config, Entry, Fault};
use serde_json::Value;

use crate::doctor::enabled;
use crate::security::root;
use crate::wiring::agent;
use crate::world::{
    BOB, INSTANCE, Journald, Key, Sshd, Syslog, World, installed, mount, on_an_instance, test_path,
};

/// The documents, by their path from the top of the project.
const DOCUMENTS: [(&str, &str); 9] = [
    ("README.md", include_str!("../../README.md")),
    ("docs/audit.md", include_str!("../../docs/audit.md")),
    ("docs/code.md", include_str!("../../docs/code.md")),
    ("docs/fleet.md", include_str!("../../docs/fleet.md")),
    ("docs/images.md", include_str!("../../docs/images.md")),
    ("docs/install.md", include_str!("../../docs/install.md")),
    ("docs/performance.md", include_str!("../../docs/performance.md")),
    ("docs/settings.md", include_str!("../../docs/settings.md")),
    ("docs/troubleshooting.md", include_str!("../../docs/troubleshooting.md")),
];

/// Which file runs or compares each fenced block: document, first words of the block, file. A file that runs a block
/// finds it by these words.
const CHECKED: [(&str, &str, &str); 76] = [
    ("docs/code.md", "┌", "tests/drawing"),
    ("docs/code.md", "calls, in the order of time", "tests/drawing"),
    ("README.md", "make demo", "tests/suite/documents.rs"),
    ("README.md", " 4  The key logs in", ".ci/run"),
    ("README.md", "  aws ec2-instance-connect send-ssh-public-key", "tests/suite/documents.rs"),
    ("README.md", "sudo sh provision URL", "tests/packages/cases/documents.sh"),
    ("README.md", "aws ec2-instance-connect send-ssh-public-key", "tests/suite/documents.rs"),
    ("README.md", "sudo eic-agent sessions", "tests/suite/documents.rs"),
    ("README.md", "[[rule]]", "tests/suite/settings.rs"),
    ("docs/audit.md", "Providing ssh key", "tests/suite/documents.rs"),
    ("docs/audit.md", "Refusing ssh key", "tests/suite/documents.rs"),
    ("docs/audit.md", "journalctl -o json", "tests/suite/documents.rs"),
    ("docs/audit.md", "2026-11-21T18:41:33Z to", "tests/suite/sessions/journal.rs"),
    ("docs/audit.md", "sudo eic-agent sessions --since 30d --json", "tests/suite/documents.rs"),
    ("docs/audit.md", "sudo install -d", "tests/suite/documents.rs"),
    ("docs/audit.md", "sudo eic-agent sessions --all --jsonl", "tests/suite/documents.rs"),
    ("docs/audit.md", "jq -r '.sessions[].pushes[]", "tests/suite/documents.rs"),
    ("docs/audit.md", "{\n  \"request\"", "tests/suite/documents.rs"),
    ("docs/audit.md", "jq -r '.sessions[] | [.start", "tests/suite/documents.rs"),
    ("docs/audit.md", "2026-11-21T18:41:00Z  ", "tests/suite/documents.rs"),
    ("docs/fleet.md", "# the stack of an account and a region", "tests/fleet/test_documents.py"),
    ("docs/fleet.md", "# a trail into the bucket of the stack", "tests/fleet/test_documents.py"),
    ("docs/fleet.md", "# an instance joins the fleet", "tests/fleet/test_documents.py"),
    ("docs/fleet.md", "# what doctor found on the fleet", "tests/fleet/test_documents.py"),
    ("docs/fleet.md", "# Ansible: one host first", "tests/fleet/test_documents.py"),
    ("docs/fleet.md", "# new instances: a launch template", "tests/fleet/test_documents.py"),
    ("docs/fleet.md", "# images: a pipeline of EC2 Image Builder", "tests/fleet/test_documents.py"),
    ("docs/fleet.md", "# the report of a month, on a laptop", "tests/fleet/test_documents.py"),
    ("docs/fleet.md", "# who may push a key", "tests/fleet/test_documents.py"),
    ("docs/fleet.md", "# the text of a query for Athena", "tests/fleet/test_documents.py"),
    ("docs/fleet.md", "# the page from answers of Athena", "tests/fleet/test_documents.py"),
    ("docs/images.md", "# from an AWS account", "packaging/ami/check"),
    ("docs/images.md", "#!/bin/sh", "packaging/ami/check"),
    ("docs/images.md", "sudo eic-agent host-keys", "tests/suite/host_keys.rs"),
    ("docs/images.md", "# the instance: write", "tests/suite/host_keys.rs"),
    ("docs/images.md", "# the client: read", "tests/suite/host_keys.rs"),
    ("docs/images.md", "# Ansible:", "packaging/ami/check"),
    ("docs/install.md", "make deb rpm", "tests/suite/documents.rs"),
    ("docs/install.md", "gpg --batch", "tests/packages/materials"),
    ("docs/install.md", "EIC_SIGNING_KEY=key.asc", "tests/packages/materials"),
    ("docs/install.md", "sudo sh provision URL", "tests/packages/cases/documents.sh"),
    ("docs/install.md", "sudo eic-agent status", "tests/packages/cases/documents.sh"),
    ("docs/install.md", "sudo dnf swap", "tests/packages/cases/rpm-documents.sh"),
    ("docs/install.md", "sudo apt-get purge", "tests/packages/cases/documents.sh"),
    ("docs/install.md", "sudo dnf remove eic-agent", "tests/packages/cases/rpm-documents.sh"),
    ("docs/install.md", "sudo dnf remove eic-agent &&", "tests/packages/cases/rpm-documents.sh"),
    ("docs/install.md", "make release pages", "tests/packages/cases/documents.sh"),
    ("docs/install.md", "{\n  \"Version\"", "tests/suite/documents.rs"),
    ("docs/performance.md", "make bench", "tests/suite/documents.rs"),
    ("docs/performance.md", "path    answer", "tests/bench/src/report.rs"),
    ("docs/performance.md", "make load", "tests/suite/documents.rs"),
    ("docs/performance.md", "load: logins     ", "tests/suite/load/mod.rs"),
    ("docs/performance.md", "warm: logins     ", "tests/suite/load/mod.rs"),
    ("docs/performance.md", "MaxStartups 100", "tests/suite/load/mod.rs"),
    ("docs/settings.md", "sudo eic-agent config", "tests/suite/documents.rs"),
    ("docs/settings.md", "[[rule]]", "tests/suite/settings.rs"),
    ("docs/settings.md", "[policy]", "tests/suite/limits/mod.rs"),
    ("docs/settings.md", "MaxSessions 1", "tests/suite/limits/recording.rs"),
    (
        "docs/settings.md",
        "sudo journalctl -o verbose SYSLOG_IDENTIFIER=tlog-rec-session",
        "tests/suite/limits/recording.rs",
    ),
    ("docs/settings.md", "eic-agent rules test", "tests/suite/limits/options.rs"),
    ("docs/settings.md", "[[rule]]\nname = \"deploy\"", "tests/suite/limits/options.rs"),
    ("docs/settings.md", "[audit]", "tests/suite/limits/options.rs"),
    ("docs/settings.md", "[keys]\noptions", "tests/suite/settings.rs"),
    ("docs/settings.md", "[keys]\nsession", "tests/suite/session_wrapper/mod.rs"),
    ("docs/settings.md", "[imds]", "tests/suite/memory/mod.rs"),
    ("docs/settings.md", "PermitUserEnvironment EIC_*", "tests/suite/settings.rs"),
    (
        "docs/settings.md",
        "AuthorizedKeysCommand /usr/bin/eic-agent authorized-keys --provider-user",
        "tests/suite/chaining.rs",
    ),
    ("docs/settings.md", "sudo chmod go+x", "tests/suite/documents.rs"),
    ("docs/settings.md", "sudo eic-agent enable --pin", "tests/suite/documents.rs"),
    ("docs/troubleshooting.md", "sudo eic-agent doctor --user", "tests/suite/documents.rs"),
    ("docs/troubleshooting.md", "ok       openssh        OpenSSH", "tests/suite/doctor/output.rs"),
    ("docs/troubleshooting.md", "sudo eic-agent explain", "tests/suite/documents.rs"),
    ("docs/troubleshooting.md", "sshd runs    ", "tests/suite/documents.rs"),
    ("docs/troubleshooting.md", "journalctl SYSLOG_IDENTIFIER", "tests/suite/documents.rs"),
    ("docs/troubleshooting.md", "sudo eic-agent capture", "tests/suite/documents.rs"),
    ("docs/troubleshooting.md", "T=$(curl", "tests/suite/documents.rs"),
];

pub(crate) fn document(name: &str) -> &'static str {
    DOCUMENTS.iter().find(|(known, _)| *known == name).expect(name).1
}

fn blocks(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').map_or("", |(_, text)| text))
}

/// The fenced block of a document that begins with `start`.
pub(crate) fn block(name: &str, start: &str) -> &'static str {
    let mut found = blocks(document(name)).filter(|text| text.starts_with(start));
    found.next().unwrap_or_else(|| panic!("{name} has no block that begins with {start}"))
}

/// Compares the screen in a document with the output of a program: see `tests/screen`.
pub(crate) fn assert_screen(name: &str, start: &str, printed: &str) {
    let mut compare = Command::new(installed("python3"))
        .arg(root().join("tests/screen"))
        .arg(root().join(name))
        .arg(start)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    compare.stdin.take().unwrap().write_all(printed.as_bytes()).unwrap();
    let output = compare.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn every_block_of_the_documents_is_run_or_compared() {
    let mut checked = BTreeSet::new();
    for (name, text) in DOCUMENTS {
        for block in blocks(text) {
            let rows = CHECKED.iter().filter(|row| row.0 == name && block.starts_with(row.1));
            let row = rows.max_by_key(|row| row.1.len());
            let row = row.unwrap_or_else(|| panic!("{name}: no test runs or compares this:\n{block}"));
            assert!(checked.insert(row), "{name}: two blocks begin with {}", row.1);
        }
    }
    for row in &CHECKED {
        assert!(checked.contains(row), "{} has no block that begins with {}", row.0, row.1);
        let file = fs::read_to_string(root().join(row.2)).unwrap();
        // Rust and the shell write quotes and line ends in their own ways.
        let words = row.1.lines().next().unwrap().replace('"', "\\\"");
        assert!(
            file.contains(row.1.lines().next().unwrap()) || file.contains(&words),
            "{} does not run or compare the block of {} that begins with {}",
            row.2,
            row.0,
            row.1
        );
    }
}

#[test]
fn screen_that_differs_is_reported() {
    let compare = |printed: &str| {
        std::panic::catch_unwind(|| assert_screen("docs/audit.md", "2026-11-21T18:41:00Z  ", printed)).is_ok()
    };
    let end =
        "ec2-user\t127.0.0.1\tarn:aws:iam::210987654321:user/alice\t00000000-49b5-4521-87b2-361938952db0";
    assert!(compare(&format!("first\n2027-01-02T03:04:05Z\t2027-01-02T03:04:06Z\t{end}\n")));
    assert!(!compare(&format!("2027-01-02T03:04:05Z\tunknown\t{end}\n")));
    assert!(!compare(""));
}

#[test]
fn recipe_that_saves_and_judges_evidence_works() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        world.emulator.push("ec2-user", &key.line(), BOB);
        let output = Command::new("sh")
            .args(["-euc", block("docs/troubleshooting.md", "T=$(curl")])
            .current_dir(world.path("etc"))
            .env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n", key.bare_line()));
        assert!(said.contains(&format!("key {}: accepted, until ", key.fingerprint())), "{said}");
        assert_eq!(said.matches("    staple good, ").count(), 2, "{said}");
    });
}

/// From the log of the instance to the record of the push in CloudTrail.
#[test]
fn recipe_that_finds_a_push_in_cloudtrail_works() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let _sshd = Sshd::with_pam(world, "");
        let keys = ["alice", "bob"].map(|name| (name, Key::ed25519(world, name)));
        for (name, key) in &keys {
            let access_key = format!("AKIAEXAMPLE{}", name.to_uppercase());
            assert!(world.aws_push(&access_key, INSTANCE, "ec2-user", key).status.success());
            let stay = world.ssh_stay("ec2-user", key);
            std::thread::sleep(std::time::Duration::from_millis(1500));
            stay.leave();
        }
        journal.wait_for_lines(2, "session closed for user ec2-user");
        world.script("sudo", "exec \"$@\"");
        let run_to = |statuses: &[i32], block: &str| {
            let mut command = world.with_clients(Command::new("sh"));
            let output = command.args(["-euc", block]).current_dir(world.path("etc")).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            let status = output.status.code().unwrap();
            assert!(statuses.contains(&status) && said.is_empty(), "{status}: {said}");
            let output = String::from_utf8(output.stdout).unwrap();
            eprintln!("{output}");
            output
        };
        let run = |block: &str| run_to(&[0], block);
        // Status 1 means an incomplete report: journald may be too late to identify the writer of the line about an
        // end, and this log does not reach back for 30 days.
        run_to(&[0, 1], "sudo eic-agent sessions");
        run_to(&[1], block("docs/audit.md", "sudo eic-agent sessions --since 30d --json"));
        mount(&["-t", "tmpfs", "tmpfs", "/var/lib"]);
        run(block("docs/audit.md", "sudo install -d"));
        run_to(&[0, 1], block("docs/audit.md", "sudo eic-agent sessions --all --jsonl"));
        let found = run(block("docs/audit.md", "jq -r '.sessions[].pushes[]"));
        assert_screen("docs/audit.md", "{\n  \"request\"", &found);
        let found: Vec<serde_json::Value> =
            serde_json::Deserializer::from_str(&found).into_iter().map(Result::unwrap).collect();
        let who: BTreeSet<_> = found.iter().map(|event| event["who"].as_str().unwrap()).collect();
        assert_eq!(
            who,
            ["alice", "bob"]
                .map(|name| format!("arn:aws:iam::123456789012:user/{name}"))
                .iter()
                .map(String::as_str)
                .collect()
        );
        for event in &found {
            assert_eq!(
                (&event["instance"], &event["as"]),
                (&INSTANCE.into(), &"ec2-user".into()),
                "{event:#}"
            );
        }
        assert_eq!(found.len(), 2);
        let table = run(block("docs/audit.md", "jq -r '.sessions[] | [.start"));
        assert_eq!(table.lines().count(), 2, "{table}");
        assert_screen("docs/audit.md", "2026-11-21T18:41:00Z  ", &table);
    });
}

fn shell(world: &World, script: &str) -> (Option<i32>, String, String) {
    let mut command = world.with_clients(Command::new("sh"));
    let output = command.args(["-euc", script]).current_dir(world.path("etc")).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Runs one line of a document. Its programs are the agent, the real clients, and this machine's own.
fn runs(world: &World, line: &str) -> String {
    let (status, out, err) = shell(world, line);
    // `sessions` ends with 1 if journald was too late to identify a writer.
    let allowed = if line.contains("eic-agent sessions") { 0..=1 } else { 0..=0 };
    assert!(status.is_some_and(|status| allowed.contains(&status)), "{line}: {status:?}\n{out}{err}");
    out
}

#[test]
fn commands_of_the_documents_work() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let _sshd = enabled(world);
        world.script("sudo", "exec \"$@\"");
        // ssh looks for keys in the home folder of the account, whatever HOME is.
        world.script(
            "ssh",
            "exec /usr/bin/ssh -i \"$HOME/.ssh/id_ed25519\" -o IdentitiesOnly=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null \"$@\" id -un",
        );
        runs(
            world,
            "mkdir -m 700 \"$HOME/.ssh\"; ssh-keygen -q -t ed25519 -N '' -f \"$HOME/.ssh/id_ed25519\"",
        );

        let login = block("README.md", "aws ec2-instance-connect send-ssh-public-key");
        let seen = runs(world, &login.replace("ADDRESS", "127.0.0.1"));
        assert!(seen.ends_with("ec2-user\n"), "{seen}");
        journal.wait_for("Accepted publickey for ec2-user");

        for line in block("README.md", "sudo eic-agent sessions").lines() {
            runs(world, line);
        }
        let explained = runs(world, block("docs/troubleshooting.md", "sudo eic-agent explain"));
        assert_eq!(explained.matches("accepted, ").count(), 1, "{explained}");
        runs(world, block("docs/troubleshooting.md", "sudo eic-agent doctor --user"));
        runs(world, block("docs/troubleshooting.md", "sudo eic-agent capture"));
        let judged = runs(world, "eic-agent verify --capture evidence.json");
        assert!(judged.starts_with("ssh-ed25519 "), "{judged}");
        let logged = runs(world, block("docs/troubleshooting.md", "journalctl SYSLOG_IDENTIFIER"));
        assert!(logged.contains("Providing ssh key"), "{logged}");
        let events = runs(world, block("docs/audit.md", "journalctl -o json"));
        assert!(events.contains("\"EIC_EVENT\":\"provided\""), "{events}");
        let fields = document("docs/audit.md").split('`').skip(1).step_by(2).filter(|word| {
            word.starts_with("EIC_")
                // A login without rules, options, inputs, wrapper, terminal and further pushes does not have these.
                && ![
                    "EIC_FURTHER_REQUEST_IDS",
                    "EIC_REASON",
                    "EIC_PROVIDER",
                    "EIC_INPUTS",
                    "EIC_RULE",
                    "EIC_OPTIONS",
                    "EIC_NOT_WRAPPED",
                    "EIC_TTY",
                ]
                .contains(word)
                && !word.ends_with('…')
        });
        for field in fields {
            assert!(events.contains(&format!("\"{field}\"")), "{field}: {events}");
        }

        runs(world, block("docs/settings.md", "sudo eic-agent enable --pin"));
        let settings = runs(world, block("docs/settings.md", "sudo eic-agent config"));
        assert!(settings.contains("us-east-1"), "{settings}");
        fs::set_permissions("/etc/ssh/sshd_config.d", std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .unwrap();
        runs(world, block("docs/settings.md", "sudo chmod go+x"));
        runs(world, "setpriv --reuid eic-agent --clear-groups stat /etc/ssh/sshd_config.d/10-eic-agent.conf");
    });
}

#[test]
fn screen_of_troubleshooting_md_is_what_explain_prints() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = enabled(world);
        let key = Key::ed25519(world, "key");
        world.emulator.push("ec2-user", &key.line(), BOB);
        let printed = agent(world, &["explain", "ec2-user"]);
        assert_eq!(printed.status, Some(0), "{}", printed.err);
        let printed = printed.out.replace(&world.agent().display().to_string(), "/usr/bin/eic-agent");
        assert_screen("docs/troubleshooting.md", "sshd runs    ", &printed);
    });
}

#[test]
fn lines_of_audit_md_are_what_the_agent_logs() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.emulator.push("ec2-user", &key.line(), "arn:aws:sts::123456789012:assumed-role/Admin/alice");
        world.configure_unhurried("");
        assert!(world.run(&["ec2-user"]).keys().starts_with("ssh-ed25519 "));
        assert_screen("docs/audit.md", "Providing ssh key", &syslog.agent_lines().join("\n"));
        syslog.clear();

        let late = Entry::new(key.line()).timestamp(world.emulator.now() - 60).instance(INSTANCE).caller(BOB);
        world.emulator.set_entries("ec2-user", late.request("r").sign(&world.emulator.hierarchy().leaf_key));
        world.run(&["ec2-user"]);
        world.emulator.inject(Fault::at("/latest/api/token").status(403));
        world.run(&["ec2-user"]);
        assert_screen("docs/audit.md", "Refusing ssh key", &syslog.agent_lines().join("\n"));
    });
}

#[test]
fn every_reason_is_explained() {
    let table = document("docs/troubleshooting.md").split("\n## Reasons\n").nth(1).unwrap();
    for reason in Reason::ALL {
        assert!(table.contains(&format!("`{reason}`")), "docs/troubleshooting.md does not explain {reason}");
    }
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let named = rows.iter().flat_map(|row| row.split(" | ").next().unwrap().split('`').skip(1).step_by(2));
    for name in named {
        assert!(Reason::ALL.iter().any(|reason| reason.as_str() == name), "{name} is no reason");
    }
}

#[test]
fn readme_is_short() {
    let readme = document("README.md");
    assert!(readme.lines().count() <= 200, "{} lines", readme.lines().count());
    assert!(readme.split_whitespace().count() <= 1600, "{} words", readme.split_whitespace().count());
}

/// A package keeps the folders of the documents. So the links between documents work in a package too.
#[test]
fn links_of_the_documents_lead_to_files_and_sections() {
    let mut links = 0;
    for (name, text) in DOCUMENTS {
        let folder = Path::new(name).parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (path, section) = link.split_once('#').unwrap_or((link, ""));
            let file = if path.is_empty() { root().join(name) } else { root().join(folder).join(path) };
            assert!(file.exists(), "{name} links to {link}, which does not exist");
            if !section.is_empty() {
                let target = fs::read_to_string(&file).unwrap();
                let mut headings = target
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(|line| line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-"));
                assert!(headings.any(|heading| heading == section), "{name} links to {link}");
            }
        }
    }
    assert!(links > 20, "{links}");
}

#[test]
fn files_that_docs_code_md_names_exist() {
    let code = document("docs/code.md");
    let named: Vec<_> = code.split('`').skip(1).step_by(2).filter(|text| text.starts_with("src/")).collect();
    assert!(named.len() > 15, "has the form of docs/code.md changed? {named:?}");
    for path in named {
        assert!(root().join(path).exists(), "{path}");
    }
}

/// Make targets that the documents name.
#[test]
fn make_targets_that_the_documents_name_exist() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut named = 0;
    for (name, text) in DOCUMENTS {
        let quoted = text.split('`').skip(1).step_by(2).filter_map(|text| text.strip_prefix("make "));
        let lines = blocks(text).flat_map(str::lines).map(|line| line.trim_start_matches("sudo "));
        let run =
            lines.filter_map(|line| line.strip_prefix("make ")).map(|line| line.split('#').next().unwrap());
        for target in quoted.chain(run).flat_map(str::split_whitespace).filter(|word| !word.contains('=')) {
            assert!(makefile.contains(&format!("\n{target}:")), "{name} names `make {target}`");
            named += 1;
        }
    }
    assert!(named > 8, "{named}");
}

#[test]
fn policy_in_install_md_names_real_actions() {
    let policy: Value = serde_json::from_str(block("docs/install.md", "{\n  \"Version\"")).unwrap();
    let actions: BTreeSet<_> =
        policy["Statement"].as_array().unwrap().iter().map(|one| one["Action"].as_str().unwrap()).collect();
    // These are the actions that the clients call. mssh and `aws ec2-instance-connect ssh` also query the instance.
    assert_eq!(actions, BTreeSet::from(["ec2-instance-connect:SendSSHPublicKey", "ec2:DescribeInstances"]));
    let condition = &policy["Statement"][0]["Condition"]["StringEquals"];
    assert_eq!(condition["ec2:osuser"], "ec2-user");
}
