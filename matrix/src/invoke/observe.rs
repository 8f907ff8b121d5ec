//! Converts what the sandbox recorded into the plain values of the run summary.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::run_summary::{Assertions, Exit, ExpectedTelemetry, Gate, Outcome, Run};
use super::traces::InvocationStart;
use crate::sandbox::journal::{Entry, JournalEvent};
use crate::sandbox::setup::Origin;
use crate::sandbox::{self, Gates, Invocation, SandboxRecord};

/// The record of a run.
#[derive(Debug)]
pub struct RunRecord {
    pub invocations: Vec<Invocation>,
    pub gates: Gates,
    /// The end of the run; for an interrupted run, its state at the interruption.
    pub record: SandboxRecord,
    pub interrupted: bool,
}

impl RunRecord {
    pub fn run(&self, expected: ExpectedTelemetry) -> Run {
        let journal = &self.record.journal;
        let lines = self.record.output.iter().filter(|line| line.origin == Origin::Function);
        Run {
            invocations: self.invocations.iter().map(outcome).collect(),
            gates: gates(&self.gates),
            printed: lines.map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect(),
            requests: self.record.requests.clone(),
            began: journal.iter().filter_map(began).collect(),
            crash: crash(journal),
            exits: self.record.extensions.iter().map(exit).collect(),
            notes: notes(journal),
            datagrams: self.record.datagrams.clone(),
            drops: self.drops(),
            taken_ports: taken_ports(journal),
            not_isolated: not_isolated(journal),
            network_refusal: None,
            interrupted: self.interrupted,
            expected,
            assertions: Assertions::default(),
        }
    }
}

impl RunRecord {
    /// The lines with which bottlecap says what it has dropped.
    fn drops(&self) -> Vec<String> {
        let of_agent = |line: &&sandbox::OutputLine| line.origin == Origin::Extension(Arc::from(super::AGENT));
        let lines = self.record.output.iter().filter(of_agent).map(|line| String::from_utf8_lossy(&line.bytes));
        lines.filter(|line| line.contains(" were dropped")).map(|line| line.trim_end().to_owned()).collect()
    }

    /// Why the network is the machine's, if it is.
    pub fn network_refusal(&self) -> Option<String> {
        self.record.journal.iter().find_map(|entry| match &entry.what {
            JournalEvent::NetworkShared { reason } => Some(reason.clone()),
            _ => None,
        })
    }
}

/// What the machine refused to isolate, each once.
fn not_isolated(journal: &[Entry]) -> Vec<&'static str> {
    let mut all = Vec::new();
    for entry in journal {
        let what = match &entry.what {
            JournalEvent::NetworkShared { .. } => "network",
            JournalEvent::ProcessesShared { .. } => "processes",
            JournalEvent::MountsShared { .. } | JournalEvent::DiskShared { .. } => "files",
            JournalEvent::CpuUnlimited { .. } => "CPU",
            JournalEvent::UserShared { .. } => "user",
            JournalEvent::FiguresShared { .. } => "figures of memory and CPU",
            _ => continue,
        };
        if !all.contains(&what) {
            all.push(what);
        }
    }
    all
}

fn taken_ports(journal: &[Entry]) -> Vec<String> {
    let port = |entry: &Entry| match &entry.what {
        JournalEvent::PortTaken { port, protocol } => Some(format!("{protocol} port {port}")),
        _ => None,
    };
    journal.iter().filter_map(port).collect()
}

fn outcome(invocation: &Invocation) -> Outcome {
    let outcome = match &invocation.outcome {
        sandbox::Outcome::Success => match &invocation.error_type {
            None => "success".to_owned(),
            Some(error) => format!("success, then {error}"),
        },
        sandbox::Outcome::FunctionError { error_type } => format!("error {error_type}"),
        sandbox::Outcome::Timeout => "timeout".to_owned(),
        sandbox::Outcome::RuntimeExited { status } => format!("the runtime ended with {status}"),
        sandbox::Outcome::OutOfMemory => "out of memory".to_owned(),
        sandbox::Outcome::ExtensionCrashed { name, error_type } => format!("{name}: {error_type}"),
        sandbox::Outcome::InitFailed { error_type } => format!("the init failed with {error_type}"),
    };
    Outcome {
        request_id: invocation.request_id.clone(),
        attempt: invocation.attempt,
        succeeded: outcome == "success",
        outcome,
        response: serde_json::from_slice(&invocation.response)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&invocation.response).into_owned())),
        answered_ms: milliseconds(invocation.answered),
        duration_ms: milliseconds(invocation.duration),
        init_ms: invocation.init.map(milliseconds),
        billed_ms: invocation.billed_ms,
        max_memory_mb: invocation.max_memory_mb,
    }
}

fn began(entry: &Entry) -> Option<InvocationStart> {
    let JournalEvent::Invoked { request_id } = &entry.what else { return None };
    let at = i64::try_from(entry.wall.unix_timestamp_nanos()).unwrap_or(i64::MAX);
    Some(InvocationStart { request_id: request_id.clone(), at })
}

fn gates(gates: &Gates) -> Vec<Gate> {
    let gate = |gate: &sandbox::ExtensionGates| Gate {
        extension: gate.name.clone(),
        registered_ms: gate.register.map(milliseconds),
        ready_ms: gate.next.map(milliseconds),
    };
    gates.extensions.iter().map(gate).collect()
}

fn exit(exit: &sandbox::ExitOf) -> Exit {
    Exit {
        extension: exit.name.clone(),
        status: exit.status.clone(),
        killed: exit.killed,
        took_ms: milliseconds(exit.took),
    }
}

/// The first failure of an extension: an exit outside of a shutdown with any status, an unsuccessful exit within one, or an error that it reported. Being
/// killed at the end of a shutdown is not a crash: Lambda kills extensions that have not registered for SHUTDOWN.
fn crash(journal: &[Entry]) -> Option<String> {
    let mut leaving = false;
    let mut killed = Vec::new();
    for entry in journal {
        match &entry.what {
            JournalEvent::ShutdownStarted { .. } => leaving = true,
            JournalEvent::ShutdownOver => {
                leaving = false;
                killed.clear();
            }
            JournalEvent::Killed { origin } => killed.push(origin),
            JournalEvent::Exited { origin: origin @ Origin::Extension(name), status } => {
                if !leaving {
                    return Some(format!("{name} exited before SHUTDOWN ({status})"));
                }
                if status != "exit status: 0" && !killed.contains(&origin) {
                    return Some(format!("{name} ended its shutdown with {status}"));
                }
            }
            JournalEvent::NotExecuted { origin: Origin::Extension(name), reason } => {
                return Some(format!("{name} could not be started ({reason})"));
            }
            JournalEvent::ExtensionError { name, error_type } => return Some(format!("{name} reported {error_type}")),
            _ => {}
        }
    }
    None
}

fn notes(journal: &[Entry]) -> Vec<String> {
    let note = |entry: &Entry| {
        match &entry.what {
        JournalEvent::NetworkShared { reason } => {
            Some(format!("The network is the host's: one of its own was refused ({reason})."))
        }
        JournalEvent::InterfaceMissing { reason } => {
            Some(format!("The extension sees no network traffic: an interface as on Lambda was refused ({reason})."))
        }
        JournalEvent::ProcessesShared { reason } => Some(format!(
            "Open files, threads and the runtime's name are all the machine's: processes of the sandbox's own were refused ({reason})."
        )),
        JournalEvent::DiskShared { reason } | JournalEvent::MountsShared { reason } => Some(format!(
            "The files are the machine's: code is not read-only, and /tmp is not the environment's own ({reason})."
        )),
        JournalEvent::UserShared { reason } => {
            Some(format!("Function and extensions run as you, not as Lambda's user: {reason}."))
        }
        JournalEvent::FiguresShared { reason } => {
            Some(format!("The extension sees the machine's memory, CPUs and CPU time: files of the sandbox's own were refused ({reason})."))
        }
        JournalEvent::CpuUnlimited { reason } => {
            Some(format!("The CPU share of the memory tier is not enforced ({reason})."))
        }
        JournalEvent::InitOver { phase: "init", status: "timeout" } => Some(
            "The init took longer than the 10 s that an on-demand function has. Lambda ends the environment then and repeats the init within the first \
             invocation, where it counts towards the timeout of the function."
                .to_owned(),
        ),
        JournalEvent::InitOver { phase: "init", status: "error" } => Some(
            "The init failed. Lambda ends the environment then and repeats the init within the first invocation, so that its output appears twice."
                .to_owned(),
        ),
        JournalEvent::NotExecuted { origin: Origin::Function, reason } => {
            Some(format!("The function could not be started: {reason}."))
        }
        JournalEvent::Dropped { subscriber, events, .. } => {
            Some(format!("{events} telemetry events for {subscriber} were dropped because it did not take them."))
        }
        _ => None,
    }
    };
    journal.iter().filter_map(note).collect()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use time::OffsetDateTime;

    use super::*;

    fn journal(all: &[JournalEvent]) -> Vec<Entry> {
        let entry =
            |what: &JournalEvent| Entry { at: Duration::ZERO, wall: OffsetDateTime::UNIX_EPOCH, what: what.clone() };
        all.iter().map(entry).collect()
    }

    fn extension() -> Origin {
        Origin::Extension(Arc::from("agent"))
    }

    fn exited(status: &str) -> JournalEvent {
        JournalEvent::Exited { origin: extension(), status: status.to_owned() }
    }

    #[test]
    fn any_end_before_the_shutdown_is_a_crash() {
        let start = JournalEvent::ShutdownStarted { reason: "failure" };
        let crash = crash(&journal(&[exited("exit status: 0"), start])).unwrap();
        assert_eq!(crash, "agent exited before SHUTDOWN (exit status: 0)");
    }

    #[test]
    fn a_shutdown_is_left_well_or_under_force() {
        let start = || JournalEvent::ShutdownStarted { reason: "spindown" };
        let forced = JournalEvent::Killed { origin: extension() };
        assert_eq!(crash(&journal(&[start(), exited("exit status: 0"), JournalEvent::ShutdownOver])), None);
        assert_eq!(
            crash(&journal(&[start(), forced, exited("signal: 9 (SIGKILL)"), JournalEvent::ShutdownOver])),
            None
        );
        let ended = crash(&journal(&[start(), exited("exit status: 101")])).unwrap();
        assert_eq!(ended, "agent ended its shutdown with exit status: 101");
        let later =
            crash(&journal(&[start(), exited("exit status: 0"), JournalEvent::ShutdownOver, exited("exit status: 1")]));
        assert!(later.unwrap().contains("before SHUTDOWN"));
    }

    #[test]
    fn an_error_of_its_own_is_a_crash() {
        let reported = JournalEvent::ExtensionError { name: "agent".into(), error_type: "Agent.NoKey".into() };
        assert_eq!(crash(&journal(&[reported])).unwrap(), "agent reported Agent.NoKey");
    }
}
