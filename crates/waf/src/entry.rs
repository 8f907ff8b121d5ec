//! Where the program begins, its memory, and where it ends if it must not go on. With `library`, the only file with `unsafe` code.
#![expect(unsafe_code, reason = "the entry point and the allocator have no safe interface")]

use alloc::alloc::{GlobalAlloc, Layout};
use core::{
    arch::{asm, global_asm},
    ffi::{c_char, c_int, c_void},
    panic::PanicInfo,
    ptr,
};

use rustix::fd::BorrowedFd;

use crate::{filter::Instruction, serve};

// The kernel starts the program here, with the number of arguments on the stack. The C library's own start files are not used: those of today's need a version of
// `__libc_start_main` that older C libraries lack. No functions for construction and destruction are passed: this program has none, and the loader runs the library's.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov r9, rdx",
    "pop rsi",
    "mov rdx, rsp",
    "and rsp, -16",
    "push rax",
    "push rsp",
    "xor r8d, r8d",
    "xor ecx, ecx",
    "lea rdi, [rip + {main}]",
    "call qword ptr [rip + __libc_start_main@GOTPCREL]",
    "hlt",
    main = sym main,
);
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x5, x0",
    "ldr x1, [sp]",
    "add x2, sp, #8",
    "mov x6, sp",
    "adrp x0, {main}",
    "add x0, x0, :lo12:{main}",
    "mov x3, #0",
    "mov x4, #0",
    "bl __libc_start_main",
    "brk #0",
    main = sym main,
);

extern "C" fn main(_arguments: c_int, _values: *const *const c_char) -> c_int {
    serve::run()
}

/// The socket of the agent: the standard input.
pub fn socket() -> BorrowedFd<'static> {
    // SAFETY: nothing closes it while the process lives.
    unsafe { rustix::stdio::stdin() }
}

/// Numbers of descriptors that are closed: more than an agent hands to anybody.
const DESCRIPTORS: core::ops::Range<i32> = 1..256;

/// Closes whatever else was inherited.
pub fn close_others() {
    for number in DESCRIPTORS {
        // SAFETY: nothing in this program has opened a descriptor or owns one; the socket has the number 0.
        unsafe { rustix::io::close(number) };
    }
}

/// A filter as the kernel takes it: `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// Numbers of `prctl` and of what it is to do. Source: `linux/prctl.h`, `linux/seccomp.h`.
#[cfg(target_arch = "x86_64")]
const PRCTL: usize = 157;
#[cfg(target_arch = "aarch64")]
const PRCTL: usize = 167;
const SET_SECCOMP: usize = 22;
const MODE_FILTER: usize = 2;

/// Has the kernel filter the system calls of this process from now on. What an old kernel or an emulator refuses is left out. Called by its number: an old C library has no function
/// for every call, and imports are few on purpose.
pub fn install(filter: &'static [Instruction]) {
    let program = Program { length: u16::try_from(filter.len()).unwrap_or(0), instructions: filter.as_ptr() };
    let program = &raw const program;
    // SAFETY: the kernel reads the program and as many instructions as it says, and writes nothing; the call changes no register but those that are named.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") PRCTL => _,
            in("rdi") SET_SECCOMP,
            in("rsi") MODE_FILTER,
            in("rdx") program,
            in("r10") 0,
            in("r8") 0,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, readonly),
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc 0",
            in("x8") PRCTL,
            inlateout("x0") SET_SECCOMP => _,
            in("x1") MODE_FILTER,
            in("x2") program,
            in("x3") 0,
            in("x4") 0,
            options(nostack, readonly),
        );
    }
}

unsafe extern "C" {
    fn malloc(bytes: usize) -> *mut c_void;
    fn calloc(count: usize, bytes: usize) -> *mut c_void;
    fn realloc(block: *mut c_void, bytes: usize) -> *mut c_void;
    fn free(block: *mut c_void);
    fn abort() -> !;
}

/// The C library's allocator, which libddwaf uses as well.
struct CAllocator;

/// Alignment in bytes of every block of `malloc`. Source: GNU C library manual, "Aligned Memory Blocks": 16 on 64-bit systems.
const MALLOC_ALIGNMENT: usize = 16;

// SAFETY: `malloc` and its relatives keep the contract of an allocator up to their alignment; beyond it, which nothing here needs, the answer is that there is no memory.
unsafe impl GlobalAlloc for CAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > MALLOC_ALIGNMENT {
            return ptr::null_mut();
        }
        // SAFETY: any size is allowed.
        unsafe { malloc(layout.size()).cast() }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() > MALLOC_ALIGNMENT {
            return ptr::null_mut();
        }
        // SAFETY: any size is allowed.
        unsafe { calloc(1, layout.size()).cast() }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller says that the block is one of `alloc`, which has it from `malloc`.
        unsafe { free(block.cast()) }
    }

    unsafe fn realloc(&self, block: *mut u8, _: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: as in `dealloc`; the alignment is that of the block, so that `malloc`'s is enough.
        unsafe { realloc(block.cast(), bytes).cast() }
    }
}

#[global_allocator]
static ALLOCATOR: CAllocator = CAllocator;

/// The agent sees a process that has ended, and starts another.
#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    // SAFETY: it takes nothing and does not return.
    unsafe { abort() }
}
