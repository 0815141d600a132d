//! Commands that root runs refuse files that belong to another user, and leave them unchanged.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use eic_emulator::Config;

use crate::screens::words;
use crate::wiring::{CONFIG, DROP_INS, INCLUDE, Ran, agent, lay_out};
use crate::world::{Key, Sshd, World, on_an_instance, test_path};

fn agent_in(world: &World, folder: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(world.agent()).args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Creates a file that `ubuntu` owns.
fn ubuntus(world: &World, name: &str, content: &str) -> PathBuf {
    let file = world.path("home/ubuntu").join(name);
    let uid = world.uid("ubuntu");
    fs::write(&file, content).unwrap();
    chown(&file, Some(uid), Some(uid)).unwrap();
    file
}

/// A configuration that makes root run a command of `ubuntu`'s choice, between the agent's own marks.
fn hostile(world: &World, proof: &Path) -> String {
    let block = format!(
        "# >>> eic-agent: written by `eic-agent enable`, taken out by `eic-agent disable`\n\
         AuthorizedKeysCommand {} authorized-keys %u %f -- /bin/sh -c \"id>>{}\"\n\
         AuthorizedKeysCommandUser root\n# <<< eic-agent\n",
        world.agent().display(),
        proof.display()
    );
    format!("{block}UsePAM no\n")
}

/// Runs every command that reads sshd's configuration, and returns its output.
fn every_command(world: &World, folder: &Path) -> Vec<(&'static str, Ran)> {
    [
        &["explain", "ubuntu"][..],
        &["status"],
        &["doctor"],
        &["doctor", "--user", "ubuntu"],
        &["enable"],
        &["enable", "--chain"],
        &["disable"],
    ]
    .iter()
    .map(|arguments| (arguments[0], agent_in(world, folder, arguments)))
    .collect()
}

#[test]
fn relative_configuration_of_a_running_sshd_is_refused() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let host = Key::ed25519(world, "host");
        lay_out(INCLUDE, &[]);
        let place = world.path("etc");
        fs::write(
            place.join("alt.conf"),
            format!("HostKey {}\nListenAddress 127.0.0.1\n", host.file().display()),
        )
        .unwrap();
        let sshd = Sshd::listen_in(&place, &["-f", "alt.conf"]);
        let proof = world.shared_folder().join("proof");
        let theirs = ubuntus(world, "alt.conf", &hostile(world, &proof));
        let home = world.path("home/ubuntu");
        for (command, ran) in every_command(world, &home) {
            let said = format!("{}{}", ran.out, ran.err);
            assert!(!proof.exists(), "{command} ran a command of ubuntu's as root: {said}");
            assert_eq!(fs::read_to_string(&theirs).unwrap(), hostile(world, &proof), "{command}: {said}");
            let names: Vec<_> =
                fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names.len(), 2, "{command} left {names:?}: {said}");
            let is_named = said.contains(&format!("pid {}", sshd.pid())) && said.contains("alt.conf");
            assert!(is_named && said.contains("absolute"), "{command}: {said}");
        }
    });
}

#[test]
fn configuration_of_another_user_is_neither_read_nor_changed() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let host = Key::ed25519(world, "host");
        lay_out("", &[]);
        let proof = world.shared_folder().join("proof");
        let base = format!("HostKey {}\nListenAddress 127.0.0.1\n", host.file().display());
        let content = hostile(world, &proof) + &base;
        let theirs = ubuntus(world, "alt.conf", &content);
        let _sshd = Sshd::listen(&["-f", theirs.to_str().unwrap()]);
        for (command, ran) in every_command(world, Path::new("/")) {
            let said = format!("{}{}", ran.out, ran.err);
            assert!(!proof.exists(), "{command} ran a command of ubuntu's as root: {said}");
            assert_eq!(fs::read_to_string(&theirs).unwrap(), content, "{command}: {said}");
            assert!(said.contains(world.path("home/ubuntu").to_str().unwrap()), "{command}: {said}");
            assert_eq!(ran.status, Some(1), "{command}: {said}");
            if command == "status" {
                let unknown = "in use    not known\ncommand   not known\nuser      not known\n";
                assert!(
                    ran.out.starts_with(unknown),
                    "status must not report a configuration that it has not read: {said}"
                );
            }
        }
    });
}

#[test]
fn included_file_of_another_user_is_neither_read_nor_changed() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let proof = world.shared_folder().join("proof");
        let content = hostile(world, &proof);
        let theirs = ubuntus(world, "site.conf", &content);
        for include in [
            format!("Include {}\n", theirs.display()),
            format!("Include {}/*.conf\n", theirs.parent().unwrap().display()),
        ] {
            lay_out(&format!("UsePAM no\n{include}"), &[]);
            fs::remove_dir(DROP_INS).unwrap();
            let before = fs::read(CONFIG).unwrap();
            for (command, ran) in every_command(world, Path::new("/")) {
                let said = format!("{}{}", ran.out, ran.err);
                assert!(!proof.exists(), "{command} ran a command of ubuntu's as root: {said}");
                assert_eq!(fs::read_to_string(&theirs).unwrap(), content, "{command}: {said}");
                assert_eq!(fs::read(CONFIG).unwrap(), before, "{command}: {said}");
                assert!(said.contains(world.path("home/ubuntu").to_str().unwrap()), "{command}: {said}");
            }
        }
    });
}

#[test]
fn link_through_a_folder_of_another_user_is_refused() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out("", &[]);
        let real = world.path("etc/managed_config");
        fs::write(&real, "UsePAM no\n").unwrap();
        // Root owns the file at both ends. The owner of the folder can replace the link between them.
        let between = world.path("home/ubuntu/link");
        symlink(&real, &between).unwrap();
        fs::remove_file(CONFIG).unwrap();
        symlink(&between, CONFIG).unwrap();
        for (command, ran) in every_command(world, Path::new("/")) {
            let said = format!("{}{}", ran.out, ran.err);
            assert_eq!(fs::read_to_string(&real).unwrap(), "UsePAM no\n", "{command}: {said}");
            assert!(said.contains(world.path("home/ubuntu").to_str().unwrap()), "{command}: {said}");
            assert_eq!(ran.status, Some(1), "{command}: {said}");
        }
    });
}

#[test]
fn link_to_dev_null_in_a_folder_of_another_user_is_refused() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out("Include /etc/ssh/*/site.conf\nUsePAM no\n", &[]);
        let folder = Path::new("/etc/ssh/theirs");
        fs::create_dir(folder).unwrap();
        chown(folder, Some(world.uid("ubuntu")), None).unwrap();
        // The owner of the folder can replace the link with another file.
        symlink("/dev/null", folder.join("site.conf")).unwrap();
        for (command, ran) in every_command(world, Path::new("/")) {
            let said = words(&format!("{}{}", ran.out, ran.err));
            assert!(said.contains("expected /etc/ssh/theirs to belong to root"), "{command}: {said}");
            assert!(!said.contains("chown root /etc/ssh/theirs"), "{command}: {said}");
        }
    });
}

#[test]
fn running_sshd_is_not_reloaded_with_a_configuration_that_would_end_it() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let host = Key::ed25519(world, "host");
        let base = format!("HostKey {}\nListenAddress 127.0.0.1\n", host.file().display());
        let other = world.path("etc/other_config");
        let systemctl = world.script("systemctl", "");
        fs::create_dir_all("/run/systemd/system").unwrap();
        for command_line in [&[][..], &["-f", other.to_str().unwrap()]] {
            lay_out(&format!("{INCLUDE}{base}"), &[]);
            fs::write(&other, &base).unwrap();
            let sshd = Sshd::listen(command_line);
            // The unit of Amazon Linux and RHEL reloads by a signal, and checks nothing before.
            let reload = format!(
                "#!/bin/sh\ncase $1 in\nshow) echo MainPID={0} ;;\nis-active) [ \"$3\" = ssh.service ] || exit 3 ;;\n\
                 reload) kill -HUP {0} ;;\nesac\n",
                sshd.pid()
            );
            fs::write(&systemctl, reload).unwrap();
            let bound =
                Command::new("mount").arg("--bind").arg(&systemctl).arg("/usr/bin/systemctl").status();
            assert!(bound.unwrap().success());
            let enabled = agent(world, &["enable"]);
            assert!(enabled.status == Some(0) && enabled.out.contains("reloaded"), "{}", enabled.err);
            sshd.wait_until_it_listens();
            // The configuration now includes a file of another user's, which sshd would refuse.
            let theirs = ubuntus(world, "site.conf", "NoSuchKeyword yes\n");
            let read = if command_line.is_empty() { Path::new(CONFIG) } else { other.as_path() };
            let content = fs::read_to_string(read).unwrap();
            fs::write(read, format!("{content}Include {}\n", theirs.display())).unwrap();
            let ran = agent(world, &["disable"]);
            let said = format!("{}{}", ran.out, ran.err);
            assert_eq!(ran.status, Some(1), "{said}");
            assert!(said.contains("sshd was not reloaded") && said.contains("NoSuchKeyword"), "{said}");
            assert!(!fs::read_to_string(read).unwrap().contains("eic-agent"), "{said}");
            std::thread::sleep(std::time::Duration::from_secs(1));
            assert!(std::net::TcpStream::connect("127.0.0.1:22").is_ok(), "sshd has ended: {said}");
            let unbound = Command::new("umount").arg("/usr/bin/systemctl").status();
            assert!(unbound.unwrap().success());
        }
    });
}

/// Runs a package's script, with the agent of this test instead of the installed one.
fn package_script(world: &World, name: &str, argument: &str) -> Option<i32> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name);
    let script = fs::read_to_string(script).unwrap();
    assert!(script.contains("/usr/bin/eic-agent disable"), "{script}");
    let script = script.replace("/usr/bin/eic-agent", world.agent().to_str().unwrap());
    Command::new("timeout").args(["300", "/bin/sh", "-c", &script, "sh", argument]).status().unwrap().code()
}

#[test]
fn removal_is_refused_while_a_chain_stays_in_force() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let host = Key::ed25519(world, "host");
        // A private folder, in which the scripts leave their mark.
        let mounted = Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/var/lib"]).status().unwrap();
        assert!(mounted.success());
        let base = format!("HostKey {}\nListenAddress 127.0.0.1\n", host.file().display());
        let chained = "AuthorizedKeysCommand /usr/bin/id %u\nAuthorizedKeysCommandUser nobody\n";
        let other = Path::new("/etc/ssh/other_config");
        for (settings, held_up) in [(chained, Some(1)), ("", Some(0))] {
            lay_out(&base, &[]);
            fs::write(other, format!("{base}{settings}")).unwrap();
            let _sshd = Sshd::listen(&["-f", other.to_str().unwrap()]);
            let ran = agent(world, &["enable", "--chain"]);
            assert_eq!(ran.status, Some(0), "{}", ran.err);
            // A change would separate the file from its second name, so `disable` refuses it.
            fs::hard_link(other, "/etc/ssh/second").unwrap();
            // Reading one of these files would never end.
            symlink("/dev/zero", "/etc/ssh/zero").unwrap();
            assert!(Command::new("mkfifo").arg("/etc/ssh/pipe").status().unwrap().success());
            let ran = agent(world, &["disable"]);
            assert!(
                !ran.out.contains("other_config has eic-agent's lines, and no running sshd reads it"),
                "{}",
                ran.out
            );
            for (script, argument) in [("deb/prerm", "remove"), ("rpm/preun", "0")] {
                assert_eq!(package_script(world, script, argument), held_up, "{script}");
            }
            fs::remove_file("/etc/ssh/second").unwrap();
            for (script, argument) in [("deb/prerm", "remove"), ("rpm/preun", "0")] {
                assert_eq!(package_script(world, script, argument), Some(0), "{script}");
            }
            assert_eq!(fs::read_to_string(other).unwrap(), format!("{base}{settings}"));
        }
    });
}

/// A process of `ubuntu` that replaces the agent's temporary file with a link, as often as it can.
fn swapper(world: &World, name: &str) -> Child {
    let home = world.path("home/ubuntu");
    let script = format!("while :; do ln -sf /etc/shadow '{0}/{name}' 2>/dev/null; done", home.display());
    Command::new("setpriv")
        .args(["--reuid=ubuntu", "--regid=ubuntu", "--clear-groups", "sh", "-c", &script])
        .spawn()
        .unwrap()
}

#[test]
fn attributes_of_a_foreign_configuration_reach_no_other_file() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let host = Key::ed25519(world, "host");
        lay_out("", &[]);
        let proof = world.shared_folder().join("proof");
        let base = format!("HostKey {}\nListenAddress 127.0.0.1\n", host.file().display());
        let theirs = ubuntus(world, "alt.conf", &(hostile(world, &proof) + &base));
        let _sshd = Sshd::listen(&["-f", theirs.to_str().unwrap()]);
        let before = fs::metadata("/etc/shadow").unwrap();
        let mut swapper = swapper(world, ".alt.conf.eic-agent");
        for _ in 0..25 {
            agent(world, &["disable"]);
            let after = fs::metadata("/etc/shadow").unwrap();
            assert_eq!((after.uid(), after.mode()), (before.uid(), before.mode()));
            let _ = fs::write(&theirs, hostile(world, &proof) + &base);
        }
        swapper.kill().unwrap();
        swapper.wait().unwrap();
    });
}

#[test]
fn environment_of_the_caller_changes_nothing() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out(INCLUDE, &[]);
        let home = world.path("home/ubuntu");
        let proof = world.shared_folder().join("proof");
        for name in ["sshd", "ssh-keygen", "systemctl", "id", "getent", "cp", "journalctl"] {
            let trap = ubuntus(world, name, &format!("#!/bin/sh\necho {name} >>{}\n", proof.display()));
            fs::set_permissions(&trap, fs::Permissions::from_mode(0o777)).unwrap();
        }
        // The agent gives sshd a temporary host key. It must not create the key in a folder that the environment
        // names.
        let fixed = Command::new("mount").args(["-o", "remount,ro", "/run"]).status().unwrap();
        assert!(fixed.success());
        let run = |arguments: &[&str]| {
            Command::new("/bin/sh")
                .args(["-c", "umask 0; exec \"$0\" \"$@\""])
                .arg(world.agent())
                .args(arguments)
                .current_dir(&home)
                .env("PATH", format!(".:{}", home.display()))
                .env("TMPDIR", home.join("absent"))
                .env("HOME", &home)
                .env("XDG_RUNTIME_DIR", &home)
                .env("LC_ALL", "tr_TR.UTF-8")
                .output()
                .unwrap()
        };
        for arguments in [
            &["enable"][..],
            &["status"],
            &["doctor", "--user", "ubuntu"],
            &["explain", "ubuntu"],
            &["disable"],
        ] {
            let said = run(arguments);
            let is_done = said.status.success() || matches!(arguments[0], "doctor" | "explain");
            let said =
                format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
            assert!(is_done, "{arguments:?}: {said}");
            assert!(!proof.exists(), "{arguments:?} ran a program of the caller's folder: {said}");
            let left = fs::read_dir(&home).unwrap().count();
            assert_eq!(left, 8, "{arguments:?} wrote into the caller's folder: {said}");
        }
    });
}
