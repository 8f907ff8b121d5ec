//! One payload's requests in one flush.

use std::time::Duration;

use tokio::time::Instant;

use super::send_queue::QueuedPayload;
use crate::{
    config::ApiKey,
    intake::{Client, SendError},
};

/// How often a request is tried in one flush, while its destination does not fail.
pub const ATTEMPTS: u32 = 3;
/// The pause before the second attempt; it doubles.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(40);
/// For how long a request is tried again at once.
const ATTEMPT_WINDOW: Duration = Duration::from_secs(1);

/// Which request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    /// The index of its destination.
    pub destination: usize,
    /// Its number, which no other has.
    pub number: u64,
}

/// A request that has ended, after all its attempts.
#[derive(Debug)]
pub struct Sent {
    /// Which.
    pub id: RequestId,
    /// What was sent.
    pub queued: QueuedPayload,
    /// How many attempts there were.
    pub attempts: u32,
    /// How long all of them took.
    pub took: Duration,
    /// How long the last one took.
    pub last_took: Duration,
    /// What came of the last one.
    pub result: Result<(), SendError>,
}

/// Sends a payload, up to so many times as long as that makes sense within one flush.
pub async fn send(client: Client, id: RequestId, queued: QueuedPayload, key: ApiKey, most: u32) -> Sent {
    let started = Instant::now();
    let mut pause = ATTEMPT_PAUSE;
    let mut attempts = 1;
    loop {
        let attempt_started = Instant::now();
        let result = client.send(&queued.payload, &key).await;
        // An intake that names a pause gets it, and one that takes its time is not asked again at once: the payload goes back to wait.
        let is_quick = matches!(&result, Err(SendError::Retryable { retry_after: None, .. } | SendError::Transport(_)));
        if !is_quick || attempts >= most || started.elapsed() > ATTEMPT_WINDOW {
            let (took, last_took) = (started.elapsed(), attempt_started.elapsed());
            return Sent { id, queued, attempts, took, last_took, result };
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        attempts += 1;
    }
}

/// What to do about a final refusal.
pub fn advice(error: &SendError) -> &'static str {
    match error {
        SendError::Rejected(status) if matches!(status.as_u16(), 401 | 403) => "verify DD_API_KEY and DD_SITE",
        SendError::Rejected(status) if status.as_u16() == 413 => "the payload was too large",
        _ => "the payload is dropped",
    }
}
