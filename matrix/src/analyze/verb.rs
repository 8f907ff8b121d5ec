//! `cargo matrix analyze`: reads files, writes the analysis and prints a summary.

use std::path::PathBuf;
use std::process::ExitCode;

use super::analysis_summary::AnalysisSummary;
use super::{Analysis, Arguments, Delivery, DeliveryOutcome, Error, RESAMPLES, analyze, checked, delivery, read};
use crate::build::{BuildRecord, latest};
use crate::files;
use crate::measure::sample::Sample;
use crate::plan::Condition;
use crate::plan::circumstances::describe;
use crate::terminal;

/// Runs the verb and returns its exit status.
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
    let analysis = analysis(arguments)?;
    let document = serde_json::to_string_pretty(&analysis)?;
    let out = &arguments.out;
    files::write(out, document.clone() + "\n").map_err(|source| Error::Write { path: out.clone(), source })?;
    let shown = if arguments.json { document } else { AnalysisSummary(&analysis).to_string() };
    terminal::print(&format!("{}\n", shown.trim_end()));
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
    checked::samples(&plan, &samples)?;
    let builds = latest(builds.values);
    let mut analysis = analyze(&plan, &builds, &samples, RESAMPLES);
    analysis.notes.splice(0..0, torn);
    let run = read::run_beside(std::iter::once(&arguments.plan).chain(&arguments.samples))?;
    let not_produced = |condition: &Condition| run.as_ref().and_then(|run| run.not_produced(condition));
    analysis.invalidate(not_produced);
    let measured = |condition: &&Condition| {
        not_produced(condition).is_some() || analysis.deliveries.iter().any(|found| found.condition == **condition)
    };
    let unmeasured: Vec<&Condition> = plan.conditions.iter().filter(|condition| !measured(condition)).collect();
    let never = unmeasured.into_iter().flat_map(|condition| delivery::never_started(&plan, &builds, condition));
    let never: Vec<Delivery> = never.collect();
    analysis.deliveries.extend(never);
    Ok(analysis)
}

fn builds(arguments: &Arguments) -> Result<read::Lines<BuildRecord>, Error> {
    let beside: PathBuf = arguments.plan.with_file_name("builds.jsonl");
    match &arguments.builds {
        Some(path) => read::lines(path),
        None if beside.exists() => read::lines(&beside),
        None => Ok(read::Lines { values: Vec::new(), torn: Vec::new() }),
    }
}
