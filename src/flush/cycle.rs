//! Compresses and sends, several requests at a time, and takes back what did not arrive.
//!
//! A request that is on its way when the sandbox freezes stays on its way; it ends after the thaw, one way or the other. Nothing is ever cancelled,
//! because a payload whose request was cut off may have arrived.

use std::time::Duration;

use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    Dropped,
    keyring::Keyring,
    retry::{Lane, Lanes, Waiting},
};
use crate::{
    config::ApiKey,
    intake::{Client, Draft, Payload, SendError, To, key},
};

/// How many requests may be on their way at once.
const MAX_REQUESTS: usize = 8;
/// How often a request is tried before its payload goes back to wait for the next flush.
const ATTEMPTS: u32 = 3;
/// The pause before the second attempt; it doubles.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(40);
/// The pause between two rounds of attempts when the sandbox ends.
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// Owns everything between the aggregates and the network.
#[derive(Debug)]
pub struct Flusher {
    way: Way,
    waiting: Waiting,
    at_work: JoinSet<Done>,
    requests: usize,
    /// Bytes and items that are being compressed or are on their way.
    busy_bytes: usize,
    busy_items: Dropped,
    lanes: Lanes,
    /// How long a key that had to be asked for is used.
    key_reload: Option<Duration>,
    /// Something else than a request, such as asking for the key, did not end in the time that the function could give it.
    stuck: bool,
    dropped: Dropped,
}

/// The way to Datadog.
#[derive(Debug)]
enum Way {
    /// Being built.
    Building,
    Open(Open),
    /// There is none: everything is dropped and counted.
    Closed,
}

#[derive(Debug)]
struct Open {
    client: Client,
    keyring: Keyring,
}

/// A piece of work that has ended.
#[derive(Debug)]
enum Done {
    Sealed { payloads: Vec<Payload>, drafted_bytes: usize, items: Dropped },
    Sent(Sent),
    Built(Option<Client>),
    Asked(Result<ApiKey, key::Error>),
}

impl Way {
    fn through(client: Option<Client>, key_reload: Option<Duration>) -> Self {
        client.map_or(Self::Closed, |client| {
            let keyring = Keyring::new(client.key().clone(), key_reload);
            Self::Open(Open { client, keyring })
        })
    }
}

#[derive(Debug)]
struct Sent {
    payload: Payload,
    attempts: u32,
    took: Duration,
    result: Result<(), SendError>,
}

impl Flusher {
    /// Sends through the client, if there is one. `key_reload`: how long a key that had to be asked for is used.
    pub fn new(client: Option<Client>, key_reload: Option<Duration>) -> Self {
        Self {
            way: Way::through(client, key_reload),
            waiting: Waiting::default(),
            at_work: JoinSet::new(),
            requests: 0,
            busy_bytes: 0,
            busy_items: Dropped::default(),
            lanes: Lanes::default(),
            key_reload,
            stuck: false,
            dropped: Dropped::default(),
        }
    }

    /// Sends through a client that is built in the background from now on. Until then everything waits.
    pub fn building(build: impl FnOnce() -> Option<Client> + Send + 'static, key_reload: Option<Duration>) -> Self {
        let mut flusher = Self { way: Way::Building, ..Self::new(None, key_reload) };
        flusher.at_work.spawn_blocking(move || Done::Built(build()));
        flusher
    }

    /// Starts a flush: these, and what waits from earlier ones as far as its intake is not in a pause. Compressing happens on a thread of its own, so that
    /// the loop, on which the function's time depends, never stands still.
    pub fn start(&mut self, drafts: impl IntoIterator<Item = Draft>) {
        for draft in drafts {
            let items = Dropped::one(draft.kind, (draft.items * draft.to.len()) as u64);
            if matches!(self.way, Way::Closed) {
                self.dropped.add(items);
                continue;
            }
            let drafted_bytes = draft.body.len();
            self.busy_bytes += drafted_bytes;
            self.busy_items.add(items);
            self.at_work.spawn_blocking(move || Done::Sealed { payloads: draft.seal(), drafted_bytes, items });
        }
        self.launch();
    }

    /// Whether nothing is being compressed or on its way.
    pub fn is_idle(&self) -> bool {
        self.at_work.is_empty()
    }

    /// Whether something is under way that can be expected to end well: not a request to an intake that is known to fail.
    pub fn is_worth_waiting_for(&self) -> bool {
        let keyless = matches!(&self.way, Way::Open(open) if open.keyring.is_failing());
        self.lanes.are_worth_waiting_for() || (self.prepares() && !self.stuck && !keyless)
    }

    /// Nobody waits for what is under way any more; until something arrives, it is not worth waiting long.
    pub fn leave_behind(&mut self) {
        self.stuck = self.prepares();
        self.lanes.leave_behind();
    }

    /// Whether something is under way that is no request of a payload's.
    fn prepares(&self) -> bool {
        self.at_work.len() > self.requests
    }

    /// Waits until one piece of work has ended, and starts what waited for it. Never ends while there is none. May be cancelled.
    pub async fn settle_one(&mut self) {
        match self.at_work.join_next().await {
            Some(Ok(Done::Sealed { payloads, drafted_bytes, items })) => {
                self.busy_bytes -= drafted_bytes;
                self.busy_items.remove(items);
                for payload in payloads {
                    self.keep(payload);
                }
            }
            Some(Ok(Done::Sent(sent))) => self.settle(sent),
            Some(Ok(Done::Built(client))) => {
                self.way = Way::through(client, self.key_reload);
                self.ask_for_key();
            }
            Some(Ok(Done::Asked(answer))) => {
                if let Way::Open(open) = &mut self.way {
                    open.keyring.answered(Instant::now(), answer);
                }
            }
            // A task that was neither cancelled nor has panicked always ends well.
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
        self.launch();
    }

    /// Sends everything that waits, again and again if need be, until nothing is left or the time has come. Pauses are cut short: there is no later.
    pub async fn finish(&mut self, until: Instant) {
        if let Way::Open(open) = &mut self.way {
            open.keyring.forget_pause();
        }
        loop {
            self.lanes.forget();
            self.launch();
            while !self.is_idle() {
                if timeout_at(until, self.settle_one()).await.is_err() {
                    return;
                }
            }
            if !matches!(self.way, Way::Open(_)) || self.waiting.is_empty() || Instant::now() + LAST_PAUSE >= until {
                return;
            }
            tokio::time::sleep(LAST_PAUSE).await;
        }
    }

    /// Counts data that was given up before it became a payload.
    pub fn count_dropped(&mut self, dropped: Dropped) {
        self.dropped.add(dropped);
    }

    /// Gives up everything whose arrival was not confirmed; all that was given up in this sandbox's life.
    pub fn give_up(&mut self) -> Dropped {
        let keyless = matches!(&self.way, Way::Open(open) if open.keyring.key().is_none());
        if keyless && !self.waiting.is_empty() {
            log::error!("LOGS | METRICS | Skipping flushing: Failed to resolve API key");
        }
        self.dropped.add(std::mem::take(&mut self.busy_items));
        for payload in self.waiting.drain() {
            self.dropped.add(Dropped::of(&payload));
        }
        self.dropped
    }

    /// Puts a payload where it waits to be sent, as long as there is room.
    fn keep(&mut self, payload: Payload) {
        for oldest in self.waiting.push(payload, self.busy_bytes) {
            self.dropped.add(Dropped::of(&oldest));
        }
    }

    /// Asks for the key, if it is not known or has got old and nobody is asking. Without this, it is asked for at the first flush.
    pub fn ask_for_key(&mut self) {
        if let Way::Open(open) = &mut self.way
            && let Some(resolver) = open.keyring.ask(Instant::now())
        {
            self.at_work.spawn(async move { Done::Asked(resolver.resolve().await) });
        }
    }

    fn launch(&mut self) {
        if !self.waiting.is_empty() {
            self.ask_for_key();
        }
        let Way::Open(Open { client, keyring }) = &self.way else { return };
        let key = |payload: &Payload| match &payload.to {
            To::Primary => keyring.key().cloned(),
            To::Additional(endpoint) => Some(endpoint.api_key.clone()),
        };
        let now = Instant::now();
        while self.requests < MAX_REQUESTS {
            let may_go = |payload: &Payload| key(payload).is_some() && self.lanes.is_over(&Lane::of(payload), now);
            let Some(payload) = self.waiting.pop(may_go) else { return };
            let Some(key) = key(&payload) else { return };
            // An intake that is known to fail gets one attempt only, so that the function does not wait for three failures each time.
            let lane = self.lanes.of(Lane::of(&payload));
            let attempts = if lane.is_failing() { 1 } else { ATTEMPTS };
            lane.begun();
            self.requests += 1;
            self.busy_bytes += payload.body.len();
            self.busy_items.add(Dropped::of(&payload));
            let request = send(client.clone(), payload, key, attempts);
            self.at_work.spawn(async { Done::Sent(request.await) });
        }
    }

    fn settle(&mut self, sent: Sent) {
        let Sent { payload, attempts, took, result } = sent;
        self.requests -= 1;
        self.busy_bytes -= payload.body.len();
        self.busy_items.remove(Dropped::of(&payload));
        let kind = payload.kind;
        let back_off = self.lanes.of(Lane::of(&payload));
        back_off.ended();
        match result {
            Ok(()) => {
                self.stuck = false;
                back_off.succeeded();
            }
            Err(failure) if failure.is_temporary() => {
                let failures = back_off.failed(Instant::now(), failure.retry_after());
                // Every one would fill the customer's logs during an outage; the powers of two tell as much.
                if failures.is_power_of_two() {
                    let took = took.as_millis();
                    log::error!("{kind} | Failed to send request after {took} ms and {attempts} attempts: {failure}");
                }
                self.keep(payload);
            }
            Err(failure) => {
                log::error!("{kind} | Request was denied by Datadog: {failure}; {}", advice(&failure));
                self.dropped.add(Dropped::of(&payload));
            }
        }
    }
}

async fn send(client: Client, payload: Payload, key: ApiKey, attempts: u32) -> Sent {
    let started = Instant::now();
    let mut pause = ATTEMPT_PAUSE;
    let mut attempt = 1;
    loop {
        let result = client.send(&payload, &key).await;
        // An intake that names a pause gets it: the payload goes back to wait.
        let again = matches!(&result, Err(error) if error.is_temporary() && error.retry_after().is_none());
        if !again || attempt >= attempts {
            return Sent { payload, attempts: attempt, took: started.elapsed(), result };
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        attempt += 1;
    }
}

fn advice(failure: &SendError) -> &'static str {
    match failure {
        SendError::Rejected(status) if matches!(status.as_u16(), 401 | 403) => "verify DD_API_KEY and DD_SITE",
        SendError::Rejected(status) if status.as_u16() == 413 => "the payload was too large",
        _ => "the payload is dropped",
    }
}
