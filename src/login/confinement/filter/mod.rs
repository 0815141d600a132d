//! The system calls that a run needs. The kernel refuses all others (seccomp(2)).
//!
//! # An allow list, with `ENOSYS` for other calls
//!
//! A deny list would be outdated with every new kernel. `io_uring`, `bpf`, `userfaultfd` and `pidfd_getfd` were all
//! missing from such lists at first. So every call that is not listed here is refused, including calls that do not
//! exist yet.
//!
//! The disadvantage: a future C library may make a call that is not listed. So the result is `ENOSYS` ("this kernel
//! has no such call"), and never a signal. C libraries and Rust's runtime support older kernels, and fall back to
//! an older call. `EPERM` would not cause that: with it, threads fail to start if `clone3` is refused. If a library
//! has no fallback, the run ends with a reason in the log. The output of the providers is still printed, because
//! writing, waiting and exiting are allowed.
//!
//! The list contains the calls of both architectures and both C libraries, including the older names that only one
//! of them has. It contains some calls that runs do not make today, if they are harmless and a library may need
//! them.
//!
//! So the filter refuses to start a program or a process and to open a file. It also refuses tracing, access to other
//! processes' memory, signals, mounts, namespaces, modules, keys, changes of the user or the clock, and code created at
//! run time. The only sockets are those with a path (for the log) and TCP.
//!
//! # A binary search instead of a list
//!
//! The kernel evaluates the filter in advance for each of its 460 calls, so that most calls cost nothing later.
//! `seccompiler` compares one number after the other. This program uses a binary search instead. With
//! `seccompiler`'s program, a run takes 172,000 more instructions (20 %), and the kernel takes 284 instead of 97 µs
//! to load the filter (CONTRIBUTING.md, "Own code where a library exists"). Tests compare every verdict with that
//! of `seccompiler`'s program for the same list.

use std::io;
use std::os::fd::RawFd;

use eic_core::order;
use nix::libc::{self, c_long};
use seccompiler::{BpfProgram, apply_filter, apply_filter_all_threads, sock_filter};

/// A system call and its condition: one of the alternatives must match completely. Without alternatives, the call
/// is always allowed.
struct Call<'c> {
    number: c_long,
    when: &'c [&'c [Argument]],
}

/// The lower 32 bits of an argument, with the mask applied, must have this value. All arguments below have C's type
/// `int`, or their higher bits have no meaning.
struct Argument {
    place: u32,
    mask: u32,
    value: u32,
}

const fn any(number: c_long) -> Call<'static> {
    Call { number, when: &[] }
}

const fn only<'c>(number: c_long, when: &'c [&'c [Argument]]) -> Call<'c> {
    Call { number, when }
}

const fn is(place: u32, value: u32) -> Argument {
    Argument { place, mask: u32::MAX, value }
}

const fn masked(place: u32, mask: u32, value: u32) -> Argument {
    Argument { place, mask, value }
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

/// `LOCK_EX | LOCK_NB`: takes the lock of a file, or fails at once.
const LOCK_WITHOUT_WAITING: u32 = 6;

const CALLS: &[Call<'static>] = &[
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
        &[
            &[is(1, 1 /* F_GETFD */)],
            &[is(1, 2 /* F_SETFD */)],
            &[is(1, 3 /* F_GETFL */)],
            &[is(1, 4 /* F_SETFL */)],
            &[is(1, 1030 /* F_DUPFD_CLOEXEC */)],
        ],
    ),
    // Without TIOCSTI, which inserts input into the terminal.
    only(libc::SYS_ioctl, &[&[is(1, NON_BLOCKING)]]),
    // Memory that is not executable.
    only(libc::SYS_mmap, &[&[masked(2, EXECUTABLE, 0)]]),
    only(libc::SYS_mprotect, &[&[masked(2, EXECUTABLE, 0)]]),
    any(libc::SYS_munmap),
    any(libc::SYS_mremap),
    any(libc::SYS_madvise),
    any(libc::SYS_brk),
    // Threads, and waiting.
    only(libc::SYS_clone, &[&[masked(0, THREAD_AND_NAMESPACES, THREAD)]]),
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
    only(libc::SYS_prctl, &[&[is(0, 15 /* PR_SET_NAME */)]]),
    // The process' own limits, to lower them.
    only(libc::SYS_prlimit64, &[&[is(0, 0)]]),
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
            // The log uses a datagram socket, or a stream for an older daemon.
            &[is(0, 1 /* AF_UNIX */), masked(1, SOCKET_KIND, 2)],
            &[is(0, 1 /* AF_UNIX */), masked(1, SOCKET_KIND, 1)],
            &[is(0, 2 /* AF_INET */), masked(1, SOCKET_KIND, 1), masked(2, NOT_TCP, 0)],
            &[is(0, 10 /* AF_INET6 */), masked(1, SOCKET_KIND, 1), masked(2, NOT_TCP, 0)],
        ],
    ),
    any(libc::SYS_connect),
    any(libc::SYS_getsockname),
    any(libc::SYS_getpeername),
    any(libc::SYS_getsockopt),
    any(libc::SYS_setsockopt),
    only(libc::SYS_sendto, &[&[masked(3, FAST_OPEN, 0)]]),
    only(libc::SYS_sendmsg, &[&[masked(2, FAST_OPEN, 0)]]),
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

/// `AUDIT_ARCH_X86_64` and `AUDIT_ARCH_AARCH64` (`linux/audit.h`). On other architectures there is no filter.
const ARCHITECTURE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_003e)
} else if cfg!(target_arch = "aarch64") {
    Some(0xc000_00b7)
} else {
    None
};

/// `SECCOMP_RET_ALLOW`; `SECCOMP_RET_ERRNO` with `ENOSYS`; `SECCOMP_RET_KILL_PROCESS`.
const ALLOW: u32 = 0x7fff_0000;
const REFUSE: u32 = 0x0005_0000 | libc::ENOSYS.unsigned_abs();
const KILL: u32 = 0x8000_0000;

/// Instructions of BPF (`linux/bpf_common.h`): load a word of `struct seccomp_data`, apply a mask, jump if equal,
/// jump if greater or equal, return.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`: the call's number, the architecture, and the lower half of the first argument.
/// Each argument has eight bytes. Both architectures are little-endian.
const NUMBER: u32 = 0;
const ARCHITECTURE_OF_CALL: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Installs the filter for all threads of this process. Returns false if the kernel does not support filters or
/// refuses this one.
pub(super) fn install(memory: Option<RawFd>) -> bool {
    let Some(program) = with_calls_of(memory, program) else { return false };
    match apply_filter_all_threads(&program) {
        Ok(()) => true,
        // A thread already has another filter, or the kernel cannot install a filter for other threads.
        Err(seccompiler::Error::ThreadSync(_)) => apply_filter(&program).is_ok(),
        Err(seccompiler::Error::Seccomp(error)) if error.kind() == io::ErrorKind::InvalidInput => {
            apply_filter(&program).is_ok()
        }
        Err(_) => false,
    }
}

/// The calls on the file of the memory, which has this descriptor: write at a position, cut, try the lock. A descriptor has
/// C's type `int`, so it is compared as 32 bits.
fn with_calls_of<T>(memory: Option<RawFd>, make: impl FnOnce(&[Call<'_>]) -> T) -> T {
    let Some(memory) = memory.and_then(|memory| u32::try_from(memory).ok()) else { return make(&[]) };
    let descriptor: &[&[Argument]] = &[&[is(0, memory)]];
    let lock: &[&[Argument]] = &[&[is(0, memory), is(1, LOCK_WITHOUT_WAITING)]];
    make(&[
        only(libc::SYS_pwrite64, descriptor),
        only(libc::SYS_ftruncate, descriptor),
        only(libc::SYS_flock, lock),
    ])
}

/// The whole program. `None` on an architecture without a filter, or if a jump would be too long.
fn program(more: &[Call<'_>]) -> Option<BpfProgram> {
    let mut program = Vec::with_capacity(256);
    // The processor's other call interfaces use other numbers. The agent's libraries do not use these interfaces.
    program.extend([
        step(LOAD, ARCHITECTURE_OF_CALL),
        jump(JUMP_EQUAL, ARCHITECTURE?, 1, 0),
        step(RETURN, KILL),
        step(LOAD, NUMBER),
    ]);
    search(&ranges(more)?, &mut program)?;
    Some(program)
}

/// The first number of a range, and the condition for all its numbers. The range ends before the next one. `None` means
/// refused.
type Range<'c> = (u32, Option<&'c [&'c [Argument]]>);

fn ranges<'c>(more: &'c [Call<'c>]) -> Option<Vec<Range<'c>>> {
    let calls = order::by_key(CALLS.iter().chain(more).collect(), |call| call.number);
    let mut ranges: Vec<Range<'_>> = Vec::with_capacity(calls.len().saturating_mul(2).saturating_add(1));
    ranges.push((0, None));
    for call in calls {
        let number = u32::try_from(call.number).ok()?;
        // There is no number between this call and the one before.
        if ranges.last().is_some_and(|(start, _)| *start == number) {
            ranges.pop();
        }
        let continues = call.when.is_empty() && matches!(ranges.last(), Some((_, Some([]))));
        if !continues {
            ranges.push((number, Some(call.when)));
        }
        ranges.push((number.saturating_add(1), None));
    }
    Some(ranges)
}

/// Appends a binary search for the loaded number.
fn search(ranges: &[Range<'_>], program: &mut BpfProgram) -> Option<()> {
    let (lower, upper) = ranges.split_at_checked(ranges.len().checked_div(2)?)?;
    let (start, verdict) = upper.first()?;
    if lower.is_empty() {
        match verdict {
            None => program.push(step(RETURN, REFUSE)),
            Some([]) => program.push(step(RETURN, ALLOW)),
            Some(alternatives) => push_comparisons(alternatives, program)?,
        }
        return Some(());
    }
    let place = program.len();
    program.push(jump(JUMP_GREATER_OR_EQUAL, *start, 0, 0));
    let from = program.len();
    search(lower, program)?;
    let far = program.len().checked_sub(from)?;
    program.get_mut(place)?.jt = u8::try_from(far).ok()?;
    search(upper, program)
}

/// Appends the checks of the arguments. A failed comparison jumps to the next alternative.
fn push_comparisons(alternatives: &[&[Argument]], program: &mut BpfProgram) -> Option<()> {
    for alternative in alternatives {
        for (place, argument) in alternative.iter().enumerate() {
            let behind = alternative.len().checked_sub(place)?.checked_sub(1)?;
            let next = behind.checked_mul(3)?.checked_add(1)?;
            let at = ARGUMENTS.checked_add(argument.place.checked_mul(8)?)?;
            program.push(step(LOAD, at));
            program.push(step(AND, argument.mask));
            program.push(jump(JUMP_EQUAL, argument.value, 0, u8::try_from(next).ok()?));
        }
        program.push(step(RETURN, ALLOW));
    }
    program.push(step(RETURN, REFUSE));
    Some(())
}

const fn step(code: u16, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests;
