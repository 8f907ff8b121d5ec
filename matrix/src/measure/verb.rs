//! `cargo matrix bench`: makes the starts of a plan.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{ArgGroup, Args};
use indicatif::{ProgressBar, ProgressStyle};
use serde::de::DeserializeOwned;

use super::run::{Options, Step, Summary};
use super::{Error, not_produced_here, reading};
use crate::build::{BuildRecord, latest};
use crate::interrupt;
use crate::plan::circumstances::describe;
use crate::plan::{Condition, Partition, Plan, SCHEMA};
use crate::terminal;
use crate::workspace::target_directory;

const AFTER: &str = "\
Examples:
  cargo matrix bench
  cargo matrix bench --out target/matrix/leave-one-out --blocks 100
  cargo matrix bench --plan plan.json --builds builds.jsonl --out measured --shard 0/4
  cargo matrix bench --plan plan.json --dry-run

Without --plan, --builds or --out, the named sets are planned, built, measured, analyzed and reported, in target/matrix/bench, and started beside faults of
the intake, of telemetry and of the platform, to see that all of them still deliver the same; if one does not, the exit status is 4, and if one does not start, 8.

Before the timed blocks every cell is started beside a function that prints records of every kind and level, sends DogStatsD of every kind, fails once and
times out once, without faults and with each of them: what arrives of that is judged by `analyze`, like what arrives of every timed start.

Only root, or a user with CAP_SYS_ADMIN, can throttle a start to the share of its memory tier. Anybody can show it another trust store where the kernel
allows user namespaces. A condition that this machine cannot produce is left out, and `gate` refuses to judge it; with --require nothing is measured at all.
With --dry-run nothing is either, and every condition that this user cannot produce on this machine is named, for which one sandbox of each kind is started.

One run at a time works in a directory.

Every start is written to samples.jsonl as soon as it is over. Ctrl-C ends the run after the one that is under way; the same command goes on from
there. What several partitions have left is put together by `cargo matrix merge`.

A start that the sandbox cannot make (no space, no process, no control group, a file that stays in memory) is tried three times. If it cannot be made, the run ends
with status 7, and that is not counted against the program.

Exit status:
  0    everything is measured; starts that failed are recorded as such
  2    the command line or one of the files is wrong
  6    a file cannot be read or written, or the sandbox does not work here or does not produce the conditions
  7    the sandbox stopped working; the same command goes on from there
  130  interrupted";

/// Measure cold starts of every cell
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
#[command(group = ArgGroup::new("planned").args(["plan", "builds", "out"]).multiple(true))]
pub struct Arguments {
    /// The plan [default: plan.json in the output directory]
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,

    /// The build records of the plan's cells [default: builds.jsonl in the output directory]
    #[arg(long, value_name = "FILE")]
    pub builds: Option<PathBuf>,

    /// The directory for samples.jsonl and run.json
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Number of blocks for each condition [default: as planned]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub blocks: Option<u32>,

    /// Run every N-th block only, beginning with block M, counted from 0 [default: as planned]
    #[arg(long = "shard", value_name = "M/N", requires = "planned")]
    pub partition: Option<Partition>,

    /// Stop if this machine cannot produce one of the conditions, instead of leaving it out
    #[arg(long)]
    pub require: bool,

    /// Measures nothing, and says which conditions this user cannot produce on this machine
    #[arg(long, requires = "planned")]
    pub dry_run: bool,
}

impl Arguments {
    /// Whether the command line names a plan; without one, `bench` makes the default comparison.
    pub fn is_planned(&self) -> bool {
        self.plan.is_some() || self.builds.is_some() || self.out.is_some()
    }

    fn out(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| target_directory().join("matrix"))
    }

    /// What was given, or the file of this name in the output directory.
    fn in_out(&self, given: Option<&PathBuf>, name: &str) -> PathBuf {
        given.cloned().unwrap_or_else(|| self.out().join(name))
    }

    fn read_plan(&self) -> Result<Plan, Error> {
        let path = self.in_out(self.plan.as_ref(), "plan.json");
        let text = fs::read_to_string(&path).map_err(reading(&path))?;
        let plan: Plan = parse(&path, 1, &text)?;
        of_this_schema(&path, plan.schema)?;
        Ok(plan.located(folder_of(&path)))
    }
}

/// Runs the verb and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    let stop = interrupt::watch();
    if arguments.dry_run {
        return match dry_run(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => terminal::exit_with_error(&error, status(&error)),
        };
    }
    match bench(arguments, Arc::clone(&stop)) {
        Ok(summary) => {
            eprintln!("{}", told(&summary));
            if summary.stopped { terminal::INTERRUPTED.into() } else { ExitCode::SUCCESS }
        }
        // The signal reached the start in progress as well, so its failure means nothing.
        Err(_) if stop.load(Ordering::SeqCst) => terminal::INTERRUPTED.into(),
        Err(error) => terminal::exit_with_error(&error, status(&error)),
    }
}

fn status(error: &Error) -> u8 {
    match error {
        Error::Harness { .. } => terminal::HARNESS_FAILED,
        Error::Unrecorded(_)
        | Error::Sandbox(_)
        | Error::Python(_)
        | Error::NoCertificates(_)
        | Error::NotProduced { .. }
        | Error::NothingProduced { .. }
        | Error::Read { .. }
        | Error::Write { .. } => terminal::SETUP_FAILED,
        _ => terminal::USAGE,
    }
}

/// Says what this machine cannot produce; with `--require`, that is an error.
fn dry_run(arguments: &Arguments) -> Result<(), Error> {
    let kinds = arguments.read_plan()?.conditions.into_iter().map(|condition| {
        let Condition { memory_mb, regime, trust_store, .. } = condition;
        Condition { memory_mb, regime, trust_store, ..Condition::default() }
    });
    let mut refused = Vec::new();
    for kind in kinds.collect::<BTreeSet<Condition>>() {
        let reason = not_produced_here(&kind).unwrap_or_else(|error| Some(terminal::chain(&error).replace('\n', "")));
        refused.extend(reason.map(|reason| (describe(&kind), reason)));
    }
    for (condition, reason) in &refused {
        terminal::print(&format!("this user cannot measure on this machine: {condition}: {reason}\n"));
    }
    match refused.into_iter().next() {
        Some((condition, reason)) if arguments.require => Err(Error::NotProduced { condition, reason }),
        Some(_) => Ok(()),
        None => {
            terminal::print("this user can measure all conditions of the plan on this machine\n");
            Ok(())
        }
    }
}

fn bench(arguments: &Arguments, stop: Arc<AtomicBool>) -> Result<Summary, Error> {
    let plan = arguments.read_plan()?;
    let path = arguments.in_out(arguments.builds.as_ref(), "builds.jsonl");
    let text = fs::read_to_string(&path).map_err(reading(&path))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let built = lines.map(|(number, line)| parse(&path, number + 1, line)).collect::<Result<Vec<BuildRecord>, _>>()?;
    let built = latest(built);
    built.iter().try_for_each(|built| of_this_schema(&path, built.schema))?;
    let built: Vec<BuildRecord> = built.into_iter().map(|built| built.located(folder_of(&path))).collect();

    let Arguments { blocks, partition, require, .. } = *arguments;
    let options = Options { out: arguments.out(), blocks, partition, require, stop, deliveries: true };
    let shown = StartProgress::new();
    let summary = super::run(&plan, &built, &options, &|step| shown.step(&step));
    shown.bar.finish_and_clear();
    summary
}

/// The directory that the paths in a file are relative to.
fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn parse<T: DeserializeOwned>(path: &Path, line: usize, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|source| Error::Malformed { path: path.to_owned(), line, source })
}

fn of_this_schema(path: &Path, found: u32) -> Result<(), Error> {
    if found == SCHEMA { Ok(()) } else { Err(Error::Schema { path: path.to_owned(), found }) }
}

fn told(summary: &Summary) -> String {
    let Summary { started, resumed, failed, retried, .. } = summary;
    let mut told = format!("{started} starts measured");
    if *resumed > 0 {
        told += &format!(", {resumed} had been there");
    }
    if *failed > 0 {
        told += &format!(", {failed} of them failed");
    }
    if *retried > 0 {
        told += &format!(", {retried} attempts failed for the sandbox's own sake and were made again");
    }
    match summary.left_out.len() {
        0 => {}
        1 => told += ", 1 condition left out",
        conditions => told += &format!(", {conditions} conditions left out"),
    }
    if summary.stopped {
        told += "; stopped early, and the same command goes on from here";
    }
    format!("{told}: {}", summary.samples.display())
}

/// A progress bar on a terminal, lines elsewhere; always on standard error.
struct StartProgress {
    bar: ProgressBar,
}

impl StartProgress {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} starts, {eta} left  {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar }
    }

    fn step(&self, step: &Step<'_>) {
        match step {
            Step::Preparing(what) => self.say(what),
            Step::Refused(reason) => self.say(&format!("this machine refuses: {reason}")),
            Step::LeftOut { condition, reason } => {
                self.say(&format!("left out: {}, because this machine has {reason}", describe(condition)));
            }
            Step::WarmUp { starts } => {
                self.bar.set_length(*starts as u64);
                self.say(&format!("{starts} starts, after a round that is not recorded"));
                self.bar.reset_eta();
            }
            Step::Retried { cell, block, reason } => {
                self.say(&format!("the sandbox could not start {cell} in block {block} and tries again: {reason}"));
            }
            Step::Started { cell, block, failure } => {
                if let Some(failure) = failure {
                    self.say(&format!("{cell} failed in block {block}: {failure}"));
                }
                self.bar.set_message((*cell).to_owned());
                self.bar.inc(1);
                self.tenth();
            }
        }
    }

    /// Prints a line for each tenth of the starts if there is no bar.
    fn tenth(&self) {
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default().max(1));
        if self.bar.is_hidden() && done * 10 / all > (done - 1) * 10 / all {
            eprintln!("{done}/{all} starts");
        }
    }

    fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }
}
