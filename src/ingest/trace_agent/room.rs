//! Shares of the memory that all bodies may take together.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::os::timeout::timeout_awake;

/// What a body may take at first whose length is not known, in bytes. One that is longer gets more only if nobody would have to wait for it: bodies that wait
/// for each other's memory would wait for ever.
pub const FIRST_BYTES: usize = 1 << 20;

/// How long a request waits for its share; the time for which the sandbox is frozen does not count.
const WAIT: Duration = Duration::from_secs(5);

/// Waits for a share of so many bytes; None if there is none in time.
pub async fn acquire(bytes: &Arc<Semaphore>, wanted: usize) -> Option<OwnedSemaphorePermit> {
    timeout_awake(WAIT, Arc::clone(bytes).acquire_many_owned(permits(wanted))).await?.ok()
}

/// Makes a share as large as this, if there is as much. One that has as much already is left as it is. Zero gives all of it back.
pub fn resize(share: &mut OwnedSemaphorePermit, bytes: usize) -> bool {
    if bytes == 0 {
        shrink(share, 0);
    }
    let missing = bytes.saturating_sub(share.num_permits());
    if missing == 0 {
        return true;
    }
    match Arc::clone(share.semaphore()).try_acquire_many_owned(permits(missing)) {
        Ok(more) => share.merge(more),
        Err(_) => return false,
    }
    true
}

/// Gives back what is not needed.
pub fn shrink(share: &mut OwnedSemaphorePermit, bytes: usize) {
    drop(share.split(share.num_permits().saturating_sub(bytes)));
}

pub fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
