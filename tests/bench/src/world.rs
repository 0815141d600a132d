//! A private EC2 instance for measurements. It is the instance of the test suite, with a trust store of realistic size.

// These modules belong to the suite. The benchmark does not use all of their code.
#[allow(dead_code, clippy::unused_self)]
#[path = "../../suite/world/ssh.rs"]
mod ssh;

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;

use eic_emulator::pki::{Hierarchy, Issuer, KeyPool};

pub(crate) use ssh::{Key, Sshd};

/// The variable that marks the run inside the namespaces. It contains the root of the private files.
const INSIDE: &str = "EIC_BENCH_WORLD";

const SET_UP: &str = include_str!("../../suite/world/set-up.sh");

/// Candidate directories over which the benchmark mounts its own file system.
const COVERABLE: [&str; 4] = ["/mnt", "/srv", "/media", "/opt"];

pub(crate) const INSTANCE: &str = "i-0123456789abcdef0";

/// The number of roots in a distribution's trust store (Debian 12: 142).
const ROOTS: usize = 142;

/// The user as whom sshd runs the agent.
pub(crate) const AGENTS_USER: &str = "eic-agent";

/// What the runs remember.
pub(crate) const MEMORY: &str = "/run/eic-agent/evidence";

pub(crate) struct World {
    root: PathBuf,
    /// The signer. All services of a run share it.
    pub(crate) hierarchy: Hierarchy,
}

/// Runs `work` on a private instance. This program makes namespaces and starts itself again inside.
pub(crate) fn inside(work: impl FnOnce(&World) -> bool) -> ExitCode {
    if let Some(root) = env::var_os(INSIDE) {
        let good = work(&World::enter(PathBuf::from(root)));
        return if good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let used: Vec<_> = env::args_os().map(PathBuf::from).chain(env::current_dir()).collect();
    let free = |place: &&&str| Path::new(place).is_dir() && !used.iter().any(|path| path.starts_with(place));
    let root = COVERABLE.iter().find(free).expect("an unused directory: /mnt, /srv, /media or /opt");
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SET_UP, "world", root])
        .arg(env::current_exe().expect("the path of this program"))
        .args(env::args_os().skip(1))
        .env(INSIDE, root)
        .status()
        .expect("unshare (util-linux) is missing");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl World {
    fn enter(root: PathBuf) -> Self {
        run("mount", &["-t", "tmpfs", "tmpfs", "/sys"]);
        fs::create_dir_all("/sys/devices/virtual/dmi/id").expect("a private /sys");
        fs::write("/sys/devices/virtual/dmi/id/board_asset_tag", format!("{INSTANCE}\n"))
            .expect("the asset tag can be written");
        let pool = KeyPool::shared();
        let now = std::time::UNIX_EPOCH
            .elapsed()
            .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or_default());
        let signer = "managed-ssh-signer.us-east-1.amazonaws.com";
        let world = Self { root, hierarchy: Hierarchy::new(&pool, signer, now) };
        world.trust(&pool);
        run("install", &["-d", "-m", "0700", "-o", AGENTS_USER, "-g", AGENTS_USER, "/run/eic-agent"]);
        world.keep_log("/dev/log");
        world.keep_log("/run/systemd/journal/socket");
        let shared = world.shared_folder();
        fs::create_dir_all(&shared).expect("a folder");
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).expect("rights");
        world
    }

    /// Installs a trust store of a distribution's size that contains the signer's root.
    fn trust(&self, pool: &KeyPool) {
        let key = pool.get("other-roots");
        let mut store: Vec<_> = (0..ROOTS)
            .map(|number| {
                let other = Issuer::new(&format!("Another Root {number:03}"), key.clone());
                other.certificate().self_signed(&other.key).pem()
            })
            .collect();
        store.insert(ROOTS / 2, self.hierarchy.anchor_pem());
        let store = store.concat();
        let bundles = [
            "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
            "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/ssl/certs/ca-certificates.crt",
        ];
        let there: Vec<_> = bundles.iter().filter(|bundle| Path::new(bundle).exists()).collect();
        assert!(!there.is_empty(), "found no trust store among {bundles:?}");
        for bundle in there {
            fs::write(bundle, &store).expect("the private trust store can be written");
        }
    }

    /// Starts a log daemon that reads messages and drops them.
    #[expect(clippy::unused_self, reason = "needs the private instance")]
    fn keep_log(&self, path: &str) {
        fs::create_dir_all(Path::new(path).parent().expect("a folder")).expect("a folder for the log");
        let socket = UnixDatagram::bind(path).expect("the private log socket can be bound");
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).expect("rights");
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 18];
            while socket.recv(&mut buffer).is_ok() {}
        });
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The path of the installed agent, which sshd accepts.
    pub(crate) fn agent(&self) -> PathBuf {
        self.path("bin/eic-agent")
    }

    /// A folder that every user may write.
    pub(crate) fn shared_folder(&self) -> PathBuf {
        self.path("shared")
    }

    /// Copies a program to a directory from which every user may run it.
    pub(crate) fn install(&self, from: &Path, name: &str) -> PathBuf {
        let to = self.path("bin").join(name);
        fs::copy(from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).expect("rights");
        to
    }
}

/// The user ID of `user` on the private instance.
pub(crate) fn uid(user: &str) -> u32 {
    let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let line = passwd.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(":x:"));
    line.and_then(|line| line.split(':').next()?.parse().ok()).unwrap_or_else(|| panic!("no user {user}"))
}

/// Runs a system program. Panics if it fails.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}; to install it, run tests/setup bench"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A file's size in bytes.
pub(crate) fn size(file: &Path) -> u64 {
    fs::metadata(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).size()
}
