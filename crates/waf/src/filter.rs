//! The system calls that are left to the process: those for its socket, for memory, for time and for its end. Any other fails as one that is not permitted.
//!
//! Source: the kernel's documentation "Seccomp BPF"; the numbers are those of `asm/unistd.h` for each processor.

/// An instruction of a filter: `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Instruction {
    pub code: u16,
    /// How many instructions are skipped if a comparison holds, and if not.
    pub skipped: [u8; 2],
    pub operand: u32,
}

/// Loads 32 bits of what is known of a call.
pub const LOAD: u16 = 0x20;
pub const EQUALS: u16 = 0x15;
pub const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
pub const NUMBER: u32 = 0;
pub const ARCHITECTURE: u32 = 4;

pub const ALLOW: u32 = 0x7fff_0000;
/// Fails with `EPERM`.
pub const REFUSE: u32 = 0x0005_0001;

/// A processor as the kernel names it, and the numbers that the calls have on it.
// read, write; mmap, mprotect, munmap, brk, mremap, madvise; rt_sigaction, rt_sigprocmask, rt_sigreturn, restart_syscall; futex, gettid, clock_gettime, getrandom; exit,
// exit_group.
pub struct Processor {
    pub architecture: u32,
    pub calls: [u32; 18],
}

#[cfg(any(test, target_arch = "x86_64"))]
pub const X86_64: Processor = Processor {
    architecture: 0xc000_003e,
    calls: [0, 1, 9, 10, 11, 12, 25, 28, 13, 14, 15, 219, 202, 186, 228, 318, 60, 231],
};
#[cfg(any(test, target_arch = "aarch64"))]
pub const ARM64: Processor = Processor {
    architecture: 0xc000_00b7,
    calls: [63, 64, 222, 226, 215, 214, 216, 233, 134, 135, 139, 128, 98, 178, 113, 278, 93, 94],
};

#[cfg(target_arch = "x86_64")]
const OWN: Processor = X86_64;
#[cfg(target_arch = "aarch64")]
const OWN: Processor = ARM64;

const LENGTH: usize = OWN.calls.len() + 5;

/// The filter.
pub static FILTER: [Instruction; LENGTH] = filter(&OWN);

/// The filter of a processor.
#[cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which refuses an index that is not there")
)]
#[expect(clippy::cast_possible_truncation, reason = "there are far fewer than 256 instructions")]
pub const fn filter(processor: &Processor) -> [Instruction; LENGTH] {
    const fn plain(code: u16, operand: u32) -> Instruction {
        Instruction { code, skipped: [0, 0], operand }
    }
    let calls = &processor.calls;
    let mut filter = [plain(RETURN, REFUSE); LENGTH];
    filter[0] = plain(LOAD, ARCHITECTURE);
    // Calls of another processor's numbers are refused.
    filter[1] = Instruction { code: EQUALS, skipped: [0, calls.len() as u8 + 1], operand: processor.architecture };
    filter[2] = plain(LOAD, NUMBER);
    let mut at = 0;
    while at < calls.len() {
        filter[3 + at] = Instruction { code: EQUALS, skipped: [(calls.len() - at) as u8, 0], operand: calls[at] };
        at += 1;
    }
    filter[LENGTH - 1] = plain(RETURN, ALLOW);
    filter
}
