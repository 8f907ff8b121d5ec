//! Asks for the next event, whatever happens: as long as this is asked, the function lives.

use std::{
    future::{poll_fn, ready},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use tokio::time::Instant;

use crate::platform::{Error, Event, ExtensionId, ExtensionsApi, Transport, backoff::Backoff};

/// After so long without any response, what has been collected is flushed: nobody knows whether there will be another occasion.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(30);

/// The platform is lent to the request while it is open.
type Request<E> = Pin<Box<dyn Future<Output = Reply<E>> + Send>>;

struct Reply<E> {
    platform: ExtensionsApi<E>,
    event: Result<Event, Error>,
}

/// The long poll. It survives being dropped in the middle of a wait: the request stays open and the next wait goes on with it.
pub struct NextPoller<E> {
    id: ExtensionId,
    request: Request<E>,
    backoff: Backoff,
    outage: Option<Outage>,
}

/// Since when nothing but errors has come.
struct Outage {
    /// The first transport error after the last response of any kind.
    silent_since: Instant,
    reported: bool,
}

/// The platform has not been reached for [`UNREACHABLE_AFTER`]. Asking goes on with the next wait.
#[derive(Debug)]
pub struct PlatformUnreachable;

impl<E: Transport> NextPoller<E> {
    /// Polls in the name of that extension. Nothing is sent yet.
    pub fn new(platform: ExtensionsApi<E>, id: ExtensionId) -> Self {
        let request = open(platform, id.clone(), None);
        Self { id, request, backoff: Backoff::default(), outage: None }
    }

    /// Sends the request, as far as that goes without waiting.
    pub async fn send(&mut self) {
        poll_fn(|context| {
            self.poll(context);
            Poll::Ready(())
        })
        .await;
    }

    /// Waits until the request is answered, and leaves the answer to [`event`](Self::event). May be cancelled.
    pub async fn answered(&mut self) {
        poll_fn(|context| if self.poll(context) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// The next event. May be cancelled and called again without losing one, also after an error. Each outage is reported once.
    pub async fn event(&mut self) -> Result<Event, PlatformUnreachable> {
        loop {
            let Reply { platform, event } = (&mut self.request).await;
            // Nothing is waited for until there is another request: one that has ended must never be polled again.
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

    /// Polls the request; true if its answer is here. It is kept, because a future that has ended must not be polled again.
    fn poll(&mut self, context: &mut std::task::Context) -> bool {
        let Poll::Ready(reply) = self.request.as_mut().poll(context) else { return false };
        self.request = Box::pin(ready(reply));
        true
    }

    fn failed(&mut self, error: &Error) -> Result<(), PlatformUnreachable> {
        let now = Instant::now();
        let outage = self.outage.get_or_insert_with(|| {
            match error {
                // The words by which runbooks know it.
                Error::Status { status, body, .. } => {
                    log::error!("EXTENSION | Next response HTTP Error {status} - Response: {body}");
                }
                error => log::error!("EXTENSION | {error}"),
            }
            Outage { silent_since: now, reported: false }
        });
        // A refusal or a strange answer shows that the platform is there; only silence counts.
        if !matches!(error, Error::Transport { .. }) {
            outage.silent_since = now;
        }
        if outage.reported || now.duration_since(outage.silent_since) < UNREACHABLE_AFTER {
            return Ok(());
        }
        outage.reported = true;
        let seconds = UNREACHABLE_AFTER.as_secs();
        log::error!("EXTENSION | the Extensions API has not answered for {seconds} s; flushing and asking again");
        Err(PlatformUnreachable)
    }
}

fn open<E: Transport>(mut platform: ExtensionsApi<E>, id: ExtensionId, pause: Option<Duration>) -> Request<E> {
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
