//! `status` reports each problem, and none on a sound machine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use eic_emulator::Config;
use serde_json::Value;

use super::{CONFIG, INCLUDE, OURS, SSS, agent, lay_out, status};
use crate::world::{INSTANCE, on_an_instance, test_path, until};

#[test]
fn status_reports_each_problem() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let wrong = |name: &str, says: &str| {
            let (code, report) = status(world);
            assert_eq!((code, &report["in_use"]), (Some(1), &Value::Bool(false)), "{name}: {report:#}");
            assert!(report["problems"].to_string().contains(says), "{name}: {report:#}");
        };
        lay_out(INCLUDE, &[]);
        wrong("not wired", "AuthorizedKeysCommand is none; run: sudo eic-agent enable");
        lay_out(SSS, &[]);
        wrong("another's", "run: sudo eic-agent enable --chain");
        lay_out("NoSuchSetting\n", &[]);
        wrong("a fault", "NoSuchSetting");

        lay_out(INCLUDE, &[]);
        assert_eq!(agent(world, &["enable"]).status, Some(0));
        // `status` waits for a token as long as a login, five seconds here. A busy machine may need more.
        until("metadata gives a token in time", || status(world).1["metadata"] == true);
        let (code, report) = status(world);
        assert_eq!(
            (code, &report["in_use"], &report["schema_version"]),
            (Some(0), &Value::Bool(true), &Value::from(1))
        );
        assert_eq!((&report["sshd"]["file"], &report["sshd"]["line"]), (&Value::from(OURS), &Value::from(2)));
        assert_eq!((&report["instance"], &report["metadata"]), (&Value::from(INSTANCE), &Value::Bool(true)));
        assert_eq!(report["problems"], Value::Array(vec![]));
        let stopped = "no sshd runs; the command is what sshd uses after its start";
        assert_eq!(report["warnings"], Value::from(vec![stopped]));
        // Only root may read this configuration, so `status` fails for other users.
        let ran = Command::new("setpriv")
            .args(["--reuid=nobody", "--clear-groups"])
            .arg(world.agent())
            .arg("status")
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(1));

        let with = |line: &str| fs::write(CONFIG, format!("{INCLUDE}{line}\n")).unwrap();
        with("PubkeyAuthentication no");
        wrong("no keys", "PubkeyAuthentication is no");
        with("");
        world.configure("[imds]\ntimout = 3\n");
        wrong("settings", "settings-invalid");
        world.configure("");
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        fs::write("/etc/passwd", passwd.replace("eic-agent:", "other:")).unwrap();
        wrong("no user", "AuthorizedKeysCommandUser \\\"eic-agent\\\" is neither in /etc/passwd");
        fs::write("/etc/passwd", passwd).unwrap();
        fs::set_permissions(world.path("bin"), fs::Permissions::from_mode(0o777)).unwrap();
        wrong("a folder", "writable");
        fs::set_permissions(world.path("bin"), fs::Permissions::from_mode(0o755)).unwrap();

        let folder = Path::new("/run/systemd/system/ssh.service.d");
        fs::create_dir_all(folder).unwrap();
        fs::write(
            folder.join("x.conf"),
            "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -o \"AuthorizedKeysCommand /x\"\n",
        )
        .unwrap();
        let (code, report) = status(world);
        assert_eq!(code, Some(0));
        assert!(
            report["warnings"][0]
                .as_str()
                .unwrap()
                .starts_with("/run/systemd/system/ssh.service.d/x.conf starts sshd"),
            "{report:#}"
        );
        fs::remove_dir_all("/run/systemd").unwrap();

        world.lose_address("169.254.169.254/32");
        let (code, report) = status(world);
        assert_eq!((code, &report["metadata"]), (Some(0), &Value::Bool(false)), "only a warning");
        let no_token = "the metadata service gives no token: metadata-unreachable";
        assert!(report["warnings"].to_string().contains(no_token), "{report:#}");
        assert_eq!(agent(world, &["status", "--is-ec2"]).status, Some(0));
        world.without_asset_tag();
        assert_eq!(agent(world, &["status", "--is-ec2"]).status, Some(1));
        assert_eq!(status(world).0, Some(0), "outside EC2, sshd is still wired");
    });
}
