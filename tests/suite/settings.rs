//! The settings file on a whole instance: rules, options, trust, and the effect of a broken file.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;

use eic_core::evidence::chain::SignerChain;
use eic_core::verification::{IssuerSearch, TrustAnchors};
use eic_emulator::pki::{CertStatus, Issuer};
use eic_emulator::{Config, Entry};
use eic_host::trust_store::{Roots, TrustStore};

use crate::documents::block;
use crate::world::{BOB, INSTANCE, Key, Sshd, Syslog, UNHURRIED, World, on_an_instance, test_path};

const ADMIN: &str = "arn:aws:sts::123456789012:assumed-role/BreakGlass/alice";
const DEVELOPER: &str = "arn:aws:sts::123456789012:assumed-role/Developer/bob";

fn config(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(world.agent()).arg("config").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_rule_lets_one_role_in_and_keeps_another_out() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let _sshd = Sshd::start(world);
        world.configure(block("docs/settings.md", "[[rule]]"));
        assert_eq!(config(world, &[]).0, Some(0), "the recipe of docs/settings.md is sound");
        let (admin, developer) = (Key::ed25519(world, "admin"), Key::ed25519(world, "developer"));
        world.emulator.push("admin", &admin.line(), ADMIN);
        world.emulator.push("admin", &developer.line(), DEVELOPER);
        assert!(world.ssh("admin", &[&admin]).ok);
        syslog.clear();
        assert!(!world.ssh("admin", &[&developer]).ok);
        let line = syslog.agent_lines().remove(0);
        let start = "Refusing ssh key from EC2 Instance Connect for user admin: denied-by-rule: only break-glass (a rule of this instance), pushed by ";
        let end = format!("; IAM principal: {DEVELOPER}");
        assert!(
            line.starts_with(&format!(
                "{start}{DEVELOPER}; rules that allow keys for this user: break-glass; fingerprint: "
            )) && line.ends_with(&end),
            "{line}"
        );
    });
}

#[test]
fn broken_settings_file_affects_only_pushed_keys() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let _sshd = Sshd::start(world);
        let (own, pushed) = (Key::ed25519(world, "own"), Key::ed25519(world, "pushed"));
        world.authorize("ubuntu", &own);
        world.emulator.push("ubuntu", &pushed.line(), BOB);
        assert!(world.ssh("ubuntu", &[&pushed]).ok);
        let file = "/etc/eic-agent.toml";
        let check = |case: &str, reason: &str, words: &str| {
            syslog.clear();
            world.emulator.take_requests();
            assert!(!world.ssh("ubuntu", &[&pushed]).ok, "{case}");
            assert!(world.emulator.take_requests().is_empty(), "{case}: metadata must not be requested");
            let lines = syslog.agent_lines();
            let start = format!("No ssh keys from EC2 Instance Connect for user ubuntu: {reason}: {file}");
            assert!(
                lines.len() == 1 && lines[0].starts_with(&start) && lines[0].contains(words),
                "{case}: {lines:?}"
            );
            assert!(world.ssh("ubuntu", &[&own]).ok, "{case}: authorized_keys still works");
            assert_eq!(config(world, &[]).0, Some(1), "{case}");
        };
        world.configure("[imds]\ntimout = 3\n");
        check(
            "a typo",
            "settings-invalid",
            ":2: imds.timout: no such setting; expected one of endpoint, timeout",
        );
        world.configure("");
        fs::set_permissions(file, fs::Permissions::from_mode(0o664)).unwrap();
        check("writable by a group", "settings-insecure", "its mode is 0664; run: chmod go-w");
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
        chown(file, Some(60100), None).unwrap();
        check("a user's own", "settings-insecure", "it belongs to uid 60100; run: chown root");
        fs::remove_file(file).unwrap();
        std::os::unix::fs::symlink("/nonexistent", file).unwrap();
        check("a dangling link", "settings-unreadable", "No such file or directory");
        fs::remove_file(file).unwrap();
        world.configure("");
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        syslog.clear();
        assert!(!world.ssh("ubuntu", &[&pushed]).ok, "not readable for the agent's user");
        assert!(
            syslog.agent_lines()[0]
                .contains("settings-unreadable: /etc/eic-agent.toml: cannot be read: Permission denied")
        );
    });
}

#[test]
fn options_restrict_the_session_and_the_environment_names_the_principal() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let recipe = block("docs/settings.md", "[keys]\noptions");
        world.configure(recipe);
        let sshd_config = block("docs/settings.md", "PermitUserEnvironment EIC_*");
        let key = Key::ed25519(world, "key");
        world.emulator.push("ec2-user", &key.line(), BOB);
        // sshd does not permit the variables. A session would lack them, so the agent refuses the key.
        let refused = "settings-invalid: keys.environment: expected PermitUserEnvironment EIC_*";
        let run = world.run(&["ec2-user"]);
        assert!(run.notes().contains(refused), "{run:?}");
        let (status, _, faults) = config(world, &[]);
        assert!(
            status == Some(1)
                && faults.contains("expected PermitUserEnvironment EIC_* in sshd_config, got no"),
            "{faults}"
        );
        let system_config = fs::read_to_string("/etc/ssh/sshd_config").unwrap();
        let agent = world.agent();
        let command = format!(
            "AuthorizedKeysCommand {} authorized-keys {UNHURRIED} %u %f\nAuthorizedKeysCommandUser eic-agent\n",
            agent.display()
        );
        let host = Key::ed25519(world, "host");
        let server = format!("HostKey {}\nListenAddress 127.0.0.1\nUsePAM no\n", host.file().display());
        fs::write("/etc/ssh/sshd_config", format!("{sshd_config}\n{command}{server}{system_config}"))
            .unwrap();
        let _sshd = Sshd::listen(&[]);
        assert_eq!(config(world, &[]).0, Some(0));
        // This principal tries to end its quotes and to add options and a key.
        let hostile = "arn:aws:sts::1:assumed-role/x/\" ssh-rsa AAAA\\,command=\"id -u\" %41";
        let until = world.emulator.now() + 600;
        let entry = |caller: &str| {
            let entry =
                Entry::new(key.line()).timestamp(until).instance(INSTANCE).caller(caller).request("r-1");
            entry.sign(&world.emulator.hierarchy().leaf_key)
        };
        for (caller, shown) in [
            (ADMIN, ADMIN),
            (
                hostile,
                "arn:aws:sts::1:assumed-role/x/%22%20ssh-rsa%20AAAA%5C%2Ccommand=%22id%20-u%22%20%2541",
            ),
        ] {
            world.emulator.set_entries("ec2-user", entry(caller));
            let login = world.ssh_run("ec2-user", &[&key], "env");
            assert!(login.ok, "{login:?}");
            let variable = format!("EIC_PRINCIPAL={shown}");
            assert!(login.said.lines().any(|line| line == variable), "{}", login.said);
            assert!(login.said.lines().any(|line| line == "EIC_REQUEST_ID=r-1"), "{}", login.said);
        }
        let line = world.run(&["ec2-user"]).keys();
        assert!(line.starts_with("restrict,pty,environment=\"EIC_PRINCIPAL="), "{line}");
        assert!(
            line.ends_with(&format!("environment=\"EIC_REQUEST_ID=r-1\" {}\n", key.bare_line())),
            "{line}"
        );
        // `restrict` forbids forwarding, although sshd would allow it.
        let forward = Command::new("ssh")
            .args([
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "LogLevel=ERROR",
                "-o",
                "ExitOnForwardFailure=yes",
            ])
            .args([
                "-o",
                "UserKnownHostsFile=/dev/null",
                "-o",
                "StrictHostKeyChecking=no",
                "-R",
                "9999:127.0.0.1:22",
            ])
            .arg("-i")
            .arg(key.file())
            .args(["ec2-user@127.0.0.1", "true"])
            .output()
            .unwrap();
        assert!(!forward.status.success(), "{forward:?}");
    });
}

#[test]
fn options_that_this_openssh_does_not_know_are_refused() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        world.emulator.push("ec2-user", &key.line(), BOB);
        world.configure("[keys]\noptions = \"verify-required\"\n");
        assert!(world.run(&["ec2-user"]).keys().starts_with("verify-required ssh-ed25519 "));
        world.replace_sshd("OpenSSH_7.4p1, OpenSSL 1.0.2k-fips  26 Jan 2017");
        let run = world.run(&["ec2-user"]);
        assert_eq!((run.status(), run.keys().as_str()), (Some(1), ""));
        assert!(
            run.notes().contains(
                "settings-invalid: [keys] needs OpenSSH 8.4 or later, this instance has OpenSSH 7.4"
            ),
            "{}",
            run.notes()
        );
        let (status, _, faults) = config(world, &[]);
        assert!(
            status == Some(1)
                && faults.contains("[keys] needs OpenSSH 8.4 or later, this instance has OpenSSH 7.4"),
            "{faults}"
        );
        world.configure("[keys]\noptions = \"restrict\"\nenvironment = true\n");
        assert!(world.run(&["ec2-user"]).notes().contains("[keys] needs OpenSSH 7.8"));
        world.configure("[keys]\noptions = \"restrict\"\n");
        assert!(world.run(&["ec2-user"]).keys().starts_with("restrict ssh-ed25519 "));
    });
}

#[test]
fn trust_settings_narrow_the_roots_and_allow_missing_staples() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        let request = world.emulator.push("ec2-user", &key.line(), BOB);
        world.configure("[trust]\nroots = \"amazon\"\n");
        let ca = world.path("etc/ca.pem");
        let run = world.run(&["--ca-file", ca.to_str().unwrap(), "ec2-user"]);
        assert!(run.notes().contains("expected a root of Amazon Trust Services"), "{}", run.notes());

        world.configure("[trust]\nrevocation = \"when-stapled\"\n");
        let signer = world.emulator.hierarchy();
        let staples = |status| vec![signer.staple(0, world.emulator.now()).status(status).build()];
        world.emulator.set_staples(staples(CertStatus::Good));
        syslog.clear();
        assert_eq!(world.run(&["ec2-user"]).keys(), format!("{}\n", key.bare_line()));
        let line = syslog.agent_lines().remove(0);
        let start = format!(
            "Providing ssh key from EC2 Instance Connect with fingerprint: {}, request-id: {request}, for IAM principal: {BOB}; \
             without an OCSP staple for ",
            key.fingerprint()
        );
        assert!(line.starts_with(&start) && line.contains("M01"), "{line}");
        world
            .emulator
            .set_staples(staples(CertStatus::Revoked { at: world.emulator.now() - 9, reason: None }));
        assert!(
            world.run(&["ec2-user"]).notes().contains("signer-revoked"),
            "a staple that is there decides"
        );
        world.configure("");
        world.emulator.set_staples(staples(CertStatus::Good));
        assert!(world.run(&["ec2-user"]).notes().contains("staple-missing"), "the default demands all");
    });
}

#[test]
fn login_through_a_disabled_root_is_refused() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        world.emulator.push("ec2-user", &key.line(), BOB);
        let off = world.emulator.ca_pem().replace("-----BEGIN", "#-----BEGIN");
        world.trust(&off);
        let ca = world.path("etc/ca.pem");
        let run = world.run(&["--ca-file", ca.to_str().unwrap(), "ec2-user"]);
        assert_eq!((run.status(), run.keys().as_str()), (Some(1), ""), "{run:?}");
        assert!(run.notes().contains("without a usable one"), "{}", run.notes());
    });
}

#[test]
fn root_that_another_authority_issued_ends_a_path() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        let (signer, now) = (world.emulator.hierarchy(), world.emulator.now());
        let older = signer.older_root.certificate().self_signed(&signer.older_root.key).pem();
        // The chain does not name the issuer of this root.
        let elsewhere = Issuer::new("Emulator elsewhere", signer.oldest_root.key.clone());
        let issued = elsewhere.sign(signer.root.certificate()).pem();
        world.trust(&format!("{older}{issued}"));
        // These staples are enough for the path to this root, but not for the path to the older root.
        world.emulator.set_staples(signer.staples(now)[..2].to_vec());
        world.emulator.push("ec2-user", &key.line(), BOB);
        let run = world.run(&["ec2-user"]);
        assert_eq!(run.keys(), format!("{}\n", key.bare_line()), "{run:?}");
        // If no path is good, the agent searches again with all roots, to find the reason.
        world.emulator.set_staples(Vec::new());
        let run = world.run(&["ec2-user"]);
        assert!(run.notes().contains("staple-missing"), "{}", run.notes());
    });
}

#[test]
fn config_shows_each_value_in_force_and_its_source() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (status, shown, _) = config(world, &[]);
        assert!(status == Some(0) && shown.starts_with("# no /etc/eic-agent.toml: defaults\n"), "{shown}");
        world.configure("[imds]\ntimeout = 3\n[[rule]]\naction = \"deny\"\nusers = [\"root\"]\n");
        let (status, shown, _) = config(world, &["--ca-dir", "/etc/ssl/certs"]);
        assert_eq!(status, Some(0));
        for line in [
            "imds.timeout     3.0                          /etc/eic-agent.toml:2",
            "trust.ca_dir     \"/etc/ssl/certs\"             command line",
            "trust.roots      \"system\"                     default",
            "rule #1          deny users [\"root\"]          /etc/eic-agent.toml:3",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line:?} is not in\n{shown}");
        }
        let (_, json, _) = config(world, &["--json"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["schema_version"], 1);
        assert_eq!(json["file"], "/etc/eic-agent.toml");
        let timeout =
            json["settings"].as_array().unwrap().iter().find(|s| s["key"] == "imds.timeout").unwrap();
        assert_eq!(timeout["value"], 3.0);
        assert_eq!(timeout["from"], serde_json::json!({"origin": "file", "line": 2}));
        assert_eq!(json["rules"][0]["users"], serde_json::json!(["root"]));

        world.configure("[imds]\ntimeout = 0\n[trust]\nroots = \"x\"\nfoo = 1\n");
        let (status, shown, faults) = config(world, &[]);
        assert_eq!((status, shown.as_str(), faults.lines().count()), (Some(1), "", 3), "{faults}");
        assert!(
            faults.starts_with("/etc/eic-agent.toml:2: imds.timeout: expected 0.1 to 60 seconds, got 0\n"),
            "{faults}"
        );
        let (status, json, _) = config(world, &["--json"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((status, json["faults"].as_array().unwrap().len()), (Some(1), 3));
        assert_eq!(json["reason"], "settings-invalid");
        assert_eq!(
            config(world, &["--config", "/nonexistent.toml"]).0,
            Some(1),
            "a file that is named must be there"
        );
    });
}

#[test]
fn shipped_settings_file_is_valid_and_shows_every_setting() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let shipped = include_str!("../../packaging/eic-agent.toml");
        world.configure(shipped);
        let (status, defaults, faults) = config(world, &[]);
        assert_eq!((status, faults.as_str()), (Some(0), ""));
        assert!(defaults.lines().skip(1).all(|line| line.ends_with(" default")), "{defaults}");
        // With every setting uncommented, the file is still valid, and no setting is a default.
        let uncommented = shipped.lines().map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => setting,
            _ => line,
        });
        world.configure(&uncommented.collect::<Vec<_>>().join("\n"));
        let (status, all, faults) = config(world, &[]);
        assert_eq!((status, faults.as_str()), (Some(0), ""), "{all}");
        // The source of a long value is on the next line.
        assert_eq!(all.matches(" /etc/eic-agent.toml:").count(), 14 + 2, "{all}");
        assert!(!all.contains(" default"), "{all}");
    });
}

#[test]
fn amazons_roots_are_found_among_the_systems() {
    let store = |roots| TrustStore { roots, ..TrustStore::default() }.load().unwrap().count();
    assert!(store(Roots::System) > 50, "this machine has a trust store");
    assert_eq!(store(Roots::Amazon), 5, "Amazon Root CA 1 to 4 and Starfield Services Root CA - G2");
}

/// This test uses each root as a chain of one certificate. The agent must parse this root, in whatever form its name
/// is encoded, and almost no other root.
#[test]
fn system_roots_that_no_chain_names_are_not_parsed() {
    let bundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"];
    let store = bundles.iter().find_map(|bundle| fs::read_to_string(bundle).ok());
    let store = store.expect("this machine has a trust store: install ca-certificates");
    let all = TrustAnchors::from_pem([store.as_bytes()]).unwrap().count();
    let system = TrustStore::default().open();
    let end = "-----END CERTIFICATE-----\n";
    let (mut count, mut alone) = (0, 0);
    for block in store.split_inclusive(end).filter(|block| block.ends_with(end)) {
        let chain = SignerChain::parse(block.as_bytes()).unwrap();
        let root = chain.certificates()[0].subject();
        let mut search = IssuerSearch::new(&chain);
        search.last_part(block.as_bytes());
        assert_eq!(search.anchors().unwrap().count(), 1, "{root}");
        let few = system.issuers(&chain).expect("the parts of the bundle are conclusive").count();
        assert!((1..10).contains(&few), "{few} of {all} are parsed for {root}");
        count += 1;
        alone += usize::from(few == 1);
    }
    assert_eq!(count, all);
    assert!(alone > 50, "expected a single parsed root for most of {all}, got {alone}");
}
