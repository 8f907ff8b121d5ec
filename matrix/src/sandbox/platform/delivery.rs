//! Delivers telemetry from a subscriber's queue to the subscriber.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::Platform;
use super::events::{envelope, logs_dropped, timestamp};
use super::order::shuffle;
use super::telemetry::{Destination, DropCount, Event, Queue, QueuedEvents, Subscriber};
use crate::sandbox::journal::JournalEvent;
use crate::sandbox::setup::Order;

/// Delivers a subscriber's events in batches, until it is aborted.
pub(crate) async fn deliver(platform: Arc<Platform>, subscriber: Arc<Subscriber>) {
    let mut delivery = TelemetryDelivery { platform, subscriber, connection: None, batches: 0, accepted: 0 };
    loop {
        let batch = delivery.next_batch().await;
        delivery.hand_over(&batch).await;
    }
}

/// What happens to a subscriber's response.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ResponseHandling {
    /// It is read, and the connection is reused.
    Read,
    /// The connection is closed with it, so the subscriber cannot know whether it arrived.
    Lost,
}

struct TelemetryDelivery {
    platform: Arc<Platform>,
    subscriber: Arc<Subscriber>,
    connection: Option<TcpStream>,
    batches: u64,
    accepted: u32,
}

impl TelemetryDelivery {
    /// Waits until a batch is full or its timeout has passed. Nothing is sent while the processes are frozen.
    async fn next_batch(&mut self) -> Vec<Arc<Event>> {
        loop {
            self.platform.telemetry.awake().await;
            let subscriber = Arc::clone(&self.subscriber);
            let arrived = subscriber.arrived.notified();
            let due = {
                let mut queue = subscriber.lock();
                match self.due(&queue) {
                    Some(due) if due <= Instant::now() => {
                        let batch = self.take(&mut queue);
                        drop(queue);
                        return self.in_order(batch);
                    }
                    due => due,
                }
            };
            let due = due.unwrap_or_else(|| Instant::now() + Duration::from_mins(1));
            tokio::select! {
                () = arrived => {}
                () = tokio::time::sleep_until(due.into()) => {}
            }
        }
    }

    /// The time at which the waiting events are due.
    fn due(&self, queue: &Queue) -> Option<Instant> {
        let oldest = queue.waiting.front()?.since;
        let wanted = &self.subscriber.subscription;
        if self.platform.telemetry.hurried() {
            return Some(oldest);
        }
        let delay = self.platform.setup.delivery.delay;
        if queue.waiting.len() >= wanted.max_items || queue.bytes >= wanted.max_bytes {
            return Some(oldest + delay);
        }
        Some(oldest + delay.max(wanted.timeout))
    }

    fn take(&self, queue: &mut Queue) -> Vec<QueuedEvents> {
        let wanted = &self.subscriber.subscription;
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(waiting) = queue.waiting.front() {
            let length = waiting.event.json.len();
            // An event larger than a batch is sent alone.
            let full = batch.len() >= wanted.max_items || bytes + length > wanted.max_bytes;
            if full && !batch.is_empty() {
                break;
            }
            bytes += length;
            batch.extend(queue.waiting.pop_front());
        }
        queue.bytes = queue.bytes.saturating_sub(bytes);
        let dropped = std::mem::take(&mut queue.dropped);
        if dropped.events > 0 {
            batch.push(self.notice(dropped));
        }
        batch
    }

    /// The `platform.logsDropped` event for the subscriber.
    fn notice(&self, dropped: DropCount) -> QueuedEvents {
        let name = self.subscriber.subscription.name.clone();
        let DropCount { events, bytes } = dropped;
        self.platform.journal.write(JournalEvent::Dropped { subscriber: name, events, bytes });
        let now = Instant::now();
        let time = timestamp(self.platform.journal.wall(now));
        let value = envelope(&time, "platform.logsDropped", logs_dropped(events, bytes));
        QueuedEvents { event: Arc::new(Event::new(&value)), since: now }
    }

    fn in_order(&mut self, batch: Vec<QueuedEvents>) -> Vec<Arc<Event>> {
        self.batches += 1;
        let batch = batch.into_iter().map(|waiting| waiting.event).collect();
        match self.platform.setup.delivery.order {
            Order::Shuffled { seed } => shuffle(batch, |event: &Arc<Event>| &event.chains, seed ^ self.batches),
            _ => batch,
        }
    }

    /// Offers a batch until it is accepted or dropped.
    async fn hand_over(&mut self, batch: &[Arc<Event>]) {
        let limits = &self.platform.setup.limits;
        let (attempts, mut pause) = (limits.telemetry_attempts.max(1), limits.telemetry_pause);
        let every = self.platform.setup.delivery.duplicate_every;
        let duplicated = every.is_some_and(|every| (self.accepted + 1).is_multiple_of(every.get()));
        let answer = if duplicated { ResponseHandling::Lost } else { ResponseHandling::Read };
        for _ in 0..attempts {
            if self.offer(batch, answer).await {
                self.accepted += 1;
                if duplicated {
                    self.offer(batch, ResponseHandling::Read).await;
                }
                return;
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
            self.platform.telemetry.awake().await;
        }
        let mut queue = self.subscriber.lock();
        queue.dropped.events += batch.len();
        queue.dropped.bytes += batch.iter().map(|event| event.json.len()).sum::<usize>();
    }

    async fn offer(&mut self, batch: &[Arc<Event>], answer: ResponseHandling) -> bool {
        let body = body(&self.subscriber.subscription.destination, batch);
        let bytes = body.len();
        let result = match self.subscriber.subscription.destination.clone() {
            Destination::Http(url) => self.post(&url, body, answer).await,
            Destination::Tcp(port) => self.write(port, &body).await.map_err(|error| error.to_string()),
        };
        let subscriber = self.subscriber.subscription.name.clone();
        let events = batch.len();
        let accepted = result.is_ok();
        self.platform.journal.write(match result {
            Ok(()) => JournalEvent::Delivered { subscriber, events, bytes },
            Err(reason) => JournalEvent::Undelivered { subscriber, events, reason },
        });
        accepted
    }

    async fn post(&self, url: &str, body: String, answer: ResponseHandling) -> Result<(), String> {
        let mut request = self.platform.client.post(url).header("content-type", "application/json").body(body);
        if answer == ResponseHandling::Lost {
            request = request.header("connection", "close");
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        if answer.status() == reqwest::StatusCode::OK { Ok(()) } else { Err(answer.status().to_string()) }
    }

    async fn write(&mut self, port: u16, body: &str) -> std::io::Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => TcpStream::connect(("127.0.0.1", port)).await?,
        };
        connection.write_all(body.as_bytes()).await?;
        self.connection = Some(connection);
        Ok(())
    }
}

/// A JSON array over HTTP, one line per event over TCP.
fn body(destination: &Destination, batch: &[Arc<Event>]) -> String {
    let events: Vec<&str> = batch.iter().map(|event| event.json.as_str()).collect();
    match destination {
        Destination::Http(_) => format!("[{}]", events.join(",")),
        Destination::Tcp(_) => events.join("\n") + "\n",
    }
}
