//! Judges a candidate's growth against budgets, to decide whether a change may be merged.
//!
//! ```text
//!   analysis.json ┐
//!   budgets.toml  ├─▶ budget checks ──▶ judge ──▶ decision ──▶ text, markdown, JSON, JUnit, annotations, exit status
//!   baseline.json ┘   growth of a    one      the worst
//!                     cell's gate    outcome  of them
//! ```
//!
//! Within a run, a candidate is compared with another cell in milliseconds, by paired differences. Milliseconds cannot be compared between runs and machines.
//! There the gate compares ratios to the floor, which is measured in both runs.

mod annotations;
mod baseline;
mod budget;
mod budget_checks;
mod checks;
mod decision;
mod error;
mod format;
mod judge;
mod junit;
mod machines;
mod markdown;
pub mod outcome;
mod text;

use std::io;
use std::path::Path;

pub use baseline::Baseline;
pub use budget::Budgets;
pub use budget_checks::ComparedCells;
pub use decision::{Decision, Finding, Judgement};
pub use error::Error;
pub use format::Format;
pub use junit::write as junit;
pub use outcome::Outcome;

use self::budget_checks::{BudgetCheck, Reference};
use crate::plan::circumstances::describe;
use crate::plan::{Cache, Condition, DELIVERY, Regime};
use crate::report::Experiment;

/// Why a run is incomplete: a condition has fewer blocks than planned.
pub fn incomplete(experiment: &Experiment) -> Option<String> {
    let planned = experiment.plan.blocks_here().count();
    let conditions = experiment.analysis.conditions.iter().filter(|found| found.invalid.is_none());
    conditions.into_iter().find_map(|found| {
        let started = experiment.analysis.deliveries.iter().filter(|delivery| delivery.condition == found.condition);
        let started = started.map(|delivery| delivery.starts + delivery.failed).max().unwrap_or_default();
        (started < planned).then(|| format!("{started} of {planned} blocks under {}", describe(&found.condition)))
    })
}

/// Decides about the candidates. Without a reference and a baseline there are no judgements. Returns an error if the run cannot be compared with the baseline.
pub fn decide(
    experiment: &Experiment,
    sides: &ComparedCells,
    budgets: &Budgets,
    baseline: Option<&Baseline>,
) -> Result<Decision, Error> {
    if baseline.is_some() {
        baseline::comparable(experiment)?;
    }
    let checks = checks::all(experiment, sides, budgets, baseline)?;
    let budget_checks = budget_checks::all(experiment, sides, budgets, baseline, &checks)?;
    let mut decision = Decision::of(experiment, budget_checks.iter().map(judge::judge).collect(), checks);
    if let Some(baseline) = baseline {
        tell_machines(baseline, experiment, &budget_checks, &mut decision);
    }
    decision.notes.extend(unwatched(experiment));
    Ok(decision)
}

/// Notes about checks that were not made, though a reader would expect them.
fn unwatched(experiment: &Experiment) -> Vec<String> {
    let mut notes = Vec::new();
    if !experiment.analysis.deliveries.iter().any(|delivery| delivery.condition.runtime == DELIVERY) {
        notes.push(
            "No start was made beside a function that prints and sends: what is lost of such a function's data is not known."
                .to_owned(),
        );
    }
    let needs_privileges =
        |condition: &&Condition| condition.regime == Regime::Throttled || condition.cache == Cache::Cold;
    if experiment.run.is_none() {
        notes.extend(experiment.plan.conditions.iter().filter(needs_privileges).map(|condition| {
            let condition = describe(condition);
            format!("run.json is not beside the analysis, so whether the machine has produced {condition} is as `analyze` has found it.")
        }));
    }
    notes
}

/// Adds notes on how this machine differs from the baseline's. A run to which no ratio of the baseline applies has not passed.
fn tell_machines(
    baseline: &Baseline,
    experiment: &Experiment,
    budget_checks: &[BudgetCheck<'_>],
    decision: &mut Decision,
) {
    let mut held = false;
    for found in &experiment.analysis.conditions {
        let here = baseline.other_machines(experiment.machine(), &found.condition);
        let is_held = budget_checks
            .iter()
            .any(|check| *check.condition == found.condition && check.reference == Reference::Baseline);
        held |= is_held;
        decision
            .notes
            .extend(here.into_iter().filter(|sentence| !decision.notes.contains(sentence)).collect::<Vec<_>>());
        if !is_held {
            let condition = describe(&found.condition);
            decision.notes.push(format!(
                "No ratio is held to the baseline under {condition}: it has none of this kind of machine, and none that two kinds have stored alike. Store \
                 one here with --save-baseline, and name the files of all machines with --baseline."
            ));
        }
    }
    if !held && decision.outcome == Outcome::Pass {
        decision.outcome = Outcome::Inconclusive;
        "The baseline is from another machine, and nothing of it is known to hold on this one."
            .clone_into(&mut decision.sentence);
    }
}

/// Writes a decision in one format.
pub fn write(decision: &Decision, format: Format) -> Result<String, Error> {
    Ok(match format {
        Format::Text => text::write(decision),
        Format::Markdown => markdown::write(decision),
        Format::Json => serde_json::to_string_pretty(decision).map_err(Error::Json)? + "\n",
        Format::Github => annotations::write(decision),
    })
}

/// Adds the path to an error of writing.
pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Write { path, source }
}
