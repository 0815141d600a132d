//! The list of the system calls that a run needs.

use std::os::fd::RawFd;

use nix::libc::{self, c_long};

/// A system call and its condition: one of the alternatives must match completely. Without alternatives, the call
/// is always allowed.
pub(super) struct Call<'c> {
    pub(super) number: c_long,
    pub(super) when: &'c [&'c [Argument<'c>]],
}

/// A half of an argument, with the mask applied, must have one of these values.
pub(super) struct Argument<'c> {
    /// The number of the half: the lower 32 bits of the first argument are 0, the higher ones 1.
    pub(super) half: u32,
    pub(super) mask: u32,
    pub(super) values: &'c [u32],
}

const fn any(number: c_long) -> Call<'static> {
    Call { number, when: &[] }
}

const fn only<'c>(number: c_long, when: &'c [&'c [Argument<'c>]]) -> Call<'c> {
    Call { number, when }
}

/// The lower half of an argument. The argument has C's type `int`, or its higher bits have no meaning.
const fn is(place: u32, values: &[u32]) -> Argument<'_> {
    masked(place, u32::MAX, values)
}

const fn masked(place: u32, mask: u32, values: &[u32]) -> Argument<'_> {
    Argument { half: place.saturating_mul(2), mask, values }
}

/// The higher half of an argument is 0.
const fn is_small(place: u32) -> Argument<'static> {
    Argument { half: place.saturating_mul(2).saturating_add(1), mask: u32::MAX, values: &[0] }
}

/// The bits of a socket's `type` without its flags (`SOCK_TYPE_MASK`).
const SOCKET_KIND: u32 = 0xf;

/// All bits except those of 0 and `IPPROTO_TCP`. This excludes SCTP and multipath TCP, which Landlock does not
/// control.
const NOT_TCP: u32 = !6;

/// `MSG_FASTOPEN`: a send that connects, which Landlock does not control.
const FAST_OPEN: u32 = 0x2000_0000;

/// `PROT_EXEC`.
const EXECUTABLE: u32 = 4;

/// `CLONE_THREAD` without `CLONE_NEW…`: a thread, but no process and no namespace. `clone3` has its flags in
/// memory, which a filter cannot read. If it is refused, C libraries use `clone`.
const THREAD: u32 = 0x1_0000;
const THREAD_AND_NAMESPACES: u32 = THREAD | 0x7e02_0000;

/// `FIONBIO`, the same on both architectures.
const NON_BLOCKING: u32 = 0x5421;

/// The bits of a size or a position beyond 128 KiB. The file of the memory has at most 64 KiB.
const BEYOND_MEMORY: u32 = !0x1_ffff;

/// `LOCK_EX | LOCK_NB`: takes the lock of a file, or fails at once.
pub(super) const LOCK_WITHOUT_WAITING: u32 = 6;

pub(super) const CALLS: &[Call<'static>] = &[
    // Open files.
    any(libc::SYS_read),
    any(libc::SYS_readv),
    any(libc::SYS_pread64),
    any(libc::SYS_write),
    any(libc::SYS_writev),
    any(libc::SYS_close),
    any(libc::SYS_fstat),
    any(libc::SYS_lseek),
    // Without F_SETOWN, which causes signals.
    only(
        libc::SYS_fcntl,
        // F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC
        &[&[is(1, &[1, 2, 3, 4, 1030])]],
    ),
    // Without TIOCSTI, which inserts input into the terminal.
    only(libc::SYS_ioctl, &[&[is(1, &[NON_BLOCKING])]]),
    // Memory that is not executable.
    only(libc::SYS_mmap, &[&[masked(2, EXECUTABLE, &[0])]]),
    only(libc::SYS_mprotect, &[&[masked(2, EXECUTABLE, &[0])]]),
    any(libc::SYS_munmap),
    any(libc::SYS_mremap),
    any(libc::SYS_madvise),
    any(libc::SYS_brk),
    // Threads, and waiting.
    only(libc::SYS_clone, &[&[masked(0, THREAD_AND_NAMESPACES, &[THREAD])]]),
    any(libc::SYS_set_robust_list),
    any(libc::SYS_set_tid_address),
    any(libc::SYS_rseq),
    any(libc::SYS_sigaltstack),
    any(libc::SYS_rt_sigaction),
    any(libc::SYS_rt_sigprocmask),
    any(libc::SYS_rt_sigreturn),
    any(libc::SYS_futex),
    any(libc::SYS_sched_yield),
    any(libc::SYS_sched_getaffinity),
    any(libc::SYS_restart_syscall),
    any(libc::SYS_clock_gettime),
    any(libc::SYS_clock_nanosleep),
    any(libc::SYS_nanosleep),
    any(libc::SYS_gettimeofday),
    any(libc::SYS_getrandom),
    only(libc::SYS_prctl, &[&[is(0, &[15 /* PR_SET_NAME */])]]),
    // The process' own limits, to lower them.
    only(libc::SYS_prlimit64, &[&[is(0, &[0])]]),
    any(libc::SYS_getpid),
    any(libc::SYS_getppid),
    any(libc::SYS_gettid),
    any(libc::SYS_getuid),
    any(libc::SYS_geteuid),
    any(libc::SYS_getgid),
    any(libc::SYS_getegid),
    any(libc::SYS_exit),
    any(libc::SYS_exit_group),
    // The ends of the providers.
    any(libc::SYS_wait4),
    any(libc::SYS_waitid),
    // Metadata and the log.
    only(
        libc::SYS_socket,
        &[
            // AF_UNIX. The log uses a datagram socket, or a stream for an older daemon.
            &[is(0, &[1]), masked(1, SOCKET_KIND, &[1, 2])],
            // AF_INET and AF_INET6: only streams.
            &[is(0, &[2, 10]), masked(1, SOCKET_KIND, &[1]), masked(2, NOT_TCP, &[0])],
        ],
    ),
    any(libc::SYS_connect),
    any(libc::SYS_getsockname),
    any(libc::SYS_getpeername),
    any(libc::SYS_getsockopt),
    any(libc::SYS_setsockopt),
    only(libc::SYS_sendto, &[&[masked(3, FAST_OPEN, &[0])]]),
    only(libc::SYS_sendmsg, &[&[masked(2, FAST_OPEN, &[0])]]),
    any(libc::SYS_recvfrom),
    any(libc::SYS_recvmsg),
    any(libc::SYS_shutdown),
    any(libc::SYS_epoll_create1),
    any(libc::SYS_epoll_ctl),
    any(libc::SYS_epoll_pwait),
    any(libc::SYS_eventfd2),
    any(libc::SYS_ppoll),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_poll),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_epoll_wait),
];

/// The calls on the file of the memory, which has this descriptor: write at a position, cut, try the lock. A descriptor has
/// C's type `int`. The position and the sizes are bounded. A limit of the process also bounds what `write` appends
/// ([`confine`](super::super::confine)). So a run cannot fill the file system.
///
/// The kernel compares the number of the descriptor, not the file. A run that an attacker took over could give this number
/// to another open file. It has no other file that it can write but standard output, which it can write anyway.
pub(super) fn with_calls_of<T>(memory: Option<RawFd>, make: impl FnOnce(&[Call<'_>]) -> T) -> T {
    let Some(memory) = memory.and_then(|memory| u32::try_from(memory).ok()) else { return make(&[]) };
    let numbers = &[memory];
    let write: &[&[Argument<'_>]] = &[&[
        is(0, numbers),
        masked(2, BEYOND_MEMORY, &[0]),
        is_small(2),
        masked(3, BEYOND_MEMORY, &[0]),
        is_small(3),
    ]];
    let cut: &[&[Argument<'_>]] = &[&[is(0, numbers), masked(1, BEYOND_MEMORY, &[0]), is_small(1)]];
    let lock: &[&[Argument<'_>]] = &[&[is(0, numbers), is(1, &[LOCK_WITHOUT_WAITING])]];
    make(&[only(libc::SYS_pwrite64, write), only(libc::SYS_ftruncate, cut), only(libc::SYS_flock, lock)])
}
