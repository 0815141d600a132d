//! The system calls that a run is made of; the kernel refuses every other (seccomp(2)).
//!
//! # A list of what is allowed, and `ENOSYS` for the rest
//!
//! A list of what is forbidden would be out of date with every new kernel: `io_uring`, `bpf`, `userfaultfd` and
//! `pidfd_getfd` were all once unknown to such lists. So what is not named here is refused, also what does not exist
//! yet. The price is that a C library may one day make a call that nobody has foreseen. That is why the answer is
//! `ENOSYS`, "this kernel has no such call", and never a signal: C libraries and Rust's runtime meet kernels that are
//! older than they are every day, and do without the new call or take the old one. `EPERM` has no such meaning: with
//! it, threads fail to start where `clone3` is refused. And where one of them really cannot do without, the run ends
//! with a reason in the log, and what a provider has said is printed all the same: writing, waiting and ending are
//! below.
//!
//! The list is of names that both architectures and both C libraries take, with the older names where only one has
//! them. It allows more than today's run calls, where the more is harmless and a library may come to want it.
//!
//! Refused are thus: every program and process, tracing and other processes' memory, signals to anybody, mounts,
//! namespaces, modules, keys, users, clocks, code made at run time, and opening any file at all. Of sockets there are
//! those with a path (the log) and TCP.
//!
//! # A search instead of a list
//!
//! The kernel asks the filter about each of its 460 calls in advance, so that most cost nothing later. `seccompiler`
//! compares one number after the other: 90 µs to make that program and 220 µs for the kernel to take it. The numbers
//! are therefore searched by halves, which makes it 15 and 70. Tests hold every verdict against the program that
//! `seccompiler` itself makes of the same list.

use std::io;

use eic_core::order;
use nix::libc::{self, c_long};
use seccompiler::{BpfProgram, apply_filter, apply_filter_all_threads, sock_filter};

/// A system call, and when it is allowed: where one of the alternatives holds whole, or always where there are none.
struct Call {
    number: c_long,
    when: &'static [&'static [Argument]],
}

/// The lower 32 bits of an argument, as far as the mask shows them, have this value. All arguments below are of C's
/// `int` or have no higher bits that mean anything.
struct Argument {
    place: u32,
    mask: u32,
    value: u32,
}

const fn any(number: c_long) -> Call {
    Call { number, when: &[] }
}

const fn only(number: c_long, when: &'static [&'static [Argument]]) -> Call {
    Call { number, when }
}

const fn is(place: u32, value: u32) -> Argument {
    Argument { place, mask: u32::MAX, value }
}

const fn masked(place: u32, mask: u32, value: u32) -> Argument {
    Argument { place, mask, value }
}

/// The kinds of sockets that `type` tells beside its flags (`SOCK_TYPE_MASK`).
const SOCKET_KIND: u32 = 0xf;

/// Every bit but those of 0 and `IPPROTO_TCP`: no SCTP and no multipath TCP, which Landlock does not know.
const NOT_TCP: u32 = !6;

/// `MSG_FASTOPEN`: sending that connects, past Landlock.
const FAST_OPEN: u32 = 0x2000_0000;

/// `PROT_EXEC`.
const EXECUTABLE: u32 = 4;

/// `CLONE_THREAD`, and none of `CLONE_NEW…`: a thread, no process and no namespace. `clone3` has its flags in memory,
/// where no filter sees them; C libraries take `clone` where it is refused.
const THREAD: u32 = 0x1_0000;
const THREAD_AND_NAMESPACES: u32 = THREAD | 0x7e02_0000;

/// `FIONBIO` of both architectures.
const NON_BLOCKING: u32 = 0x5421;

const CALLS: &[Call] = &[
    // What is open already.
    any(libc::SYS_read),
    any(libc::SYS_readv),
    any(libc::SYS_pread64),
    any(libc::SYS_write),
    any(libc::SYS_writev),
    any(libc::SYS_close),
    any(libc::SYS_fstat),
    any(libc::SYS_lseek),
    // Not F_SETOWN, which sends signals.
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
    // Not TIOCSTI, which types on the terminal.
    only(libc::SYS_ioctl, &[&[is(1, NON_BLOCKING)]]),
    // Memory, none of it code.
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
    // Our own limits, to lower them.
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
    // The providers' ends.
    any(libc::SYS_wait4),
    any(libc::SYS_waitid),
    // Metadata and the log.
    only(
        libc::SYS_socket,
        &[
            // The log is datagrams, or a stream where an older daemon takes those.
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

/// `AUDIT_ARCH_X86_64` and `AUDIT_ARCH_AARCH64` (`linux/audit.h`); on others there is no filter.
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

/// Instructions of the filter's language (`linux/bpf_common.h`): load a word of `struct seccomp_data`, mask it, jump
/// where it is equal, or greater or equal, and end.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Where `struct seccomp_data` has the call's number, the architecture, and the lower half of the first argument; the
/// next argument is eight bytes on. Both architectures are little-endian.
const NUMBER: u32 = 0;
const ARCHITECTURE_OF_CALL: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Puts the filter over all threads of this process; false where the kernel has none, or takes none now.
pub(super) fn install() -> bool {
    let Some(program) = program() else { return false };
    match apply_filter_all_threads(&program) {
        Ok(()) => true,
        // A thread that stands under another filter than ours does; or a kernel that cannot do it to others.
        Err(seccompiler::Error::ThreadSync(_)) => apply_filter(&program).is_ok(),
        Err(seccompiler::Error::Seccomp(error)) if error.kind() == io::ErrorKind::InvalidInput => {
            apply_filter(&program).is_ok()
        }
        Err(_) => false,
    }
}

/// The whole filter. None on an architecture without one, or where a part is too far from another to jump to.
fn program() -> Option<BpfProgram> {
    let mut program = Vec::with_capacity(256);
    // The other kinds of calls of the same processor have other numbers; no library of ours makes one.
    program.extend([
        step(LOAD, ARCHITECTURE_OF_CALL),
        jump(JUMP_EQUAL, ARCHITECTURE?, 1, 0),
        step(RETURN, KILL),
        step(LOAD, NUMBER),
    ]);
    search(&ranges()?, &mut program)?;
    Some(program)
}

/// What holds from a number on, until the next range begins. None: refused.
type Range = (u32, Option<&'static [&'static [Argument]]>);

fn ranges() -> Option<Vec<Range>> {
    let calls = order::by_key(CALLS.iter().collect(), |call| call.number);
    let mut ranges: Vec<Range> = Vec::with_capacity(calls.len().saturating_mul(2).saturating_add(1));
    ranges.push((0, None));
    for call in calls {
        let number = u32::try_from(call.number).ok()?;
        // Nothing lies between this call and the one before.
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

/// Searches the number, which is loaded, by halves.
fn search(ranges: &[Range], program: &mut BpfProgram) -> Option<()> {
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

/// Looks at the arguments: each comparison that fails goes on to the next alternative.
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
