//! The C library's allocator, which touches the fewest pages during a short startup.

#[cfg(not(test))]
use std::alloc::System;

#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: System = System;

/// Gives memory that is free back to the system. Takes some hundred microseconds, in which threads that allocate may wait, and what was given back is slower to use
/// again: for those that have just freed megabytes.
///
/// glibc gives back what is free at the end of a heap alone. Whatever was allocated last, such as a payload that waits to be sent, keeps everything before it.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "nothing but the C library itself can be told this")]
pub fn release_free_memory() {
    // SAFETY: the call has no precondition and changes no memory that is in use.
    unsafe { nix::libc::malloc_trim(0) };
}

/// musl gives large areas back when they are freed, and has no call for the rest.
#[cfg(not(target_env = "gnu"))]
pub fn release_free_memory() {}

/// Keeps some megabytes that were freed for what is allocated next. Without it, glibc gives the buffers of a request of some hundred spans back to the system and
/// gets them again for the next one: its page faults take as long as everything else that is done for it, compression included.
///
/// Both limits are constant from here on. By itself, glibc raises them as large areas are freed, so that long-lived buffers come to lie between short-lived ones.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "nothing but the C library itself can be told this")]
pub fn keep_free_memory() {
    use nix::libc::{M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, c_int, mallopt};

    /// From this size on, in bytes, an area is the system's before and after its use. Those of a request whose memory is kept are shorter.
    const MAPPED: c_int = 2 << 20;
    /// How many bytes at the end of a heap, of which threads in use at the same time have one each, may be free.
    const KEPT: c_int = 4 << 20;
    // SAFETY: the calls change two numbers that the C library reads under its own lock.
    unsafe {
        mallopt(M_MMAP_THRESHOLD, MAPPED);
        mallopt(M_TRIM_THRESHOLD, KEPT);
    }
}

/// musl has nothing to be set.
#[cfg(not(target_env = "gnu"))]
pub fn keep_free_memory() {}

#[cfg(test)]
#[cfg(target_env = "gnu")]
mod tests {
    use std::{fs, hint::black_box};

    use super::*;

    /// How many pages this thread has touched first.
    fn page_faults() -> usize {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        // Source: proc(5): `minflt` is the tenth field; the second one ends with the last parenthesis.
        stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(7).unwrap().parse().unwrap()
    }

    #[test]
    fn memory_of_a_large_buffer_is_used_again_by_the_next_one() {
        const PAGES: usize = 360;
        keep_free_memory();
        let faults = || {
            let before = page_faults();
            drop(black_box(vec![1_u8; PAGES * 4096]));
            page_faults() - before
        };
        faults();
        let again = faults();
        assert!(again < PAGES / 4, "{again}");
    }
}
