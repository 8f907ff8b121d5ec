//! The C library's allocator, which touches the fewest pages during a short startup.

#[cfg(not(test))]
use std::alloc::System;

#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: System = System;
