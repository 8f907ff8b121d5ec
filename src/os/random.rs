//! Random numbers for span and trace ids.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
};

use rand::{TryRng as _, rngs::SysRng};

/// A random id, never 0. It comes from the operating system every time: a generator in this process would repeat its numbers in every sandbox that is
/// restored from the same snapshot.
pub fn id() -> u64 {
    loop {
        // Where the system has no random numbers, the seed of a hash table is as good as any.
        let id = SysRng.try_next_u64().unwrap_or_else(|_| RandomState::new().build_hasher().finish());
        if id != 0 {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_never_zero() {
        let ids: std::collections::HashSet<u64> = (0..100).map(|_| id()).collect();
        assert!(ids.len() == 100 && !ids.contains(&0));
    }
}
