//! `cargo matrix bench` without a plan: from the manifest to a report, by the commands that a person would type.

use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use super::steps::Step;
use crate::measure::{self, DirectoryLock};
use crate::plan::circumstances::describe;
use crate::plan::{Arguments, Condition, DesignName, InjectedFault, Regime, TrustStore};
use crate::terminal;
use crate::workspace::target_directory;

/// Default number of starts of each program under each condition. Enough for the gates' intervals to be a few tenths of a millisecond wide on a quiet machine.
pub const BLOCKS: u32 = 40;
/// Number of starts of each program under each fault. One start shows whether the payloads are equal, and a second one that it was no accident.
const FAULT_BLOCKS: u32 = 2;

/// The exit statuses of `analyze` about deliveries, worst first.
const JUDGED: [u8; 3] = [terminal::PAYLOAD_MISMATCH, terminal::DID_NOT_START, terminal::HARNESS_FAILED];

/// Compares the named sets with each other and with the floor: plans, builds, measures, analyzes and reports. It also starts them under injected faults, to
/// check that their payloads are still equal.
///
/// What this machine cannot produce is left out before anything is built; with `require` it is an error.
pub fn run(blocks: Option<u32>, require: bool) -> ExitCode {
    let folder = target_directory().join("matrix/bench");
    let capabilities = match MachineCapabilities::here(require) {
        Ok(capabilities) => capabilities,
        Err(error) => return terminal::exit_with_error(&error, terminal::SETUP_FAILED),
    };
    let steps = steps(&folder, blocks.unwrap_or(BLOCKS), &capabilities);
    alone(&folder, || {
        eprintln!(
            "The first run builds three extensions, which takes minutes; then it starts each of them many times."
        );
        follow(&folder, &steps)
    })
}

/// Does `work` with exclusive use of a folder, from which the results of a finished run have been set aside.
pub fn alone(folder: &Path, work: impl FnOnce() -> ExitCode) -> ExitCode {
    // The steps take the directory's own lock one after the other; this lock covers the time between them.
    let _alone = match DirectoryLock::take(folder, "bench.lock") {
        Ok(lock) => lock,
        Err(error) => return terminal::exit_with_error(&error, error.status()),
    };
    let aside = DirectoryLock::take(folder, measure::LOCK).and_then(|_lock| set_aside(folder));
    match aside {
        Ok(true) => eprintln!("What the last run left is kept as {}", folder.join("*.before.*").display()),
        Ok(false) => {}
        Err(error) => return terminal::exit_with_error(&error, error.status()),
    }
    work()
}

/// Runs steps up to the report. Returns the worst exit status of the analyses.
pub fn follow(folder: &Path, steps: &[Step]) -> ExitCode {
    let mut worst = None;
    for step in steps {
        eprintln!("\n$ cargo matrix {step}");
        let code = step.run();
        if code == ExitCode::SUCCESS {
            continue;
        }
        // The report, which is still to come, shows cells that do not deliver or start.
        match JUDGED.iter().position(|status| code == (*status).into()).filter(|_| step.is_analysis()) {
            Some(place) => worst = Some(worst.map_or(place, |worst: usize| worst.min(place))),
            None => return code,
        }
    }
    eprintln!("\nThe report with its pictures is {}", folder.join("report.html").display());
    worst.and_then(|place| JUDGED.get(place)).map_or(ExitCode::SUCCESS, |status| (*status).into())
}

/// Sets the results of a finished run aside, because programs or the number of blocks may have changed since. An interrupted run is resumed. Returns whether it
/// set any aside.
fn set_aside(folder: &Path) -> Result<bool, measure::Error> {
    if !folder.join("report.html").exists() {
        return Ok(false);
    }
    for (now, before) in [
        ("samples.jsonl", "samples.before.jsonl"),
        ("faults/samples.jsonl", "faults/samples.before.jsonl"),
        ("report.html", "report.before.html"),
    ] {
        match fs::rename(folder.join(now), folder.join(before)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(measure::Error::Write { path: folder.join(now), source });
            }
            _ => {}
        }
    }
    Ok(true)
}

/// The capabilities of a machine: which conditions it can produce.
#[derive(Clone, Copy, Debug)]
pub struct MachineCapabilities {
    /// Whether a start can be throttled to the share of its memory tier.
    throttles: bool,
    store: TrustStore,
}

impl MachineCapabilities {
    /// The operating system's trust store in the sandbox.
    pub fn store(&self) -> TrustStore {
        self.store
    }

    /// A machine that can produce every condition.
    pub const ALL: Self = Self { throttles: true, store: TrustStore::Al2023 };

    /// The capabilities of this machine. With `require`, a condition that it cannot produce is an error.
    pub fn here(require: bool) -> Result<Self, measure::Error> {
        let refused = |condition: &Condition, instead: &str| -> Result<bool, measure::Error> {
            let Some(reason) = measure::not_produced_here(condition)? else { return Ok(false) };
            if require {
                return Err(measure::Error::NotProduced { condition: describe(condition), reason });
            }
            eprintln!("This machine has {reason}. {instead}; run as root to measure more.");
            Ok(true)
        };
        let host = Condition { trust_store: TrustStore::Host, ..Condition::default() };
        let throttled = Condition { regime: Regime::Throttled, ..host.clone() };
        let no_store = refused(&Condition::default(), "Starts see its own trust store instead, and are named so")?;
        let no_share = refused(&throttled, "Throttled starts are left out")?;
        Ok(Self { throttles: !no_share, store: if no_store { TrustStore::Host } else { Self::ALL.store } })
    }
}

/// The steps of the default comparison.
pub fn steps(folder: &Path, blocks: u32, capabilities: &MachineCapabilities) -> Vec<Step> {
    let faults = folder.join("faults");
    let plan = |folder: &Path| {
        let trust_store = vec![capabilities.store];
        Arguments { trust_store, ..Arguments::new(DesignName::Sets, folder) }
    };
    let regimes = [Some(Regime::Boosted), capabilities.throttles.then_some(Regime::Throttled)];
    let timed = Arguments { blocks, regime: regimes.into_iter().flatten().collect(), ..plan(folder) };
    let injected = vec![InjectedFault::Intake, InjectedFault::Telemetry, InjectedFault::Platform];
    let faulty = Arguments { blocks: FAULT_BLOCKS, fault: injected, ..plan(&faults) };
    vec![
        Step::Plan(Box::new(timed)),
        Step::build(folder),
        Step::bench(folder),
        Step::Plan(Box::new(faulty)),
        Step::build(&faults),
        Step::bench(&faults),
        Step::analyze(&faults),
        Step::analyze(folder),
        Step::report(folder, true),
        Step::report(folder, false),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_has_ended_makes_room_for_the_next_and_an_interrupted_one_stays() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        fs::create_dir(file("faults")).unwrap();
        for name in ["samples.jsonl", "faults/samples.jsonl"] {
            fs::write(file(name), "").unwrap();
        }
        assert!(!set_aside(directory.path()).unwrap());
        assert!(file("samples.jsonl").exists());
        fs::write(file("report.html"), "").unwrap();
        assert!(set_aside(directory.path()).unwrap());
        for (now, before) in
            [("samples.jsonl", "samples.before.jsonl"), ("faults/samples.jsonl", "faults/samples.before.jsonl")]
        {
            assert!(!file(now).exists() && file(before).exists(), "{now}");
        }
        assert!(!set_aside(directory.path()).unwrap(), "the next one has not ended yet");
    }
}
