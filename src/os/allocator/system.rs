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
