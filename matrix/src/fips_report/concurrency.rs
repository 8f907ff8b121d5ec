//! Concurrent runs of the program beside its servers. Nearly all of a run is waiting: for retries of what was refused and for the end of its sandbox.

use std::panic;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::error::Error;
use crate::sandbox::in_own_network;

/// Maximum number of concurrent runs of a program that the processor runs itself: each takes less than a tenth of a second of it in its two seconds.
pub const AT_ONCE: usize = 6;

/// Does the work for each item, `most` of them at once, and returns the outcomes in the order of the items. After a failure, nothing more is begun. Where sandboxes have no network
/// of their own, and would be in each other's way at the server's port, there is one at a time.
pub fn each<I: Sync, T: Send>(
    most: usize,
    items: &[I],
    work: impl Fn(&I) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let has_networks = in_own_network(|| ()).is_ok();
    at_once(if has_networks { most } else { 1 }, items, work)
}

fn at_once<I: Sync, T: Send>(
    threads: usize,
    items: &[I],
    work: impl Fn(&I) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let left = Mutex::new(items.iter().enumerate());
    let worker = || {
        let mut done = Vec::new();
        loop {
            let Some((place, item)) = lock(&left).next() else { return done };
            let outcome = work(item);
            if outcome.is_err() {
                lock(&left).by_ref().for_each(drop);
            }
            done.push((place, outcome));
        }
    };
    let mut done: Vec<(usize, Result<T, Error>)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(items.len())).map(|_| scope.spawn(worker)).collect();
        let joined = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|gone| panic::resume_unwind(gone)));
        joined.flatten().collect()
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn outcomes_keep_the_order_of_the_items() {
        // Each of the first two waits until the other has begun, so that both are at work at once.
        let both = Barrier::new(2);
        let outcomes = at_once(2, &[3, 1, 2], |item| {
            if *item != 2 {
                both.wait();
            }
            Ok(item * 10)
        });
        assert_eq!(outcomes.unwrap(), [30, 10, 20]);
        assert_eq!(at_once(8, &[], |item: &u8| Ok(*item)).unwrap(), [0; 0]);
    }

    #[test]
    fn nothing_is_begun_after_a_failure() {
        let begun = AtomicUsize::new(0);
        let outcomes = at_once(1, &[1, 2, 3], |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *item == 2 { Err(Error::Interrupted) } else { Ok(*item) }
        });
        assert!(matches!(outcomes, Err(Error::Interrupted)));
        assert_eq!(begun.into_inner(), 2);
    }
}
