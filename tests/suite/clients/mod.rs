//! Clients of every kind log in to a real sshd with a key that boto3 pushed. The audit lines must name this push, and the
//! number of runs must be that which the client causes.

mod startups;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use eic_emulator::Config;

use crate::limits::push;
use crate::world::{
    INSTANCE, Key, Sshd, Syslog, UNHURRIED, World, on_an_instance_for, test_path, without_penalties,
};

const USER: &str = "ec2-user";
const ALICE: &str = "arn:aws:iam::123456789012:user/alice";

/// A client that logs in with a key.
struct Client {
    name: &'static str,
    /// Runs the client. If the login succeeds, it prints `ec2-user` on a line.
    run: fn(&World, &Key) -> Output,
    /// How often sshd runs the agent for a login: for the offer and for the proof, or for the proof alone.
    runs: usize,
}

/// The options of ssh for the programs that start it.
const OPTIONS: &str = "-F none -o BatchMode=yes -o IdentitiesOnly=yes -o LogLevel=ERROR \
                       -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no";

const CLIENTS: [Client; 9] = [
    Client { name: "ssh", run: |world, key| shell(world, key, "ssh $SSH $TO id -un"), runs: 2 },
    Client {
        name: "sftp",
        run: |world, key| {
            shell(world, key, "echo 'get who out' | sftp -q -b - $SSH $TO >/dev/null && cat out")
        },
        runs: 2,
    },
    Client {
        name: "scp",
        run: |world, key| shell(world, key, "scp -q $SSH $TO:who out && cat out"),
        runs: 2,
    },
    Client {
        name: "rsync",
        run: |world, key| shell(world, key, "rsync -e \"ssh $SSH\" $TO:who out && cat out"),
        runs: 2,
    },
    Client {
        name: "git",
        run: |world, key| {
            shell(
                world,
                key,
                "GIT_SSH_COMMAND=\"ssh $SSH\" git clone -q $TO:repository clone && cat clone/who",
            )
        },
        runs: 2,
    },
    Client { name: "paramiko", run: |world, key| python(world, &["paramiko"], key), runs: 1 },
    Client { name: "AsyncSSH", run: |world, key| python(world, &["asyncssh"], key), runs: 2 },
    Client {
        name: "plink",
        run: |world, key| {
            let text = "puttygen key -O private -o key.ppk && \
                        plink -ssh -batch -noagent -hostkey \"$HOST\" -i key.ppk $TO id -un";
            shell(world, key, text)
        },
        runs: 2,
    },
    Client {
        name: "dbclient",
        run: |world, key| {
            let text = "dropbearconvert openssh dropbear key key.db 2>/dev/null && dbclient -y -y -i key.db $TO id -un";
            shell(world, key, text)
        },
        runs: 2,
    },
];

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/clients/clients.py")
}

/// The client in Python.
fn python(world: &World, what: &[&str], key: &Key) -> Output {
    let mut command = world.client("python3");
    command.arg("-B").arg(script()).args(what).arg(USER).arg(key.file()).arg("id -un").output().unwrap()
}

/// Runs a client in a new folder that has the key as `key`.
fn shell(world: &World, key: &Key, text: &str) -> Output {
    let folder = world.path("etc/client");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    fs::copy(key.file(), folder.join("key")).unwrap();
    let host = Command::new("ssh-keygen").arg("-lf").arg(world.path("etc/host.pub")).output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    Command::new("sh")
        .args(["-c", text])
        .current_dir(&folder)
        .env("HOME", &folder)
        .env("SSH", format!("{OPTIONS} -i key"))
        .env("TO", format!("{USER}@127.0.0.1"))
        .env("HOST", host.split(' ').nth(1).unwrap())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Pushes the key with boto3. Returns the id of the request.
fn push_with_boto3(world: &World, key: &Key) -> String {
    let mut command = world.client("python3");
    command.arg("-B").arg(script()).args(["push", INSTANCE, USER]).arg(key.public_file());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The files that the clients read from the user's home.
fn prepare(world: &World) {
    let home = world.path("home").join(USER);
    let made = Command::new("sh")
        .args(["-c", "set -e; cd \"$0\"; echo ec2-user >who; git init -q repository; cd repository; cp ../who .; git add who; \
                      git -c user.name=a -c user.email=a@b commit -qm x; chown -R ec2-user: \"$0\""])
        .arg(&home)
        .env("HOME", world.path("etc"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// Starts sshd with the agent.
fn sshd(world: &World) -> Sshd {
    let quiet = without_penalties(Key::ed25519(world, "any").file());
    let command =
        format!("AuthorizedKeysCommand {} authorized-keys {UNHURRIED} %u %f", world.agent().display());
    Sshd::with(
        world,
        &format!("{command}\nAuthorizedKeysCommandUser eic-agent\n{quiet}Subsystem sftp internal-sftp\n"),
    )
}

/// Whether the client logged in. Its output must agree with its exit status.
fn logs_in(client: &Client, output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.success(), said.trim() == USER, "{}: {output:?}", client.name);
    output.status.success()
}

#[test]
fn each_client_logs_in_with_a_pushed_key_and_with_no_other() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        prepare(world);
        let _sshd = sshd(world);
        let keys = [("ed25519", &["ed25519"][..]), ("rsa", &["rsa", "-b", "2048"]), ("ecdsa", &["ecdsa"])];
        for (kind, words) in keys {
            let key = Key::new(world, kind, words);
            for client in &CLIENTS {
                let case = format!("{} with {kind}", client.name);
                world.emulator.clear_keys();
                let request = push_with_boto3(world, &key);
                syslog.clear();
                let output = (client.run)(world, &key);
                assert!(logs_in(client, &output), "{case}: {output:?} {:#?}", syslog.agent_lines());
                let login = syslog.wait_for("Accepted publickey for ec2-user");
                assert!(login.contains(&key.fingerprint()), "{case}: {login}");
                let line = format!(
                    "Providing ssh key from EC2 Instance Connect with fingerprint: {}, request-id: {request}, \
                     for IAM principal: {ALICE}",
                    key.fingerprint()
                );
                assert_eq!(syslog.agent_lines(), vec![line; client.runs], "{case}");
                if kind != "ed25519" {
                    continue;
                }
                // The same key, after it has expired, and if it was not pushed.
                push(world, USER, &key, ALICE, 61);
                syslog.clear();
                assert!(!logs_in(client, &(client.run)(world, &key)), "{case}: expired");
                let lines = syslog.agent_lines();
                let start = "Refusing ssh key from EC2 Instance Connect for user ec2-user: expired: ";
                assert!(
                    !lines.is_empty() && lines.iter().all(|line| line.starts_with(start)),
                    "{case}: {lines:#?}"
                );
                world.emulator.clear_keys();
                syslog.clear();
                assert!(!logs_in(client, &(client.run)(world, &key)), "{case}: not pushed");
                assert_eq!(syslog.agent_lines(), [""; 0], "{case}");
            }
        }
    });
}
