//! `host-keys`: a client that has its lines asks no question, and nothing else is in them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use eic_emulator::Config;
use serde_json::Value;

use crate::documents::block;
use crate::wiring::{CONFIG, Ran, agent, lay_out};
use crate::world::{Key, Sshd, World, installed, on_an_instance, test_path};

const NAME: &str = "127.0.0.1";

/// What the running sshd shows to a client, sorted.
fn scanned() -> Vec<String> {
    let said = Command::new("ssh-keyscan").args(["-T", "60", NAME]).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let mut lines: Vec<_> = said.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    lines.sort();
    lines
}

fn lines_of(ran: &Ran) -> Vec<String> {
    let mut lines: Vec<_> = ran.out.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn host_key(world: &World, name: &str, kind: &[&str]) -> Key {
    Key::new(world, name, kind)
}

/// The exit status of ssh that accepts only a known host. Status 255 is its own error.
fn knows(file: &Path, login: &Key, command: &mut Command) -> bool {
    let ran = command
        .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", file.display()))
        .arg("-i")
        .arg(login.file())
        .args([&format!("root@{NAME}"), "true"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    ran.status.success()
}

#[test]
fn lines_are_the_keys_that_a_client_sees() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let [ed25519, rsa, ecdsa, small, named, locked] = [
            ("ed25519", &["ed25519"][..]),
            ("rsa", &["rsa", "-b", "3072"]),
            ("ecdsa", &["ecdsa"]),
            ("small", &["rsa", "-b", "1024"]),
            ("named", &["ed25519"]),
            ("locked", &["ed25519"]),
        ]
        .map(|(name, kind)| host_key(world, name, kind));
        let change = Command::new("ssh-keygen")
            .args(["-q", "-p", "-P", "", "-N", "secret", "-f"])
            .arg(locked.file())
            .output()
            .unwrap();
        assert!(change.status.success());
        // sshd does not use the file of another key beside its own.
        fs::copy(small.public_file(), ecdsa.public_file()).unwrap();
        let login = host_key(world, "login", &["ed25519"]);
        fs::write("/etc/root-keys", login.line()).unwrap();
        let files = |keys: &[&Key]| {
            keys.iter().fold(String::new(), |text, key| format!("{text}HostKey {}\n", key.file().display()))
        };
        let common = "ListenAddress 127.0.0.1\nPidFile /run/sshd.pid\nUsePAM no\nPermitRootLogin yes\n\
                      AuthorizedKeysFile /etc/root-keys\n";
        for (name, settings, arguments, status, warning) in [
            ("three", files(&[&ed25519, &rsa, &ecdsa]), vec![], 0, ""),
            ("absent", format!("{}HostKey /etc/none\n", files(&[&ed25519])), vec![], 0, ""),
            ("locked", files(&[&locked, &ecdsa]), vec![], 0, "passphrase"),
            (
                "not allowed",
                format!("{}HostKeyAlgorithms ecdsa-sha2-nistp256\n", files(&[&ed25519, &ecdsa])),
                vec![],
                0,
                "HostKeyAlgorithms",
            ),
            (
                "command line",
                files(&[&ecdsa]),
                vec!["-h", named.file().to_str().unwrap(), "-oHostKeyAlgorithms=+ssh-rsa"],
                0,
                "",
            ),
        ] {
            lay_out(&format!("{common}{settings}"), &[]);
            let sshd = Sshd::listen(&arguments);
            let ran = agent(world, &["host-keys", "--known-hosts", NAME]);
            assert_eq!(ran.status, Some(status), "{name}: {}", ran.err);
            assert_eq!(lines_of(&ran), scanned(), "{name}");
            assert!(!ran.out.is_empty() && ran.err.contains(warning), "{name}: {}", ran.err);
            assert_eq!(ran.err.is_empty(), warning.is_empty(), "{name}: {}", ran.err);
            let file = world.path("etc/known");
            fs::write(&file, &ran.out).unwrap();
            assert!(knows(&file, &login, &mut Command::new("ssh")), "{name}");
            fs::write(&file, ran.out.replace("AAAA", "AAAB")).unwrap();
            assert!(!knows(&file, &login, &mut Command::new("ssh")), "{name}");

            let json: Value = serde_json::from_str(&agent(world, &["host-keys", "--json"]).out).unwrap();
            let keys = json["keys"].as_array().unwrap();
            assert_eq!(keys.len(), ran.out.lines().count(), "{name}: {json:#}");
            let plain = agent(world, &["host-keys"]).out;
            for (key, line) in keys.iter().zip(plain.lines()) {
                let text = |field: &str| key[field].as_str().unwrap().to_owned();
                assert!(ran.out.contains(&format!("{NAME} {}\n", text("key"))), "{name}");
                let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
                assert_eq!(words, ["algorithm", "fingerprint", "file"].map(text), "{name}");
                let said = Command::new("ssh-keygen").arg("-lf").arg(text("file")).output().unwrap();
                let said = String::from_utf8(said.stdout).unwrap();
                // ssh-keygen reads the file of the public key first, and that of the ECDSA key is wrong here.
                assert!(text("key").starts_with("ecdsa") || said.contains(&text("fingerprint")), "{said}");
            }
            drop(sshd);
        }
    });
}

#[test]
fn list_that_may_be_wrong_has_status_1() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = host_key(world, "one", &["ed25519"]);
        let second = host_key(world, "two", &["ecdsa"]);
        lay_out(
            &format!("ListenAddress 127.0.0.1\nPidFile /run/sshd.pid\nHostKey {}\n", key.file().display()),
            &[],
        );
        let sshd = Sshd::listen(&[]);
        assert_eq!(agent(world, &["host-keys"]).status, Some(0));
        for file in [key.file().to_owned(), key.public_file()] {
            fs::remove_file(file).unwrap();
        }
        host_key(world, "one", &["ed25519"]);
        let changed = agent(world, &["host-keys"]);
        assert_eq!((changed.status, changed.out.lines().count()), (Some(1), 1));
        assert!(
            changed.err.contains("clients may still see the keys before; reload sshd"),
            "{}",
            changed.err
        );
        sshd.reload();
        let read = agent(world, &["host-keys", "--known-hosts", NAME]);
        assert_eq!((read.status, lines_of(&read)), (Some(0), scanned()), "{}", read.err);

        // The running sshd does not know a line that it has not read yet.
        let written = fs::read_to_string(CONFIG).unwrap();
        fs::write(CONFIG, format!("{written}HostKey {}\n", second.file().display())).unwrap();
        let added = agent(world, &["host-keys"]);
        assert_eq!((added.status, added.out.lines().count()), (Some(1), 2), "{}", added.err);
        assert!(added.err.contains(&format!("{CONFIG} changed after sshd")), "{}", added.err);
        fs::remove_file(second.file()).unwrap();
        fs::write(CONFIG, format!("{written}HostKeyAgent /run/agent\nHostKey {}\n", second.file().display()))
            .unwrap();
        sshd.reload();
        let in_agent = agent(world, &["host-keys"]);
        assert_eq!(in_agent.status, Some(1));
        assert!(in_agent.err.contains("only if the agent of HostKeyAgent has it"), "{}", in_agent.err);

        fs::write(CONFIG, "HostKey /etc/none\n").unwrap();
        drop(sshd);
        let none = agent(world, &["host-keys"]);
        assert_eq!((none.status, none.out.as_str()), (Some(1), ""));
        assert!(none.err.contains("found none"), "{}", none.err);

        let other_user = Command::new("setpriv")
            .args(["--reuid=65534", "--clear-groups"])
            .arg(world.agent())
            .arg("host-keys")
            .output()
            .unwrap();
        assert_eq!((other_user.status.code(), other_user.stdout.as_slice()), (Some(1), &b""[..]));
        assert!(String::from_utf8(other_user.stderr).unwrap().contains("run it with sudo"));
        assert_eq!(agent(world, &["host-keys", "--known-hosts", "a,b"]).status, Some(2));
    });
}

/// The AWS CLI checks the arguments of each command. A script keeps the tags instead of AWS.
#[test]
fn tags_of_images_md_make_the_host_known() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let keys = [("ed25519", "ed25519"), ("rsa", "rsa"), ("ecdsa", "ecdsa")]
            .map(|(name, kind)| host_key(world, name, &[kind]));
        let files: Vec<_> = keys.iter().map(|key| format!("HostKey {}\n", key.file().display())).collect();
        let files = files.concat();
        let login = host_key(world, "login", &["ed25519"]);
        fs::write("/etc/root-keys", login.line()).unwrap();
        lay_out(
            &format!(
                "ListenAddress 127.0.0.1\nPidFile /run/sshd.pid\nUsePAM no\nPermitRootLogin yes\n\
                 AuthorizedKeysFile /etc/root-keys\n{files}"
            ),
            &[],
        );
        let _sshd = Sshd::listen(&[]);
        let (tags, home) = (world.path("etc/tags"), world.path("etc"));
        fs::create_dir(home.join(".ssh")).unwrap();
        let real = installed("aws");
        world.script("sudo", "exec \"$@\"");
        world.script(
            "aws",
            &format!(
                "{real} \"$@\" --generate-cli-skeleton output >/dev/null || exit\n\
                 case $2 in\n\
                 create-tags) eval \"value=\\\"\\${{$#}}\\\"\"; printf '%s\\n' \"${{value#*,Value=}}\" >>{tags} ;;\n\
                 describe-tags) cat {tags} ;;\n\
                 esac",
                real = real.display(),
                tags = tags.display()
            ),
        );
        let run = |text: &str| {
            let mut command = world.with_clients(Command::new("sh"));
            let ran = command.args(["-euc", text]).output().unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
            assert!(ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
            String::from_utf8(ran.stdout).unwrap()
        };
        assert!(run(block("docs/images.md", "sudo eic-agent host-keys")).contains("SHA256:"));
        run(block("docs/images.md", "# the instance: write"));
        let written = fs::read_to_string(&tags).unwrap();
        assert_eq!(written.lines().count(), 2, "{written}");
        for line in written.lines() {
            let allowed = |c: char| c.is_ascii_alphanumeric() || " +-=._:/@".contains(c);
            assert!(line.len() <= 256 && line.chars().all(allowed), "{line}");
        }
        run(&block("docs/images.md", "# the client: read").replace("203.0.113.5", NAME));
        assert!(knows(&home.join(".ssh/known_hosts"), &login, &mut Command::new("ssh")));
        run("aws ec2 get-console-output --latest --instance-id i-0123456789abcdef0 --output text");
    });
}
