//! Plans an experiment, and writes the plan unless it is only shown.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use super::cost::{Estimate, compiled, earlier_builds, lines};
use super::{externals, text};
use crate::build::load;
use crate::files;
use crate::manifest::Manifest;
use crate::measure::sample::Sample;
use crate::plan::arguments::Format;
use crate::plan::{Arguments, DesignName, Error, InjectedFault, Plan, cells, file};
use crate::workspace::target_directory;

/// The summary of a plan for programs: the plan, notes, and its estimate.
#[derive(Debug, Serialize)]
pub struct PlanSummary {
    /// As it was written.
    pub plan: Plan,
    pub notes: Vec<String>,
    pub estimate: Estimate,
    /// Where the plan was written; nowhere in a dry run.
    pub written: Option<PathBuf>,
    /// The number of machines that it is for.
    #[serde(skip)]
    pub shards: u32,
    /// With the places of programs from elsewhere as they were named.
    #[serde(skip)]
    named: Plan,
}

impl PlanSummary {
    /// The summary for people.
    pub fn text(&self) -> Result<String, Error> {
        let manifest = Manifest::embedded().map_err(|_| Error::Manifest)?;
        Ok(text::render(manifest, &self.named, &self.notes, &self.estimate))
    }
}

/// Plans an experiment, and writes the plan unless these are the options of a dry run.
pub fn plan(arguments: &Arguments) -> Result<PlanSummary, Error> {
    if arguments.shards > 1 && matches!(arguments.format, Format::Text | Format::Json) {
        return Err(Error::Shards);
    }
    let manifest = Manifest::embedded().map_err(|_| Error::Manifest)?;
    let (plan, mut notes) = cells::plan(manifest, arguments)?;
    let experiments = target_directory().join("matrix");
    let samples: Vec<Sample> = match &arguments.history {
        None => Vec::new(),
        Some(path) => lines(&fs::read_to_string(path).map_err(|source| Error::Read { path: path.clone(), source })?),
    };
    let there = |group: &_| compiled(&experiments, group);
    let estimate = Estimate::of(manifest, &plan, &earlier_builds(&experiments), there, &samples);
    let estimate = estimate.slowed(load::slowdown());
    notes.extend(undecided(arguments, &plan, &estimate));
    let shards = arguments.shards.min(plan.blocks);
    if shards < arguments.shards {
        let requested = arguments.shards;
        notes.push(format!(
            "--shards {requested} is cut to {shards}: a machine runs whole blocks, and there are no more of them"
        ));
    }
    let folder = arguments
        .out
        .clone()
        .unwrap_or_else(|| experiments.join(arguments.name.as_deref().unwrap_or(arguments.design.as_str())));
    let packed = externals::packed(&plan);
    if !arguments.dry_run {
        files::keep_inputs("--out", [folder.join(file::NAME)], &arguments.history)?;
        file::check(&packed, &folder)?;
        externals::copy(&plan, &folder)?;
        file::write(&packed, &folder)?;
    }
    let written = (!arguments.dry_run).then(|| folder.join(file::NAME));
    let shown = if arguments.dry_run { plan.clone() } else { packed };
    Ok(PlanSummary { plan: shown, notes, estimate, written, shards, named: plan })
}

/// A warning, before anything is built, where times are to be compared and the run can decide nothing about them.
fn undecided(arguments: &Arguments, plan: &Plan, estimate: &Estimate) -> Option<String> {
    let is_timed = arguments.design != DesignName::Subsets
        && plan.conditions.iter().any(|condition| condition.fault == InjectedFault::None);
    (is_timed && estimate.detectable_ms.is_none()).then(|| {
        format!("WARNING: every difference in time will be inconclusive: {}; see --blocks", estimate.detectable_basis)
    })
}
