//! The flusher: compresses batches, sends payloads concurrently, and queues failed payloads again.
//!
//! A request that is in flight when the sandbox freezes stays in flight and completes after the thaw. A request is never cancelled before its time is
//! up, because the payload of a cancelled request may have arrived. Abandoning an overdue request counts as a timeout.

mod room;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    DropCounts, Hold, HoldEnd, MAX_BYTES,
    api_key_cache::ApiKeyCache,
    destination::{Destination, Destinations},
    drops::{DropLog, DropReason},
    request::{ATTEMPTS, FinishedRequest, Request, RequestId, refusal},
    send_queue::{Limit, QueuedPayload, max_age},
    worker::Worker,
};
use crate::{
    config::ApiKey,
    intake::{Client, MemoryBudget, Payload, Target, UnsealedPayload, compression::FAST_LEVEL, key},
    os::error::chain,
};

/// Above this many uncompressed bytes, the configured compression level takes too long.
const MAX_BACKLOG: usize = 2 << 20;
/// Pause between two attempts to send all queued payloads once the sandbox is about to end.
const LAST_PAUSE: Duration = Duration::from_millis(100);
/// Maximum size in bytes of a batch that the flusher compresses in line at an ordinary level, which takes less time than starting another thread.
const SMALL_BODY: usize = 16 << 10;
const ORDINARY_LEVEL: i32 = 6;

/// Owns all data between the aggregates and the network.
#[derive(Debug)]
pub struct Flusher {
    client: ClientState,
    /// Age at which a resolved API key expires.
    key_reload: Option<Duration>,
    /// Batches that wait for compression, oldest first.
    unsealed: VecDeque<UnsealedBatch>,
    /// The batch that is being compressed.
    compressing: Option<CompressionTask>,
    worker: Worker,
    destinations: Destinations,
    tasks: JoinSet<TaskResult>,
    budget: MemoryBudget,
    /// Since when no telemetry is accepted although nothing is being sent.
    full_since: Option<Instant>,
    /// Since when a batch of what tracers send waits although nothing is being sent.
    batch_waits_since: Option<Instant>,
    /// A flush stopped waiting for a compression, the client or the API key, and nothing has arrived since.
    preparation_left_behind: bool,
    /// The sandbox is about to end.
    finishing: Arc<AtomicBool>,
    /// Last number given to a batch or request, in order of arrival.
    count: u64,
    drops: DropLog,
}

/// State of the HTTP client.
#[derive(Debug)]
enum ClientState {
    /// The client is being built; payloads are queued.
    Building,
    Ready(ReadyClient),
    /// There is no client; all data is dropped and counted.
    Unavailable,
}

#[derive(Debug)]
struct ReadyClient {
    client: Client,
    api_key: ApiKeyCache,
}

#[derive(Debug)]
struct UnsealedBatch {
    batch: UnsealedPayload,
    sequence: u64,
    since: Instant,
}

#[derive(Debug)]
struct CompressionTask {
    sequence: u64,
    since: Instant,
    items: DropCounts,
}

/// Result of a finished task.
#[derive(Debug)]
enum TaskResult {
    ClientBuilt(Option<Client>),
    KeyResolved(Result<ApiKey, key::Error>),
    Compressed(Vec<Payload>),
    Sent(FinishedRequest),
    /// The task ended without a result, which no task does.
    Nothing,
}

impl ClientState {
    fn with(client: Option<Client>, key_reload: Option<Duration>) -> Self {
        client.map_or(Self::Unavailable, |client| {
            let api_key = ApiKeyCache::new(client.key().clone(), key_reload);
            Self::Ready(ReadyClient { client, api_key })
        })
    }
}

impl ReadyClient {
    fn key_for(&self, to: &Target) -> Option<ApiKey> {
        match to {
            Target::Primary => self.api_key.key().cloned(),
            Target::Additional(endpoint) => Some(endpoint.api_key.clone()),
        }
    }
}

impl Flusher {
    /// Creates a flusher with this client, if there is one. `key_reload`: age at which a resolved API key expires.
    pub fn new(client: Option<Client>, key_reload: Option<Duration>) -> Self {
        Self {
            client: ClientState::with(client, key_reload),
            key_reload,
            unsealed: VecDeque::new(),
            compressing: None,
            worker: Worker::default(),
            destinations: Destinations::default(),
            tasks: JoinSet::new(),
            budget: MemoryBudget::default(),
            full_since: None,
            batch_waits_since: None,
            preparation_left_behind: false,
            finishing: Arc::default(),
            count: 0,
            drops: DropLog::default(),
        }
    }

    /// Creates a flusher whose client is built in the background. Payloads are queued until it is ready.
    pub fn building(build: impl FnOnce() -> Option<Client> + Send + 'static, key_reload: Option<Duration>) -> Self {
        let mut flusher = Self { client: ClientState::Building, ..Self::new(None, key_reload) };
        let built = flusher.worker.run(build);
        flusher.tasks.spawn(async { TaskResult::ClientBuilt(built.await.ok().flatten()) });
        flusher
    }

    /// Accepts batches for sending, and sends all queued payloads whose destination has no backoff.
    pub fn start(&mut self, batches: impl IntoIterator<Item = UnsealedPayload>) {
        let now = Instant::now();
        for mut batch in batches {
            if matches!(self.client, ClientState::Unavailable) {
                self.drop_items(DropReason::NoClient, items(&batch), now);
                continue;
            }
            batch.body.count_in(&self.budget);
            let sequence = self.number();
            self.unsealed.push_back(UnsealedBatch { batch, sequence, since: now });
        }
        self.start_requests();
    }

    /// What a flush can expect of pending work, not counting work for which a flush already waited in vain.
    pub fn hold(&self) -> Hold {
        let preparation = if self.preparation_left_behind { Hold::None } else { self.preparation() };
        self.destinations.iter().map(Destination::hold).max().unwrap_or(Hold::None).max(preparation)
    }

    /// Whether a flush is in progress that can be expected to complete.
    pub fn is_flushing(&self) -> bool {
        let now = Instant::now();
        self.is_preparing() || self.destinations.iter().any(|destination| destination.is_sending(now))
    }

    /// Records that flushes no longer wait for pending work.
    pub fn stop_waiting(&mut self, reason: HoldEnd) {
        self.preparation_left_behind |= reason == HoldEnd::TimeUp && self.is_preparing();
        self.destinations.iter_mut().for_each(|destination| destination.stop_waiting(reason));
    }

    /// Waits until one task has finished, and starts the work that depends on it. Pending forever if there is no task. Cancel-safe.
    pub async fn handle_next_completion(&mut self) {
        let result = match self.tasks.join_next().await {
            // A task that is neither cancelled nor panics always returns a result.
            Some(result) => result.unwrap_or(TaskResult::Nothing),
            None => std::future::pending().await,
        };
        self.handle(result);
    }

    /// Keeps pauses short and accepts all telemetry from now on, because the sandbox is about to end.
    pub fn start_finishing(&mut self) {
        self.finishing.store(true, Ordering::Relaxed);
        self.destinations.finish();
        self.reset_key_backoff();
    }

    /// Sends all data, with retries, until nothing is left or `until` has come. Pauses are short, because the sandbox is about to end.
    pub async fn finish(&mut self, until: Instant) {
        self.start_finishing();
        self.start_requests();
        let mut retry_at = Instant::now() + LAST_PAUSE;
        while !self.is_finished() {
            // Completions may arrive so fast that `timeout_at` never checks the time.
            let _ = timeout_at(until.min(retry_at), self.handle_next_completion()).await;
            let now = Instant::now();
            if now >= until {
                return;
            }
            if now >= retry_at {
                self.reset_key_backoff();
                self.start_requests();
                retry_at = now + LAST_PAUSE;
            }
        }
    }

    fn reset_key_backoff(&mut self) {
        if let ClientState::Ready(ready) = &mut self.client {
            ready.api_key.reset_backoff();
        }
    }

    /// Counts data that was dropped before it became a payload.
    pub fn count_dropped(&mut self, reason: DropReason, dropped: DropCounts) {
        self.drop_items(reason, dropped, Instant::now());
    }

    /// Drops all data whose arrival is not confirmed. Returns the counts of everything dropped in this sandbox.
    pub fn drop_unconfirmed(&mut self) -> DropCounts {
        if self.lacks_key() {
            tracing::error!("LOGS | METRICS | Skipping flushing: Failed to resolve API key");
        }
        let mut unconfirmed = self.compressing.take().map_or(DropCounts::default(), |compressing| compressing.items);
        self.unsealed.drain(..).for_each(|unsealed| unconfirmed.add(items(&unsealed.batch)));
        for destination in self.destinations.iter_mut() {
            unconfirmed.add(destination.in_flight());
            destination.queued().drain().for_each(|queued| unconfirmed.add(queued.items()));
        }
        self.drops.count(unconfirmed);
        self.drops.total()
    }

    /// Whether payloads could not be sent because there is no API key.
    fn lacks_key(&self) -> bool {
        let keyless = matches!(&self.client, ClientState::Ready(ready) if ready.api_key.key().is_none());
        keyless && !self.destinations.have_nothing_queued()
    }

    /// Resolves the API key if it is missing or expired and not being resolved. Otherwise the first flush does so.
    pub fn request_api_key(&mut self) {
        if let ClientState::Ready(ready) = &mut self.client
            && let Some(resolver) = ready.api_key.start_resolving(Instant::now())
        {
            self.tasks.spawn(async move { TaskResult::KeyResolved(resolver.resolve().await) });
        }
    }

    /// Whether a client, a key or a compression is pending on which sending depends.
    fn is_preparing(&self) -> bool {
        self.preparation() > Hold::None
    }

    /// What a flush can expect of that preparation.
    fn preparation(&self) -> Hold {
        match &self.client {
            _ if self.compressing.is_some() => Hold::Full,
            ClientState::Building => Hold::Full,
            ClientState::Ready(ready) if ready.api_key.is_awaited() && !self.destinations.have_nothing_queued() => {
                if ready.api_key.is_failing() {
                    Hold::Short
                } else {
                    Hold::Full
                }
            }
            ClientState::Ready(_) | ClientState::Unavailable => Hold::None,
        }
    }

    /// Whether nothing is left to send and no request is in flight. A pending refresh of the API key does not matter.
    fn is_finished(&self) -> bool {
        self.unsealed.is_empty() && self.compressing.is_none() && self.destinations.iter().all(Destination::is_idle)
    }

    fn handle(&mut self, result: TaskResult) {
        match result {
            TaskResult::ClientBuilt(client) => {
                self.client = ClientState::with(client, self.key_reload);
                self.request_api_key();
            }
            TaskResult::KeyResolved(answer) => {
                if let ClientState::Ready(ready) = &mut self.client {
                    ready.api_key.record(Instant::now(), answer);
                }
            }
            TaskResult::Compressed(payloads) => {
                self.forget_waiting();
                if let Some(CompressionTask { sequence, since, .. }) = self.compressing.take() {
                    self.queue(payloads, sequence, since);
                }
            }
            TaskResult::Sent(sent) => self.handle_sent(sent),
            TaskResult::Nothing => {}
        }
        self.start_requests();
    }

    /// Starts all work that is possible now.
    fn start_requests(&mut self) {
        if matches!(self.client, ClientState::Unavailable) {
            self.drop_unsendable();
        }
        self.compress();
        self.send();
        self.keep_within_budget();
    }

    /// Compresses the waiting batches: small ones in line, others one at a time on a separate thread. The event loop, on which the duration of
    /// invocations depends, is never blocked, and only one compressor takes memory.
    fn compress(&mut self) {
        while self.compressing.is_none()
            && let Some(UnsealedBatch { mut batch, sequence, since }) = self.unsealed.pop_front()
        {
            batch.level = batch.level.map(|level| self.affordable(level));
            let (budget, urgent) = (self.budget.clone(), self.finishing.clone());
            if !batch.is_compressed() || (batch.body.len() <= SMALL_BODY && batch.level <= Some(ORDINARY_LEVEL)) {
                self.queue(batch.compress(&budget, &urgent), sequence, since);
                continue;
            }
            self.compressing = Some(CompressionTask { sequence, since, items: items(&batch) });
            let compressed = self.worker.run(move || batch.compress(&budget, &urgent));
            self.tasks.spawn(async { TaskResult::Compressed(compressed.await.unwrap_or_default()) });
        }
    }

    /// The compression level that there is time for.
    fn affordable(&self, level: i32) -> i32 {
        let backlog: usize = self.unsealed.iter().map(|unsealed| unsealed.batch.body.len()).sum();
        let hurries = self.finishing.load(Ordering::Relaxed) || backlog > MAX_BACKLOG;
        if hurries { level.min(FAST_LEVEL) } else { level }
    }

    fn queue(&mut self, payloads: Vec<Payload>, sequence: u64, since: Instant) {
        for payload in payloads {
            self.destinations.queue(QueuedPayload::new(payload, sequence, since));
        }
    }

    fn send(&mut self) {
        if !self.destinations.have_nothing_queued() {
            self.request_api_key();
        }
        let now = Instant::now();
        let mut expired = BTreeMap::<_, DropCounts>::new();
        for (index, destination) in self.destinations.iter_mut().enumerate() {
            while let Some(payload) = destination.queued().pop_expired(now) {
                expired.entry(max_age(payload.payload.kind)).or_default().add(payload.items());
            }
            let ClientState::Ready(ready) = &self.client else { continue };
            if destination.queued().is_empty() {
                continue;
            }
            let Some(key) = ready.key_for(&destination.to) else { continue };
            while let Some(payload) = destination.next_to_send(now) {
                // A failing destination gets a single attempt, so that the function does not wait for three failures each time.
                let attempts = if destination.is_failing() { 1 } else { ATTEMPTS };
                self.count += 1;
                let abandon = destination.begin(self.count, now, &payload);
                let id = RequestId { destination: index, number: self.count };
                let request =
                    Request { client: ready.client.clone(), id, queued: payload, key: key.clone(), attempts, abandon };
                self.tasks.spawn(async { TaskResult::Sent(request.send().await) });
            }
        }
        for (age, expired) in expired {
            self.drop_items(DropReason::Age(age), expired, now);
        }
    }

    fn handle_sent(&mut self, sent: FinishedRequest) {
        let FinishedRequest { id, mut queued, attempts, took, last_took, result } = sent;
        let (now, kind) = (Instant::now(), queued.payload.kind);
        let Some(destination) = self.destinations.get_mut(id.destination) else { return };
        match result {
            Ok(()) => {
                destination.succeed(id.number, last_took);
                self.preparation_left_behind = false;
                self.forget_waiting();
            }
            Err(error) if error.is_temporary() => {
                let failures = destination.fail(id.number, now, error.retry_after());
                // Logging every failure would fill the customer's logs during an outage, so only the first, second, fourth and so on are logged.
                if failures.is_power_of_two() {
                    let (took, error) = (took.as_millis(), chain(&error));
                    tracing::error!("{kind} | Failed to send request after {took} ms and {attempts} attempts: {error}");
                }
                queued.failed_flushes += 1;
                queued.unanswered += u32::from(error.may_have_arrived());
                let last_chance = self.finishing.load(Ordering::Relaxed);
                match queued.limit(now).filter(|limit| *limit != Limit::Flushes || !last_chance) {
                    Some(limit) => self.drop_items(limit.into(), queued.items(), now),
                    None => destination.queue(queued),
                }
            }
            Err(error) => {
                destination.refuse(id.number);
                let reason = DropReason::Rejected(id.destination);
                if let Some(dropped) = self.drops.record(reason, queued.items(), now) {
                    tracing::error!("{kind} | {}", refusal(&error, dropped));
                }
            }
        }
    }

    fn drop_unsendable(&mut self) {
        let mut dropped = DropCounts::default();
        self.unsealed.drain(..).for_each(|unsealed| dropped.add(items(&unsealed.batch)));
        for destination in self.destinations.iter_mut() {
            destination.queued().drain().for_each(|queued| dropped.add(queued.items()));
        }
        self.drop_items(DropReason::NoClient, dropped, Instant::now());
    }

    fn drop_items(&mut self, reason: DropReason, dropped: DropCounts, now: Instant) {
        if let Some(dropped) = self.drops.record(reason, dropped, now) {
            tracing::warn!("FLUSH | {dropped} were dropped: {reason}");
        }
    }

    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

fn items(batch: &UnsealedPayload) -> DropCounts {
    DropCounts::one(batch.kind, batch.total_items())
}

#[cfg(test)]
#[path = "flusher_tests.rs"]
mod tests;
