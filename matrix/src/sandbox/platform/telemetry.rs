//! Telemetry: all emitted events, and their subscribers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::events::{Category, envelope, timestamp};
use super::order::Chains;
use crate::sandbox::journal::Journal;
use crate::sandbox::setup::Order;

/// One event, encoded.
#[derive(Debug)]
pub(crate) struct Event {
    pub json: String,
    pub chains: Chains,
    category: Category,
    of_init: bool,
}

impl Event {
    /// Text in place of an event. Unless it is JSON, it makes its whole batch malformed.
    pub(crate) fn text(text: &str) -> Self {
        Self { json: text.to_owned(), chains: Chains::default(), category: Category::Platform, of_init: false }
    }

    pub(crate) fn new(value: &Value) -> Self {
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
        let request_id = value.pointer("/record/requestId").and_then(Value::as_str);
        Self {
            json: value.to_string(),
            chains: Chains::of(kind, request_id),
            category: Category::of_event(kind),
            of_init: kind.starts_with("platform.init") || kind.starts_with("platform.restore"),
        }
    }
}

/// A queued event, with the time since which it waits.
#[derive(Clone, Debug)]
pub(crate) struct QueuedEvents {
    pub event: Arc<Event>,
    pub since: Instant,
}

/// The destination and buffering of a subscription.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub name: String,
    pub destination: Destination,
    pub types: Vec<String>,
    pub max_items: usize,
    pub max_bytes: usize,
    pub timeout: Duration,
}

/// The destination of a subscription. Both kinds are on the sandbox's loopback device; the host name that the subscriber gave is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Batches are posted to this URL.
    Http(String),
    /// Events are written as lines to this port.
    Tcp(u16),
}

/// A subscriber's queue.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub subscription: Subscription,
    pub queue: Mutex<Queue>,
    pub arrived: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub waiting: VecDeque<QueuedEvents>,
    pub bytes: usize,
    pub dropped: DropCount,
}

/// Dropped telemetry that was not reported yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DropCount {
    pub events: usize,
    pub bytes: usize,
}

impl Subscriber {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: &Arc<Event>, backlog: usize) {
        let mut queue = self.lock();
        let bytes = event.json.len();
        if queue.bytes + bytes > backlog {
            queue.dropped.events += 1;
            queue.dropped.bytes += bytes;
            return;
        }
        queue.bytes += bytes;
        queue.waiting.push_back(QueuedEvents { event: Arc::clone(event), since: Instant::now() });
        drop(queue);
        self.arrived.notify_one();
    }

    fn wants(&self, category: Category) -> bool {
        self.subscription.types.iter().any(|name| Category::of(name) == Some(category))
    }
}

/// The hub between emitted events and their subscribers.
#[derive(Debug)]
pub(crate) struct Telemetry {
    journal: Arc<Journal>,
    order: Order,
    backlog: usize,
    hub: Mutex<TelemetryHub>,
    awake: watch::Sender<bool>,
    hurry: AtomicBool,
}

#[derive(Debug, Default)]
struct TelemetryHub {
    emitted: Vec<Value>,
    /// The events of the present init, for late subscribers; `None` once subscriptions are closed.
    replay: Option<Vec<Arc<Event>>>,
    /// Events of the init and of a restore that are held back until the first INVOKE; `None` after it, or if that order is not requested.
    held: Option<Vec<Arc<Event>>>,
    subscribers: Vec<(Arc<Subscriber>, AbortHandle)>,
}

impl Telemetry {
    pub(crate) fn new(journal: Arc<Journal>, order: Order, backlog: usize) -> Self {
        let hub = Mutex::new(TelemetryHub::default());
        Self { journal, order, backlog, hub, awake: watch::Sender::new(true), hurry: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, TelemetryHub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Emits an event with the present time.
    pub(crate) fn emit(&self, kind: &str, record: Value) {
        self.emit_at(Instant::now(), kind, record);
    }

    /// Emits an event with another time than the present one.
    pub(crate) fn emit_at(&self, moment: Instant, kind: &str, record: Value) {
        let value = envelope(&timestamp(self.journal.wall(moment)), kind, record);
        let event = Arc::new(Event::new(&value));
        let mut hub = self.lock();
        hub.emitted.push(value);
        if let Some(replay) = &mut hub.replay {
            replay.push(Arc::clone(&event));
        }
        if event.of_init
            && let Some(held) = &mut hub.held
        {
            held.push(event);
            return;
        }
        for (subscriber, _) in &hub.subscribers {
            if subscriber.wants(event.category) {
                subscriber.push(&event, self.backlog);
            }
        }
    }

    /// All events so far.
    pub(crate) fn emitted(&self) -> Vec<Value> {
        self.lock().emitted.clone()
    }

    /// Opens subscriptions for a new init.
    pub(crate) fn open(&self) {
        let mut hub = self.lock();
        hub.replay = Some(Vec::new());
        hub.held = (self.order == Order::InitAfterInvoke).then(Vec::new);
        drop(hub);
        self.hurry.store(false, Ordering::Relaxed);
    }

    /// Closes subscriptions for the rest of the environment's life.
    pub(crate) fn close(&self) {
        self.lock().replay = None;
    }

    /// Adds a subscriber, with all earlier events of this init. `deliver` runs until the environment ends.
    pub(crate) fn subscribe(&self, subscription: Subscription, deliver: impl FnOnce(Arc<Subscriber>) -> AbortHandle) {
        let queue = Mutex::new(Queue::default());
        let subscriber = Arc::new(Subscriber { subscription, queue, arrived: Notify::new() });
        let mut hub = self.lock();
        let held = hub.held.is_some();
        for event in hub.replay.iter().flatten() {
            if subscriber.wants(event.category) && !(held && event.of_init) {
                subscriber.push(event, self.backlog);
            }
        }
        let task = deliver(Arc::clone(&subscriber));
        hub.subscribers.push((subscriber, task));
    }

    /// Whether an extension has subscribed.
    pub(crate) fn has_subscriber(&self, name: &str) -> bool {
        self.lock().subscribers.iter().any(|(subscriber, _)| subscriber.subscription.name == name)
    }

    /// Releases the events of the init that were held back until the first INVOKE.
    pub(crate) fn release_init(&self) {
        let mut hub = self.lock();
        for event in hub.held.take().into_iter().flatten() {
            for (subscriber, _) in &hub.subscribers {
                if subscriber.wants(event.category) {
                    subscriber.push(&event, self.backlog);
                }
            }
        }
    }

    /// Appends events to a subscriber's queue unchanged; false if there is no such subscriber.
    pub(crate) fn inject(&self, name: &str, events: impl Iterator<Item = Event>) -> bool {
        let hub = self.lock();
        let found = hub.subscribers.iter().find(|(subscriber, _)| subscriber.subscription.name == name);
        if let Some((subscriber, _)) = found {
            for event in events {
                subscriber.push(&Arc::new(event), usize::MAX);
            }
        }
        found.is_some()
    }

    /// Pauses deliveries while the processes are frozen, and resumes them.
    pub(crate) fn set_awake(&self, awake: bool) {
        self.awake.send_replace(awake);
    }

    /// Completes while deliveries are not paused.
    pub(crate) async fn awake(&self) {
        let mut awake = self.awake.subscribe();
        let _ = awake.wait_for(|awake| *awake).await;
    }

    /// Delivers without buffering from now on, because the environment ends.
    pub(crate) fn hurry(&self) {
        self.release_init();
        self.hurry.store(true, Ordering::Relaxed);
        for (subscriber, _) in &self.lock().subscribers {
            subscriber.arrived.notify_one();
        }
    }

    pub(crate) fn hurried(&self) -> bool {
        self.hurry.load(Ordering::Relaxed)
    }

    /// Removes all subscribers; their undelivered events are lost.
    pub(crate) fn end(&self) {
        for (_, task) in self.lock().subscribers.drain(..) {
            task.abort();
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.end();
    }
}
