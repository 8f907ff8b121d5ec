//! The platform's view of the extensions.

use std::collections::VecDeque;
use std::time::Instant;

use nix::unistd::Pid;
use serde_json::Value;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::sandbox::footprint::BaselineUsage;

/// An extension, before and after its registration.
#[derive(Debug)]
pub(crate) struct Agent {
    pub name: String,
    pub id: Uuid,
    /// Started by the runtime, not from `/opt/extensions`.
    pub internal: bool,
    pub registered: bool,
    pub wants: EventSubscriptions,
    /// Whether it has sent next at least once, which signals that it is initialized.
    pub ready: bool,
    /// Its process, unless it is internal.
    pub process: Option<Body>,
    /// Since when its next request waits for an event; `None` if no request waits.
    pub parked: Option<Instant>,
    waiter: Option<oneshot::Sender<Value>>,
    pending: VecDeque<Value>,
}

/// The process of an extension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    pub pid: Pid,
    pub baseline_usage: BaselineUsage,
}

/// The lifecycle events that an extension has registered for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventSubscriptions {
    pub invoke: bool,
    pub shutdown: bool,
}

impl EventSubscriptions {
    pub(crate) fn of(events: &[String]) -> Self {
        let has = |name: &str| events.iter().any(|event| event == name);
        Self { invoke: has("INVOKE"), shutdown: has("SHUTDOWN") }
    }

    pub(crate) fn names(self) -> Vec<&'static str> {
        let wants = [("INVOKE", self.invoke), ("SHUTDOWN", self.shutdown)];
        wants.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| name).collect()
    }
}

impl Agent {
    pub(crate) fn new(name: &str, internal: bool) -> Self {
        Self {
            name: name.to_owned(),
            id: Uuid::new_v4(),
            internal,
            registered: false,
            wants: EventSubscriptions::default(),
            ready: false,
            process: None,
            parked: None,
            waiter: None,
            pending: VecDeque::new(),
        }
    }

    /// Parks a next request until the next event; `None` if another one is parked already.
    pub(crate) fn park(&mut self, arrived: Instant) -> Option<oneshot::Receiver<Value>> {
        if self.waiter.as_ref().is_some_and(|waiter| !waiter.is_closed()) {
            return None;
        }
        self.ready = true;
        let (waiter, event) = oneshot::channel();
        self.parked = Some(arrived);
        self.waiter = Some(waiter);
        if let Some(event) = self.pending.pop_front() {
            self.send(event);
        }
        Some(event)
    }

    /// Sends an event: at once if a next request is parked, otherwise with the next one.
    pub(crate) fn send(&mut self, event: Value) {
        self.parked = None;
        let refused = match self.waiter.take() {
            Some(waiter) => waiter.send(event).err(),
            None => Some(event),
        };
        self.pending.extend(refused);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_second_outstanding_request_is_refused() {
        let mut agent = Agent::new("a", false);
        let first = agent.park(Instant::now());
        assert!(first.is_some() && agent.ready);
        assert!(agent.park(Instant::now()).is_none());
    }

    #[test]
    fn an_event_whose_request_broke_is_handed_out_with_the_next_one() {
        let mut agent = Agent::new("a", false);
        drop(agent.park(Instant::now()));
        agent.send(json!(1));
        let mut next = agent.park(Instant::now()).unwrap();
        assert_eq!(next.try_recv().unwrap(), json!(1));
        assert!(agent.parked.is_none(), "it is busy with the event");
    }
}
