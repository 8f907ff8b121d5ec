//! The starts of a plan, in randomised complete blocks.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::lock::DirectoryLock;
use super::machine::{LeftOut, Run};
use super::produced::{NOT_COLD, Refusals};
use super::record::Samples;
use super::sample::Sample;
use super::scene::Scene;
use super::start::{Taken, start};
use super::subject::{self, Subject};
use super::{Error, writing};
use crate::build::Built;
use crate::plan::{Cache, Condition, Partition, Plan, SCHEMA, circumstances};

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
pub fn run(plan: &Plan, built: &[Built], options: &Options, progress: &dyn Fn(Step<'_>)) -> Result<Summary, Error> {
    // Until it is known whose the directory is, nothing in it is changed.
    let _alone = DirectoryLock::take(&options.out, LOCK)?;
    let record = options.out.join("run.json");
    Run::check(&record, plan)?;
    let programs = options.out.join("programs");
    fs::create_dir_all(&programs).map_err(writing(&programs))?;
    let subjects = subject::of(plan, built, &programs)?;
    let samples = Samples::open(&options.out.join("samples.jsonl"))?;
    for subject in &subjects {
        if samples.program(&subject.cell).is_some_and(|program| program != subject.program) {
            return Err(Error::OtherRun { path: options.out.clone(), what: "program" });
        }
    }
    let scratch = tempfile::tempdir().map_err(writing(&std::env::temp_dir()))?;
    let scene = |condition| Scene::prepare(condition, scratch.path(), &|what| progress(Step::Preparing(what)));
    let scenes = plan.conditions.iter().map(scene).collect::<Result<Vec<_>, _>>()?;
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
    let mut round = Round { plan, options, subjects, scenes, blocks, samples, progress };
    let mut summary = Summary {
        samples: round.samples.path().to_owned(),
        started: 0,
        resumed: round.resumed(),
        failed: 0,
        stopped: false,
        refused,
        left_out,
    };
    round.go(&mut summary)?;
    Ok(summary)
}

/// A run at work.
struct Round<'a> {
    plan: &'a Plan,
    options: &'a Options,
    subjects: Vec<Subject>,
    scenes: Vec<Scene>,
    blocks: Vec<u32>,
    samples: Samples,
    progress: &'a dyn Fn(Step<'_>),
}

impl Round<'_> {
    fn go(&mut self, summary: &mut Summary) -> Result<(), Error> {
        let starts = self.subjects.len() * self.scenes.len() * self.blocks.len() - summary.resumed;
        if starts == 0 {
            return Ok(());
        }
        (self.progress)(Step::WarmUp { starts });
        for scene in self.scenes.iter().filter(|scene| self.blocks.iter().any(|block| self.lacks(scene, *block))) {
            for subject in &self.subjects {
                if self.stopped(summary) {
                    return Ok(());
                }
                // What goes wrong here goes wrong again when it is recorded.
                let _ = start(subject, scene);
            }
        }
        for block in self.blocks.clone() {
            for scene in 0..self.scenes.len() {
                self.block(scene, block, summary)?;
            }
        }
        Ok(())
    }

    fn block(&mut self, scene: usize, block: u32, summary: &mut Summary) -> Result<(), Error> {
        let Some(scene) = self.scenes.get(scene) else { return Ok(()) };
        for (position, subject) in order(self.plan.seed, scene, block, &self.subjects).into_iter().enumerate() {
            if self.samples.has(&subject.cell, &scene.condition, block) {
                continue;
            }
            if self.stopped(summary) {
                return Ok(());
            }
            let at = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
            let Taken { measures, phases, digest, failure } = start(subject, scene);
            let sample = Sample {
                schema: SCHEMA,
                cell: subject.cell.clone(),
                program: subject.program.clone(),
                condition: scene.condition.clone(),
                block,
                position: u32::try_from(position).unwrap_or(u32::MAX),
                at_ms: i64::try_from(at).unwrap_or(i64::MAX),
                measures,
                phases,
                digest,
                failure,
            };
            self.samples.append(&sample)?;
            summary.started += 1;
            summary.failed += usize::from(sample.failure.is_some());
            (self.progress)(Step::Started { cell: &sample.cell, block, failure: sample.failure.as_deref() });
        }
        Ok(())
    }

    fn stopped(&self, summary: &mut Summary) -> bool {
        summary.stopped |= self.options.stop.load(Ordering::SeqCst);
        summary.stopped
    }

    fn lacks(&self, scene: &Scene, block: u32) -> bool {
        self.subjects.iter().any(|subject| !self.samples.has(&subject.cell, &scene.condition, block))
    }

    fn resumed(&self) -> usize {
        let has = |scene: &Scene, block: u32| {
            self.subjects.iter().filter(|subject| self.samples.has(&subject.cell, &scene.condition, block)).count()
        };
        self.scenes.iter().map(|scene| self.blocks.iter().map(|block| has(scene, *block)).sum::<usize>()).sum()
    }
}

/// The cells of a block in the order of hashes that nobody can know beforehand: a shuffle that does not depend on any generator's version.
fn order<'a>(seed: u64, scene: &Scene, block: u32, subjects: &'a [Subject]) -> Vec<&'a Subject> {
    let condition = json!(scene.condition);
    let mut order: Vec<_> = subjects.iter().collect();
    order.sort_by_cached_key(|subject| Sha256::digest(format!("{seed} {condition} {block} {}", subject.cell)).to_vec());
    order
}

/// What of a plan can be measured here.
struct Producible {
    scenes: Vec<Scene>,
    left_out: Vec<LeftOut>,
    /// What the machine refuses under any of the conditions, each once.
    refused: Vec<String>,
}

/// Finds out which conditions this machine produces. With `require`, one that it does not produce is an error.
fn producible(all: Vec<Scene>, subjects: &[Subject], require: bool) -> Result<Producible, Error> {
    let (mut scenes, mut left_out, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for scene in all {
        let Refusals { sentences, missing } = scene.refusals()?;
        refused.extend(sentences);
        let as_cold_as_wanted =
            scene.condition.cache == Cache::Warm || subjects.iter().all(|subject| matches!(subject.forget(), Ok(0)));
        let not_cold = || format!("{NOT_COLD}: programs stay in memory; choose an --out on a disk");
        let missing = missing.or_else(|| (!as_cold_as_wanted).then(not_cold));
        match missing {
            Some(reason) if require => {
                return Err(Error::NotProduced { condition: circumstances::describe(&scene.condition), reason });
            }
            Some(reason) => left_out.push(LeftOut { condition: scene.condition, reason }),
            None => scenes.push(scene),
        }
    }
    refused.sort();
    refused.dedup();
    Ok(Producible { scenes, left_out, refused })
}
