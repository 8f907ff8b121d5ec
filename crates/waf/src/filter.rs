//! The system calls that are left to the process: those for its socket, for memory, for time and for its end. Any other fails as one that is not permitted.
//!
//! Source: the kernel's documentation "Seccomp BPF"; the numbers are those of `asm/unistd.h` for each processor.

/// An instruction of a filter: `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Instruction {
    code: u16,
    /// How many instructions are skipped if a comparison holds, and if not.
    skipped: [u8; 2],
    operand: u32,
}

/// Loads 32 bits of what is known of a call.
const LOAD: u16 = 0x20;
const EQUALS: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

const ALLOW: u32 = 0x7fff_0000;
/// Fails with `EPERM`.
const REFUSE: u32 = 0x0005_0001;

#[cfg(target_arch = "x86_64")]
const OWN: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const OWN: u32 = 0xc000_00b7;

// read, write; mmap, mprotect, munmap, brk, mremap, madvise; rt_sigaction, rt_sigprocmask, rt_sigreturn, restart_syscall; futex, clock_gettime, getrandom; exit, exit_group.
#[cfg(target_arch = "x86_64")]
const CALLS: [u32; 17] = [0, 1, 9, 10, 11, 12, 25, 28, 13, 14, 15, 219, 202, 228, 318, 60, 231];
#[cfg(target_arch = "aarch64")]
const CALLS: [u32; 17] = [63, 64, 222, 226, 215, 214, 216, 233, 134, 135, 139, 128, 98, 113, 278, 93, 94];

const LENGTH: usize = CALLS.len() + 5;

/// The filter.
pub static FILTER: [Instruction; LENGTH] = filter();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, which refuses an index that is not there; there are far fewer than 256 instructions"
)]
const fn filter() -> [Instruction; LENGTH] {
    const fn plain(code: u16, operand: u32) -> Instruction {
        Instruction { code, skipped: [0, 0], operand }
    }
    let mut filter = [plain(RETURN, REFUSE); LENGTH];
    filter[0] = plain(LOAD, ARCHITECTURE);
    // Calls of another processor's numbers are refused.
    filter[1] = Instruction { code: EQUALS, skipped: [0, CALLS.len() as u8 + 1], operand: OWN };
    filter[2] = plain(LOAD, NUMBER);
    let mut at = 0;
    while at < CALLS.len() {
        filter[3 + at] = Instruction { code: EQUALS, skipped: [(CALLS.len() - at) as u8, 0], operand: CALLS[at] };
        at += 1;
    }
    filter[LENGTH - 1] = plain(RETURN, ALLOW);
    filter
}
