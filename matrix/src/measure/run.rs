//! Runs the starts of a plan in randomised complete blocks.

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
use super::machine::{Run, SkippedCondition};
use super::measured_cell::{self, MeasuredCell};
use super::produced::{NOT_COLD, Refusals, SHARED_NETWORK};
use super::record::Samples;
use super::sample::Sample;
use super::scenario::Scenario;
use super::start::{Failure, StartResult, start};
use super::{Error, writing};
use crate::build::BuildRecord;
use crate::plan::{Cache, Condition, DELIVERY, InjectedFault, Plan, SCHEMA, ShardIndex, TrustStore, circumstances};

/// Maximum number of attempts at a start that the sandbox cannot make.
const ATTEMPTS: usize = 3;
/// The pause before another attempt.
const PAUSE: Duration = Duration::from_millis(200);

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory for `samples.jsonl`, `run.json` and the copies of the programs. It has to be on a disk: files in memory are never cold.
    pub out: PathBuf,
    /// The number of blocks for each condition, in place of the plan's.
    pub blocks: Option<u32>,
    /// The blocks that this machine runs.
    pub shard: Option<ShardIndex>,
    /// Whether the run fails if this machine cannot produce one of the conditions.
    pub require: bool,
    /// Stops the run after the present start once it is true.
    pub stop: Arc<AtomicBool>,
    /// The folder with the WAF worker, its library and its rules, for conditions with App & API Protection.
    pub waf: Option<PathBuf>,
    /// Whether every held cell is also started, untimed, with a function that gives it every kind of payload to deliver, with and without faults.
    pub deliveries: bool,
}

/// Progress of a run.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    /// A slow preparation before the first start.
    Preparing(&'a str),
    /// The machine refuses the sandbox something.
    Refused(&'a str),
    /// A condition is left out, because the machine cannot produce it.
    LeftOut { condition: &'a Condition, reason: &'a str },
    /// A round of starts begins that is not recorded; `starts` recorded ones follow.
    WarmUp { starts: usize },
    /// The sandbox could not make a start; it is retried.
    Retried { cell: &'a str, block: u32, reason: &'a str },
    /// A start is over and recorded.
    Started { cell: &'a str, block: u32, failure: Option<&'a str> },
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The path of the samples.
    pub samples: PathBuf,
    /// Starts recorded by this run.
    pub started: usize,
    /// Starts recorded before this run.
    pub resumed: usize,
    /// Starts of this run that failed.
    pub failed: usize,
    /// Number of retries of starts that the sandbox could not make.
    pub retried: usize,
    /// Whether the run was stopped early. Running it again makes the missing starts.
    pub stopped: bool,
    /// Refusals of the machine, one sentence each.
    pub refused: Vec<String>,
    /// The conditions that were not measured, because the machine could not produce them.
    pub left_out: Vec<SkippedCondition>,
}

/// The name of the lock file of a run.
pub const LOCK: &str = "run.lock";

/// Runs the starts that are not recorded yet.
///
/// In each block every cell that has a program is started once. The order depends on the seed, the condition and the block alone, so it is the same on every
/// machine and after every interruption. The blocks of the conditions alternate, so that drift of the machine affects all conditions alike. Before the first
/// block, each condition gets one round of starts that is not recorded.
pub fn run(
    plan: &Plan,
    built: &[BuildRecord],
    options: &Options,
    progress: &dyn Fn(Step<'_>),
) -> Result<Summary, Error> {
    // Nothing in the directory changes before it is known to belong to this plan.
    let _alone = DirectoryLock::take(&options.out, LOCK)?;
    let record = options.out.join("run.json");
    Run::check(&record, plan)?;
    let programs = options.out.join("programs");
    fs::create_dir_all(&programs).map_err(writing(&programs))?;
    let waf = options.waf.as_deref().filter(|folder| folder.is_dir());
    if plan.has_waf() && waf.is_none() {
        return Err(Error::NoWaf);
    }
    let cells = measured_cell::of(plan, built, &programs, waf)?;
    let samples = Samples::open(&options.out.join("samples.jsonl"))?;
    for measured_cell in &cells {
        if samples.program(&measured_cell.cell).is_some_and(|program| program != measured_cell.program) {
            return Err(Error::OtherRun { path: options.out.clone(), what: "program" });
        }
    }
    let scratch = tempfile::tempdir().map_err(writing(&std::env::temp_dir()))?;
    let scenario = |condition| Scenario::prepare(condition, scratch.path(), &|what| progress(Step::Preparing(what)));
    let scenarios = plan.conditions.iter().map(&scenario).collect::<Result<Vec<_>, _>>()?;
    let untimed = if options.deliveries { deliveries(plan) } else { Vec::new() };
    let untimed = untimed.iter().map(&scenario).collect::<Result<Vec<_>, _>>()?;
    let AvailableScenarios { scenarios, left_out, refused } = available_scenarios(scenarios, &cells, options.require)?;
    for reason in &refused {
        progress(Step::Refused(reason));
    }
    for SkippedCondition { condition, reason } in &left_out {
        progress(Step::LeftOut { condition, reason });
    }
    Run::here(plan, refused.clone(), left_out.clone(), &programs).write(&record)?;
    if let ([], Some(SkippedCondition { reason, .. })) = (scenarios.as_slice(), left_out.first()) {
        return Err(Error::NothingProduced { reason: reason.clone() });
    }

    let blocks = options.blocks.unwrap_or(plan.blocks);
    let shard = options.shard.or(plan.shard).unwrap_or_default();
    let blocks = (0..blocks).filter(|block| shard.has(*block)).collect();
    let delivery_starts = DeliveryStarts { scenarios: untimed, block: shard.index };
    let mut round =
        Round { plan, options, cells, scenarios, delivery_starts, blocks, samples, refused: refused.clone(), progress };
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

/// The untimed starts, which check deliveries.
struct DeliveryStarts {
    scenarios: Vec<Scenario>,
    /// The block number of these starts; each machine of a run has its own.
    block: u32,
}

/// A run in progress.
struct Round<'a> {
    plan: &'a Plan,
    options: &'a Options,
    cells: Vec<MeasuredCell>,
    scenarios: Vec<Scenario>,
    delivery_starts: DeliveryStarts,
    blocks: Vec<u32>,
    samples: Samples,
    /// Refusals of the machine, one sentence each.
    refused: Vec<String>,
    progress: &'a dyn Fn(Step<'_>),
}

impl Round<'_> {
    fn go(&mut self, summary: &mut Summary) -> Result<(), Error> {
        let untimed = self.missing_deliveries();
        let timed = self.cells.len() * self.scenarios.len() * self.blocks.len() - self.resumed();
        if timed + untimed == 0 {
            return Ok(());
        }
        (self.progress)(Step::WarmUp { starts: timed + untimed });
        self.deliver(summary)?;
        for scenario in
            self.scenarios.iter().filter(|scenario| self.blocks.iter().any(|block| self.lacks(scenario, *block)))
        {
            for measured_cell in &self.cells {
                if self.stopped(summary) {
                    return Ok(());
                }
                // A failure here will recur in a start that is recorded.
                let _ = start(measured_cell, scenario, &self.refused);
            }
        }
        for block in self.blocks.clone() {
            for scenario in 0..self.scenarios.len() {
                self.block(scenario, block, summary)?;
            }
        }
        Ok(())
    }

    fn block(&mut self, scenario: usize, block: u32, summary: &mut Summary) -> Result<(), Error> {
        let Some(scenario) = self.scenarios.get(scenario) else { return Ok(()) };
        for (position, measured_cell) in order(self.plan.seed, scenario, block, &self.cells).into_iter().enumerate() {
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

    /// Makes the untimed starts. The starts of a cell under all faults run concurrently if each sandbox has its own network.
    fn deliver(&mut self, summary: &mut Summary) -> Result<(), Error> {
        let block = self.delivery_starts.block;
        let together = !self.refused.iter().any(|reason| reason.starts_with(SHARED_NETWORK));
        for (position, measured_cell) in (0..).zip(&self.cells).filter(|(_, measured_cell)| measured_cell.held) {
            let is_missing = |scenario: &&Scenario| !self.samples.has(&measured_cell.cell, &scenario.condition, block);
            let missing: Vec<&Scenario> = self.delivery_starts.scenarios.iter().filter(is_missing).collect();
            for scenarios in missing.chunks(if together { missing.len().max(1) } else { 1 }) {
                if self.stopped(summary) {
                    return Ok(());
                }
                let refused = self.refused.as_slice();
                let attempts = thread::scope(|scope| {
                    let spawn = |scenario| scope.spawn(move || attempts(|| start(measured_cell, scenario, refused)));
                    let started: Vec<_> = scenarios.iter().map(|scenario| spawn(*scenario)).collect();
                    started.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
                });
                for (scenario, attempts) in scenarios.iter().zip(attempts) {
                    let attempts = attempts.unwrap_or_else(|_| vec![StartResult::panicked()]);
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

    /// The number of untimed starts that are not recorded yet.
    fn missing_deliveries(&self) -> usize {
        let held = self.cells.iter().filter(|measured_cell| measured_cell.held);
        let missing = |measured_cell: &MeasuredCell| {
            let has = |scenario: &&Scenario| {
                !self.samples.has(&measured_cell.cell, &scenario.condition, self.delivery_starts.block)
            };
            self.delivery_starts.scenarios.iter().filter(has).count()
        };
        held.map(missing).sum()
    }

    fn stopped(&self, summary: &mut Summary) -> bool {
        summary.stopped |= self.options.stop.load(Ordering::SeqCst);
        summary.stopped
    }

    fn lacks(&self, scenario: &Scenario, block: u32) -> bool {
        self.cells.iter().any(|measured_cell| !self.samples.has(&measured_cell.cell, &scenario.condition, block))
    }

    fn resumed(&self) -> usize {
        let has = |scenario: &Scenario, block: u32| {
            self.cells
                .iter()
                .filter(|measured_cell| self.samples.has(&measured_cell.cell, &scenario.condition, block))
                .count()
        };
        self.scenarios.iter().map(|scenario| self.blocks.iter().map(|block| has(scenario, *block)).sum::<usize>()).sum()
    }
}

/// A start with all of its attempts.
struct Start<'a> {
    measured_cell: &'a MeasuredCell,
    scenario: &'a Scenario,
    scheduled: ScheduledStart,
    /// All but the last one are failures of the sandbox.
    attempts: Vec<StartResult>,
}

/// The position of a start in the schedule.
#[derive(Clone, Copy)]
struct ScheduledStart {
    block: u32,
    position: u32,
}

/// Makes a start, and repeats it up to [`ATTEMPTS`] times while the sandbox fails.
fn attempts(make: impl Fn() -> StartResult) -> Vec<StartResult> {
    let mut attempts = vec![make()];
    while attempts.len() < ATTEMPTS
        && matches!(attempts.last(), Some(StartResult { failure: Some(Failure::Harness(_)), .. }))
    {
        thread::sleep(PAUSE);
        attempts.push(make());
    }
    attempts
}

/// Records a start and reports it. A start that the sandbox could not make ends the run, because the cause will affect the next ones.
fn record(
    samples: &mut Samples,
    progress: &dyn Fn(Step<'_>),
    start: &Start<'_>,
    summary: &mut Summary,
) -> Result<(), Error> {
    let Start { measured_cell, scenario, scheduled: ScheduledStart { block, position }, attempts } = start;
    let Some((result, before)) = attempts.split_last() else { return Ok(()) };
    for reason in before.iter().filter_map(|result| result.failure.as_ref()).map(Failure::reason) {
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
        measures: result.measures.clone(),
        phases: result.phases.clone(),
        digest: result.digest.clone(),
        undelivered: result.undelivered.clone(),
        failure: result.failure.as_ref().map(|failure| failure.reason().to_owned()),
        harness: matches!(result.failure, Some(Failure::Harness(_))),
    };
    samples.append(&sample).map_err(|error| Error::Unrecorded(Box::new(error)))?;
    if let Some(Failure::Harness(reason)) = &result.failure {
        return Err(Error::Harness { cell: sample.cell, block: *block, reason: reason.clone() });
    }
    summary.started += 1;
    summary.failed += usize::from(sample.failure.is_some());
    progress(Step::Started { cell: &sample.cell, block: *block, failure: sample.failure.as_deref() });
    Ok(())
}

/// The conditions of the untimed starts: every fault, and none.
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

/// The cells of a block in pseudo-random order: sorted by a hash, so that the shuffle does not depend on the version of a generator.
fn order<'a>(seed: u64, scenario: &Scenario, block: u32, cells: &'a [MeasuredCell]) -> Vec<&'a MeasuredCell> {
    let condition = json!(scenario.condition);
    let mut order: Vec<_> = cells.iter().collect();
    order.sort_by_cached_key(|measured_cell| {
        Sha256::digest(format!("{seed} {condition} {block} {}", measured_cell.cell)).to_vec()
    });
    order
}

/// The conditions of a plan that this machine produces.
struct AvailableScenarios {
    scenarios: Vec<Scenario>,
    left_out: Vec<SkippedCondition>,
    /// Refusals of the machine under any of the conditions, without duplicates.
    refused: Vec<String>,
}

/// Determines the conditions that this machine produces. With `require`, a condition that it does not produce is an error.
fn available_scenarios(all: Vec<Scenario>, cells: &[MeasuredCell], require: bool) -> Result<AvailableScenarios, Error> {
    let (mut scenarios, mut left_out, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for scenario in all {
        let Refusals { sentences, missing } = scenario.refusals()?;
        refused.extend(sentences);
        let as_cold_as_wanted = scenario.condition.cache == Cache::Warm
            || cells.iter().all(|measured_cell| matches!(measured_cell.forget(), Ok(0)));
        let not_cold = || format!("{NOT_COLD}: programs stay in memory; choose an --out on a disk");
        let missing = missing.or_else(|| (!as_cold_as_wanted).then(not_cold));
        match missing {
            Some(reason) if require => {
                return Err(Error::NotProduced { condition: circumstances::describe(&scenario.condition), reason });
            }
            Some(reason) => left_out.push(SkippedCondition { condition: scenario.condition, reason }),
            None => scenarios.push(scenario),
        }
    }
    refused.sort();
    refused.dedup();
    Ok(AvailableScenarios { scenarios, left_out, refused })
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
                StartResult { failure, ..StartResult::default() }
            };
            attempts(make).into_iter().map(|result| result.failure).collect::<Vec<_>>()
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
