//! The C library's allocator, which touches the fewest pages in a short start.

use std::alloc::System;

#[global_allocator]
static ALLOCATOR: System = System;
