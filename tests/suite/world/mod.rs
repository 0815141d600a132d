//! A private EC2 instance for one test. It has its own network, mounts, processes, accounts, `/sys` and `/dev/log`,
//! the emulator at the real metadata address, and a real sshd on port 22.
//!
//! The test runs itself again inside new namespaces. So it changes nothing on the machine, leaves nothing behind, and
//! cannot disturb other tests.

mod clients;
mod journald;
mod log;
mod measure;
mod ssh;

use std::any::type_name;
use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use eic_emulator::{Config, Emulator};

pub(crate) use clients::installed;
pub(crate) use journald::{Journald, Rsyslog};
pub(crate) use log::{Journal, Syslog};
pub(crate) use measure::Measured;
pub(crate) use ssh::{Key, Login, Sshd, UNHURRIED, put_into_unit, until, without_penalties};

/// In KiB: the most memory of a run, and the additional memory if the agent is not optimized.
const MOST_MEMORY: u64 = 16 * 1024;
const UNOPTIMIZED: u64 = 5 * 1024;

/// Larger than any optimized agent, in bytes.
const LARGE_PROGRAM: u64 = 32 * 1024 * 1024;

/// This environment variable marks the run inside the namespaces. Its value is the root of the private files.
const INSIDE: &str = "EIC_TEST_WORLD";

pub(crate) const INSTANCE: &str = "i-0123456789abcdef0";
pub(crate) const BOB: &str = "arn:aws:iam::123456789012:user/bob";

/// Folders that every system has. A test covers one of them with its own file system.
const COVERABLE: [&str; 4] = ["/mnt", "/srv", "/media", "/opt"];

/// Seconds until a private instance is ended from outside, so that a login that hangs is reported as a failure. A
/// busy machine takes ten times as long as a quiet one.
const LONGEST: &str = "900";

/// Seconds that a pushed key stays. On EC2 a key stays for 60 seconds. On a busy machine, a login may take longer.
/// The value is below 600, because tests with a clock that is ten minutes ahead need an expired key.
const KEY_STAYS: i64 = 540;

/// Runs as root of the new namespaces.
const SET_UP: &str = include_str!("set-up.sh");

/// The private instance that the test runs on.
pub(crate) struct World {
    root: PathBuf,
    pub(crate) emulator: Emulator,
}

/// The full path `module::name` of the test that calls this macro. [`on_an_instance`] runs the test again by this
/// name. In a closure or another function, the path is not that of a test, and the run fails.
macro_rules! test_path {
    () => {{
        fn here() {}
        $crate::world::path_around(here)
    }};
}
pub(crate) use test_path;

/// The path of the function that declares the type `T`, as libtest names it: without the crate.
pub(crate) fn path_around<T>(_local: T) -> &'static str {
    let path = type_name::<T>();
    let (_, path) = path.split_once("::").unwrap();
    path.rsplit_once("::").unwrap().0
}

/// Arguments with which a test program runs this test alone.
pub(crate) fn only(test: &str) -> [&str; 4] {
    ["--exact", test, "--nocapture", "--test-threads=1"]
}

/// Fails unless `said`, the output of a test program, reports that it ran `test`. The exit status is not enough: a
/// program whose filter matches no test also succeeds.
pub(crate) fn assert_ran(test: &str, said: &str) {
    assert!(said.contains("test result: ok. 1 passed;"), "{test} is not the path of a test: {said}");
}

/// Runs `body` on a private instance. `test` is the path of the calling test, [`test_path`]. The test runs again
/// inside by this path.
pub(crate) fn on_an_instance(test: &str, config: Config, body: impl FnOnce(&World)) {
    on_an_instance_for(LONGEST, test, config, body);
}

/// Like [`on_an_instance`], with a limit in seconds. The outer run returns the output of the run inside. The run
/// inside returns an empty text.
pub(crate) fn on_an_instance_for(
    seconds: &str,
    test: &str,
    config: Config,
    body: impl FnOnce(&World),
) -> String {
    if let Some(root) = env::var_os(INSIDE) {
        body(&World::enter(PathBuf::from(root), config));
        return String::new();
    }
    let exe = env::current_exe().unwrap();
    let root = COVERABLE
        .iter()
        .find(|place| {
            Path::new(place).is_dir()
                && !exe.starts_with(place)
                && !env!("CARGO_MANIFEST_DIR").starts_with(*place)
        })
        .expect("a directory to cover");
    let run = Command::new("timeout")
        .args([
            "--kill-after=5",
            seconds,
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            SET_UP,
            "world",
            root,
        ])
        .arg(&exe)
        .args(only(test))
        .env(INSIDE, root)
        .env("EIC_EMULATOR_KEYS", kept_keys())
        // As after sudo(8), so that commands in messages begin with sudo.
        .env("SUDO_USER", "operator")
        .stdin(Stdio::null())
        .output()
        .expect("timeout (coreutils) and unshare (util-linux) are installed");
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    if run.status.success() {
        assert_ran(test, &said);
        return said;
    }
    if !said.contains(test) {
        // The namespaces could not be created, so this machine cannot run the test.
        eprintln!("NOT RUN: {test}: no private instance can be made here (root is needed): {said}");
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "every test must run under CI=true: {said}");
        return String::new();
    }
    panic!("inside its private instance:\n{said}");
}

/// The folder of the authorities' keys. Without it, each private instance would need a second to make its own.
fn kept_keys() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("keys");
    fs::create_dir_all(&folder).unwrap();
    folder
}

impl World {
    fn enter(root: PathBuf, config: Config) -> Self {
        let key_ttl = config.key_ttl.max(KEY_STAYS);
        let config = Config { imds: "169.254.169.254:80".parse().unwrap(), key_ttl, ..config };
        let emulator = Emulator::start(config).unwrap();
        let world = Self { root, emulator };
        fs::copy(env!("CARGO_BIN_EXE_eic-agent"), world.agent()).unwrap();
        fs::set_permissions(world.agent(), fs::Permissions::from_mode(0o755)).unwrap();
        mount(&["-t", "tmpfs", "tmpfs", "/sys"]);
        fs::create_dir_all("/sys/devices/virtual/dmi/id").unwrap();
        fs::write("/sys/devices/virtual/dmi/id/board_asset_tag", format!("{INSTANCE}\n")).unwrap();
        world.trust(&world.emulator.ca_pem());
        world
    }

    /// Replaces the distribution's bundle with `pem`.
    pub(crate) fn trust(&self, pem: &str) {
        fs::write(self.path("etc/ca.pem"), pem).unwrap();
        let bundles = [
            "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
            "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/ssl/certs/ca-certificates.crt",
        ];
        for bundle in bundles.iter().filter(|bundle| Path::new(bundle).exists()) {
            fs::write(bundle, pem).unwrap();
        }
    }

    pub(crate) fn configure(&self, settings: &str) {
        fs::write("/etc/eic-agent.toml", settings).unwrap();
    }

    /// Like [`World::configure`], for commands whose result must not depend on time. Commands that query metadata get
    /// a minute, so that a busy machine cannot change the result.
    pub(crate) fn configure_unhurried(&self, settings: &str) {
        self.configure(&format!("{settings}\n[imds]\ntimeout = 60\n"));
    }

    /// Installs a shell script that sshd accepts as a command.
    pub(crate) fn script(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path("bin").join(name);
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    /// Replaces sshd and ssh with a program that reports this release.
    pub(crate) fn replace_sshd(&self, says: &str) {
        let script =
            self.script("old-sshd", &format!("echo 'unknown option -- V' >&2; echo '{says}' >&2; exit 1"));
        for program in ["/usr/sbin/sshd", "/usr/bin/ssh"] {
            mount(&["--bind", script.to_str().unwrap(), program]);
        }
    }

    /// A folder that every user may write.
    pub(crate) fn shared_folder(&self) -> PathBuf {
        let folder = self.path("seen");
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The most memory that a run may use at any time, in KiB. An agent that is not optimized may use more, because
    /// its code alone takes twice as much as the whole shipped agent.
    pub(crate) fn most_memory(&self) -> u64 {
        let is_optimized = fs::metadata(self.agent()).unwrap().len() < LARGE_PROGRAM;
        MOST_MEMORY + if is_optimized { 0 } else { UNOPTIMIZED }
    }

    /// The path of the agent. sshd accepts it: root owns every folder up to `/`, and only root may write them.
    pub(crate) fn agent(&self) -> PathBuf {
        self.path("bin/eic-agent")
    }

    pub(crate) fn agent_as(&self, name: &str) -> PathBuf {
        let link = self.path("bin").join(name);
        symlink("eic-agent", &link).unwrap();
        link
    }

    /// Turns the machine into one outside EC2.
    pub(crate) fn without_asset_tag(&self) {
        let _ = fs::remove_file("/sys/devices/virtual/dmi/id/board_asset_tag");
    }

    /// Turns the machine into an instance under Xen, whose firmware does not contain the instance id.
    pub(crate) fn become_xen(&self) {
        self.without_asset_tag();
        fs::create_dir_all("/sys/hypervisor").unwrap();
        fs::write("/sys/hypervisor/uuid", "ec2e1916-9099-7caf-fd21-012345abcdef\n").unwrap();
    }

    /// Removes an address from the private network.
    pub(crate) fn lose_address(&self, address: &str) {
        let gone = Command::new("ip").args(["address", "del", address, "dev", "lo"]).status().unwrap();
        assert!(gone.success());
    }

    /// Runs the agent as root, as sshd would with these arguments. Without `--timeout`, the time limit is 60 seconds,
    /// so that a busy machine does not change the result.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.run_as("root", arguments)
    }

    /// Runs the agent as one of the instance's users. With `--timeout`, it gets a higher priority, so that a busy machine
    /// does not end it by its alarm, a second after its time limit.
    pub(crate) fn run_as(&self, user: &str, arguments: &[&str]) -> Run {
        let mut own = arguments.iter().take_while(|argument| **argument != "--");
        if own.any(|argument| *argument == "--timeout") {
            let mut command = self.ahead(user);
            return Run::of(command.arg(self.agent()).arg("authorized-keys").args(arguments), Duration::ZERO);
        }
        let uid = self.uid(user);
        let mut command = Command::new(self.agent());
        command.arg("authorized-keys").args(UNHURRIED.split_whitespace()).args(arguments);
        Run::of(command.env_clear().uid(uid).gid(uid), Duration::ZERO)
    }

    /// Runs the agent with a short time limit, for a run that lasts until its limit. On a busy machine, the run may
    /// stop too early. While `far` returns false for a run, this function repeats it with the next of [`TIMES`].
    /// Returns the last run.
    pub(crate) fn run_out_of_time(&self, user: &str, arguments: &[&str], far: impl Fn(&Run) -> bool) -> Run {
        let run = |seconds: u64| {
            let mut command = self.ahead(user);
            command.arg(self.agent()).args(["authorized-keys", "--timeout", &seconds.to_string()]);
            Run::of(command.args(arguments), Duration::from_secs(seconds))
        };
        let mut last = run(TIMES[0]);
        for seconds in &TIMES[1..] {
            if far(&last) {
                break;
            }
            last = run(*seconds);
        }
        last
    }

    pub(crate) fn uid(&self, user: &str) -> u32 {
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let line = passwd.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(":x:")).unwrap();
        line.split(':').next().unwrap().parse().unwrap()
    }
}

/// The longest time that a run may take on a busy machine. For a run that lasts until its time limit, this time begins
/// at the limit.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Time limits in seconds for a run that lasts until its limit. If a busy machine did not get far enough within one
/// limit, the test uses the next.
pub(crate) const TIMES: [u64; 4] = [1, 4, 16, 50];

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) took: Duration,
    /// The time limit of a run that does not end by itself, else zero.
    pub(crate) within: Duration,
    output: Output,
}

impl Run {
    fn of(command: &mut Command, within: Duration) -> Self {
        let started = Instant::now();
        let output = command.stdin(Stdio::null()).output().unwrap();
        Self { took: started.elapsed(), within, output }
    }

    /// Whether the run ended soon by itself, or soon after its time limit.
    pub(crate) fn is_soon(&self) -> bool {
        self.took < self.within + SOON
    }

    pub(crate) fn status(&self) -> Option<i32> {
        self.output.status.code()
    }

    pub(crate) fn keys(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    pub(crate) fn notes(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }
}

pub(crate) fn mount(arguments: &[&str]) {
    let status = Command::new("mount").args(arguments).status().unwrap();
    assert!(status.success(), "mount {arguments:?}: {status}");
}

#[test]
fn test_path_is_the_path_of_the_test() {
    assert_eq!(test_path!(), "world::test_path_is_the_path_of_the_test");
    let of_a_closure = || test_path!();
    assert_ne!(of_a_closure(), test_path!(), "the path of a closure is not the path of a test");
}

#[test]
fn path_that_names_no_test_fails() {
    let said = |path: &str| {
        let run = Command::new(env::current_exe().unwrap()).args(only(path)).output().unwrap();
        assert!(run.status.success(), "a filter that matches nothing is a success for libtest");
        String::from_utf8(run.stdout).unwrap()
    };
    let (renamed, real) = ("world::was_renamed", "world::test_path_is_the_path_of_the_test");
    assert_ran(real, &said(real));
    let said = said(renamed);
    assert!(catch_unwind(|| assert_ran(renamed, &said)).is_err(), "{said}");
}
