//! Blocking work beside the async runtime.

use std::{io, thread};

use tokio::sync::oneshot;

/// Runs blocking work on a thread of its own, and returns its result. An error where no thread can be started: the async runtime's own threads would end the
/// process then. May be cancelled; the work goes on.
pub async fn run_blocking<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Nobody waits any more if the request has timed out.
        let _ = sender.send(work());
    })?;
    receiver.await.map_err(io::Error::other)
}
