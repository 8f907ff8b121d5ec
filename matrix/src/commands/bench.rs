//! `cargo matrix bench`: makes the starts of a plan.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::{ArgGroup, Args};

use crate::measure::{self, Error, Options, Summary, not_produced_here};
use crate::plan::circumstances::describe;
use crate::plan::{Condition, ShardIndex};
use crate::workspace::target_directory;
use crate::{interrupt, terminal};

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
--dry-run starts one sandbox of each kind and lists the conditions that this user cannot produce here.

A directory is locked by one run at a time.

Every start is written to samples.jsonl as soon as it is over. Ctrl-C ends the run after the present start; the same command resumes it.
`cargo matrix merge` merges the results of shards.

A start that the sandbox cannot make (no space, no process, no control group, a file that stays in memory) is tried three times. If it cannot be made, the run ends
with status 7, and that is not counted against the program.

Exit status:
  0    everything is measured; starts that failed are recorded as such
  2    the command line or one of the files is wrong
  3    without a plan: a set could not be built
  4    without a plan: a set does not deliver everything, or not what the first one delivers
  6    a file cannot be read or written, or the sandbox does not work here or does not produce the conditions
  7    the sandbox stopped working; the same command resumes the run
  8    without a plan: a set did not start
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

    /// Number of blocks for each condition [default: as planned; 40 without a plan]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub blocks: Option<u32>,

    /// Run every N-th block only, beginning with block M, counted from 0 [default: as planned]
    #[arg(long, value_name = "M/N", requires = "planned")]
    pub shard: Option<ShardIndex>,

    /// Stop if this machine cannot produce one of the conditions, instead of leaving it out
    #[arg(long)]
    pub require: bool,

    /// Measure nothing; list the conditions that this user cannot produce on this machine
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

    fn plan(&self) -> PathBuf {
        self.in_out(self.plan.as_ref(), "plan.json")
    }
}

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    let stop = interrupt::watch();
    if arguments.dry_run {
        return match dry_run(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => terminal::exit_with_error(&error, error.status()),
        };
    }
    let builds = arguments.in_out(arguments.builds.as_ref(), "builds.jsonl");
    let Arguments { blocks, shard, require, .. } = *arguments;
    let options =
        Options { out: arguments.out(), blocks, shard, require, stop: Arc::clone(&stop), waf: None, deliveries: true };
    match measure::run_files(&arguments.plan(), &builds, &options) {
        Ok(summary) => {
            eprintln!("{}", text(&summary));
            if summary.stopped { terminal::INTERRUPTED.into() } else { ExitCode::SUCCESS }
        }
        // The signal reached the start in progress as well, so its failure means nothing.
        Err(_) if stop.load(Ordering::SeqCst) => terminal::INTERRUPTED.into(),
        Err(error) => terminal::exit_with_error(&error, error.status()),
    }
}

/// Says what this machine cannot produce; with `--require`, that is an error.
fn dry_run(arguments: &Arguments) -> Result<(), Error> {
    let kinds = measure::read_plan(&arguments.plan())?.conditions.into_iter().map(|condition| {
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

fn text(summary: &Summary) -> String {
    let Summary { started, resumed, failed, retried, .. } = summary;
    let mut text = format!("{started} starts measured");
    if *resumed > 0 {
        text += &format!(", {resumed} had been there");
    }
    if *failed > 0 {
        text += &format!(", {failed} of them failed");
    }
    if *retried > 0 {
        text += &format!(", {retried} attempts failed for the sandbox's own sake and were made again");
    }
    match summary.left_out.len() {
        0 => {}
        1 => text += ", 1 condition left out",
        conditions => text += &format!(", {conditions} conditions left out"),
    }
    if summary.stopped {
        text += "; stopped early, and the same command goes on from here";
    }
    format!("{text}: {}", summary.samples.display())
}
