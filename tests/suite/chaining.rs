//! Providers that are chained behind the agent. Their users log in even if the agent's own part fails, and the
//! agent's users log in even if a provider fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use eic_emulator::{Config, Fault};

use crate::documents::block;
use crate::world::{BOB, Key, Sshd, Syslog, TIMES, UNHURRIED, World, on_an_instance, test_path, until};

fn chained(world: &World, user: &str, options: &str, providers: &str) -> Sshd {
    let agent = world.agent();
    let command =
        format!("AuthorizedKeysCommand {} authorized-keys {options} %u %f {providers}", agent.display());
    Sshd::with(world, &format!("{command}\nAuthorizedKeysCommandUser {user}\n"))
}

/// A provider that has this key for `ubuntu`.
fn provider_of(world: &World, key: &Key) -> String {
    let script = world.script("provider", &format!("[ \"$1\" = ubuntu ] && echo '{}'; exit 0", key.line()));
    format!("-- {} %u", script.display())
}

#[test]
fn users_of_agent_and_provider_log_in_with_metadata_up_and_down() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (pushed, theirs) = (Key::ed25519(world, "pushed"), Key::ed25519(world, "theirs"));
        let provider = provider_of(world, &theirs);
        let sshd = chained(world, "eic-agent", UNHURRIED, &provider);
        world.emulator.push("ec2-user", &pushed.line(), BOB);
        assert!(world.ssh("ec2-user", &[&pushed]).ok);
        assert!(world.ssh("ubuntu", &[&theirs]).ok);
        assert!(!world.ssh("ec2-user", &[&theirs]).ok);

        world.emulator.inject(Fault::everywhere().status(403));
        assert!(world.ssh("ubuntu", &[&theirs]).ok, "metadata is off");
        world.emulator.clear_faults();
        world.configure("rubbish");
        assert!(world.ssh("ubuntu", &[&theirs]).ok, "the settings are broken");
        assert!(!world.ssh("ec2-user", &[&pushed]).ok, "broken settings refuse pushed keys");
        world.configure(&"a\n".repeat(100_000));
        assert!(world.ssh("ubuntu", &[&theirs]).ok, "every line of the settings is wrong");
        fs::remove_file("/etc/eic-agent.toml").unwrap();
        drop(sshd);

        world.emulator.inject(Fault::everywhere().delay(Duration::from_secs(3600)));
        // The agent waits for metadata until its time limit. A provider on a busy machine must end within the same
        // time.
        let comes_in = |seconds: &u64| {
            let _sshd = chained(world, "eic-agent", &format!("--timeout {seconds}"), &provider);
            world.ssh("ubuntu", &[&theirs]).ok
        };
        assert!(TIMES.iter().any(comes_in), "metadata is silent");
        world.emulator.clear_faults();
        world.without_asset_tag();
        let _sshd = chained(world, "eic-agent", UNHURRIED, &provider);
        assert!(world.ssh("ubuntu", &[&theirs]).ok, "the machine is not EC2");
    });
}

#[test]
fn any_login_name_reaches_the_provider_and_the_run_succeeds() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let script = world.script("echo-args", "printf '%s\\n' \"$@\"");
        let script = script.to_str().unwrap();
        for name in ["a b", "-x", "DOMAIN\\user", "1234", "caf\u{e9}"] {
            let run = world.run(&[name, "SHA256:x", "--", script, name, "--timeout", "--", script, "second"]);
            assert_eq!(
                (run.status(), run.keys()),
                (Some(0), format!("{name}\n--timeout\nsecond\n")),
                "{run:?}"
            );
        }
        let run = world.run(&["--imds-endpoint", "http://127.0.0.1:9", "ec2-user", "--", script, "answer"]);
        assert_eq!(
            (run.status(), run.keys().as_str()),
            (Some(0), "answer\n"),
            "the agent's own part failed: {run:?}"
        );
    });
}

#[test]
fn own_key_is_printed_before_those_of_the_providers_in_their_order() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        world.emulator.push("ec2-user", &key.line(), BOB);
        let slow = world.script("slow", "sleep 0.3; printf 'slow'");
        let fast = world.script("fast", "echo fast");
        let run = world.run(&["ec2-user", "--", slow.to_str().unwrap(), "--", fast.to_str().unwrap()]);
        assert_eq!(run.keys(), format!("{}\nslow\nfast\n", key.bare_line()));
    });
}

/// A provider with a fault.
struct Misbehaving {
    name: &'static str,
    program: PathBuf,
    /// The reason in the agent's line, and the words after it.
    reason: &'static str,
    /// What sshd still gets from this provider.
    printed: String,
}

#[test]
fn misbehaving_provider_does_not_affect_other_providers() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.emulator.push("ec2-user", &key.line(), BOB);
        let good = world.script("good", "echo good");
        let open = world.script("open", "echo open");
        fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o775)).unwrap();
        let line = "x".repeat(99);
        for Misbehaving { name, program, reason, printed } in [
            Misbehaving {
                name: "fails",
                program: world.script("fails", "echo lost; exit 3"),
                reason: "provider-failed: ended with status 3",
                printed: String::new(),
            },
            Misbehaving {
                name: "dies",
                program: world.script("dies", "echo lost; kill -9 $$"),
                reason: "provider-failed: ended with status 137",
                printed: String::new(),
            },
            Misbehaving {
                name: "hangs",
                program: world.script("hangs", "echo lost; sleep 600"),
                reason: "provider-timeout: had not ended after ",
                printed: String::new(),
            },
            Misbehaving {
                name: "ignores",
                program: world.script("ignores", "trap '' TERM ALRM; sleep 600 & wait; sleep 600"),
                reason: "provider-timeout: ",
                printed: String::new(),
            },
            Misbehaving {
                name: "floods",
                program: world.script("floods", &format!("yes {line} | head -c 10000000")),
                reason: "provider-too-large: printed more than 1048576 bytes",
                printed: format!("{line}\n").repeat(10485),
            },
            Misbehaving {
                name: "open",
                program: open,
                reason: "provider-insecure: expected ",
                printed: String::new(),
            },
            Misbehaving {
                name: "absent",
                program: world.path("bin/absent"),
                reason: "provider-insecure: ",
                printed: String::new(),
            },
            Misbehaving {
                name: "relative",
                program: "bin/sh".into(),
                reason: "provider-insecure: expected an absolute path",
                printed: String::new(),
            },
        ] {
            let expected = format!("{}\n{printed}good\n", key.bare_line());
            let words = ["ec2-user", "--", program.to_str().unwrap(), "--", good.to_str().unwrap()];
            let run = if reason.starts_with("provider-timeout") {
                world.run_out_of_time("root", &words, |run| {
                    let has_all = run.keys() == expected;
                    if !has_all {
                        syslog.clear();
                    }
                    has_all
                })
            } else {
                world.run(&words)
            };
            assert_eq!(run.status(), Some(0), "{name}: {}", run.notes());
            assert!(run.keys() == expected, "{name}: {} bytes", run.keys().len());
            assert!(run.is_soon(), "{name}: {:?}", run.took);
            let logged = syslog.agent_lines().remove(1);
            let start = format!("Provider \"{}\" asked for user \"ec2-user\": {reason}", program.display());
            assert!(logged.starts_with(&start), "{name}: {logged}");
            let time = format!("{} s", run.within.as_secs());
            assert!(name != "hangs" || logged.contains(&time), "{name}: {logged}");
            syslog.clear();
        }
        // When the agent ends, the supervisors end too. They end the programs that they run.
        until("nothing is left running", || {
            let mut left = fs::read_dir("/proc").unwrap().flatten().filter(|process| {
                // The argument is compared as a whole: the test program's name contains a hash, which may contain
                // these digits.
                fs::read(process.path().join("cmdline"))
                    .is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == b"600"))
            });
            left.next().is_none()
        });
    });
}

#[test]
fn run_as_root_gives_up_roots_rights_and_gives_the_provider_its_own_user() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let seen = world.shared_folder();
        let theirs = Key::ed25519(world, "theirs");
        // Slow answers of metadata keep the agent running. Meanwhile the provider watches it from outside, until the
        // agent has given up root's rights.
        world.emulator.inject(Fault::everywhere().delay(Duration::from_millis(800)));
        let script = world.script(
            "looks",
            &format!(
                "id -un >{0}/provider; id -G >{0}/groups
                 for look in $(seq 200); do
                     for status in /proc/[0-9]*/status; do
                         case $(tr '\\0' ' ' <\"${{status%status}}cmdline\" 2>/dev/null) in
                             *' authorized-keys '*) grep -E '^(Uid|Gid|Groups|CapEff):' \"$status\" ;;
                         esac
                     done >{0}/agent
                     if grep -q . {0}/agent && ! grep -q '^Uid:.0' {0}/agent; then break; fi
                     sleep 0.1
                 done
                 echo '{1}'",
                seen.display(),
                theirs.line()
            ),
        );
        let options = format!("{UNHURRIED} --provider-user provider");
        let _sshd = chained(world, "root", &options, &format!("-- {} %u", script.display()));
        assert!(world.ssh("ubuntu", &[&theirs]).ok);
        let read = |name: &str| fs::read_to_string(seen.join(name)).unwrap();
        assert_eq!(read("provider").trim(), "provider");
        assert_eq!(read("groups").trim(), "60103");
        let agent = read("agent");
        let uid = "Uid:\t60104\t60104\t60104\t60104\n";
        let gid = "Gid:\t60104\t60104\t60104\t60104\n";
        assert!(agent.contains(uid) && agent.contains(gid), "{agent}");
        assert!(agent.contains("Groups:\t \n") || agent.contains("Groups:\t\n"), "{agent}");
        assert!(agent.contains("CapEff:\t0000000000000000\n"), "{agent}");
        assert!(!agent.contains("Uid:\t0"), "{agent}");
    });
}

#[test]
fn missing_provider_user_runs_nothing_as_root() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let seen = world.shared_folder();
        let script = world.script("marks", &format!("touch {}/ran; echo x", seen.display()));
        let run = world.run(&["--provider-user", "no-such-user", "u", "--", script.to_str().unwrap()]);
        assert_eq!((run.status(), run.keys().as_str()), (Some(0), ""));
        assert!(run.notes().contains("provider-failed: expected the user no-such-user"), "{}", run.notes());
        assert!(!seen.join("ran").exists());
    });
}

#[test]
fn the_readmes_recipe_for_sssd_works() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (pushed, theirs) = (Key::ed25519(world, "pushed"), Key::ed25519(world, "theirs"));
        let seen = world.shared_folder();
        let sssd = world.script(
            "sss",
            &format!(
                "id -un >{}/user; [ \"$1\" = ubuntu ] && echo '{}'; exit 0",
                seen.display(),
                theirs.line()
            ),
        );
        let recipe = block(
            "docs/settings.md",
            "AuthorizedKeysCommand /usr/bin/eic-agent authorized-keys --provider-user",
        )
        .replace("/usr/bin/eic-agent", world.agent().to_str().unwrap())
        .replace("/usr/bin/sss_ssh_authorizedkeys", sssd.to_str().unwrap());
        assert!(!recipe.contains("/usr/bin"), "{recipe}");
        world.configure_unhurried("");
        let _sshd = Sshd::with(world, &format!("{recipe}\n"));
        world.emulator.push("ec2-user", &pushed.line(), BOB);
        assert!(world.ssh("ec2-user", &[&pushed]).ok);
        assert!(world.ssh("ubuntu", &[&theirs]).ok);
        assert_eq!(fs::read_to_string(Path::new(&seen).join("user")).unwrap().trim(), "nobody");
    });
}
