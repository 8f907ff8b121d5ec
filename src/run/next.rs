//! Asks for the next event, whatever happens: as long as this is asked, the function lives.

use std::{pin::Pin, time::Duration};

use tokio::time::Instant;

use crate::platform::{Client, Error, Event, ExtensionId, client::Stage};

/// The pause after the first failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A platform that has not answered for so long is gone, and so is the function.
const GONE_AFTER: Duration = Duration::from_secs(30);

type Answer = Pin<Box<dyn Future<Output = Result<Event, Error>> + Send>>;

/// The long poll. It survives being dropped in the middle of a wait: the request stays open and the next wait goes on with it.
pub struct Next {
    platform: Client,
    id: ExtensionId,
    open: Option<Answer>,
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

impl Next {
    /// Polls in the name of that extension.
    pub fn new(platform: Client, id: ExtensionId) -> Self {
        Self { platform, id, open: None, failing: None, answered: false }
    }

    /// The next event. May be cancelled and called again without losing one.
    pub async fn event(&mut self) -> Result<Event, Gone> {
        loop {
            let open = self.open.get_or_insert_with(|| {
                let (platform, id) = (self.platform.clone(), self.id.clone());
                let pause = self.failing.as_ref().map(|failing| failing.pause).unwrap_or_default();
                Box::pin(async move {
                    tokio::time::sleep(pause).await;
                    platform.next(&id).await
                })
            });
            let answer = open.await;
            self.open = None;
            match answer {
                Ok(event) => {
                    self.failing = None;
                    self.answered = true;
                    return Ok(event);
                }
                Err(error) => self.failed(&error).await?,
            }
        }
    }

    async fn failed(&mut self, error: &Error) -> Result<(), Gone> {
        let failing = self.failing.get_or_insert_with(|| {
            log::error!("EXTENSION | {error}");
            Failing { since: Instant::now(), pause: FIRST_PAUSE }
        });
        failing.pause = (failing.pause * 2).min(LONGEST_PAUSE);
        // A refusal or a strange answer shows that the platform is there; only silence counts.
        if !matches!(error, Error::Transport { .. }) {
            failing.since = Instant::now();
        }
        if failing.since.elapsed() < GONE_AFTER {
            return Ok(());
        }
        let stage = if self.answered { Stage::Exit } else { Stage::Init };
        if let Err(error) = self.platform.give_up(&self.id, stage, "the Extensions API does not answer").await {
            log::error!("EXTENSION | {error}");
        }
        Err(Gone)
    }
}
