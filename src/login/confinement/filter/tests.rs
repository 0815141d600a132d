//! Compares the program's verdicts with those of `seccompiler`'s program for the same list.

use std::collections::BTreeMap;

use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::calls::LOCK_WITHOUT_WAITING;
use super::*;
use nix::libc::c_long;

/// The fields of `struct seccomp_data` that the filter reads.
#[derive(Clone, Copy, Debug)]
struct Made {
    number: u32,
    architecture: u32,
    arguments: [u64; 6],
}

fn made(number: u32, arguments: [u64; 6]) -> Made {
    Made { number, architecture: ARCHITECTURE.unwrap(), arguments }
}

/// Runs the program like the kernel. Panics on an unknown instruction and on a jump out of the program.
fn verdict(program: &[sock_filter], call: Made) -> u32 {
    let (mut at, mut word, mut other) = (0, 0_u32, 0_u32);
    loop {
        let step = &program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
        match step.code {
            LOAD if step.k == NUMBER => word = call.number,
            LOAD if step.k == ARCHITECTURE_OF_CALL => word = call.architecture,
            LOAD => {
                let argument = call.arguments[usize::try_from((step.k - ARGUMENTS) / 8).unwrap()];
                let shift = if (step.k - ARGUMENTS) % 8 == 0 { 0 } else { 32 };
                word = u32::try_from((argument >> shift) & 0xffff_ffff).unwrap();
            }
            SET => word = step.k,
            COPY => other = word,
            AND => word &= step.k,
            SHIFT => word >>= step.k,
            SHIFT_BY_X => word >>= other,
            JUMP_EQUAL => at += jump(word == step.k),
            JUMP_ANY_BIT => at += jump(word & step.k != 0),
            // BPF_JGE. Only seccompiler uses it.
            0x35 => at += jump(word >= step.k),
            GO => at += usize::try_from(step.k).unwrap(),
            RETURN => return step.k,
            other => panic!("instruction {other:#x}"),
        }
    }
}

/// The program that `seccompiler` creates for the same list.
fn reference(more: &[Call<'_>]) -> BpfProgram {
    let condition = |argument: &Argument<'_>, value: u32| {
        // seccompiler masks a whole argument, or its lower half.
        let (size, shift) = match argument.half % 2 {
            0 => (SeccompCmpArgLen::Dword, 0),
            _ => (SeccompCmpArgLen::Qword, 32),
        };
        let mask = u64::from(argument.mask) << shift;
        let operation = SeccompCmpOp::MaskedEq(mask);
        let place = u8::try_from(argument.half / 2).unwrap();
        SeccompCondition::new(place, size, operation, u64::from(value) << shift).unwrap()
    };
    // seccompiler has one value in a condition, so each combination of values is a rule.
    let rule = |alternative: &&[Argument<'_>]| {
        let combinations = alternative.iter().fold(vec![Vec::new()], |before, argument| {
            let with = |value: &u32| {
                let condition = condition(argument, *value);
                before
                    .iter()
                    .map(move |before: &Vec<_>| [&before[..], std::slice::from_ref(&condition)].concat())
            };
            argument.values.iter().flat_map(with).collect()
        });
        combinations.into_iter().map(|conditions| SeccompRule::new(conditions).unwrap()).collect::<Vec<_>>()
    };
    let rules: BTreeMap<i64, Vec<_>> =
        listed(more).map(|call| (call.number, call.when.iter().flat_map(rule).collect())).collect();
    assert_eq!(rules.len(), CALLS.len() + more.len(), "a call is listed twice");
    let refuse = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    SeccompFilter::new(rules, refuse, SeccompAction::Allow, architecture).unwrap().try_into().unwrap()
}

fn listed<'c>(more: &'c [Call<'c>]) -> impl Iterator<Item = &'c Call<'c>> {
    CALLS.iter().chain(more)
}

#[test]
fn verdicts_are_those_of_seccompiler() {
    for memory in [None, Some(3), Some(127)] {
        with_calls_of(memory, compare_with_seccompiler);
    }
}

fn compare_with_seccompiler(more: &[Call<'_>]) {
    let (own, reference) = (program(more).unwrap(), reference(more));
    let (length, factor) = (own.len(), 3);
    assert!(length < 128 && length * factor < reference.len(), "{length} and {} steps", reference.len());
    // Every value in a comparison, its neighbours, and each single bit.
    let mut values: Vec<u64> = (0..34).map(|bit| 1 << bit).chain([0, u64::MAX]).collect();
    for argument in listed(more).flat_map(|call| call.when.iter().copied().flatten()) {
        for value in argument.values.iter().copied().map(u64::from) {
            values.extend([value, value + 1, value.wrapping_sub(1), value | 0x8_0000, value | 0x800]);
        }
    }
    values.sort_unstable();
    values.dedup();
    let mut allowed = 0;
    for number in (0..1024).chain([0x4000_0000, 0x4000_0001, u32::MAX]) {
        for (first, second) in
            values.iter().flat_map(|first| values.iter().map(move |second| (first, second)))
        {
            let call = made(number, [*first, *second, *first, *second, 0, 0]);
            let expected = verdict(&reference, call);
            assert_eq!(verdict(&own, call), expected, "{call:?}");
            allowed += u32::from(expected == ALLOW);
            // Only a few calls have conditions on arguments.
            if !listed(more).any(|call| call.number == c_long::from(number) && !call.when.is_empty()) {
                break;
            }
        }
    }
    assert!(allowed > 1000, "{allowed}");
    let foreign = Made { architecture: 0x4000_0003, ..made(1, [0; 6]) };
    assert_eq!((verdict(&own, foreign), verdict(&reference, foreign)), (KILL, KILL));
}

#[test]
fn forbidden_system_calls_are_refused() {
    let program = program(&[]).unwrap();
    let says = |number: c_long, arguments| verdict(&program, made(u32::try_from(number).unwrap(), arguments));
    let forbidden = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_clone3,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_open,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_tgkill,
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_open_by_handle_at,
        libc::SYS_unlinkat,
        libc::SYS_renameat2,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_mkdirat,
        libc::SYS_fchmodat,
        libc::SYS_fchownat,
        libc::SYS_truncate,
        libc::SYS_memfd_create,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_setuid,
        libc::SYS_setresuid,
        libc::SYS_setgroups,
        libc::SYS_capset,
        libc::SYS_personality,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_kexec_load,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_socketpair,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept4,
        libc::SYS_settimeofday,
        libc::SYS_reboot,
        libc::SYS_seccomp,
    ];
    for number in forbidden {
        assert_eq!(says(number, [0; 6]), REFUSE, "{number}");
    }
    #[cfg(target_arch = "x86_64")]
    for number in [libc::SYS_open, libc::SYS_creat, libc::SYS_fork, libc::SYS_vfork, libc::SYS_unlink] {
        assert_eq!(says(number, [0; 6]), REFUSE, "{number}");
    }
    let (stream, cloexec) = (1, 0x8_0000);
    for (number, arguments, expected) in [
        (libc::SYS_socket, [1, 2 | cloexec, 0, 0, 0, 0], ALLOW),
        (libc::SYS_socket, [2, stream | cloexec, 6, 0, 0, 0], ALLOW),
        (libc::SYS_socket, [10, stream, 0, 0, 0, 0], ALLOW),
        (libc::SYS_socket, [2, 2, 0, 0, 0, 0], REFUSE), // UDP
        (libc::SYS_socket, [2, 3, 1, 0, 0, 0], REFUSE), // raw
        (libc::SYS_socket, [2, stream, 262, 0, 0, 0], REFUSE), // multipath TCP
        (libc::SYS_socket, [2, stream, 132, 0, 0, 0], REFUSE), // SCTP
        (libc::SYS_socket, [16, 3, 0, 0, 0, 0], REFUSE), // netlink
        (libc::SYS_socket, [40, stream, 0, 0, 0, 0], REFUSE), // vsock
        (libc::SYS_sendto, [0, 0, 0, 0x4000, 0, 0], ALLOW),
        (libc::SYS_sendto, [0, 0, 0, 0x2000_4000, 0, 0], REFUSE),
        (libc::SYS_mmap, [0, 4096, 3, 0x22, 0, 0], ALLOW),
        (libc::SYS_mmap, [0, 4096, 7, 0x22, 0, 0], REFUSE),
        (libc::SYS_mprotect, [0, 4096, 5, 0, 0, 0], REFUSE),
        // Thread starts of musl and of the GNU library; a new process; a thread with its own network namespace.
        (libc::SYS_clone, [0x7d_0f00, 0, 0, 0, 0, 0], ALLOW),
        (libc::SYS_clone, [0x3d_0f00, 0, 0, 0, 0, 0], ALLOW),
        (libc::SYS_clone, [0x120_0011, 0, 0, 0, 0, 0], REFUSE),
        (libc::SYS_clone, [0x403d_0f00, 0, 0, 0, 0, 0], REFUSE),
        (libc::SYS_prlimit64, [0, 6, 0, 0, 0, 0], ALLOW),
        (libc::SYS_prlimit64, [1, 6, 0, 0, 0, 0], REFUSE),
        (libc::SYS_prctl, [15, 0, 0, 0, 0, 0], ALLOW),
        (libc::SYS_prctl, [4, 1, 0, 0, 0, 0], REFUSE), // PR_SET_DUMPABLE
        (libc::SYS_fcntl, [3, 8, 1, 0, 0, 0], REFUSE), // F_SETOWN
        (libc::SYS_ioctl, [0, 0x5412, 0, 0, 0, 0], REFUSE), // TIOCSTI
    ] {
        assert_eq!(says(number, arguments), expected, "{number} {arguments:?}");
    }
}

#[test]
fn only_the_file_of_the_memory_can_be_changed() {
    let verdict = |memory, number: c_long, arguments| {
        let program = with_calls_of(memory, program).unwrap();
        verdict(&program, made(u32::try_from(number).unwrap(), arguments))
    };
    let (own, other) = (9_u64, 8_u64);
    let lock = u64::from(LOCK_WITHOUT_WAITING);
    for (number, second) in [(libc::SYS_pwrite64, 0), (libc::SYS_ftruncate, 0), (libc::SYS_flock, lock)] {
        assert_eq!(verdict(Some(9), number, [own, second, 0, 0, 0, 0]), ALLOW, "{number}");
        assert_eq!(verdict(Some(9), number, [other, second, 0, 0, 0, 0]), REFUSE, "{number}");
        assert_eq!(verdict(None, number, [own, second, 0, 0, 0, 0]), REFUSE, "{number}");
    }
    // LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN: shared, waiting, without a lock, release.
    for flags in [1, 2, 4, 8, lock | 8] {
        assert_eq!(verdict(Some(9), libc::SYS_flock, [own, flags, 0, 0, 0, 0]), REFUSE, "{flags}");
    }
    // 128 KiB, and more than 32 bits.
    for beyond in [1 << 17, 1 << 31, 1 << 32, 1 << 40, u64::MAX] {
        assert_eq!(verdict(Some(9), libc::SYS_pwrite64, [own, 0, beyond, 0, 0, 0]), REFUSE, "{beyond}");
        assert_eq!(verdict(Some(9), libc::SYS_pwrite64, [own, 0, 8, beyond, 0, 0]), REFUSE, "{beyond}");
        assert_eq!(verdict(Some(9), libc::SYS_ftruncate, [own, beyond, 0, 0, 0, 0]), REFUSE, "{beyond}");
    }
}
