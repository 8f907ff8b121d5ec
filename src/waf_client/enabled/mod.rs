//! A WAF in a process of its own.
//!
//! Memory in bytes: evaluations that wait for the worker take at most [`MAX_WAITING_BYTES`] together, and there are at most [`QUEUE`] of them; rules take at most
//! [`MAX_RULES_BYTES`]; a message of the worker takes at most [`waf_protocol::MAX_REPLY_BYTES`].

mod files;
#[cfg(test)]
mod filter_tests;
mod supervisor;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use waf_protocol::{MAX_FRAME_BYTES, Request};

use crate::{
    config::AppSec,
    process::appsec::{Addresses, Value, Versions},
};
use files::Files;
use supervisor::{Limits, Supervisor};

/// How many evaluations may wait.
const QUEUE: usize = 64;
const MAX_WAITING_BYTES: usize = 16 << 20;
const MAX_RULES_BYTES: usize = 16 << 20;

/// The way to the worker. A clone is another way to the same one.
#[derive(Debug, Clone)]
pub struct Waf {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<State>,
    contexts: Arc<AtomicU32>,
    waiting: Arc<Semaphore>,
}

/// A message to the worker, and where its reply goes.
#[derive(Debug)]
struct Command {
    /// The frame.
    message: Vec<u8>,
    context: u32,
    /// Where the result goes; None: nobody waits for one.
    reply: Option<oneshot::Sender<Value>>,
    _room: OwnedSemaphorePermit,
}

/// The state of the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Starting,
    Ready(Versions),
    /// The worker has failed, or can never be ready.
    Failed,
}

impl Waf {
    /// Starts the worker, as a task of its own; None unless settings ask for it.
    pub fn start(settings: &AppSec) -> Option<Self> {
        if !settings.enabled {
            return None;
        }
        Some(Self::supervised(Files::installed(settings.rules.clone()), Limits::default()))
    }

    fn supervised(files: Files, limits: Limits) -> Self {
        let (sender, commands) = mpsc::channel(QUEUE);
        let (state, receiver) = watch::channel(State::Starting);
        tokio::spawn(Supervisor { files, limits, commands, state }.run());
        Self {
            commands: sender,
            state: receiver,
            contexts: Arc::default(),
            waiting: Arc::new(Semaphore::new(MAX_WAITING_BYTES)),
        }
    }

    /// Waits until requests can be evaluated, or the worker has failed.
    pub async fn until_ready(&self) {
        // An error says that nobody starts it any more.
        let _ = self.state.clone().wait_for(|state| *state != State::Starting).await;
    }

    /// The number of a context that nobody else has.
    pub fn new_context(&self) -> u32 {
        self.contexts.fetch_add(1, Ordering::Relaxed)
    }

    /// Evaluates addresses in a context, for at most `budget`. Waits for a worker that is being started. None if there is no result.
    pub async fn evaluate(&self, context: u32, budget: Duration, addresses: Addresses) -> Option<Value> {
        let mut encoded = Vec::new();
        Value::Map(addresses).write(&mut encoded);
        let budget = u64::try_from(budget.as_micros()).unwrap_or(u64::MAX);
        let (reply, result) = oneshot::channel();
        self.send(Request::Evaluate { context, budget, addresses: &encoded }, context, Some(reply))?;
        result.await.ok()
    }

    /// Forgets a context.
    pub fn close(&self, context: u32) {
        // A worker that cannot be told forgets the oldest contexts by itself.
        let _ = self.send(Request::Close { context }, context, None);
    }

    /// Versions of library and rules of the last worker that was ready.
    pub fn versions(&self) -> Versions {
        match &*self.state.borrow() {
            State::Ready(versions) => versions.clone(),
            State::Starting | State::Failed => Versions::default(),
        }
    }

    /// Queues a message without waiting; None if there is no room for it.
    fn send(&self, request: Request, context: u32, reply: Option<oneshot::Sender<Value>>) -> Option<()> {
        let mut message = Vec::new();
        request.write(&mut message);
        let bytes = u32::try_from(message.len()).ok().filter(|_| message.len() <= MAX_FRAME_BYTES)?;
        let room = Arc::clone(&self.waiting).try_acquire_many_owned(bytes).ok()?;
        self.commands.try_send(Command { message, context, reply, _room: room }).ok()
    }
}
