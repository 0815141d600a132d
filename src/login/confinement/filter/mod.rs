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
//! # A short program
//!
//! The kernel translates the program into machine code when it installs the filter. That takes most of the time of the
//! confinement, and it grows with the length of the program. So a call without a condition is one bit of a bitmap, and the
//! two verdicts occur once. `seccompiler`'s program compares one number after the other, and is four times as long
//! (CONTRIBUTING.md, "Own code where a library exists"). Tests compare every verdict with that of `seccompiler`'s program
//! for the same list.
//!
//! Since Linux 5.11, the kernel also evaluates the program in advance for each of its 460 calls, to allow some of them
//! without the program. It stops at the first step that it cannot evaluate. `COPY` is such a step, so it is among the
//! first. A run makes too few calls for this evaluation to pay.

mod calls;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;

use calls::{Argument, CALLS, Call, with_calls_of};
use nix::libc;
use seccompiler::{BpfProgram, apply_filter, apply_filter_all_threads, sock_filter};

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

/// Instructions of BPF (`linux/bpf_common.h`). `A` and `X` are its registers.
const LOAD: u16 = 0x20; // A = a word of struct seccomp_data
const SET: u16 = 0x00; // A = k
const COPY: u16 = 0x07; // X = A
const AND: u16 = 0x54; // A &= k
const SHIFT: u16 = 0x74; // A >>= k
const SHIFT_BY_X: u16 = 0x7c; // A >>= X
const GO: u16 = 0x05; // jump
const JUMP_EQUAL: u16 = 0x15; // jump if A == k
const JUMP_ANY_BIT: u16 = 0x45; // jump if A & k != 0
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`: the call's number, the architecture, and the first argument. Each argument has eight
/// bytes. Both architectures are little-endian, so the lower half comes first.
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

/// The whole program. `None` on an architecture without a filter, or if a jump would be too long.
fn program(more: &[Call<'_>]) -> Option<BpfProgram> {
    let mut program = Program { steps: Vec::with_capacity(128), verdicts: Vec::with_capacity(64) };
    // The processor's other call interfaces use other numbers. The agent's libraries do not use these interfaces.
    program.steps.extend([
        step(LOAD, ARCHITECTURE_OF_CALL),
        jump(JUMP_EQUAL, ARCHITECTURE?, 1, 0),
        step(RETURN, KILL),
        step(LOAD, NUMBER),
        step(AND, WORD_MASK),
        step(COPY, 0),
        step(LOAD, NUMBER),
    ]);
    let mut bitmaps = BTreeMap::<u32, u32>::new();
    for call in CALLS.iter().chain(more) {
        let number = u32::try_from(call.number).ok()?;
        if call.when.is_empty() {
            *bitmaps.entry(number >> WORD_SHIFT).or_default() |= 1 << (number & WORD_MASK);
        } else {
            program.push_conditional(number, call.when)?;
        }
    }
    program.push_bitmaps(&bitmaps)?;
    program.finish()
}

/// The calls in one word of a bitmap: 32.
const WORD_SHIFT: u32 = 5;
const WORD_MASK: u32 = 31;

/// The program so far.
struct Program {
    steps: BpfProgram,
    /// The jumps to a verdict: the step, whether the condition holds, and whether the call is allowed.
    verdicts: Vec<(usize, bool, bool)>,
}

impl Program {
    /// Appends the checks of a call's arguments. The loaded number stays for other calls.
    fn push_conditional(&mut self, number: u32, alternatives: &[&[Argument<'_>]]) -> Option<()> {
        let start = self.steps.len();
        self.steps.push(jump(JUMP_EQUAL, number, 0, 0));
        for (place, alternative) in alternatives.iter().enumerate() {
            let is_last_alternative = place.saturating_add(1) == alternatives.len();
            let mut failing = Vec::new();
            for (place, argument) in alternative.iter().enumerate() {
                let is_last = place.saturating_add(1) == alternative.len();
                failing.push(self.push_argument(argument, is_last)?);
            }
            for step in failing {
                if is_last_alternative {
                    self.verdicts.push((step, false, false));
                } else {
                    let far = self.steps.len().checked_sub(step)?.checked_sub(1)?;
                    self.steps.get_mut(step)?.jf = u8::try_from(far).ok()?;
                }
            }
        }
        let far = self.steps.len().checked_sub(start)?.checked_sub(1)?;
        self.steps.get_mut(start)?.jf = u8::try_from(far).ok()?;
        Some(())
    }

    /// Appends the comparisons of one argument. Returns the last one, which jumps if no value matches. After a match, the
    /// next argument follows, or the call is allowed.
    fn push_argument(&mut self, argument: &Argument<'_>, is_last: bool) -> Option<usize> {
        self.steps.push(step(LOAD, ARGUMENTS.checked_add(argument.half.checked_mul(4)?)?));
        if argument.mask != u32::MAX {
            self.steps.push(step(AND, argument.mask));
        }
        let first = self.steps.len();
        for (place, value) in argument.values.iter().enumerate() {
            let behind = argument.values.len().checked_sub(place)?.checked_sub(1)?;
            self.steps.push(jump(JUMP_EQUAL, *value, u8::try_from(behind).ok()?, 0));
        }
        if is_last {
            self.verdicts.extend((first..self.steps.len()).map(|step| (step, true, true)));
        }
        self.steps.len().checked_sub(1)
    }

    /// Appends the search for the loaded number: the word of the bitmap, then the bit.
    fn push_bitmaps(&mut self, bitmaps: &BTreeMap<u32, u32>) -> Option<()> {
        self.steps.push(step(SHIFT, WORD_SHIFT));
        for (place, (word, bitmap)) in bitmaps.iter().enumerate() {
            let behind = bitmaps.len().checked_sub(place)?.checked_sub(1)?;
            let far = u32::try_from(behind).ok()?.checked_mul(3)?.checked_add(1)?;
            self.steps.extend([jump(JUMP_EQUAL, *word, 0, 2), step(SET, *bitmap), step(GO, far)]);
        }
        // No word matched.
        self.steps.push(step(SET, 0));
        self.steps.push(step(SHIFT_BY_X, 0));
        self.steps.push(jump(JUMP_ANY_BIT, 1, 1, 0));
        Some(())
    }

    /// Appends the verdicts and completes the jumps to them.
    fn finish(mut self) -> Option<BpfProgram> {
        let refused = self.steps.len();
        self.steps.extend([step(RETURN, REFUSE), step(RETURN, ALLOW)]);
        for (place, holds, is_allowed) in self.verdicts {
            let verdict = refused.checked_add(usize::from(is_allowed))?;
            let far = u8::try_from(verdict.checked_sub(place)?.checked_sub(1)?).ok()?;
            let step = self.steps.get_mut(place)?;
            if holds { step.jt = far } else { step.jf = far }
        }
        Some(self.steps)
    }
}

const fn step(code: u16, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests;
