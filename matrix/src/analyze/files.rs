//! The analysis of the files of a run.

use std::path::{Path, PathBuf};

use super::{Analysis, Delivery, Error, RESAMPLES, analyze, checked, delivery, read};
use crate::build::{BuildRecord, latest};
use crate::measure::sample::Sample;
use crate::plan::Condition;

/// The files of a run.
#[derive(Clone, Copy, Debug)]
pub struct RunFiles<'f> {
    pub plan: &'f Path,
    pub samples: &'f [PathBuf],
    /// The build records; none for `builds.jsonl` beside the plan, if it exists.
    pub builds: Option<&'f Path>,
}

impl RunFiles<'_> {
    /// The files that are read, whether they are there or not.
    pub fn inputs(&self) -> impl Iterator<Item = PathBuf> {
        let named = std::iter::once(self.plan).chain(self.samples.iter().map(PathBuf::as_path));
        let beside = named.clone().map(|path| path.with_file_name("run.json"));
        let builds = self.builds.map_or_else(|| self.builds_beside(), Path::to_owned);
        named.map(Path::to_owned).chain(beside).chain(std::iter::once(builds))
    }

    fn builds_beside(&self) -> PathBuf {
        self.plan.with_file_name("builds.jsonl")
    }
}

/// Reads the files of a run, checks that they belong together, and analyzes the run.
pub fn of_files(files: &RunFiles<'_>) -> Result<Analysis, Error> {
    let plan = read::plan(files.plan)?;
    let builds = builds(files)?;
    let mut samples: Vec<Sample> = Vec::new();
    let mut torn = builds.torn;
    for path in files.samples {
        let lines = read::lines(path)?;
        samples.extend(lines.values);
        torn.extend(lines.torn);
    }
    if samples.is_empty() {
        return Err(Error::NoSamples(files.samples.to_vec()));
    }
    checked::samples(&plan, &samples)?;
    let builds = latest(builds.values);
    let mut analysis = analyze(&plan, &builds, &samples, RESAMPLES);
    analysis.notes.splice(0..0, torn);
    let run = read::run_beside(std::iter::once(files.plan).chain(files.samples.iter().map(PathBuf::as_path)))?;
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

fn builds(files: &RunFiles<'_>) -> Result<read::Lines<BuildRecord>, Error> {
    let beside = files.builds_beside();
    match files.builds {
        Some(path) => read::lines(path),
        None if beside.exists() => read::lines(&beside),
        None => Ok(read::Lines { values: Vec::new(), torn: Vec::new() }),
    }
}
