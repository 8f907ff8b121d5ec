//! `cargo matrix analyze`: files in, a file and a few lines out.

use std::path::PathBuf;
use std::process::ExitCode;

use super::account::Account;
use super::{Analysis, Arguments, DeliveryOutcome, Error, RESAMPLES, analyze, read};
use crate::build::{Built, latest};
use crate::cli;
use crate::files;
use crate::measure::sample::Sample;
use crate::plan::circumstances::describe;

/// Runs the verb and says how it went.
pub fn run(arguments: &Arguments) -> ExitCode {
    match try_run(arguments) {
        Ok(analysis) => verdict(&analysis),
        Err(error) => cli::complain(&error, if error.is_usage() { cli::USAGE } else { cli::SETUP_FAILED }),
    }
}

/// Whether every cell does its work is told to scripts as well, whatever it gains.
fn verdict(analysis: &Analysis) -> ExitCode {
    let failing = || analysis.deliveries.iter().filter(|delivery| delivery.outcome.is_failure());
    for delivery in failing() {
        eprintln!("error: {} ({})", delivery.sentence(), describe(&delivery.condition));
    }
    match failing().map(|delivery| delivery.outcome).max() {
        Some(DeliveryOutcome::PayloadMismatch) => cli::PAYLOAD_MISMATCH.into(),
        Some(DeliveryOutcome::DidNotStart) => cli::DID_NOT_START.into(),
        Some(DeliveryOutcome::HarnessFailure) => cli::HARNESS_FAILED.into(),
        Some(DeliveryOutcome::Delivered | DeliveryOutcome::NotCompared) | None => ExitCode::SUCCESS,
    }
}

fn try_run(arguments: &Arguments) -> Result<Analysis, Error> {
    let analysis = analysis(arguments)?;
    let document = serde_json::to_string_pretty(&analysis)?;
    let out = &arguments.out;
    files::write(out, document.clone() + "\n").map_err(|source| Error::Write { path: out.clone(), source })?;
    let shown = if arguments.json { document } else { Account(&analysis).to_string() };
    cli::print(&format!("{}\n", shown.trim_end()));
    Ok(analysis)
}

fn analysis(arguments: &Arguments) -> Result<Analysis, Error> {
    let plan = read::plan(&arguments.plan)?;
    let builds = builds(arguments)?;
    let mut samples: Vec<Sample> = Vec::new();
    let mut torn = builds.torn;
    for path in &arguments.samples {
        let lines = read::lines(path)?;
        samples.extend(lines.values);
        torn.extend(lines.torn);
    }
    if samples.is_empty() {
        return Err(Error::NoSamples(arguments.samples.clone()));
    }
    let mut analysis = analyze(&plan, &latest(builds.values), &samples, RESAMPLES);
    analysis.notes.splice(0..0, torn);
    Ok(analysis)
}

fn builds(arguments: &Arguments) -> Result<read::Lines<Built>, Error> {
    let beside: PathBuf = arguments.plan.with_file_name("builds.jsonl");
    match &arguments.builds {
        Some(path) => read::lines(path),
        None if beside.exists() => read::lines(&beside),
        None => Ok(read::Lines { values: Vec::new(), torn: Vec::new() }),
    }
}
