//! Batches that tests of other modules send without a listener.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use super::{Batch, Batches, QUEUE, QueuedBatch};

/// Sends batches that take no room.
#[derive(Debug)]
pub struct Sender(mpsc::Sender<QueuedBatch>);

/// A queue of batches.
pub fn channel() -> (Sender, Batches) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Sender(sender), Batches { receiver, lost: Arc::default() })
}

impl Sender {
    /// Sends a batch; false if nobody receives it any more.
    pub async fn send(&self, batch: Batch) -> bool {
        let Ok(room) = Arc::new(Semaphore::new(0)).try_acquire_many_owned(0) else { return false };
        self.0.send(QueuedBatch { batch, room }).await.is_ok()
    }
}
