//! Other users cannot influence `enable`. `enable` does not chain the command of a user who is also in a
//! supplementary group.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use eic_emulator::Config;
use serde_json::Value;

use super::{DROP_INS, INCLUDE, OURS, agent, lay_out, snapshot, status};
use crate::world::{on_an_instance, test_path, until};

/// Another user imitates sshd and locks the folder while root runs `enable` and `disable`.
#[test]
fn other_users_cannot_influence_enable_and_disable() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out(INCLUDE, &[]);
        let before = snapshot();
        let home = world.path("home/ubuntu");
        fs::write(home.join("sshd_config"), "").unwrap();
        let title = format!(
            "sshd: /usr/sbin/sshd -D -f {}/sshd_config -o AuthorizedKeysCommand /bin/x [listener] 0 of 10-100 startups",
            home.display()
        );
        let user = ["--reuid=ubuntu", "--regid=ubuntu", "--clear-groups"];
        let mut pretender = Command::new("setpriv")
            .args(user)
            .args(["bash", "-c", "exec -a \"$0\" sleep 600", &title])
            .spawn()
            .unwrap();
        let mut holder =
            Command::new("setpriv").args(user).args(["flock", "/etc/ssh", "sleep", "600"]).spawn().unwrap();
        until("the pretender has its name", || {
            let name = fs::read(format!("/proc/{}/cmdline", pretender.id())).unwrap();
            name.starts_with(title.as_bytes())
        });
        until("the folder is locked", || {
            let lock = format!(" {} ", holder.id());
            let locks = fs::read_to_string("/proc/locks").unwrap();
            locks.lines().any(|line| line.contains("FLOCK") && line.contains(&lock))
        });
        let ran = agent(world, &["enable"]);
        assert!(ran.status == Some(0) && ran.out.contains(OURS), "{}{}", ran.out, ran.err);
        assert_eq!(fs::read_to_string(home.join("sshd_config")).unwrap(), "");
        assert_eq!(status(world).1["sshd"]["pid"], Value::Null);
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        assert_eq!(snapshot(), before);
        for process in [&mut pretender, &mut holder] {
            process.kill().unwrap();
            process.wait().unwrap();
        }

        // `enable` does not write as root into a configuration that others may write.
        fs::set_permissions(DROP_INS, fs::Permissions::from_mode(0o777)).unwrap();
        let ran = agent(world, &["enable"]);
        assert!(ran.status == Some(1) && ran.err.contains("writable by its owner only"), "{}", ran.err);
    });
}

#[test]
fn provider_user_with_a_supplementary_group_is_not_chained() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let groups = fs::read_to_string("/etc/group").unwrap() + "extra:x:60999:ubuntu,provider\n";
        fs::write("/etc/group", groups).unwrap();
        lay_out("AuthorizedKeysCommand /usr/bin/id\nAuthorizedKeysCommandUser provider\n", &[]);
        let ran = agent(world, &["enable", "--chain"]);
        assert!(ran.status == Some(3) && ran.err.contains("which is also in the group extra"), "{}", ran.err);
    });
}
