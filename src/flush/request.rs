//! One payload's requests in one flush.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};

use super::{Dropped, send_queue::QueuedPayload};
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

/// A request that is to be sent.
pub struct Request {
    /// What sends it.
    pub client: Client,
    /// Which it is.
    pub id: RequestId,
    /// What is sent.
    pub queued: QueuedPayload,
    /// The API key of the destination.
    pub key: ApiKey,
    /// Maximum number of attempts.
    pub attempts: u32,
    /// Ends the request as if its time were up.
    pub abandon: Arc<Notify>,
}

impl Request {
    /// Sends it, again and again as long as that makes sense within one flush.
    pub async fn send(self) -> Sent {
        let Self { client, id, queued, key, attempts: most, abandon } = self;
        let started = Instant::now();
        let mut pause = ATTEMPT_PAUSE;
        let mut attempts = 1;
        loop {
            let attempt_started = Instant::now();
            let result = client.send(&queued.payload, &key, abandon.notified()).await;
            // An intake that names a pause gets it, and one that takes its time is not asked again at once: the payload goes back to wait.
            let is_quick =
                matches!(&result, Err(SendError::Retryable { retry_after: None, .. } | SendError::Transport(_)));
            if !is_quick || attempts >= most || started.elapsed() > ATTEMPT_WINDOW {
                let (took, last_took) = (started.elapsed(), attempt_started.elapsed());
                return Sent { id, queued, attempts, took, last_took, result };
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            attempts += 1;
        }
    }
}

/// The log line of a final refusal, and of what was dropped because of it since the last one.
pub fn refusal(error: &SendError, dropped: Dropped) -> String {
    let advice = if let SendError::Rejected(status) = error { advice(status.as_u16()) } else { "" };
    format!("Request was denied by Datadog: {error}{advice}; {dropped} were dropped")
}

/// What helps against a status.
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
        let error = SendError::Transport("odd".to_owned());
        let dropped = Dropped { logs: 7, ..Dropped::default() };
        assert_eq!(refusal(&error, dropped), "Request was denied by Datadog: odd; 7 logs were dropped");
    }

    #[test]
    fn advice_is_given_where_something_helps() {
        assert_eq!(advice(401), advice(403));
        assert_eq!([403, 413, 400].map(advice), ["; verify DD_API_KEY and DD_SITE", "; the payload was too large", ""]);
    }
}
