//! `cargo matrix analyze`: reads files, writes the analysis and prints a summary.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::analyze::analysis_summary::AnalysisSummary;
use crate::analyze::{self, Analysis, DeliveryOutcome, Error, RunFiles};
use crate::plan::circumstances::describe;
use crate::{files, terminal};

const AFTER: &str = "\
Examples:
  cargo matrix analyze plan.json samples.jsonl
  cargo matrix analyze plan.json shard-1.jsonl shard-2.jsonl --out analysis.json

Every cell is compared with the plan's first one, block by block. Intervals have 95 % coverage; where there is no difference,
a verdict other than \"no detectable change\" comes up for any of a condition's cells in 5 % of runs.

What arrived is judged first, start by start: everything that the function printed and sent and that the platform reported has to be there, and it has to be
what the plan's first cell delivers. That needs no times, so one block is enough. One failed start in 50 of a cell under a condition is tolerated and reported.

The last line of a file may be unfinished, as an interrupted run leaves it: it is left out and reported. Any other line that cannot be read is refused.

Exit status, the first that fits:
  4  payload-mismatch: a cell does not deliver everything, or not what the first one delivers
  8  did-not-start: a cell never started, or not in all its starts
  7  harness-failure: the sandbox could not start a program
  0  the analysis was written; in the cases above it was, too
  2  the command line is wrong, or a file is not what it should be
  6  a file cannot be read or written";

/// Estimate effects from the samples of a run
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// The plan that was run
    pub plan: PathBuf,

    /// Files with the samples of the run; any number of them
    #[arg(required = true)]
    pub samples: Vec<PathBuf>,

    /// The build records of the cells [default: `builds.jsonl` beside the plan, if it exists]
    #[arg(long, value_name = "PATH")]
    pub builds: Option<PathBuf>,

    /// The file that the analysis is written to
    #[arg(long, value_name = "PATH", default_value = "analysis.json")]
    pub out: PathBuf,

    /// Write the analysis to standard output as JSON, instead of the summary
    #[arg(long)]
    pub json: bool,
}

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    match try_run(arguments) {
        Ok(analysis) => verdict(&analysis),
        Err(error) => {
            terminal::exit_with_error(&error, if error.is_usage() { terminal::USAGE } else { terminal::SETUP_FAILED })
        }
    }
}

/// The exit status for scripts: success only if every cell delivers, independent of its times.
fn verdict(analysis: &Analysis) -> ExitCode {
    let failing = || analysis.deliveries.iter().filter(|delivery| delivery.outcome.is_failure());
    for delivery in failing() {
        eprintln!("error: {} ({})", delivery.sentence(), describe(&delivery.condition));
    }
    match failing().map(|delivery| delivery.outcome).max() {
        Some(DeliveryOutcome::PayloadMismatch) => terminal::PAYLOAD_MISMATCH.into(),
        Some(DeliveryOutcome::DidNotStart) => terminal::DID_NOT_START.into(),
        Some(DeliveryOutcome::HarnessFailure) => terminal::HARNESS_FAILED.into(),
        Some(DeliveryOutcome::Delivered | DeliveryOutcome::NotCompared) | None => ExitCode::SUCCESS,
    }
}

fn try_run(arguments: &Arguments) -> Result<Analysis, Error> {
    let builds = arguments.builds.as_deref();
    let run = RunFiles { plan: &arguments.plan, samples: &arguments.samples, builds };
    let out = &arguments.out;
    files::keep_inputs("--out", [out], run.inputs())?;
    let analysis = analyze::of_files(&run)?;
    let document = serde_json::to_string_pretty(&analysis)?;
    files::write(out, document.clone() + "\n").map_err(|source| Error::Write { path: out.clone(), source })?;
    let shown = if arguments.json { document } else { AnalysisSummary(&analysis).to_string() };
    terminal::print(&format!("{}\n", shown.trim_end()));
    Ok(analysis)
}
