//! Lambda's side: what the three APIs share, and the phases of an environment's life.

pub(crate) mod agents;
pub(crate) mod connection;
pub(crate) mod delivery;
pub mod events;
pub(crate) mod extensions_api;
pub(crate) mod init;
pub(crate) mod invoke;
pub(crate) mod lifecycle;
pub(crate) mod order;
pub(crate) mod router;
pub(crate) mod runtime;
pub(crate) mod runtime_api;
pub(crate) mod shutdown;
pub(crate) mod telemetry;
pub(crate) mod telemetry_api;
mod wrapper;

use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Notify;

use self::agents::Agent;
use self::runtime::Runtime;
use self::telemetry::Telemetry;
use super::faults::Faults;
use super::http;
use super::journal::{Journal, JournalEvent};
use super::next_breakpoint::NextBreakpoint;
use super::output::Printed;
use super::setup::{LogFormat, Origin, Output, Pipe, Setup, Stream};

/// What is shared between the APIs, the life of the environment, in-process functions and the handle.
#[derive(Debug)]
pub(crate) struct Platform {
    pub setup: Setup,
    pub journal: Arc<Journal>,
    pub telemetry: Telemetry,
    pub printed: Printed,
    pub faults: Faults,
    pub client: reqwest::Client,
    /// Stops the extension for its footprint, where that is wanted and can be had.
    pub next_breakpoint: Option<Arc<NextBreakpoint>>,
    /// MB that an in-process function claims to use at most.
    pub claimed_mb: AtomicU32,
    state: Mutex<State>,
    changed: Notify,
}

/// The state of the present environment.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub registration_open: bool,
    pub subscription_open: bool,
    pub agents: Vec<Agent>,
    pub runtime: Runtime,
    /// The first thing that went wrong; it ends the phase and the environment.
    pub fatal: Option<Fatal>,
    /// Whether the end has begun, and with it exits are no failures.
    pub leaving: bool,
}

/// What ends an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fatal {
    /// An extension can't be executed.
    NotExecuted { name: String },
    /// An extension has ended before SHUTDOWN; any status will do.
    ExtensionExit { name: String, status: String },
    /// An extension has reported an error of its own.
    ExtensionError { name: String, error_type: String },
    /// The runtime has ended.
    RuntimeExit { status: String },
    /// The runtime has reported that it can't be initialized.
    RuntimeInitError { error_type: String, body: Vec<u8> },
    /// The function has used more memory than it has.
    OutOfMemory,
}

impl Fatal {
    /// As in telemetry and in the answer to the caller.
    pub(crate) fn error_type(&self) -> &str {
        match self {
            Self::NotExecuted { .. } => "Extension.LaunchError",
            Self::ExtensionExit { .. } => "Extension.Crash",
            Self::ExtensionError { error_type, .. } | Self::RuntimeInitError { error_type, .. } => error_type,
            Self::RuntimeExit { .. } => "Runtime.ExitError",
            Self::OutOfMemory => "Runtime.OutOfMemory",
        }
    }

    /// In words, as the caller reads them.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::NotExecuted { name } => format!("Error: extension {name} could not be started"),
            Self::ExtensionExit { status, .. } => format!("Error: {status}"),
            Self::ExtensionError { name, error_type } => format!("Error: extension {name} reported {error_type}"),
            Self::RuntimeExit { status } => format!("Error: Runtime exited with error: {status}"),
            Self::RuntimeInitError { error_type, .. } => format!("Error: {error_type}"),
            Self::OutOfMemory => "Error: Runtime exited with error: signal: killed".to_owned(),
        }
    }
}

impl Platform {
    pub(crate) fn new(
        setup: Setup,
        journal: Arc<Journal>,
        next_breakpoint: Option<Arc<NextBreakpoint>>,
    ) -> Result<Self, reqwest::Error> {
        let order = setup.delivery.order;
        Ok(Self {
            telemetry: Telemetry::new(Arc::clone(&journal), order, setup.limits.telemetry_backlog_bytes),
            printed: Printed::default(),
            faults: Faults::new(&setup.faults),
            client: http::client()?,
            next_breakpoint,
            claimed_mb: AtomicU32::new(0),
            state: Mutex::new(State::default()),
            changed: Notify::new(),
            setup,
            journal,
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes everyone who waits for a change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_waiters();
        result
    }

    /// Waits until the state says so.
    pub(crate) async fn until<T>(&self, mut condition: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Whatever changes after this line wakes the wait below, so no change is missed in between.
            changed.as_mut().enable();
            if let Some(result) = condition(&mut self.lock()) {
                return result;
            }
            changed.await;
        }
    }

    /// Notes the first failure; an end that was asked for is none.
    pub(crate) fn fail(&self, fatal: Fatal) {
        self.change(|state| {
            if !state.leaving && state.fatal.is_none() {
                state.fatal = Some(fatal);
            }
        });
    }

    /// A process has ended.
    pub(crate) fn exited(&self, origin: &Origin, status: ExitStatus, used: Option<Duration>) {
        if let Some(cpu) = used {
            self.journal.write(JournalEvent::Used { origin: origin.clone(), cpu });
        }
        self.ended(origin, status.to_string());
    }

    /// Something has ended: a process, or the thread of an in-process function.
    pub(crate) fn ended(&self, origin: &Origin, status: String) {
        self.journal.write(JournalEvent::Exited { origin: origin.clone(), status: status.clone() });
        self.fail(match origin {
            Origin::Function => Fatal::RuntimeExit { status: status.replace("exit status:", "exit status") },
            Origin::Extension(name) => Fatal::ExtensionExit { name: name.to_string(), status },
        });
    }

    /// A line has been written.
    pub(crate) fn print(&self, origin: &Origin, pipe: Pipe, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let stream = Stream { origin: origin.clone(), pipe };
        if let Output::To(output) = &self.setup.output {
            output(&stream, &text);
        }
        let kind = match origin {
            Origin::Function => "function",
            Origin::Extension(_) => "extension",
        };
        let object = match (self.setup.log_format, origin) {
            (LogFormat::Json, Origin::Function) => serde_json::from_str(&text).ok().filter(Value::is_object),
            _ => None,
        };
        let now = Instant::now();
        self.telemetry.emit_at(now, kind, object.unwrap_or_else(|| Value::String(text.into_owned())));
        self.printed.add(self.journal.since_start(now), stream, bytes);
    }

    /// What an in-process function claims to use.
    pub(crate) fn claim_memory(&self, megabytes: u32) {
        self.claimed_mb.fetch_max(megabytes, Ordering::Relaxed);
    }
}
