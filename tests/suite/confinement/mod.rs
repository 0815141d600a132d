//! Operations that a confined run cannot do. Each one is tried under each tier alone and without confinement. Runs
//! that wait are checked from outside. A filter over the test's own thread imitates kernels with fewer features.

mod attempts;
mod memory;
mod privileges;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use attempts::{Scene, Tier, open_in};
use eic_emulator::{Config, Fault};
use nix::libc;
use seccompiler::{SeccompAction, SeccompFilter, apply_filter};

use crate::metadata::{USER, pushed};
use crate::wiring::agent;
use crate::world::{Syslog, World, assert_ran, on_an_instance, only, test_path, until};

/// From here on, these calls fail with ENOSYS, in this thread and in the processes that it starts.
fn without(calls: &[libc::c_long]) {
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(u32::try_from(libc::ENOSYS).unwrap());
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    apply_filter(&program).unwrap();
}

/// An imitated kernel: its name, the system calls that it lacks, and a part of `doctor`'s report about it.
type Kernel = (&'static str, &'static [libc::c_long], &'static str);

const KERNELS: [Kernel; 4] = [
    ("this", &[], "no new privileges, resource limits, Landlock for files"),
    (
        "without Landlock",
        &[libc::SYS_landlock_create_ruleset],
        "missing: Landlock for files, for TCP ports, for signals",
    ),
    ("without seccomp", &[libc::SYS_seccomp], "for signals; missing: a system call filter"),
    (
        "without both",
        &[libc::SYS_landlock_create_ruleset, libc::SYS_seccomp],
        "no new privileges, resource limits; missing: Landlock for files, for TCP ports, for signals, a system call filter",
    ),
];

/// A container may refuse all of these.
const REFUSES_EVERYTHING: Kernel = (
    "that refuses everything",
    &[libc::SYS_landlock_create_ruleset, libc::SYS_seccomp, libc::SYS_prctl, libc::SYS_prlimit64],
    "Landlock for files, for TCP ports, for signals, a system call filter",
);

/// Runs `work` on a thread that has such a kernel.
fn on_kernel<T: Send>(lacks: &[libc::c_long], work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                if !lacks.is_empty() {
                    without(lacks);
                }
                work()
            })
            .join()
            .unwrap()
    })
}

/// Runs the test again, as a process that is confined under such a kernel or not at all. Returns the result of each
/// attempt.
fn attempted(test: &str, kernel: &str, scene: &Scene) -> BTreeMap<String, String> {
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(only(test))
        .env(attempts::INSIDE, format!("{kernel}\n{}", scene.to_text()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{kernel}: {}: {said}{}", ran.status, String::from_utf8_lossy(&ran.stderr));
    assert_ran(test, &said);
    let lines = said.lines().filter_map(|line| line.strip_prefix("TRIED ")?.split_once(": "));
    lines.map(|(name, what)| (name.to_owned(), what.to_owned())).collect()
}

#[test]
fn forbidden_operation_fails_under_each_tier() {
    if let Ok(inside) = std::env::var(attempts::INSIDE) {
        let (kernel, scene) = inside.split_once('\n').unwrap();
        let lacks = KERNELS.iter().find(|(name, ..)| *name == kernel).map(|(_, lacks, _)| *lacks);
        return attempts::try_all(lacks, &Scene::from_text(scene));
    }
    let folder = std::env::temp_dir().join(format!("eic-agent-confinement-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let (metadata, other) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let log = UnixDatagram::bind(folder.join("log")).unwrap();
    fs::set_permissions(folder.join("log"), fs::Permissions::from_mode(0o777)).unwrap();
    let name = folder.display().to_string();
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    // A process of the user that makes the attempts.
    let uid = attempts::uid();
    let mut sleeper = Command::new("sleep").arg("600").uid(uid).spawn().unwrap();
    let scene = Scene {
        folder: folder.clone(),
        metadata: metadata.local_addr().unwrap().port(),
        other: other.local_addr().unwrap().port(),
        sleeper: sleeper.id(),
        memory: open_in(&folder, "memory"),
        another: open_in(&folder, "another"),
    };
    let control = attempted(test_path!(), "no confinement", &scene);
    let mut faults = Vec::new();
    for (name, ..) in attempts::all() {
        if control[*name] != "done" {
            faults.push(format!("{name}, without confinement: {}", control[*name]));
        }
    }
    for (kernel, lacks, _) in KERNELS {
        let tried = attempted(test_path!(), kernel, &scene);
        let has = |tier: Tier| match tier {
            Tier::Landlock => !lacks.contains(&libc::SYS_landlock_create_ruleset),
            Tier::Filter => !lacks.contains(&libc::SYS_seccomp),
            Tier::Bounds => true,
        };
        for (name, tiers, _) in attempts::all() {
            let is_forbidden = tiers.iter().any(|tier| has(*tier));
            if is_forbidden == (tried[*name] == "done") {
                faults.push(format!("{name}, under a kernel {kernel}: {}", tried[*name]));
            }
        }
    }
    assert!(log.recv(&mut [0; 64]).is_ok(), "the log was reached");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    fs::remove_dir_all(folder).unwrap();
    assert!(faults.is_empty(), "(Landlock of Linux 6.12 and seccomp are expected)\n{}", faults.join("\n"));
}

#[test]
fn login_works_on_a_kernel_without_a_tier_and_doctor_reports_it() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _log = Syslog::bind();
        let key = pushed(world, "key");
        let theirs = world.script("provider", "echo theirs");
        let expected = format!("{}\ntheirs\n", key.bare_line());
        for (kernel, lacks, words) in KERNELS.into_iter().chain([REFUSES_EVERYTHING]) {
            let tell = || {
                for user in ["root", "eic-agent"] {
                    let run = world.run_as(user, &[USER, &key.fingerprint(), "--", theirs.to_str().unwrap()]);
                    assert_eq!((run.status(), run.keys()), (Some(0), expected.clone()), "{kernel}: {run:?}");
                }
                agent(world, &["doctor", "--json"]).out
            };
            let report: serde_json::Value = serde_json::from_str(&on_kernel(lacks, tell)).unwrap();
            let checks = report["checks"].as_array().unwrap();
            let check = checks.iter().find(|check| check["id"] == "confinement").unwrap();
            assert_eq!(check["verdict"], "ok", "a kernel without a tier is no fault: {check:#}");
            let seen = check["seen"].as_str().unwrap();
            assert!(seen.contains(words), "{kernel}: {seen}");
            assert_eq!(seen.contains("missing:"), !lacks.is_empty(), "{kernel}: {seen}");
        }
    });
}

/// A run that waits for a service that does not answer.
struct Waiting(Child);

impl Waiting {
    fn start(world: &World, user: &str, provider: &str) -> Self {
        let uid = world.uid(user);
        let run = Command::new(world.agent())
            .args(["authorized-keys", "--timeout", "60", "--provider-user", "provider", USER, "--", provider])
            .env_clear()
            .env("SECRET", "in its memory")
            .uid(uid)
            .gid(uid)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(run)
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.0.id())).unwrap()
    }

    /// The kernel's status of each of the run's threads.
    fn threads(&self) -> Vec<String> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap().flatten();
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok()).collect()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn says(status: &str, name: &str, value: &str) -> bool {
    status.lines().any(|line| line.split_once(':').is_some_and(|(n, v)| n == name && v.trim() == value))
}

#[test]
fn waiting_run_is_confined_and_its_providers_are_not() {
    on_an_instance(test_path!(), Config::default(), |world| {
        world.emulator.inject(Fault::everywhere().delay(Duration::from_secs(3600)));
        let seen = world.shared_folder();
        for user in ["root", "eic-agent"] {
            let marker = seen.join(user);
            let provider =
                world.script(&format!("p-{user}"), &format!("echo $$ >{}; exec sleep 600", marker.display()));
            let run = Waiting::start(world, user, provider.to_str().unwrap());
            until("the provider has started", || {
                fs::read_to_string(&marker).is_ok_and(|pid| pid.ends_with('\n'))
            });
            // One thread waits for the deadline, one requests metadata, and one reads the provider's output.
            until("the run has three confined threads", || {
                let threads = run.threads();
                threads.len() == 3 && threads.iter().all(|thread| says(thread, "Seccomp", "2"))
            });
            let confined = |thread: &String| {
                says(thread, "NoNewPrivs", "1") && says(thread, "CapPrm", "0000000000000000")
            };
            assert!(run.threads().iter().all(confined), "{user}: {:#?}", run.threads());
            until("the bound on processes is set", || {
                run.file("limits").contains("Max processes             0                    0 ")
            });
            let limits = run.file("limits");
            for line in [
                "Max core file size        0                    0 ",
                // 64 MiB, and 8 MiB for the provider.
                "Max data size             75497472             75497472 ",
                "Max open files            128                  128 ",
            ] {
                assert!(limits.contains(line), "{user}: {limits}");
            }

            // A process of the same user can read the environment of a process that is dumpable.
            let agent = world.uid("eic-agent");
            let read = |pid: u32| {
                let file = format!("/proc/{pid}/environ");
                Command::new("cat").arg(file).uid(agent).gid(agent).stderr(Stdio::null()).output().unwrap()
            };
            let mut control =
                Command::new("sleep").arg("600").env("SECRET", "read").uid(agent).gid(agent).spawn().unwrap();
            until("the control process can be read", || {
                String::from_utf8_lossy(&read(control.id()).stdout).contains("SECRET=read")
            });
            control.kill().unwrap();
            control.wait().unwrap();
            let peeked = read(run.0.id());
            assert!(!peeked.status.success() && peeked.stdout.is_empty(), "{user}: {peeked:?}");

            let pid = fs::read_to_string(&marker).unwrap();
            let theirs = format!("/proc/{}/status", pid.trim());
            let status = fs::read_to_string(&theirs).unwrap();
            assert!(says(&status, "NoNewPrivs", "0") && says(&status, "Seccomp", "0"), "{user}: {status}");
            drop(run);
            until("the provider has ended", || !Path::new(&theirs).exists());
        }
    });
}
