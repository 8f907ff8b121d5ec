//! The starts of a plan, in randomised complete blocks.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::ValueEnum as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::lock::DirectoryLock;
use super::machine::{LeftOut, Run};
use super::measured_cell::{self, MeasuredCell};
use super::produced::{NOT_COLD, Refusals, SHARED_NETWORK};
use super::record::Samples;
use super::sample::Sample;
use super::scenario::Scenario;
use super::start::{Failure, Taken, start};
use super::{Error, writing};
use crate::build::BuildRecord;
use crate::plan::{Cache, Condition, DELIVERY, InjectedFault, Partition, Plan, SCHEMA, TrustStore, circumstances};

/// How often a start is tried that the sandbox cannot make.
const ATTEMPTS: usize = 3;
/// What passes before it is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// How a plan is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where `samples.jsonl`, `run.json` and the copies of the programs are. A directory on a disk: files in memory are never cold.
    pub out: PathBuf,
    /// Instead of the plan's number of blocks for each condition.
    pub blocks: Option<u32>,
    /// Which blocks are run here.
    pub partition: Option<Partition>,
    /// Whether the run stops if this machine cannot produce one of the conditions.
    pub require: bool,
    /// Ends the run after the start that is under way, once it is true.
    pub stop: Arc<AtomicBool>,
    /// Whether every cell is also started beside a function that gives it everything there is to deliver, with and without faults. Nothing is timed there.
    pub deliveries: bool,
}

/// What a run tells while it goes on.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    /// Something takes long before anything is started.
    Preparing(&'a str),
    /// The machine does not let the sandbox do something.
    Refused(&'a str),
    /// A condition is left out, because the machine cannot produce it.
    LeftOut { condition: &'a Condition, reason: &'a str },
    /// A round of starts begins that is not recorded; so many recorded ones follow.
    WarmUp { starts: usize },
    /// The sandbox could not make a start, which is tried again.
    Retried { cell: &'a str, block: u32, reason: &'a str },
    /// A start is over and recorded.
    Started { cell: &'a str, block: u32, failure: Option<&'a str> },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Where the samples are.
    pub samples: PathBuf,
    /// Starts that were recorded now.
    pub started: usize,
    /// Starts that had been recorded before.
    pub resumed: usize,
    /// Those of now that failed.
    pub failed: usize,
    /// How often the sandbox could not make a start of now, which was then made again.
    pub retried: usize,
    /// Whether it was stopped before it was done. What is missing is made up for by running it again.
    pub stopped: bool,
    /// What the machine did not let the sandbox do.
    pub refused: Vec<String>,
    /// The conditions that it could not produce, of which nothing was measured.
    pub left_out: Vec<LeftOut>,
}

/// The file whose lock a run holds.
pub const LOCK: &str = "run.lock";

/// Runs what is not there yet.
///
/// In each block every cell that has a program starts once. The order is drawn from the seed, the condition and the block, and from nothing else: it is
/// the same on every machine and after every interruption. The blocks of the conditions alternate, so that a machine that gets slower does so for all of
/// them alike. Before the first block of a condition comes a round that is not recorded.
pub fn run(
    plan: &Plan,
    built: &[BuildRecord],
    options: &Options,
    progress: &dyn Fn(Step<'_>),
) -> Result<Summary, Error> {
    // Until it is known whose the directory is, nothing in it is changed.
    let _alone = DirectoryLock::take(&options.out, LOCK)?;
    let record = options.out.join("run.json");
    Run::check(&record, plan)?;
    let programs = options.out.join("programs");
    fs::create_dir_all(&programs).map_err(writing(&programs))?;
    let subjects = measured_cell::of(plan, built, &programs)?;
    let samples = Samples::open(&options.out.join("samples.jsonl"))?;
    for measured_cell in &subjects {
        if samples.program(&measured_cell.cell).is_some_and(|program| program != measured_cell.program) {
            return Err(Error::OtherRun { path: options.out.clone(), what: "program" });
        }
    }
    let scratch = tempfile::tempdir().map_err(writing(&std::env::temp_dir()))?;
    let scenario = |condition| Scenario::prepare(condition, scratch.path(), &|what| progress(Step::Preparing(what)));
    let scenes = plan.conditions.iter().map(&scenario).collect::<Result<Vec<_>, _>>()?;
    let untimed = if options.deliveries { deliveries(plan) } else { Vec::new() };
    let untimed = untimed.iter().map(&scenario).collect::<Result<Vec<_>, _>>()?;
    let Producible { scenes, left_out, refused } = producible(scenes, &subjects, options.require)?;
    for reason in &refused {
        progress(Step::Refused(reason));
    }
    for LeftOut { condition, reason } in &left_out {
        progress(Step::LeftOut { condition, reason });
    }
    Run::here(plan, refused.clone(), left_out.clone(), &programs).write(&record)?;
    if let ([], Some(LeftOut { reason, .. })) = (scenes.as_slice(), left_out.first()) {
        return Err(Error::NothingProduced { reason: reason.clone() });
    }

    let blocks = options.blocks.unwrap_or(plan.blocks);
    let partition = options.partition.or(plan.partition).unwrap_or_default();
    let blocks = (0..blocks).filter(|block| partition.has(*block)).collect();
    let untimed = Untimed { scenes: untimed, block: partition.index };
    let mut round =
        Round { plan, options, subjects, scenes, untimed, blocks, samples, refused: refused.clone(), progress };
    let mut summary = Summary {
        samples: round.samples.path().to_owned(),
        started: 0,
        resumed: round.resumed(),
        failed: 0,
        retried: 0,
        stopped: false,
        refused,
        left_out,
    };
    round.go(&mut summary)?;
    Ok(summary)
}

/// The starts that show what is delivered.
struct Untimed {
    scenes: Vec<Scenario>,
    /// Their block: of several machines each has its own.
    block: u32,
}

/// A run at work.
struct Round<'a> {
    plan: &'a Plan,
    options: &'a Options,
    subjects: Vec<MeasuredCell>,
    scenes: Vec<Scenario>,
    untimed: Untimed,
    blocks: Vec<u32>,
    samples: Samples,
    /// What the machine does not let the sandbox do.
    refused: Vec<String>,
    progress: &'a dyn Fn(Step<'_>),
}

impl Round<'_> {
    fn go(&mut self, summary: &mut Summary) -> Result<(), Error> {
        let untimed = self.missing_deliveries();
        let timed = self.subjects.len() * self.scenes.len() * self.blocks.len() - self.resumed();
        if timed + untimed == 0 {
            return Ok(());
        }
        (self.progress)(Step::WarmUp { starts: timed + untimed });
        self.deliver(summary)?;
        for scenario in
            self.scenes.iter().filter(|scenario| self.blocks.iter().any(|block| self.lacks(scenario, *block)))
        {
            for measured_cell in &self.subjects {
                if self.stopped(summary) {
                    return Ok(());
                }
                // What goes wrong here goes wrong again when it is recorded.
                let _ = start(measured_cell, scenario, &self.refused);
            }
        }
        for block in self.blocks.clone() {
            for scenario in 0..self.scenes.len() {
                self.block(scenario, block, summary)?;
            }
        }
        Ok(())
    }

    fn block(&mut self, scenario: usize, block: u32, summary: &mut Summary) -> Result<(), Error> {
        let Some(scenario) = self.scenes.get(scenario) else { return Ok(()) };
        for (position, measured_cell) in order(self.plan.seed, scenario, block, &self.subjects).into_iter().enumerate()
        {
            if self.samples.has(&measured_cell.cell, &scenario.condition, block) {
                continue;
            }
            if self.stopped(summary) {
                return Ok(());
            }
            let scheduled = ScheduledStart { block, position: u32::try_from(position).unwrap_or(u32::MAX) };
            let attempts = attempts(|| start(measured_cell, scenario, &self.refused));
            record(&mut self.samples, self.progress, &Start { measured_cell, scenario, scheduled, attempts }, summary)?;
        }
        Ok(())
    }

    /// The starts that show what is delivered. Nothing is timed, so that those of a cell under all faults go on at the same time, if each has a network of
    /// its own.
    fn deliver(&mut self, summary: &mut Summary) -> Result<(), Error> {
        let block = self.untimed.block;
        let together = !self.refused.iter().any(|reason| reason.starts_with(SHARED_NETWORK));
        for (position, measured_cell) in (0..).zip(&self.subjects).filter(|(_, measured_cell)| measured_cell.held) {
            let is_missing = |scenario: &&Scenario| !self.samples.has(&measured_cell.cell, &scenario.condition, block);
            let missing: Vec<&Scenario> = self.untimed.scenes.iter().filter(is_missing).collect();
            for scenes in missing.chunks(if together { missing.len().max(1) } else { 1 }) {
                if self.stopped(summary) {
                    return Ok(());
                }
                let refused = self.refused.as_slice();
                let attempts = thread::scope(|scope| {
                    let spawn = |scenario| scope.spawn(move || attempts(|| start(measured_cell, scenario, refused)));
                    let started: Vec<_> = scenes.iter().map(|scenario| spawn(*scenario)).collect();
                    started.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
                });
                for (scenario, attempts) in scenes.iter().zip(attempts) {
                    let attempts = attempts.unwrap_or_else(|_| vec![Taken::panicked()]);
                    let scheduled = ScheduledStart { block, position };
                    record(
                        &mut self.samples,
                        self.progress,
                        &Start { measured_cell, scenario, scheduled, attempts },
                        summary,
                    )?;
                }
            }
        }
        Ok(())
    }

    /// How many of them are not there yet.
    fn missing_deliveries(&self) -> usize {
        let held = self.subjects.iter().filter(|measured_cell| measured_cell.held);
        let missing = |measured_cell: &MeasuredCell| {
            let has =
                |scenario: &&Scenario| !self.samples.has(&measured_cell.cell, &scenario.condition, self.untimed.block);
            self.untimed.scenes.iter().filter(has).count()
        };
        held.map(missing).sum()
    }

    fn stopped(&self, summary: &mut Summary) -> bool {
        summary.stopped |= self.options.stop.load(Ordering::SeqCst);
        summary.stopped
    }

    fn lacks(&self, scenario: &Scenario, block: u32) -> bool {
        self.subjects.iter().any(|measured_cell| !self.samples.has(&measured_cell.cell, &scenario.condition, block))
    }

    fn resumed(&self) -> usize {
        let has = |scenario: &Scenario, block: u32| {
            self.subjects
                .iter()
                .filter(|measured_cell| self.samples.has(&measured_cell.cell, &scenario.condition, block))
                .count()
        };
        self.scenes.iter().map(|scenario| self.blocks.iter().map(|block| has(scenario, *block)).sum::<usize>()).sum()
    }
}

/// A start with all attempts at it.
struct Start<'a> {
    measured_cell: &'a MeasuredCell,
    scenario: &'a Scenario,
    scheduled: ScheduledStart,
    /// All but the last one are failures of the sandbox.
    attempts: Vec<Taken>,
}

/// When a start was due.
#[derive(Clone, Copy)]
struct ScheduledStart {
    block: u32,
    position: u32,
}

/// Makes a start, again if the sandbox cannot, and at most [`ATTEMPTS`] times.
fn attempts(make: impl Fn() -> Taken) -> Vec<Taken> {
    let mut attempts = vec![make()];
    while attempts.len() < ATTEMPTS && matches!(attempts.last(), Some(Taken { failure: Some(Failure::Harness(_)), .. }))
    {
        thread::sleep(PAUSE);
        attempts.push(make());
    }
    attempts
}

/// Writes a start down and tells it. One that the sandbox could not make ends the run: what hinders it hinders the next ones.
fn record(
    samples: &mut Samples,
    progress: &dyn Fn(Step<'_>),
    start: &Start<'_>,
    summary: &mut Summary,
) -> Result<(), Error> {
    let Start { measured_cell, scenario, scheduled: ScheduledStart { block, position }, attempts } = start;
    let Some((taken, before)) = attempts.split_last() else { return Ok(()) };
    for reason in before.iter().filter_map(|taken| taken.failure.as_ref()).map(Failure::reason) {
        progress(Step::Retried { cell: &measured_cell.cell, block: *block, reason });
        summary.retried += 1;
    }
    let at = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    let sample = Sample {
        schema: SCHEMA,
        cell: measured_cell.cell.clone(),
        program: measured_cell.program.clone(),
        condition: scenario.condition.clone(),
        block: *block,
        position: *position,
        at_ms: i64::try_from(at).unwrap_or(i64::MAX),
        measures: taken.measures.clone(),
        phases: taken.phases.clone(),
        digest: taken.digest.clone(),
        undelivered: taken.undelivered.clone(),
        failure: taken.failure.as_ref().map(|failure| failure.reason().to_owned()),
        harness: matches!(taken.failure, Some(Failure::Harness(_))),
    };
    samples.append(&sample).map_err(|error| Error::Unrecorded(Box::new(error)))?;
    if let Some(Failure::Harness(reason)) = &taken.failure {
        return Err(Error::Harness { cell: sample.cell, block: *block, reason: reason.clone() });
    }
    summary.started += 1;
    summary.failed += usize::from(sample.failure.is_some());
    progress(Step::Started { cell: &sample.cell, block: *block, failure: sample.failure.as_deref() });
    Ok(())
}

/// The conditions of the starts that show what is delivered: every fault, and none.
fn deliveries(plan: &Plan) -> Vec<Condition> {
    let trust_store = plan.conditions.first().map_or(TrustStore::Al2023, |condition| condition.trust_store);
    let under = |fault: &InjectedFault| Condition {
        trust_store,
        runtime: DELIVERY.to_owned(),
        fault: *fault,
        ..Condition::default()
    };
    InjectedFault::value_variants().iter().map(under).collect()
}

/// The cells of a block in the order of hashes that nobody can know beforehand: a shuffle that does not depend on any generator's version.
fn order<'a>(seed: u64, scenario: &Scenario, block: u32, subjects: &'a [MeasuredCell]) -> Vec<&'a MeasuredCell> {
    let condition = json!(scenario.condition);
    let mut order: Vec<_> = subjects.iter().collect();
    order.sort_by_cached_key(|measured_cell| {
        Sha256::digest(format!("{seed} {condition} {block} {}", measured_cell.cell)).to_vec()
    });
    order
}

/// What of a plan can be measured here.
struct Producible {
    scenes: Vec<Scenario>,
    left_out: Vec<LeftOut>,
    /// What the machine refuses under any of the conditions, each once.
    refused: Vec<String>,
}

/// Finds out which conditions this machine produces. With `require`, one that it does not produce is an error.
fn producible(all: Vec<Scenario>, subjects: &[MeasuredCell], require: bool) -> Result<Producible, Error> {
    let (mut scenes, mut left_out, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for scenario in all {
        let Refusals { sentences, missing } = scenario.refusals()?;
        refused.extend(sentences);
        let as_cold_as_wanted = scenario.condition.cache == Cache::Warm
            || subjects.iter().all(|measured_cell| matches!(measured_cell.forget(), Ok(0)));
        let not_cold = || format!("{NOT_COLD}: programs stay in memory; choose an --out on a disk");
        let missing = missing.or_else(|| (!as_cold_as_wanted).then(not_cold));
        match missing {
            Some(reason) if require => {
                return Err(Error::NotProduced { condition: circumstances::describe(&scenario.condition), reason });
            }
            Some(reason) => left_out.push(LeftOut { condition: scenario.condition, reason }),
            None => scenes.push(scenario),
        }
    }
    refused.sort();
    refused.dedup();
    Ok(Producible { scenes, left_out, refused })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_start_is_made_again_only_if_the_sandbox_could_not_make_it() {
        let attempted = |failures: Vec<Option<Failure>>| {
            let number = Cell::new(0);
            let make = || {
                let failure = failures.get(number.replace(number.get() + 1)).cloned().flatten();
                Taken { failure, ..Taken::default() }
            };
            attempts(make).into_iter().map(|taken| taken.failure).collect::<Vec<_>>()
        };
        let harness = || Some(Failure::Harness("no space left on device".to_owned()));
        let program = || Some(Failure::Program("it crashed".to_owned()));
        assert_eq!(attempted(Vec::new()), [None]);
        assert_eq!(attempted(vec![program()]), [program()]);
        assert_eq!(attempted(vec![harness()]), [harness(), None]);
        assert_eq!(attempted(vec![harness(), program()]), [harness(), program()]);
        assert_eq!(attempted(vec![harness(); 9]), vec![harness(); ATTEMPTS]);
    }
}
