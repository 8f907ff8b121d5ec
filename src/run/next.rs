//! Polls for the next event, with retries after errors. An open next request keeps the function working.

use std::{
    future::{poll_fn, ready},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use tokio::time::Instant;

use extension_protocol::Backoff;

use crate::os::error::chain;
use crate::platform::{Error, Event, ExtensionId, ExtensionsApi};

/// Duration of an outage after which collected data is flushed, because there may be no later occasion.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(30);

/// The platform connection belongs to the request while it is open.
type Request = Pin<Box<dyn Future<Output = Reply> + Send>>;

struct Reply {
    platform: ExtensionsApi,
    event: Result<Event, Error>,
}

/// The long poll. Cancel-safe: the request stays open, and the next wait continues it.
pub struct NextPoller {
    id: ExtensionId,
    request: Request,
    backoff: Backoff,
    outage: Option<Outage>,
    was_sent: bool,
}

/// An uninterrupted series of errors.
struct Outage {
    /// The first transport error since the last response of any kind.
    silent_since: Instant,
    reported: bool,
}

/// The platform was unreachable for [`UNREACHABLE_AFTER`]. The next wait continues to poll.
#[derive(Debug)]
pub struct PlatformUnreachable;

impl NextPoller {
    /// Creates the poller for this extension. Sends nothing yet.
    pub fn new(platform: ExtensionsApi, id: ExtensionId) -> Self {
        let was_sent = platform.next_is_in_flight();
        let request = open(platform, id.clone(), None);
        Self { id, request, backoff: Backoff::default(), outage: None, was_sent }
    }

    /// Whether somebody had sent the first request before this was created.
    pub fn was_sent(&self) -> bool {
        self.was_sent
    }

    /// Sends the request, as far as that is possible without waiting.
    pub async fn send(&mut self) {
        poll_fn(|context| {
            self.poll(context);
            Poll::Ready(())
        })
        .await;
    }

    /// Waits until the request is answered, and leaves the response for [`event`](Self::event). Cancel-safe.
    pub async fn answered(&mut self) {
        poll_fn(|context| if self.poll(context) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Waits for the next event. Cancel-safe; may be called again after an error. Each outage is reported once.
    pub async fn event(&mut self) -> Result<Event, PlatformUnreachable> {
        loop {
            let Reply { platform, event } = (&mut self.request).await;
            // There must be no await before the new request is stored, because a completed future must not be polled again.
            match event {
                Ok(event) => {
                    (self.backoff, self.outage) = (Backoff::default(), None);
                    self.request = open(platform, self.id.clone(), None);
                    return Ok(event);
                }
                Err(error) => {
                    self.request = open(platform, self.id.clone(), Some(self.backoff.pause()));
                    self.failed(&error)?;
                }
            }
        }
    }

    /// Polls the request; true if it has a response. The response is stored, because a completed future must not be polled again.
    fn poll(&mut self, context: &mut std::task::Context) -> bool {
        let Poll::Ready(reply) = self.request.as_mut().poll(context) else { return false };
        self.request = Box::pin(ready(reply));
        true
    }

    fn failed(&mut self, error: &Error) -> Result<(), PlatformUnreachable> {
        let now = Instant::now();
        let outage = self.outage.get_or_insert_with(|| {
            match error {
                // Runbooks search for this text.
                Error::Status { status, body, .. } => {
                    tracing::error!("EXTENSION | Next response HTTP Error {status} - Response: {body}");
                }
                error => tracing::error!("EXTENSION | {}", chain(error)),
            }
            Outage { silent_since: now, reported: false }
        });
        // A rejection or a malformed response shows that the platform is reachable; only transport errors count.
        if !matches!(error, Error::Transport { .. }) {
            outage.silent_since = now;
        }
        if outage.reported || now.duration_since(outage.silent_since) < UNREACHABLE_AFTER {
            return Ok(());
        }
        outage.reported = true;
        let seconds = UNREACHABLE_AFTER.as_secs();
        tracing::error!("EXTENSION | the Extensions API has not answered for {seconds} s; flushing and asking again");
        Err(PlatformUnreachable)
    }
}

fn open(mut platform: ExtensionsApi, id: ExtensionId, pause: Option<Duration>) -> Request {
    Box::pin(async move {
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        let event = platform.next(&id).await;
        Reply { platform, event }
    })
}

#[cfg(test)]
#[path = "next_tests.rs"]
mod tests;
