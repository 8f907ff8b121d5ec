//! Executes a run, which Ctrl-C can end early.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::observe::RunRecord;
use crate::sandbox::{self, Invocation, RETRIES, Sandbox, SandboxRecord, Setup, intake};

/// How a run ended.
#[derive(Debug)]
pub enum End {
    Seen(Box<RunRecord>),
    /// Interrupted before there was anything to show.
    Nothing,
    /// The sandbox could not be set up.
    Failed(sandbox::Error),
}

/// The events that are sent through the sandbox.
#[derive(Debug)]
pub struct Load {
    /// The events in the order in which they are sent.
    pub events: Vec<Vec<u8>>,
    /// Number of times that each is sent.
    pub times: u32,
    /// Whether failed events are retried.
    pub asynchronous: bool,
}

/// Sends a load through a new sandbox.
///
/// The first Ctrl-C lets the present invocation end, with the flush that follows it; `noticed` is called then. The second one ends everything at once.
pub fn run(setup: Setup, load: Load, noticed: impl Fn()) -> End {
    let (messages_tx, messages_rx) = channel();
    let run = Arc::new(Run::default());
    listen(messages_tx.clone());
    let worker = Arc::clone(&run);
    thread::spawn(move || {
        let _ = messages_tx.send(Message::Over(worker.work(setup, &load)));
    });
    follow(&run, &messages_rx, noticed)
}

fn follow(run: &Run, messages_rx: &Receiver<Message>, noticed: impl Fn()) -> End {
    loop {
        match messages_rx.recv() {
            Ok(Message::Over(end)) => return end,
            Ok(Message::Interrupt) => {
                if !run.interrupted.swap(true, Ordering::SeqCst) {
                    noticed();
                    continue;
                }
                match &*run.stage() {
                    Stage::Starting => return End::Nothing,
                    Stage::Running(sandbox) => return End::Seen(Box::new(run.look(sandbox))),
                    // The shutdown ends within seconds, by Lambda's own limits.
                    Stage::Ending => {}
                }
            }
            Err(_) => return End::Nothing,
        }
    }
}

enum Message {
    Interrupt,
    Over(End),
}

/// State that the running thread shares with the listening one.
#[derive(Default)]
struct Run {
    interrupted: AtomicBool,
    stage: Mutex<Stage>,
    invocations: Mutex<Vec<Invocation>>,
}

#[derive(Default)]
enum Stage {
    #[default]
    Starting,
    Running(Arc<Sandbox>),
    Ending,
}

impl Run {
    fn work(&self, setup: Setup, load: &Load) -> End {
        let sandbox = match Sandbox::start(setup) {
            Ok(sandbox) => Arc::new(sandbox),
            Err(error) => return End::Failed(error),
        };
        *self.stage() = Stage::Running(Arc::clone(&sandbox));
        for event in load.events.iter().flat_map(|event| (0..load.times).map(move |_| event)) {
            if let Err(error) = self.send(&sandbox, event, load.asynchronous) {
                return End::Failed(error);
            }
        }
        *self.stage() = Stage::Ending;
        let gates = sandbox.gates();
        let ended = Arc::into_inner(sandbox).ok_or(sandbox::Error::Gone).and_then(Sandbox::shutdown);
        match ended {
            Ok(record) => End::Seen(Box::new(self.seen(gates, record))),
            Err(error) => End::Failed(error),
        }
    }

    /// Sends one event with its retries, unless interrupted.
    fn send(&self, sandbox: &Sandbox, event: &[u8], asynchronous: bool) -> Result<(), sandbox::Error> {
        let mut failed: Option<Invocation> = None;
        while !self.interrupted.load(Ordering::SeqCst) {
            let invocation = match &failed {
                None => sandbox.invoke(event)?,
                Some(failed) => sandbox.retry(event, failed)?,
            };
            self.invocations.lock().unwrap_or_else(PoisonError::into_inner).push(invocation.clone());
            if !(asynchronous && invocation.has_failed() && invocation.attempt <= RETRIES) {
                break;
            }
            failed = Some(invocation);
        }
        Ok(())
    }

    /// The state of the run before its end.
    fn look(&self, sandbox: &Sandbox) -> RunRecord {
        let record = SandboxRecord {
            extensions: Vec::new(),
            journal: sandbox.journal(),
            telemetry: sandbox.telemetry(),
            output: sandbox.output(),
            requests: sandbox.intake().map(intake::Intake::requests).unwrap_or_default(),
            datagrams: sandbox.datagrams(),
        };
        self.seen(sandbox.gates(), record)
    }

    fn seen(&self, gates: sandbox::Gates, record: SandboxRecord) -> RunRecord {
        let invocations = self.invocations.lock().unwrap_or_else(PoisonError::into_inner).clone();
        RunRecord { invocations, gates, record, interrupted: self.interrupted.load(Ordering::SeqCst) }
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports every Ctrl-C, SIGTERM and SIGHUP from now on, which then do not end the process any more. Without a tokio runtime they still end the process.
fn listen(messages_tx: Sender<Message>) {
    thread::spawn(move || {
        let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            let Ok([mut interrupt, mut terminate, mut hangup]) = signals(kinds) else { return };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                if messages_tx.send(Message::Interrupt).is_err() {
                    return;
                }
            }
        });
    });
}

fn signals([interrupt, terminate, hangup]: [SignalKind; 3]) -> std::io::Result<[Signal; 3]> {
    Ok([signal(interrupt)?, signal(terminate)?, signal(hangup)?])
}
