//! Makes one cold start, in two sandboxes, and in a third one where the program is an agent of ours.
//!
//! In the first sandbox the event follows the init at once, as on Lambda: work that the extension defers until then delays the invocation. In the second
//! sandbox the extension is stopped at its first request for an event, to read what it has used by then. It then continues undisturbed until it has settled: the
//! CPU time used by then covers all of its initialization, deferred or not. Further events show what a later invocation costs. In the third sandbox its sockets are
//! probed from the registration on, which costs the extension time, so that nothing else is measured there.
//!
//! A launcher and the agent that it executes are one process. What it has used at the first request for an event is the launcher's, and what comes after that the
//! agent's.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::expected::ExpectedMetric;
use super::measured_cell::{MeasuredCell, number};
use super::produced::{has_share, missing, sentence};
use super::sample::Phase;
use super::scenario::{EVENT, Scenario};
use super::serving::Probe;
use super::{exercise, expected, phases, steady};
use crate::plan::{Cache, DELIVERY, InjectedFault};
use crate::sandbox::cpu::PERIOD;
use crate::sandbox::intake::Request;
use crate::sandbox::journal::{Entry, JournalEvent};
use crate::sandbox::setup::Origin;
use crate::sandbox::{ExtensionGates, Function, Gates, Outcome, Sandbox, SandboxRecord, Setup};

/// How long an extension has to use next to no CPU time to have settled. A throttled one with work to do uses its share in every period.
const REST: Duration = PERIOD.saturating_mul(2);
/// CPU time below which an extension counts as idle: a timer or two.
const NEXT_TO_NOTHING: Duration = Duration::from_micros(100);
/// How long to wait until the extension has settled.
const RESTLESS: Duration = Duration::from_secs(3);
/// Interval at which the CPU time is checked.
const LOOK: Duration = Duration::from_millis(4);

/// Errors that mean that the machine is out of resources: EAGAIN, ENOMEM, ENFILE, EMFILE, ENOSPC.
const EXHAUSTED: [&str; 5] = ["(os error 11)", "(os error 12)", "(os error 23)", "(os error 24)", "(os error 28)"];

/// The results of one start.
#[derive(Debug, Default)]
pub(super) struct StartResult {
    pub measures: BTreeMap<String, f64>,
    pub phases: Vec<Phase>,
    pub digest: Option<String>,
    pub undelivered: Option<String>,
    pub failure: Option<Failure>,
}

/// Why a start does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The program failed.
    Program(String),
    /// The sandbox could not make the start; this says nothing about the program.
    Harness(String),
}

impl Failure {
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Program(reason) | Self::Harness(reason) => reason,
        }
    }

    /// A failure of the program.
    pub(super) fn program(reason: impl Into<String>) -> Self {
        Self::Program(reason.into())
    }

    /// A failure of the sandbox or the operating system.
    pub(super) fn harness(error: &dyn std::error::Error) -> Self {
        Self::Harness(error_chain(error))
    }
}

/// Starts a cell's program under a condition. `refused` has the known refusals of this machine.
pub(super) fn start(cell: &MeasuredCell, scenario: &Scenario, refused: &[String]) -> StartResult {
    let mut result = StartResult { measures: cell.fixed.clone(), ..StartResult::default() };
    let attempt = if scenario.condition.runtime == DELIVERY {
        result = StartResult::default();
        result.deliver(cell, scenario, refused)
    } else {
        let passed = result.invoke(cell, scenario, refused).and_then(|()| result.rest(cell, scenario, refused));
        passed.and_then(|()| result.serve(cell, scenario, refused))
    };
    result.failure = attempt.err();
    result
}

impl StartResult {
    /// The result if the thread of a start has panicked.
    pub(super) fn panicked() -> Self {
        Self { failure: Some(Failure::Harness("a thread of the sandbox panicked".to_owned())), ..Self::default() }
    }

    fn set(&mut self, measure: &str, value: f64) {
        self.measures.insert(measure.to_owned(), value);
    }

    /// Uses the first sandbox: init, one invocation, shutdown.
    fn invoke(&mut self, cell: &MeasuredCell, scenario: &Scenario, refused: &[String]) -> Result<(), Failure> {
        prepare_page_cache(cell, scenario.condition.cache)?;
        let trace = scenario.clear_trace();
        let sandbox = Sandbox::start(scenario.setup(cell, false)).map_err(|error| Failure::harness(&error))?;
        as_agreed(scenario, &sandbox.journal(), refused)?;
        let started = sandbox.monotonic();
        let gates = sandbox.gates();
        let passed = self.gates(&gates);
        let invocation = passed.is_ok().then(|| sandbox.invoke(EVENT)).transpose();
        let invocation = invocation.map_err(|error| Failure::harness(&error))?;
        let record = sandbox.shutdown().map_err(|error| Failure::harness(&error))?;
        as_agreed(scenario, &record.journal, refused)?;
        self.journal(&record.journal);
        if let (Some(executed), Ok(trace)) = (executed(&record.journal), fs::read_to_string(trace)) {
            self.phases = phases::read(&trace, started + executed);
        }
        passed.map_err(|what| Failure::Program(format!("{what}{}", last_words(&record))))?;
        if scenario.condition.cache == Cache::Cold {
            let kib = |bytes: io::Result<u64>| {
                bytes.map(|bytes| number(bytes / 1024)).map_err(|error| Failure::harness(&error))
            };
            self.set("file_touched", kib(cell.resident())?);
            self.set("entry_touched", kib(cell.entry_resident())?);
        }
        self.delivered(cell, &record, &[]);
        match invocation.as_ref().map(|invocation| &invocation.outcome) {
            Some(Outcome::Success) => {}
            other => {
                let reason = format!("the invocation did not succeed: {other:?}{}", last_words(&record));
                return Err(Failure::Program(reason));
            }
        }
        judge(cell, scenario, &record).map_err(Failure::Program)?;
        // Without the CPU share of the memory tier, an invocation is faster than on that tier.
        if let Some(invocation) = invocation.filter(|_| has_share(&record.journal)) {
            self.set("first_invocation", milliseconds(invocation.duration));
        }
        Ok(())
    }

    /// Makes an untimed start: several invocations with every kind of payload.
    fn deliver(&mut self, cell: &MeasuredCell, scenario: &Scenario, refused: &[String]) -> Result<(), Failure> {
        let sandbox = Sandbox::start(scenario.delivery_setup(cell)).map_err(|error| Failure::harness(&error))?;
        let mut ended = Ok(());
        for (number, action) in exercise::INVOCATIONS.into_iter().enumerate() {
            let invocation = sandbox.invoke(&action.event(number)).map_err(|error| Failure::harness(&error))?;
            ended = ended.and(action.judge(number, &invocation));
        }
        let record = sandbox.shutdown().map_err(|error| Failure::harness(&error))?;
        as_agreed(scenario, &record.journal, refused)?;
        self.delivered(cell, &record, &exercise::sent());
        ended.map_err(|reason| Failure::Program(format!("{reason}{}", last_words(&record))))?;
        judge(cell, scenario, &record).map_err(Failure::Program)
    }

    /// Records the digest of what arrived, and what did not arrive.
    fn delivered(&mut self, cell: &MeasuredCell, record: &SandboxRecord, sent: &[ExpectedMetric]) {
        self.digest = Some(super::digest(&record.requests, &record.output));
        self.undelivered = if cell.held { expected::undelivered(record, sent) } else { None };
    }

    fn gates(&mut self, gates: &Gates) -> Result<(), &'static str> {
        let Some(ExtensionGates { register, next, .. }) =
            gates.extensions.iter().find(|gates| gates.name == super::AGENT)
        else {
            return Err("the extension was not executed");
        };
        let register = register.ok_or("the extension did not register")?;
        self.set("register", milliseconds(register));
        let next = next.ok_or("the extension did not ask for an event")?;
        self.set("ready", milliseconds(next));
        // The runtime starts when all extensions have registered, and takes no time itself.
        self.set("init_null", milliseconds(register + next.saturating_sub(register)));
        Ok(())
    }

    fn journal(&mut self, journal: &[Entry]) {
        for entry in journal {
            if let JournalEvent::Used { origin: Origin::Extension(_), cpu } = &entry.what {
                self.set("cpu_total", milliseconds(*cpu));
            }
        }
    }

    fn footprint(&mut self, journal: &[Entry]) {
        // A machine that cannot stop an extension reports that for the whole run. Elsewhere, a footprint taken too late would be another measure.
        let late = journal.iter().any(|entry| matches!(entry.what, JournalEvent::FootprintsLate { .. }));
        for entry in journal {
            match &entry.what {
                JournalEvent::Footprint { name, footprint, stopped } if name == super::AGENT && (*stopped || late) => {
                    self.set("minor_faults", number(footprint.minor_faults));
                    self.set("major_faults", number(footprint.major_faults));
                    self.set("resident_peak", number(footprint.resident_peak_kib));
                    self.set("threads", number(footprint.threads));
                    self.set("cpu_ready", milliseconds(footprint.cpu));
                }
                _ => {}
            }
        }
    }

    /// Uses the second sandbox: init, a wait until the extension has settled, and further invocations.
    fn rest(&mut self, cell: &MeasuredCell, scenario: &Scenario, refused: &[String]) -> Result<(), Failure> {
        prepare_page_cache(cell, scenario.condition.cache)?;
        scenario.clear_trace();
        let sandbox = Sandbox::start(scenario.setup(cell, true)).map_err(|error| Failure::harness(&error))?;
        as_agreed(scenario, &sandbox.journal(), refused)?;
        self.footprint(&sandbox.journal());
        let ended = || Failure::program("the extension ended before it came to rest");
        let used = || sandbox.cpu_time(super::AGENT).ok_or_else(ended);
        let (began, mut since, mut seen) = (Instant::now(), Instant::now(), used()?);
        while since.elapsed() < REST {
            if began.elapsed() > RESTLESS {
                // Not a failure: the extension just never comes to rest.
                return Ok(());
            }
            std::thread::sleep(LOOK);
            let now = used()?;
            if now > seen + NEXT_TO_NOTHING {
                (since, seen) = (Instant::now(), now);
            }
        }
        self.set("cpu_settled", milliseconds(seen));
        self.set("faults_settled", number(sandbox.footprint(super::AGENT).ok_or_else(ended)?.minor_faults));
        let steady = steady::measure(&sandbox)?;
        self.set("cpu_invocation", milliseconds(steady.cpu));
        if has_share(&sandbox.journal()) {
            self.set("next_after_done", milliseconds(steady.next_after_done));
        }
        Ok(())
    }
}

impl StartResult {
    /// Uses the third sandbox: init, until all sockets are served.
    fn serve(&mut self, cell: &MeasuredCell, scenario: &Scenario, refused: &[String]) -> Result<(), Failure> {
        if !cell.serves {
            return Ok(());
        }
        prepare_page_cache(cell, scenario.condition.cache)?;
        scenario.clear_trace();
        let probe = Arc::new(Probe::default());
        let setup = Setup { function: Function::InProcess(probe.clone()), ..scenario.setup(cell, false) };
        let sandbox = Sandbox::start(setup).map_err(|error| Failure::harness(&error))?;
        let (started, journal) = (sandbox.monotonic(), sandbox.journal());
        as_agreed(scenario, &journal, refused)?;
        if let (Some(executed), Some(served)) = (executed(&journal), probe.served()) {
            self.set("served", milliseconds(served.saturating_sub(started + executed)));
        }
        Ok(())
    }
}

/// The time of the extension's exec since the start of the sandbox.
fn executed(journal: &[Entry]) -> Option<Duration> {
    let is_exec = |entry: &&Entry| matches!(&entry.what, JournalEvent::Executed { origin: Origin::Extension(_), .. });
    journal.iter().find(is_exec).map(|entry| entry.at)
}

/// Reads the files into the page cache for a warm start. For a cold one, the sandbox drops them.
fn prepare_page_cache(cell: &MeasuredCell, cache: Cache) -> Result<(), Failure> {
    match cache {
        Cache::Warm => cell.read().map_err(|error| Failure::harness(&error)),
        Cache::Cold => Ok(()),
    }
}

/// Returns a harness failure if the start was not under its condition, if the machine refused something that it had allowed at the beginning of the run, or if
/// it had no process, memory, file or space left.
fn as_agreed(scenario: &Scenario, journal: &[Entry], refused: &[String]) -> Result<(), Failure> {
    let kind = |reason: &str| reason.split([':', ',']).next().unwrap_or_default().to_owned();
    let known = |reason: &String| refused.iter().any(|known| kind(known) == kind(reason));
    let exhausted = |what: &JournalEvent| match what {
        JournalEvent::NotExecuted { reason, .. } if EXHAUSTED.iter().any(|error| reason.contains(error)) => {
            Some(format!("no process could be started: {reason}"))
        }
        _ => None,
    };
    // The check at the beginning of the run starts no processes, so it does not know refusals that concern processes.
    let of_processes = |what: &JournalEvent| {
        matches!(what, JournalEvent::ProcessesShared { .. } | JournalEvent::FootprintsLate { .. })
    };
    let refusal = |what: &JournalEvent| sentence(what).filter(|reason| !of_processes(what) && !known(reason));
    let new = |what: &JournalEvent| refusal(what).or_else(|| exhausted(what));
    let timed = scenario.condition.runtime != DELIVERY;
    let missing = missing(&scenario.condition, journal).filter(|_| timed);
    let reason = missing.or_else(|| journal.iter().find_map(|entry| new(&entry.what)));
    reason.map_or(Ok(()), |reason| Err(Failure::Harness(reason)))
}

/// Returns an error if the extension did not exit cleanly or sent a payload that the intake rejected.
fn judge(cell: &MeasuredCell, scenario: &Scenario, record: &SandboxRecord) -> Result<(), String> {
    let extension = record.extensions.iter().find(|exit| exit.name == super::AGENT);
    match extension {
        Some(exit) if exit.killed => return Err("the extension had to be killed at the shutdown".to_owned()),
        Some(exit) if exit.status == "exit status: 0" => {}
        other => {
            let status = other.map_or("unknown", |exit| exit.status.as_str());
            return Err(format!("the extension ended with {status}{}", last_words(record)));
        }
    }
    // An intake with an injected fault rejects requests; the digest shows whether everything arrived in the end.
    if scenario.condition.fault == InjectedFault::Intake {
        return Ok(());
    }
    let refused = record.requests.iter().find(|request| cell.ours && !Request::delivered(request));
    refused.map_or(Ok(()), |request| Err(format!("{} was refused: {}", request.path, request.problems.join("; "))))
}

/// The extension's exit status and its last line, if there are any.
fn last_words(record: &SandboxRecord) -> String {
    let is_extension = |origin: &Origin| matches!(origin, Origin::Extension(_));
    let exit = record.journal.iter().rev().find_map(|entry| match &entry.what {
        JournalEvent::Exited { origin, status } if is_extension(origin) => Some(status.as_str()),
        JournalEvent::NotExecuted { origin, reason } if is_extension(origin) => Some(reason.as_str()),
        _ => None,
    });
    let line = record.output.iter().rev().find(|line| is_extension(&line.origin));
    let line = line.map(|line| String::from_utf8_lossy(&line.bytes));
    [exit.map(|exit| format!(" ({exit})")), line.map(|line| format!(": {line}"))].into_iter().flatten().collect()
}

/// An error with all of its sources.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

fn milliseconds(duration: Duration) -> f64 {
    // Digits below a nanosecond are rounding errors of the conversion.
    (duration.as_secs_f64() * 1e9).round() / 1e6
}
