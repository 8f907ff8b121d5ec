//! Who hands out memory: one of two files, chosen by the switch `jemalloc`.

#[cfg(feature = "jemalloc")]
mod jemalloc;
#[cfg(not(feature = "jemalloc"))]
mod system;
