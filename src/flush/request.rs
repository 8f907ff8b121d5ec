//! The attempts to send one payload within one flush.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};

use super::{DropCounts, send_queue::QueuedPayload};
use crate::{
    config::ApiKey,
    intake::{Client, SendError},
    os::error::chain,
};

/// Maximum number of attempts in one flush while the destination is not failing.
pub const ATTEMPTS: u32 = 3;
/// Pause before the second attempt; doubled for each further one.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(40);
/// Time within which a failed attempt is retried in the same flush.
const ATTEMPT_WINDOW: Duration = Duration::from_secs(1);

/// Identifies a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    /// Index of its destination.
    pub destination: usize,
    /// Unique number of the request.
    pub number: u64,
}

/// A finished request, after all its attempts.
#[derive(Debug)]
pub struct FinishedRequest {
    /// The request.
    pub id: RequestId,
    /// The payload.
    pub queued: QueuedPayload,
    /// Number of attempts.
    pub attempts: u32,
    /// Duration of all attempts.
    pub took: Duration,
    /// Duration of the last attempt.
    pub last_took: Duration,
    /// Result of the last attempt.
    pub result: Result<(), SendError>,
}

/// A request to be sent.
pub struct Request {
    /// The client that sends it.
    pub client: Client,
    /// Identifies the request.
    pub id: RequestId,
    /// The payload.
    pub queued: QueuedPayload,
    /// The API key of the destination.
    pub key: ApiKey,
    /// Maximum number of attempts.
    pub attempts: u32,
    /// Aborts the request as if it had timed out.
    pub abandon: Arc<Notify>,
}

impl Request {
    /// Sends the payload, with retries as far as they fit into one flush.
    pub async fn send(self) -> FinishedRequest {
        let Self { client, id, queued, key, attempts: most, abandon } = self;
        let started = Instant::now();
        let mut pause = ATTEMPT_PAUSE;
        let mut attempts = 1;
        loop {
            let attempt_started = Instant::now();
            let result = client.send(&queued.payload, &key, abandon.notified()).await;
            // The payload goes back to the queue if the intake sent `Retry-After` or was slow. Only a quick failure is retried at once.
            let is_quick =
                matches!(&result, Err(SendError::Retryable { retry_after: None, .. } | SendError::Transport(_)));
            if !is_quick || attempts >= most || started.elapsed() > ATTEMPT_WINDOW {
                let (took, last_took) = (started.elapsed(), attempt_started.elapsed());
                return FinishedRequest { id, queued, attempts, took, last_took, result };
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            attempts += 1;
        }
    }
}

/// Log line for a rejected payload, with the items dropped for that reason since the last such line.
pub fn refusal(error: &SendError, dropped: DropCounts) -> String {
    let advice = if let SendError::Rejected(status) = error { advice(status.as_u16()) } else { "" };
    let error = chain(error);
    format!("Request was denied by Datadog: {error}{advice}; {dropped} were dropped")
}

/// Advice for a status code.
fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "; verify DD_API_KEY and DD_SITE",
        413 => "; the payload was too large",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_says_what_was_dropped() {
        let error = SendError::Unconfirmed(204);
        let dropped = DropCounts { logs: 7, ..DropCounts::default() };
        assert_eq!(
            refusal(&error, dropped),
            "Request was denied by Datadog: status 204 instead of 202; 7 logs were dropped"
        );
    }

    #[test]
    fn advice_is_given_where_something_helps() {
        assert_eq!(advice(401), advice(403));
        assert_eq!([403, 413, 400].map(advice), ["; verify DD_API_KEY and DD_SITE", "; the payload was too large", ""]);
    }
}
