//! Asks for the next event, whatever happens: as long as this is asked, the function lives.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use tokio::time::Instant;

use crate::platform::{Control, Error, Event, Exchange, ExtensionId, Stage};

/// The pause after the first failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A platform that has not answered for so long is gone, and so is the function.
const GONE_AFTER: Duration = Duration::from_secs(30);

/// The platform is lent to the request while it is open.
type Open<E> = Pin<Box<dyn Future<Output = Answer<E>> + Send>>;

struct Answer<E> {
    platform: Control<E>,
    event: Result<Event, Error>,
}

/// The long poll. It survives being dropped in the middle of a wait: the request stays open and the next wait goes on with it.
pub struct Next<E> {
    id: ExtensionId,
    open: Open<E>,
    failing: Option<Failing>,
    answered: bool,
}

struct Failing {
    since: Instant,
    pause: Duration,
}

/// The platform was not to be reached for [`GONE_AFTER`].
#[derive(Debug)]
pub struct Gone;

impl<E: Exchange> Next<E> {
    /// Polls in the name of that extension.
    pub fn new(platform: Control<E>, id: ExtensionId) -> Self {
        let open = open(platform, id.clone(), Duration::ZERO);
        Self { id, open, failing: None, answered: false }
    }

    /// Sends the request, as far as that goes without waiting.
    pub async fn ask(&mut self) {
        poll_fn(|context| {
            // An answer that is here already is kept for the one who waits for it: a future that has ended is not to be polled again.
            if let Poll::Ready(answer) = self.open.as_mut().poll(context) {
                self.open = Box::pin(std::future::ready(answer));
            }
            Poll::Ready(())
        })
        .await;
    }

    /// The next event. May be cancelled and called again without losing one.
    pub async fn event(&mut self) -> Result<Event, Gone> {
        loop {
            let Answer { mut platform, event } = (&mut self.open).await;
            match event {
                Ok(event) => {
                    self.failing = None;
                    self.answered = true;
                    self.open = open(platform, self.id.clone(), Duration::ZERO);
                    return Ok(event);
                }
                Err(error) => {
                    let pause = self.failed(&error, &mut platform).await?;
                    self.open = open(platform, self.id.clone(), pause);
                }
            }
        }
    }

    /// How long to wait before the next attempt.
    async fn failed(&mut self, error: &Error, platform: &mut Control<E>) -> Result<Duration, Gone> {
        let failing = self.failing.get_or_insert_with(|| {
            match error {
                // The words by which runbooks know it.
                Error::Status { status, body, .. } => {
                    log::error!("EXTENSION | Next response HTTP Error {status} - Response: {body}");
                }
                error => log::error!("EXTENSION | {error}"),
            }
            Failing { since: Instant::now(), pause: FIRST_PAUSE }
        });
        failing.pause = (failing.pause * 2).min(LONGEST_PAUSE);
        // A refusal or a strange answer shows that the platform is there; only silence counts.
        if !matches!(error, Error::Transport { .. }) {
            failing.since = Instant::now();
        }
        if failing.since.elapsed() < GONE_AFTER {
            return Ok(failing.pause);
        }
        let stage = if self.answered { Stage::Exit } else { Stage::Init };
        if let Err(error) = platform.give_up(&self.id, stage, "the Extensions API does not answer").await {
            log::error!("EXTENSION | {error}");
        }
        Err(Gone)
    }
}

fn open<E: Exchange>(mut platform: Control<E>, id: ExtensionId, pause: Duration) -> Open<E> {
    Box::pin(async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let event = platform.next(&id).await;
        Answer { platform, event }
    })
}
