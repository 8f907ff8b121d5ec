//! This process: its beginning, its arguments and variables, its signals, and the program that it becomes. The only file with `unsafe` code.
#![expect(
    unsafe_code,
    reason = "the entry point, two system calls and the strings of the kernel have no safe interface"
)]

use core::{
    arch::asm,
    ffi::{CStr, c_char},
    ptr, slice,
};

use extension_protocol::{ascii, wants_logs};
use rustix::{fd::BorrowedFd, io::Errno};

/// Numbers of system calls. Source: the kernel's tables of each processor.
mod number {
    #[cfg(target_arch = "x86_64")]
    pub const EXECVE: usize = 59;
    #[cfg(target_arch = "x86_64")]
    pub const RT_SIGPROCMASK: usize = 14;
    #[cfg(target_arch = "x86_64")]
    pub const CLOCK_GETTIME: usize = 228;
    #[cfg(target_arch = "aarch64")]
    pub const EXECVE: usize = 221;
    #[cfg(target_arch = "aarch64")]
    pub const RT_SIGPROCMASK: usize = 135;
    #[cfg(target_arch = "aarch64")]
    pub const CLOCK_GETTIME: usize = 113;
}

/// What the kernel has put on the stack: pointers to the arguments, a null pointer, pointers to the variables (`NAME=value`), and another null pointer.
pub struct Process {
    words: &'static mut [*const c_char],
    /// How many arguments there are, the program's own name among them; at this place is the first null pointer.
    arguments: usize,
}

impl Process {
    /// # Safety
    ///
    /// `stack` is where the stack began when the kernel started this program, and nothing else uses those words.
    unsafe fn from_stack(stack: *mut usize) -> Self {
        // SAFETY: the ABI of both processors puts the number of arguments first, then as many pointers and the two lists' null pointers. The strings are there
        // for the life of the process.
        unsafe {
            let arguments = *stack;
            let first = stack.add(1).cast::<*const c_char>();
            let mut length = arguments + 1;
            while !(*first.add(length)).is_null() {
                length += 1;
            }
            Self { words: slice::from_raw_parts_mut(first, length + 1), arguments }
        }
    }

    /// The path by which this program was started.
    pub fn program(&self) -> Option<&'static CStr> {
        let program = self.words.first().filter(|_| self.arguments > 0)?;
        // SAFETY: one of the pointers that `from_stack` has found.
        Some(unsafe { CStr::from_ptr(*program) })
    }

    /// Whether there is an argument beside the program's name.
    pub fn has_arguments(&self) -> bool {
        self.arguments > 1
    }

    /// The value of a variable; None where it is absent or not ASCII.
    pub fn variable(&self, name: &str) -> Option<&'static str> {
        let value = self.variables().find_map(|variable| value_of(variable.to_bytes(), name))?;
        ascii::text(value)
    }

    /// Whether the variables leave logs on.
    pub fn wants_logs(&self) -> bool {
        wants_logs(self.variables().map(CStr::to_bytes))
    }

    fn variables(&self) -> impl Iterator<Item = &'static CStr> + use<'_> {
        let words = self.words.get(self.arguments + 1..).unwrap_or_default();
        // SAFETY: as in `program`.
        words.iter().take_while(|word| !word.is_null()).map(|word| unsafe { CStr::from_ptr(*word) })
    }

    /// Becomes the program at `path`, with the same arguments and variables, but for the variable of this name, of which it gets `variable` (`NAME=value`) or
    /// none. Comes back only if the kernel refuses. A file that is no program is not given to a shell, as the C library does: that would end the process.
    pub fn execute(&mut self, path: &CStr, name: &str, variable: Option<&CStr>) -> Errno {
        self.remove_variable(name);
        let alone = [path.as_ptr(), ptr::null()];
        let mut arguments = alone.as_ptr();
        if self.has_arguments() {
            if let Some(first) = self.words.first_mut() {
                *first = path.as_ptr();
            }
            arguments = self.words.as_ptr();
        }
        let mut variables = self.words.get(self.arguments + 1..).unwrap_or_default().as_ptr();
        if let (Some(variable), Some(end)) = (variable, self.words.get_mut(self.arguments)) {
            // The null pointer that ends the arguments stands before the first variable: its place takes one more, and nothing has to be copied. The arguments
            // are not needed then, because a program with arguments is executed before there is anything to hand over.
            *end = variable.as_ptr();
            arguments = alone.as_ptr();
            variables = self.words.get(self.arguments..).unwrap_or_default().as_ptr();
        }
        // SAFETY: the path ends with a zero byte, both lists end with a null pointer, and what they point to ends with zero bytes and lives until the call returns.
        let result = unsafe {
            syscall(
                number::EXECVE,
                [path.as_ptr().expose_provenance(), arguments.expose_provenance(), variables.expose_provenance(), 0],
            )
        };
        if let Some(end) = self.words.get_mut(self.arguments) {
            *end = ptr::null();
        }
        Errno::from_raw_os_error(i32::try_from(result.unsigned_abs()).unwrap_or_default())
    }

    fn remove_variable(&mut self, name: &str) {
        let words = self.words.get_mut(self.arguments + 1..).unwrap_or_default();
        let mut kept = 0;
        for at in 0..words.len() {
            let Some(word) = words.get(at).copied() else { break };
            // SAFETY: as in `program`.
            let is_it = !word.is_null() && value_of(unsafe { CStr::from_ptr(word) }.to_bytes(), name).is_some();
            if !is_it && let Some(place) = words.get_mut(kept) {
                *place = word;
                kept += 1;
            }
        }
    }
}

/// What follows `NAME=`, if that is the name.
fn value_of<'v>(variable: &'v [u8], name: &str) -> Option<&'v [u8]> {
    variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

/// A C string of these bytes; None unless they end with a zero byte and have no other.
pub fn c_str(bytes: &[u8]) -> Option<&CStr> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    // SAFETY: the last byte is zero, and it is the first that is.
    (end + 1 == bytes.len()).then(|| unsafe { CStr::from_bytes_with_nul_unchecked(bytes) })
}

/// The standard stream for output, which may be closed.
pub fn stdout() -> BorrowedFd<'static> {
    // SAFETY: nothing here closes the number 1, and no socket has it; where it was closed from the beginning, using it is an error and nothing else.
    unsafe { BorrowedFd::borrow_raw(1) }
}

/// Keeps signals from ending this process or the agent, which inherits this: all but those that come of what a thread itself does, those that ask for the end,
/// and the one of ended children, which ends nobody.
pub fn block_signals() {
    /// The numbers of SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGCHLD, SIGTERM and SIGINT, and of the three that C libraries keep to
    /// themselves. Source: signal(7).
    const NOT_BLOCKED: [u32; 13] = [4, 5, 6, 7, 8, 11, 31, 17, 15, 2, 32, 33, 34];
    const SIG_SETMASK: usize = 2;
    let blocked = NOT_BLOCKED.iter().fold(u64::MAX, |set, signal| set & !(1 << (signal - 1)));
    // SAFETY: the kernel reads eight bytes, which are there until the call returns.
    unsafe {
        syscall(number::RT_SIGPROCMASK, [SIG_SETMASK, ptr::from_ref(&blocked).expose_provenance(), 0, size_of::<u64>()])
    };
}

/// `CLOCK_MONOTONIC` in nanoseconds. By a system call, because looking for the function that the kernel has in every process would take more than all of them.
#[inline(never)]
pub fn monotonic_ns() -> u64 {
    const CLOCK_MONOTONIC: usize = 1;
    const NANOSECONDS: u64 = 1_000_000_000;
    let mut time = [0_u64; 2];
    // SAFETY: the kernel writes two words, which are there until the call returns.
    unsafe { syscall(number::CLOCK_GETTIME, [CLOCK_MONOTONIC, ptr::from_mut(&mut time).expose_provenance(), 0, 0]) };
    let [seconds, nanoseconds] = time;
    seconds.wrapping_mul(NANOSECONDS).wrapping_add(nanoseconds)
}

/// # Safety
///
/// The arguments are valid for this system call, as the kernel documents it.
#[cfg(target_arch = "x86_64")]
unsafe fn syscall(number: usize, arguments: [usize; 4]) -> isize {
    let [first, second, third, fourth] = arguments;
    let result;
    // SAFETY: the registers of the kernel's convention; it changes these and no others.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// # Safety
///
/// The arguments are valid for this system call, as the kernel documents it.
#[cfg(target_arch = "aarch64")]
unsafe fn syscall(number: usize, arguments: [usize; 4]) -> isize {
    let [first, second, third, fourth] = arguments;
    let result;
    // SAFETY: the registers of the kernel's convention; it changes the first and no others.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") first => result,
            in("x1") second,
            in("x2") third,
            in("x3") fourth,
            options(nostack),
        );
    }
    result
}

/// The beginning of the program, and the functions that the compiler expects every program to have. Tests have those of the standard library.
#[cfg(not(test))]
mod runtime {
    use core::{arch::global_asm, panic::PanicInfo};

    use super::{Process, asm};
    use crate::{
        connection::{ReadBuffer, Space},
        startup,
    };

    /// The exit code of what can't happen.
    const ABORTED: i32 = 101;

    /// Takes no room in the file, and no memory until something is written to it.
    static mut SPACE: Space = [0; size_of::<Space>()];

    // The kernel jumps here, with the arguments on the stack and no address to return to.
    #[cfg(target_arch = "x86_64")]
    global_asm!(
        ".globl _start",
        ".type _start, @function",
        "_start:",
        "xor ebp, ebp",
        "mov rdi, rsp",
        "and rsp, -16",
        "call {begin}",
        "ud2",
        begin = sym begin,
    );
    #[cfg(target_arch = "aarch64")]
    global_asm!(
        ".globl _start",
        ".type _start, %function",
        "_start:",
        "mov x29, xzr",
        "mov x30, xzr",
        "mov x0, sp",
        "bl {begin}",
        "brk 1",
        begin = sym begin,
    );

    unsafe extern "C" fn begin(stack: *mut usize) -> ! {
        // SAFETY: `_start` passes the stack as the kernel has left it.
        let process = unsafe { Process::from_stack(stack) };
        // SAFETY: this runs once, and nothing else names it.
        let space = unsafe { (&raw mut SPACE).as_mut() }.unwrap_or_else(|| exit(ABORTED));
        exit(startup::run(process, &mut ReadBuffer::new(space)))
    }

    fn exit(code: i32) -> ! {
        // SAFETY: the call ends the process and does not return.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            asm!("syscall", in("rax") 231, in("rdi") code, options(noreturn, nostack))
        }
        // SAFETY: the call ends the process and does not return.
        #[cfg(target_arch = "aarch64")]
        unsafe {
            asm!("svc 0", in("x8") 94, in("x0") code, options(noreturn, nostack))
        }
    }

    /// Nothing panics here; the compiler asks for it nevertheless.
    #[panic_handler]
    fn panic(_: &PanicInfo<'_>) -> ! {
        exit(ABORTED)
    }

    /// What the tables of `core` name. Nothing unwinds.
    #[unsafe(no_mangle)]
    extern "C" fn rust_eh_personality() {}

    /// Keeps the compiler from recognising the loop around it, which it would replace by a call of the very function that the loop is in.
    macro_rules! opaque {
        () => {
            asm!("", options(nomem, nostack, preserves_flags))
        };
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
        // SAFETY: the caller promises that both have so many bytes.
        unsafe { copy_forward(to, from, length) }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
        // SAFETY: the caller promises that both have so many bytes. A byte is read before it is written, whichever way the two overlap.
        unsafe {
            if to.addr().wrapping_sub(from.addr()) >= length {
                copy_forward(to, from, length);
            } else {
                let mut at = length;
                while at > 0 {
                    at -= 1;
                    *to.add(at) = *from.add(at);
                    opaque!();
                }
            }
        }
        to
    }

    unsafe fn copy_forward(to: *mut u8, from: *const u8, length: usize) {
        let mut at = 0;
        while at < length {
            // SAFETY: the caller promises that both have so many bytes. The instruction is none.
            unsafe {
                *to.add(at) = *from.add(at);
                opaque!();
            }
            at += 1;
        }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, value: i32, length: usize) -> *mut u8 {
        let mut at = 0;
        while at < length {
            // SAFETY: the caller promises that there are so many bytes; of the value the lowest counts. The instruction is none.
            unsafe {
                *to.add(at) = value.to_le_bytes()[0];
                opaque!();
            }
            at += 1;
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
        let mut at = 0;
        while at < length {
            // SAFETY: the caller promises that both have so many bytes. The instruction is none.
            let (left, right) = unsafe {
                opaque!();
                (*left.add(at), *right.add(at))
            };
            if left != right {
                return i32::from(left) - i32::from(right);
            }
            at += 1;
        }
        0
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
        // SAFETY: as there.
        unsafe { memcmp(left, right, length) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn strlen(text: *const u8) -> usize {
        let mut length = 0;
        // SAFETY: the caller promises that there is a zero byte. The instruction is none.
        unsafe {
            while *text.add(length) != 0 {
                length += 1;
                opaque!();
            }
        }
        length
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
