//! The platform: the state that the three APIs share, and the phases of an environment's lifecycle.

pub(crate) mod agents;
pub(crate) mod connection;
pub(crate) mod delivery;
pub mod events;
pub(crate) mod extensions_api;
pub(crate) mod in_process;
pub(crate) mod init;
pub(crate) mod invoke;
pub(crate) mod lifecycle;
pub(crate) mod memory;
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
use super::frames::Record;
use super::http;
use super::journal::{Journal, JournalEvent};
use super::next_breakpoint::NextBreakpoint;
use super::output::{OutputLog, OutputTimes};
use super::setup::{LogFormat, Origin, Output, Setup};

/// State shared between the APIs, the lifecycle of the environment, in-process functions and the handle.
#[derive(Debug)]
pub(crate) struct Platform {
    pub setup: Setup,
    pub journal: Arc<Journal>,
    pub telemetry: Telemetry,
    pub output_log: OutputLog,
    output_times: OutputTimes,
    pub faults: Faults,
    pub client: reqwest::Client,
    /// Stops the extension to take its footprint, where that is requested and possible.
    pub next_breakpoint: Option<Arc<NextBreakpoint>>,
    /// Peak memory in MB that an in-process function has declared.
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
    /// The first failure; it ends the phase and the environment.
    pub fatal: Option<Fatal>,
    /// Whether the shutdown has begun; exits are no failures then.
    pub leaving: bool,
}

/// A failure that ends an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fatal {
    /// An extension could not be executed.
    NotExecuted { name: String },
    /// An extension exited before SHUTDOWN, with any status.
    ExtensionExit { name: String, status: String },
    /// An extension reported an error.
    ExtensionError { name: String, error_type: String },
    /// The runtime exited.
    RuntimeExit { status: String },
    /// The runtime reported an init error.
    RuntimeInitError { error_type: String, body: Vec<u8> },
    /// The function exceeded its memory.
    OutOfMemory,
}

impl Fatal {
    /// The error type in telemetry and in the response to the caller.
    pub(crate) fn error_type(&self) -> &str {
        match self {
            Self::NotExecuted { .. } => "Extension.LaunchError",
            Self::ExtensionExit { .. } => "Extension.Crash",
            Self::ExtensionError { error_type, .. } | Self::RuntimeInitError { error_type, .. } => error_type,
            Self::RuntimeExit { .. } => "Runtime.ExitError",
            Self::OutOfMemory => "Runtime.OutOfMemory",
        }
    }

    /// The message that the caller receives.
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
            output_log: OutputLog::default(),
            output_times: OutputTimes::default(),
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

    /// Changes the state and wakes everything that waits for a change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_waiters();
        result
    }

    /// Waits until the condition returns a value.
    pub(crate) async fn until<T>(&self, mut condition: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // A change after this line wakes the wait below, so none is missed.
            changed.as_mut().enable();
            if let Some(result) = condition(&mut self.lock()) {
                return result;
            }
            changed.await;
        }
    }

    /// Records the first failure; exits during a shutdown are no failures.
    pub(crate) fn fail(&self, fatal: Fatal) {
        self.change(|state| {
            if !state.leaving && state.fatal.is_none() {
                state.fatal = Some(fatal);
            }
        });
    }

    /// Handles the exit of a process.
    pub(crate) fn exited(&self, origin: &Origin, status: ExitStatus, used: Option<Duration>) {
        if let Some(cpu) = used {
            self.journal.write(JournalEvent::Used { origin: origin.clone(), cpu });
        }
        self.ended(origin, status.to_string());
    }

    /// Handles the end of a process or of an in-process function's thread.
    pub(crate) fn ended(&self, origin: &Origin, status: String) {
        self.journal.write(JournalEvent::Exited { origin: origin.clone(), status: status.clone() });
        self.fail(match origin {
            Origin::Function => Fatal::RuntimeExit { status: status.replace("exit status:", "exit status") },
            Origin::Extension(name) => Fatal::ExtensionExit { name: name.to_string(), status },
        });
    }

    /// Handles a line of output or a log record.
    pub(crate) fn print(&self, origin: &Origin, record: Record<'_>) {
        let bytes = record.bytes;
        let text = String::from_utf8_lossy(bytes);
        if let Output::To(output) = &self.setup.output {
            output(origin, &text);
        }
        let kind = match origin {
            Origin::Function => "function",
            Origin::Extension(_) => "extension",
        };
        let object = match (self.setup.log_format, origin) {
            (LogFormat::Json, Origin::Function) => serde_json::from_str(&text).ok().filter(Value::is_object),
            _ => None,
        };
        let now = match origin {
            Origin::Function => {
                let written = record.written.map(|written| self.journal.moment(written));
                self.output_times.next(written, Instant::now())
            }
            Origin::Extension(_) => Instant::now(),
        };
        self.telemetry.emit_at(now, kind, object.unwrap_or_else(|| Value::String(text.into_owned())));
        self.output_log.add(self.journal.since_start(now), origin.clone(), bytes);
    }

    /// Records the memory that an in-process function declares.
    pub(crate) fn claim_memory(&self, megabytes: u32) {
        self.claimed_mb.fetch_max(megabytes, Ordering::Relaxed);
    }
}
