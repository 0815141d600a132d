//! Clients that are heavy to install: the JavaScript SDK pushes a key, and Ansible logs in with it. `make clients` installs
//! them and runs these tests. `cargo test` does not.

#[path = "../suite/world/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the suite uses the rest")]
mod world;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use eic_emulator::{Config, Service};
use world::{INSTANCE, Key, Sshd, Syslog, World, on_an_instance_for, test_path};

const USER: &str = "ec2-user";
const ALICE: &str = "arn:aws:iam::123456789012:user/alice";

/// The folder with the clients.
fn heavy(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/heavy-clients");
    let path = folder.join(name);
    assert!(path.exists(), "{}: `make clients` (or tests/setup clients) installs it", path.display());
    path
}

/// Pushes with the JavaScript SDK. Returns what it prints.
fn push(world: &World, instance: &str, key: &Key) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/push.mjs");
    let packages = heavy("node_modules");
    let mut node = Command::new("node");
    node.arg(script).args([instance, USER]).arg(key.public_file());
    // Unlike the other clients, the SDK does not read AWS_DEFAULT_REGION.
    node.env("AWS_REGION", "us-east-1");
    world.with_clients(node).current_dir(packages.parent().unwrap()).output().unwrap()
}

/// Pushes the key, and returns the id of the request.
fn pushed(world: &World, key: &Key) -> String {
    let output = push(world, INSTANCE, key);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The line about this push.
fn line(key: &Key, request: &str) -> String {
    format!(
        "Providing ssh key from EC2 Instance Connect with fingerprint: {}, request-id: {request}, for IAM principal: {ALICE}",
        key.fingerprint()
    )
}

#[test]
fn javascript_sdk_pushes_a_key_that_logs_in_and_names_refusals() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let _sshd = Sshd::start(world);
        let [key, other] = ["key", "other"].map(|name| Key::ed25519(world, name));
        let request = pushed(world, &key);
        assert!(world.ssh(USER, &[&key]).ok, "{:#?}", syslog.agent_lines());
        assert_eq!(syslog.agent_lines(), vec![line(&key, &request); 2]);
        syslog.clear();
        assert!(!world.ssh(USER, &[&other]).ok);
        assert_eq!(syslog.agent_lines(), [""; 0], "the other key was not pushed");

        let refused = |instance: &str| {
            let output = push(world, instance, &key);
            assert!(!output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        assert_eq!(refused("i-0fedcba9876543210"), "EC2InstanceNotFoundException 400");
        assert_eq!(refused("i-1"), "InvalidArgsException 400");
        world.emulator.set_instance_state("stopped");
        assert_eq!(refused(INSTANCE), "EC2InstanceStateInvalidException 400");
    });
}

/// What a run of Ansible causes.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    logins: usize,
    runs: usize,
    /// Requests for the user's keys. Each run makes one.
    requests: usize,
}

/// Runs a playbook of five tasks. Returns whether it succeeded, and what it cost.
fn play(world: &World, syslog: &Syslog, key: &Key, connections: &str) -> (Output, Cost) {
    let folder = world.path("etc/ansible");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    let task = |number: usize| format!("    - ansible.builtin.command: echo task {number}\n");
    let tasks: String = (1..=5).map(task).collect();
    fs::write(folder.join("play.yml"), format!("- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}"))
        .unwrap();
    let ssh = "-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o IdentitiesOnly=yes -F none";
    syslog.clear();
    world.emulator.take_requests();
    let output = Command::new(heavy("ansible/bin/ansible-playbook"))
        .args([
            "-i",
            "127.0.0.1,",
            "-u",
            USER,
            "-e",
            "ansible_python_interpreter=/usr/bin/python3",
            "play.yml",
        ])
        .arg("--private-key")
        .arg(key.file())
        .current_dir(&folder)
        .env("HOME", &folder)
        .env("LC_ALL", "C.UTF-8")
        .env("ANSIBLE_HOST_KEY_CHECKING", "False")
        .env("ANSIBLE_SSH_ARGS", format!("{connections} {ssh}"))
        .env("ANSIBLE_SSH_CONTROL_PATH", "%(directory)s/%%C")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let paths =
        |one: &eic_emulator::RequestRecord| one.service == Service::Imds && one.path.contains("active-keys");
    let requests = world.emulator.take_requests().iter().filter(|one| paths(one)).count();
    let lines = syslog.agent_lines();
    let runs = lines.iter().filter(|line| line.starts_with("Providing ssh key")).count();
    let logins = syslog.sshd_lines().iter().filter(|line| line.contains("Accepted publickey")).count();
    (output, Cost { logins, runs, requests })
}

#[test]
fn ansible_logs_in_once_with_a_shared_connection_and_for_each_step_without() {
    let said = on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let _sshd =
            Sshd::with_pam(world, "LogLevel VERBOSE\nSubsystem sftp internal-sftp\nMaxStartups 100\n");
        let [key, other] = ["key", "other"].map(|name| Key::ed25519(world, name));
        let request = pushed(world, &key);

        let shared = "-o ControlMaster=auto -o ControlPersist=60s";
        let (output, cost) = play(world, &syslog, &key, shared);
        assert!(output.status.success(), "{output:?}");
        eprintln!("with connection sharing: {cost:?}");
        assert_eq!(cost, Cost { logins: 1, runs: 2, requests: 2 });
        assert_eq!(syslog.agent_lines(), vec![line(&key, &request); 2]);

        let (output, cost) = play(world, &syslog, &key, "-o ControlMaster=no -o ControlPath=none");
        assert!(output.status.success(), "{output:?}");
        eprintln!("without: {cost:?}");
        let Cost { logins, runs, requests } = cost;
        // At least one connection for each task.
        assert!(logins >= 5 && runs == 2 * logins && requests == runs, "{cost:?}");
        assert!(syslog.agent_lines().iter().all(|said| *said == line(&key, &request)));

        let (output, cost) = play(world, &syslog, &other, shared);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains("UNREACHABLE"), "{output:?}");
        assert_eq!((cost.logins, cost.runs), (0, 0), "the other key was not pushed");
    });
    let costs = said.lines().filter(|line| line.contains("Cost {"));
    eprintln!("five tasks of Ansible {}", costs.collect::<Vec<_>>().join(", "));
}
