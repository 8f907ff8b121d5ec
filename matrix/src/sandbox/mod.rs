//! A local Lambda: the Runtime, Extensions and Telemetry APIs, the lifecycle of an execution environment with its time limits, freeze and thaw, and injected
//! faults, in a network of its own.
//!
//! [`Sandbox`] is a blocking handle. One thread runs the whole environment, so that everything it starts (sockets, processes, further threads) is created in
//! the sandbox's network.
//!
//! Not modelled: memory limits other than the function's own, and the disk of Lambda's machines.

pub mod cpu;
mod datagrams;
pub mod destinations;
mod disk;
mod environment;
pub mod faults;
mod figures;
mod footprint;
mod frames;
pub mod function;
mod gates;
pub mod http;
pub mod intake;
mod invocation;
pub mod isolation;
pub mod journal;
mod lambda_user;
mod lines;
mod mounts;
mod network;
mod next_breakpoint;
mod output;
mod output_splitter;
pub mod page_cache;
mod platform;
mod ports;
mod process;
mod process_table;
mod processes;
mod settings_file;
pub mod setup;
mod system_files;
mod thread;
pub mod tracer;
pub(crate) mod users;

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::body::Bytes;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use self::datagrams::Datagrams;
pub use self::footprint::Footprint;
pub use self::function::Function;
pub use self::gates::{ExtensionGates, Gates};
use self::invocation::Attempt;
pub use self::invocation::{ExitOf, Invocation, Outcome, Status};
use self::journal::Entry;
pub use self::network::{OUTSIDE, in_own_network};
pub use self::output::OutputLine;
use self::platform::Platform;
use self::platform::telemetry::Event;
pub use self::setup::{Extension, Setup};
use self::thread::Command;
use crate::emulator;
use crate::workspace::private::TemporaryDirectory;

/// Errors of the sandbox itself. Errors that Lambda would report about a function or an extension are not among them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Lambda would refuse the setup.
    #[error("{reason}")]
    Setup {
        /// The reason.
        reason: String,
    },
    /// The program of an extension does not exist.
    #[error("cannot find the extension {path}")]
    Program {
        /// The path of the program.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The program of an extension is for another processor.
    #[error("cannot start the extension {path}")]
    Foreign {
        /// The path of the program.
        path: PathBuf,
        /// The missing emulator.
        source: emulator::MissingEmulator,
    },
    /// The thread, its runtime, its directory or its sockets could not be created.
    #[error("cannot {what}")]
    System {
        /// The attempted operation.
        what: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// The machine refuses the sandbox isolation that [`isolation::REQUIRED`] makes mandatory.
    #[error("{reason}; {} is set, so that this is an error: run as root, or unset it", isolation::REQUIRED)]
    Isolation {
        /// What was refused, with the system's error.
        reason: String,
    },
    /// The HTTP client for telemetry could not be built.
    #[error("cannot build the telemetry client")]
    Client(#[source] reqwest::Error),
    /// The intake could not start.
    #[error("cannot start the intake")]
    Intake(#[source] intake::Error),
    /// The sandbox's thread has ended unexpectedly.
    #[error("the sandbox is gone")]
    Gone,
}

/// Number of Lambda's retries of a failed asynchronous invocation, by default ("How Lambda handles errors and retries with asynchronous invocation").
pub const RETRIES: u32 = 2;

/// The pause before a retry. Lambda waits one minute and then two. This pause is just long enough that no two events of different attempts have the same time.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A running execution environment. Dropping it kills all of its processes.
#[derive(Debug)]
pub struct Sandbox {
    commands: Option<UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
    platform: Arc<Platform>,
    intake: Option<intake::Intake>,
    datagrams: Option<Arc<Datagrams>>,
    /// The sandbox's own files, removed at the end. Its thread may be unable to: all files may be read-only there.
    _directory: TemporaryDirectory,
}

/// The records of a sandbox after its shutdown.
#[derive(Debug)]
pub struct SandboxRecord {
    /// The exits of the last environment's extensions.
    pub extensions: Vec<ExitOf>,
    /// The whole journal.
    pub journal: Vec<Entry>,
    /// Every telemetry event that was emitted.
    pub telemetry: Vec<Value>,
    /// Every line of the function and of the extensions.
    pub output: Vec<OutputLine>,
    /// All requests at the intake; empty without one.
    pub requests: Vec<intake::Request>,
    /// What was sent to DogStatsD; `None` if that could not be seen.
    pub datagrams: Option<Vec<Vec<u8>>>,
}

impl Sandbox {
    /// Starts an environment and returns when its init phase is over, successful or not. After a failed init, the first invocation runs another one, as on
    /// Lambda.
    pub fn start(setup: Setup) -> Result<Self, Error> {
        setup.check()?;
        let directory = TemporaryDirectory::new();
        let directory = directory.map_err(|source| Error::System { what: "make a directory", source })?;
        let place = directory.path().to_owned();
        let (started_tx, started) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("sandbox".to_owned())
            .spawn(move || thread::run(setup, &place, &started_tx))
            .map_err(|source| Error::System { what: "start the sandbox's thread", source })?;
        let started = started.recv().map_err(|_| Error::Gone)??;
        let thread::RunningSandbox { commands, platform, intake, datagrams } = started;
        Ok(Self { commands: Some(commands), thread: Some(thread), platform, intake, datagrams, _directory: directory })
    }

    /// Invokes the function and returns when the invocation is over, extensions included.
    pub fn invoke(&self, event: &[u8]) -> Result<Invocation, Error> {
        self.attempt(event, Attempt::first())
    }

    /// Retries a failed event with the same request id, as Lambda does a minute or two after an asynchronous invocation has failed. Waits for [`RETRY_PAUSE`]
    /// first.
    pub fn retry(&self, event: &[u8], failed: &Invocation) -> Result<Invocation, Error> {
        std::thread::sleep(RETRY_PAUSE);
        self.attempt(event, Attempt::after(failed))
    }

    /// Invokes the function asynchronously: a failed attempt is retried at most [`RETRIES`] times. Returns all attempts. The environment is frozen between
    /// them, though not for minutes.
    pub fn invoke_async(&self, event: &[u8]) -> Result<Vec<Invocation>, Error> {
        let mut attempts = vec![self.invoke(event)?];
        while let Some(failed) = attempts.last().filter(|last| last.has_failed() && last.attempt <= RETRIES) {
            attempts.push(self.retry(event, failed)?);
        }
        Ok(attempts)
    }

    fn attempt(&self, event: &[u8], attempt: Attempt) -> Result<Invocation, Error> {
        let event = Bytes::copy_from_slice(event);
        self.ask(|answer| Command::Invoke { event, attempt, answer })
    }

    /// The intake, if the setup has one.
    pub fn intake(&self) -> Option<&intake::Intake> {
        self.intake.as_ref()
    }

    /// The journal so far, in order of time.
    pub fn journal(&self) -> Vec<Entry> {
        self.platform.journal.read()
    }

    /// The two gates of the latest init.
    pub fn gates(&self) -> Gates {
        Gates::read(&self.journal())
    }

    /// `CLOCK_MONOTONIC` at the start, from which the journal's times count. Timestamps of other processes can be compared with it.
    pub fn monotonic(&self) -> Duration {
        self.platform.journal.monotonic()
    }

    /// The CPU time of an extension since its exec, without that of its child processes. `None` if it is gone.
    pub fn cpu_time(&self, extension: &str) -> Option<Duration> {
        let body = self.platform.lock().agents.iter().find(|agent| agent.name == extension)?.process?;
        footprint::cpu_time(body.pid, body.baseline_usage)
    }

    /// What an extension has used since its exec, however many programs it has become meanwhile. `None` if it is gone.
    pub fn footprint(&self, extension: &str) -> Option<Footprint> {
        let body = self.platform.lock().agents.iter().find(|agent| agent.name == extension)?.process?;
        Footprint::of(body.pid, body.baseline_usage)
    }

    /// Every telemetry event that was emitted so far, in order of emission, delivered or not.
    pub fn telemetry(&self) -> Vec<Value> {
        self.platform.telemetry.emitted()
    }

    /// Every line of the function and of the extensions so far.
    pub fn output(&self) -> Vec<OutputLine> {
        self.platform.output_log.read()
    }

    /// What was sent to DogStatsD so far; `None` if that cannot be seen.
    pub fn datagrams(&self) -> Option<Vec<Vec<u8>>> {
        self.datagrams.as_ref().map(|datagrams| datagrams.read())
    }

    /// Appends events of any shape to the queue of a subscriber. Returns false if there is no subscriber of this name. A frozen subscriber gets them after the
    /// thaw.
    pub fn inject(&self, subscriber: &str, events: &[Value]) -> bool {
        self.platform.telemetry.inject(subscriber, events.iter().map(Event::new))
    }

    /// Appends text in place of an event to the queue of a subscriber. Unless it is JSON, it makes its whole batch malformed.
    pub fn inject_text(&self, subscriber: &str, text: &str) -> bool {
        self.platform.telemetry.inject(subscriber, std::iter::once(Event::text(text)))
    }

    /// Runs `work` on a thread in the sandbox's network and returns its result. Nothing is thawed for it.
    pub fn within<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let (done_tx, done) = mpsc::sync_channel(1);
        let work = Box::new(move || {
            let _ = done_tx.send(work());
        });
        self.send(Command::Within { work })?;
        done.recv().map_err(|_| Error::Gone)
    }

    /// Ends the environment as Lambda does when it is no longer needed.
    pub fn shutdown(mut self) -> Result<SandboxRecord, Error> {
        let extensions = self.ask(|answer| Command::Shutdown { answer })?;
        self.stop();
        let requests = self.intake.as_ref().map(intake::Intake::requests).unwrap_or_default();
        Ok(SandboxRecord {
            extensions,
            journal: self.journal(),
            telemetry: self.telemetry(),
            output: self.output(),
            requests,
            datagrams: self.datagrams(),
        })
    }

    fn ask<T>(&self, command: impl FnOnce(mpsc::SyncSender<T>) -> Command) -> Result<T, Error> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.send(command(answer))?;
        answered.recv().map_err(|_| Error::Gone)
    }

    fn send(&self, command: Command) -> Result<(), Error> {
        let commands = self.commands.as_ref().ok_or(Error::Gone)?;
        commands.send(command).map_err(|_| Error::Gone)
    }

    fn stop(&mut self) {
        // The thread ends when its command channel is closed.
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop();
    }
}
