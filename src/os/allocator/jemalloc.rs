//! jemalloc. Built with prefixed names, so environment variables cannot configure it; its options are set at build time.

#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc gives memory back by itself, ten seconds after it was freed.
pub fn release_free_memory() {}

/// jemalloc keeps it as long.
pub fn keep_free_memory() {}
