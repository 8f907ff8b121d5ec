//! Threads, and blocking work beside the async runtime.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

/// The stack of every thread, in bytes: the standard library's default. The function's variables are the extension's too, and `RUST_MIN_STACK` among them would
/// change that default to anything.
pub const STACK_BYTES: usize = 2 << 20;

/// Starts a thread. An error where the system refuses one.
pub fn start<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(work)
}

/// Runs blocking work on a thread of its own, and returns its result; on this one where no thread can be started. May be cancelled; the work goes on.
pub async fn run_blocking<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    run_on(|job| start(name, job).map(drop), work).await
}

type Job = Box<dyn FnOnce() + Send>;

async fn run_on<T: Send + 'static>(
    start: impl FnOnce(Job) -> io::Result<()>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    // A thread that is refused keeps what it was to do.
    let shared = Arc::new(Mutex::new(Some(work)));
    let take = |shared: &Mutex<Option<_>>| shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    let theirs = Arc::clone(&shared);
    let job = move || {
        if let Some(work) = take(&theirs) {
            // Nobody waits any more if the request has timed out.
            let _ = sender.send(work());
        }
    };
    if let Err(error) = start(Box::new(job)) {
        log::debug!("EXTENSION | no thread can be started, so the work is done on this one: {error}");
        return take(&shared).map(|work| work()).ok_or(error);
    }
    receiver.await.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_whether_a_thread_can_be_started_or_not() {
        assert_eq!(run_blocking("test", || 7).await.unwrap(), 7);
        let refused = |_: Job| Err(io::ErrorKind::WouldBlock.into());
        assert_eq!(run_on(refused, || 7).await.unwrap(), 7);
    }
}
