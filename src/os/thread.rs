//! Threads, and blocking work outside the async runtime.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

/// Stack size of every thread in bytes: the standard library's default. Set explicitly, because the function's environment variables also apply to
/// the extension, and `RUST_MIN_STACK` would change the default.
pub const STACK_BYTES: usize = 2 << 20;

/// Starts a thread. Returns an error if the system refuses it.
pub fn start<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(work)
}

/// Runs blocking work on a new thread and returns its result. If no thread can be started, it runs on this one. Cancel-safe; the work continues.
pub async fn run_blocking<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    run_on(|job| start(name, job).map(drop), work).await
}

/// Work for a thread.
pub type Job = Box<dyn FnOnce() + Send>;

/// The same with `start`, which starts a thread for the work or returns an error.
pub async fn run_on<T: Send + 'static>(
    start: impl FnOnce(Job) -> io::Result<()>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    // A thread that fails to start does not return its closure, so the work is shared.
    let shared = Arc::new(Mutex::new(Some(work)));
    let take = |shared: &Mutex<Option<_>>| shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    let theirs = Arc::clone(&shared);
    let job = move || {
        if let Some(work) = take(&theirs) {
            // The receiver is gone if the request has timed out.
            let _ = sender.send(work());
        }
    };
    if let Err(error) = start(Box::new(job)) {
        tracing::debug!("EXTENSION | no thread can be started, so the work is done on this one: {error}");
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
