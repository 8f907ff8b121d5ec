//! Reads and checks the files of an experiment.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::provenance::Provenance;
use super::{Error, Files};
use crate::analyze::Analysis;
use crate::build::{BuildRecord, latest};
use crate::measure::{Machine, Run};
use crate::plan::{Plan, SCHEMA};

/// The files of an experiment.
#[derive(Clone, Debug)]
pub struct Experiment {
    pub analysis: Analysis,
    pub plan: Plan,
    /// `None` if there is no record of where the samples were taken.
    pub run: Option<Run>,
    /// Empty if there are no build records.
    pub builds: Vec<BuildRecord>,
}

impl Experiment {
    /// Reads the files that the command line names, or those beside the analysis.
    pub fn read(files: &Files) -> Result<Self, Error> {
        let Files { analysis: path, plan, builds } = files;
        let beside = |name: &str| files.beside(name);
        let plan = plan.clone().unwrap_or_else(|| beside("plan.json"));
        let builds = builds.clone().or_else(|| Some(beside("builds.jsonl")).filter(|path| path.exists()));
        let mut analysis: Analysis = document(path, "an analysis")?;
        same_schema(path, analysis.schema)?;
        let planned: Plan = document(&plan, "a plan")?;
        same_schema(&plan, planned.schema)?;
        if !is_of(&analysis, &planned) {
            return Err(Error::OtherPlan { analysis: path.clone(), plan });
        }
        let recorded = Some(beside("run.json")).filter(|path| path.exists());
        let run: Option<Run> = recorded.as_deref().map(|path| document(path, "the record of a run")).transpose()?;
        if let (Some(path), Some(run)) = (&recorded, &run) {
            same_schema(path, run.schema)?;
            analysis.invalidate(|condition| run.not_produced(condition));
        }
        Ok(Self {
            analysis,
            plan: planned,
            run,
            builds: builds.map_or_else(|| Ok(Vec::new()), |path| builds_of(&path))?,
        })
    }

    /// The machine, if it was recorded.
    pub fn machine(&self) -> Option<&Machine> {
        self.run.as_ref().map(|run| &run.machine)
    }

    /// A sentence that names the machine, if it was recorded.
    pub fn measured_on(&self) -> Option<String> {
        Provenance::of(self).map(|provenance| provenance.sentence)
    }
}

/// Whether an analysis is of this plan.
fn is_of(analysis: &Analysis, plan: &Plan) -> bool {
    let conditions = analysis.conditions.iter().map(|found| &found.condition);
    analysis.seed == plan.seed
        && analysis.design == plan.design
        && analysis.plan_cells.iter().eq(plan.cells.iter().map(|cell| &cell.id))
        && conditions.eq(&plan.conditions)
}

fn builds_of(path: &Path) -> Result<Vec<BuildRecord>, Error> {
    let mut builds: Vec<BuildRecord> = Vec::new();
    for line in text(path)?.lines().filter(|line| !line.trim().is_empty()) {
        let built: BuildRecord = parse(path, "a list of builds", line)?;
        same_schema(path, built.schema)?;
        builds.push(built);
    }
    Ok(latest(builds))
}

fn document<T: DeserializeOwned>(path: &Path, what: &'static str) -> Result<T, Error> {
    parse(path, what, &text(path)?)
}

fn text(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn parse<T: DeserializeOwned>(path: &Path, what: &'static str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|source| Error::Content { path: PathBuf::from(path), what, source })
}

fn same_schema(path: &Path, found: u32) -> Result<(), Error> {
    if found == SCHEMA { Ok(()) } else { Err(Error::Schema { path: path.to_owned(), found, known: SCHEMA }) }
}
