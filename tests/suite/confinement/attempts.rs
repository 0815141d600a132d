//! The process that is confined and then tries what a run must not do.

use std::fs::{self, File};
use std::io::{IoSliceMut, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use eic_host::accounts::Account;
use eic_login::confinement::{Confinement, confine, no_more_threads};
use eic_login::privileges::give_up_root;
use nix::libc;
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::{Pid, Uid};

use super::{memory, without};

/// Set in the confined process.
pub(super) const INSIDE: &str = "EIC_TEST_CONFINED";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    Landlock,
    Filter,
    Bounds,
}
use Tier::{Bounds, Filter, Landlock};

/// Files, ports and a process outside, which the attempts use.
pub(super) struct Scene {
    pub(super) folder: PathBuf,
    pub(super) metadata: u16,
    pub(super) other: u16,
    pub(super) sleeper: u32,
    /// The open file of the run's memory, and another one.
    pub(super) memory: File,
    pub(super) another: File,
}

impl Scene {
    pub(super) fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n{}", self.metadata, self.other, self.sleeper, self.folder.display())
    }

    pub(super) fn from_text(text: &str) -> Self {
        let parts: Vec<_> = text.splitn(4, '\n').collect();
        let port = |place: usize| parts[place].parse().unwrap();
        let [memory, another] = ["memory", "another"].map(|name| open_in(Path::new(parts[3]), name));
        Self {
            metadata: port(0),
            other: port(1),
            sleeper: parts[2].parse().unwrap(),
            folder: parts[3].into(),
            memory,
            another,
        }
    }
}

/// Opens an empty file as a run opens its memory.
pub(super) fn open_in(folder: &Path, name: &str) -> File {
    File::options().read(true).write(true).create(true).truncate(true).open(folder.join(name)).unwrap()
}

pub(super) type Attempt = fn(&Scene) -> Result<(), String>;

/// A name, the tiers that forbid the attempt, and the attempt.
pub(super) type Row = (&'static str, &'static [Tier], Attempt);

/// All attempts.
pub(super) fn all() -> impl Iterator<Item = &'static Row> {
    ATTEMPTS.iter().chain(memory::ATTEMPTS)
}

pub(super) fn told<T>(result: Result<T, impl ToString>) -> Result<(), String> {
    result.map(drop).map_err(|error| error.to_string())
}

/// The attempts, and the tiers that forbid each of them. A run needs those that no tier forbids.
const ATTEMPTS: &[Row] = &[
    ("connect to metadata", &[], |scene| told(TcpStream::connect(("127.0.0.1", scene.metadata)))),
    ("send to the log", &[], |scene| {
        told(UnixDatagram::unbound().and_then(|socket| socket.send_to(b"line", scene.folder.join("log"))))
    }),
    ("have 16 MiB", &[], |_| told(Vec::<u8>::new().try_reserve_exact(16 << 20))),
    ("connect to another port", &[Landlock], |scene| told(TcpStream::connect(("127.0.0.1", scene.other)))),
    ("connect to an abstract socket", &[Landlock], |scene| {
        let name = scene.folder.display().to_string();
        told(SocketAddr::from_abstract_name(name).and_then(|name| UnixStream::connect_addr(&name)))
    }),
    ("listen", &[Landlock, Filter], |_| told(TcpListener::bind("127.0.0.1:0"))),
    ("read a file", &[Landlock, Filter], |_| told(File::open("/etc/passwd"))),
    ("list a folder", &[Landlock, Filter], |scene| told(fs::read_dir(&scene.folder))),
    ("make a file", &[Landlock, Filter], |scene| {
        told(File::create(scene.folder.join(format!("made-{}", std::process::id()))))
    }),
    ("make a folder", &[Landlock, Filter], |scene| {
        told(fs::create_dir(scene.folder.join(format!("folder-{}", std::process::id()))))
    }),
    ("write to a device", &[Landlock, Filter], |_| {
        told(File::options().write(true).open("/dev/null").and_then(|mut null| null.write_all(b"x")))
    }),
    ("run a program", &[Landlock, Filter, Bounds], |_| told(Command::new("/bin/true").status())),
    ("signal another process", &[Landlock, Filter], |scene| {
        told(kill(Pid::from_raw(i32::try_from(scene.sleeper).unwrap()), Signal::SIGCONT))
    }),
    ("start a thread", &[Bounds], |_| {
        told(thread::Builder::new().spawn(|| ()).map(thread::JoinHandle::join))
    }),
    ("have 256 MiB", &[Bounds], |_| told(Vec::<u8>::new().try_reserve_exact(256 << 20))),
    ("open 200 sockets", &[Bounds], |_| {
        told((0..200).map(|_| UnixDatagram::unbound()).collect::<Result<Vec<_>, _>>())
    }),
    ("send by UDP", &[Filter], |_| told(UdpSocket::bind("127.0.0.1:0"))),
    ("a netlink socket", &[Filter], |_| {
        told(socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), None))
    }),
    ("change the user", &[Filter], |_| told(nix::unistd::setuid(Uid::current()))),
    ("leave the folder", &[Filter], |_| told(nix::unistd::chdir("/"))),
    ("unshare", &[Filter], |_| told(nix::sched::unshare(CloneFlags::CLONE_FS))),
    ("be dumpable", &[Filter], |_| told(nix::sys::prctl::set_dumpable(true))),
    // The memory is the process's own. Every kernel lets a process read it this way.
    ("read a process's memory", &[Filter], |_| {
        let (there, mut here) = ([1_u8; 8], [0_u8; 8]);
        let remote = RemoteIoVec { base: there.as_ptr() as usize, len: there.len() };
        told(process_vm_readv(Pid::this(), &mut [IoSliceMut::new(&mut here)], &[remote]))
    }),
];

/// The user that root becomes.
pub(super) fn uid() -> u32 {
    let account = ["eic-agent", "nobody"].iter().find_map(|name| Account::find(name)).unwrap();
    if Uid::effective().is_root() { account.uid } else { Uid::effective().as_raw() }
}

/// Confines this process on a kernel that lacks these calls, or not at all. Prints the result of each attempt.
pub(super) fn try_all(lacks: Option<&[libc::c_long]>, scene: &Scene) {
    give_up_root().unwrap();
    let mut report = Vec::new();
    if let Some(lacks) = lacks {
        if !lacks.is_empty() {
            without(lacks);
        }
        // The filter must also apply to a thread that started before.
        let (go, wait) = channel::<()>();
        let older = thread::spawn(move || wait.recv().is_ok_and(|()| File::open("/etc/passwd").is_ok()));
        let confinement = confine(&[scene.metadata], 0, Some(scene.memory.as_raw_fd()));
        go.send(()).unwrap();
        assert_eq!(older.join().unwrap(), !confinement.filter, "an older thread");
        no_more_threads();
        assert_eq!(confinement, expected(lacks));
    }
    // Beyond a limit for file sizes, the kernel sends this signal. An attacker ignores it.
    let mut too_large = SigSet::empty();
    too_large.add(Signal::SIGXFSZ);
    too_large.thread_block().unwrap();
    for (name, _, attempt) in all() {
        let what = attempt(scene).err().unwrap_or_else(|| "done".to_owned());
        report.push(format!("TRIED {name}: {what}\n"));
    }
    // Begins a new line, because the test harness may have begun one.
    std::io::stdout().write_all(format!("\n{}", report.concat()).as_bytes()).unwrap();
}

fn expected(lacks: &[libc::c_long]) -> Confinement {
    let has = |call| !lacks.contains(&call);
    Confinement {
        privileges: true,
        bounds: true,
        landlock: if has(libc::SYS_landlock_create_ruleset) {
            eic_login::confinement::Landlock::Signals
        } else {
            eic_login::confinement::Landlock::None
        },
        filter: has(libc::SYS_seccomp),
    }
}
