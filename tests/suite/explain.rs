//! `explain`: every entry that is pushed for a user, its verdict, and the lines that sshd would be given.

use eic_emulator::{Config, Entry, Fault};
use serde_json::Value;

use crate::wiring::{agent, lay_out};
use crate::world::{BOB, INSTANCE, Key, World, on_an_instance, test_path};

fn explain(world: &World, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let arguments: Vec<_> = std::iter::once("explain").chain(arguments.iter().copied()).collect();
    let text = agent(world, &arguments);
    let json = agent(world, &[&arguments[..], &["--json"]].concat());
    assert_eq!(text.status, json.status, "{}{}", text.err, json.err);
    (json.status, serde_json::from_str(&json.out).unwrap(), text.out)
}

#[test]
fn every_pushed_entry_gets_its_verdict() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let own = Key::ed25519(world, "own");
        let provider =
            world.script("provider", &format!("id -un >&2; echo '{}'; echo; echo '{0}'", own.line()));
        lay_out("", &[]);
        std::fs::write(
            "/etc/ssh/sshd_config",
            format!(
                "AuthorizedKeysCommand {} -- %u\nAuthorizedKeysCommandUser provider\n",
                provider.display()
            )
            .replace(" -- ", " "),
        )
        .unwrap();
        assert_eq!(agent(world, &["enable", "--chain"]).status, Some(0));
        world.configure_unhurried("[[rule]]\nname = \"operators\"\naction = \"allow\"\nprincipals = [\"*:user/bob\"]\n[[rule]]\nname = \"everyone else\"\naction = \"deny\"\n");
        let (good, late, foreign, denied) = (
            Key::ed25519(world, "good"),
            Key::ed25519(world, "late"),
            Key::ed25519(world, "foreign"),
            Key::new(world, "denied", &["rsa", "-b", "2048"]),
        );
        let signer = world.emulator.hierarchy();
        let now = world.emulator.now();
        let entry = |key: &Key, caller: &str| {
            Entry::new(key.line()).timestamp(now + 600).instance(INSTANCE).caller(caller).request("r-1")
        };
        let bundle = [
            entry(&good, BOB).sign(&signer.leaf_key),
            entry(&late, BOB).timestamp(now - 5).sign(&signer.leaf_key),
            entry(&foreign, BOB).instance("i-0fedcba9876543210").sign(&signer.leaf_key),
            entry(&denied, "arn:aws:iam::123456789012:user/eve").sign(&signer.leaf_key),
            entry(&late, BOB).with_signature(&[7; 256]),
        ];
        world.emulator.set_entries("ubuntu", bundle.concat());

        let (status, report, text) = explain(world, &["ubuntu"]);
        assert_eq!(
            (status, &report["keys_given"], &report["provider_lines"]),
            (Some(0), &Value::from(1), &Value::from(2)),
            "{text}"
        );
        let keys = report["judgement"]["keys"].as_array().unwrap();
        let verdicts: Vec<_> =
            keys.iter().map(|key| (key["verdict"].as_str().unwrap(), key["reason"].as_str())).collect();
        // Entries 1 and 2 have a field twice, because the emulator's `Entry` adds fields and does not replace them.
        assert_eq!(verdicts[0], ("accepted", None));
        assert_eq!((&keys[0]["rule"], &keys[0]["principal"]), (&Value::from("operators"), &Value::from(BOB)));
        assert!((1..=600).contains(&keys[0]["seconds_left"].as_u64().unwrap()));
        assert_eq!(verdicts[3], ("refused", Some("denied-by-rule")));
        assert_eq!(verdicts[4], ("refused", Some("bad-signature")));
        assert_eq!(report["judgement"]["signer"]["trusted"], true);
        for step in ["settings", "token", "judgement"] {
            assert!(report["times_ms"][step].as_f64().unwrap() > 0.0, "{step}: {report:#}");
        }
        assert!(report["times_ms"]["items"].as_array().unwrap().len() > 6);
        for words in [
            "sshd runs    ",
            "trusted: managed-ssh-signer.us-east-1.amazonaws.com",
            "allowed by the rule \"operators\"",
            "everyone else (a rule of this instance)",
            "(claimed)",
            "2 lines, ",
            "\nsshd would get 1 pushed key and 2 lines of other providers for ubuntu.\n",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        eprintln!("{text}");

        let (status, report, _) = explain(world, &["ubuntu", &late.fingerprint()]);
        assert_eq!(
            (status, &report["keys_given"], &report["judgement"]["keys"][0]["verdict"]),
            (Some(0), &Value::from(0), &Value::from("not-offered"))
        );
        let (_, report, text) = explain(world, &["ec2-user"]);
        assert_eq!(report["keys_given"], 0);
        assert!(text.contains("no key is pushed for this user"), "{text}");
    });
}

#[test]
fn fault_that_blocks_every_key_is_explained() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out("", &[]);
        world.configure_unhurried("");
        let key = Key::ed25519(world, "key");
        world.emulator.push("ubuntu", &key.line(), BOB);
        let (status, report, text) = explain(world, &["ubuntu"]);
        assert_eq!((status, &report["keys_given"]), (Some(1), &Value::from(0)));
        assert_eq!(report["judgement"]["keys"][0]["verdict"], "accepted", "{text}");
        assert!(text.contains("sshd would get no pushed key for ubuntu: see the note."), "{text}");
        assert!(
            report["sshd"]["note"].as_str().unwrap().contains("run: sudo eic-agent enable"),
            "sshd does not run the agent: {report:#}"
        );

        assert_eq!(agent(world, &["enable"]).status, Some(0));
        let (status, report, _) = explain(world, &["ubuntu"]);
        assert_eq!((status, &report["keys_given"]), (Some(0), &Value::from(1)));
        world.configure("");
        std::fs::set_permissions("/etc/eic-agent.toml", std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let (status, report, _) = explain(world, &["ubuntu"]);
        assert_eq!(status, Some(1), "the agent's user cannot read what root can: {report:#}");
        assert!(report["error"].as_str().unwrap().contains("settings-unreadable"), "{report:#}");
        std::fs::remove_file("/etc/eic-agent.toml").unwrap();
        world.configure_unhurried("");

        let refuses = |what: &str, path: &str, words: &str| {
            let (status, report, text) = explain(world, &["ubuntu"]);
            assert_eq!(status, Some(1), "{what}: {text}");
            let said = report.pointer(path).and_then(Value::as_str).unwrap_or_default();
            assert!(said.contains(words), "{what}: {report:#}");
            assert!(text.contains(words), "{what}: {text}");
        };
        world.emulator.inject(Fault::token().status(403));
        refuses("metadata off", "/judgement/signer/reason", "metadata-forbidden");
        world.emulator.clear_faults();
        world.emulator.set_staples(Vec::new());
        refuses("no staples", "/judgement/signer/reason", "staple-missing");
        world.configure("[keys]\nenvironment = true\n");
        refuses("environment that sshd does not permit", "/error", "PermitUserEnvironment");
        world.configure("nonsense");
        refuses("settings", "/error", "settings-invalid");
        world.configure("");
        world.without_asset_tag();
        refuses("not EC2", "/error", "not an EC2 instance");
        assert_eq!(agent(world, &["explain", "no name"]).status, Some(2));
    });
}
