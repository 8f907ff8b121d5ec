//! jemalloc. It is built with its own names, so that the environment cannot change it; what it is to do differently is said when it is built.

#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
