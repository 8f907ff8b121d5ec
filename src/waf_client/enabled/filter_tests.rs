//! What the WAF worker's filter of system calls lets through, found by running it as the kernel does.

#[path = "../../../crates/waf/src/filter.rs"]
mod filter;

use filter::{
    ALLOW, ARCHITECTURE, ARM64, EQUALS, FILTER, Instruction, LOAD, NUMBER, Processor, REFUSE, RETURN, X86_64,
};

/// What becomes of a call of this number on this processor.
fn run(filter: &[Instruction], architecture: u32, number: u32) -> u32 {
    let (mut next, mut loaded) = (0, None);
    loop {
        let Instruction { code, skipped, operand } = filter[next];
        next += 1;
        match (code, operand) {
            (LOAD, NUMBER) => loaded = Some(number),
            (LOAD, ARCHITECTURE) => loaded = Some(architecture),
            (EQUALS, _) => next += usize::from(skipped[usize::from(loaded.unwrap() != operand)]),
            (RETURN, _) => return operand,
            _ => panic!("the instruction {code} with {operand} is none of ours"),
        }
    }
}

/// The numbers of all calls that are let through.
fn allowed(processor: &Processor, architecture: u32) -> Vec<u32> {
    let filter = filter::filter(processor);
    let result = |number| run(&filter, architecture, number);
    // Those of x32 have a bit of their own.
    let numbers = (0..1000).chain(0x4000_0000..0x4000_0000 + 1000).chain([u32::MAX]);
    numbers.filter(|number| result(*number) != REFUSE).inspect(|number| assert_eq!(result(*number), ALLOW)).collect()
}

fn sorted(numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut numbers: Vec<u32> = numbers.into_iter().collect();
    numbers.sort_unstable();
    numbers
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_calls_are_those_of_x86_64() {
    use nix::libc;
    let expected = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_munmap,
        libc::SYS_brk,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_futex,
        libc::SYS_gettid,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    assert_eq!(allowed(&X86_64, X86_64.architecture), sorted(expected.map(|number| u32::try_from(number).unwrap())));
}

/// Source: the kernel's `include/uapi/asm-generic/unistd.h`.
#[test]
fn the_calls_are_those_of_arm64() {
    let expected = [
        ("read", 63),
        ("write", 64),
        ("exit", 93),
        ("exit_group", 94),
        ("futex", 98),
        ("clock_gettime", 113),
        ("restart_syscall", 128),
        ("rt_sigaction", 134),
        ("rt_sigprocmask", 135),
        ("rt_sigreturn", 139),
        ("gettid", 178),
        ("brk", 214),
        ("munmap", 215),
        ("mremap", 216),
        ("mmap", 222),
        ("mprotect", 226),
        ("madvise", 233),
        ("getrandom", 278),
    ];
    assert_eq!(allowed(&ARM64, ARM64.architecture), expected.map(|(_, number)| number));
}

#[test]
fn calls_of_another_processor_are_refused() {
    for (processor, foreign) in [(X86_64, ARM64), (ARM64, X86_64)] {
        assert_eq!(allowed(&processor, foreign.architecture), [0; 0]);
        // 32 bits on the same machine.
        assert_eq!(allowed(&processor, 0x4000_0003), [0; 0]);
    }
}

#[test]
fn the_worker_installs_the_filter_of_its_own_processor() {
    let own = if cfg!(target_arch = "x86_64") { X86_64 } else { ARM64 };
    for number in own.calls {
        assert_eq!(run(&FILTER, own.architecture, number), ALLOW);
    }
    assert_eq!(run(&FILTER, own.architecture, 1000), REFUSE);
}
