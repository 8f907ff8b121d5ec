//! A run of the files of a plan.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::progress::StartProgress;
use super::run::{Options, Summary, run};
use super::{Error, reading};
use crate::build::{BuildRecord, latest, waf};
use crate::plan::{Plan, SCHEMA};

/// Reads a plan. The programs from elsewhere that it names relative to its own folder get their places on this machine.
pub fn read_plan(path: &Path) -> Result<Plan, Error> {
    let text = fs::read_to_string(path).map_err(reading(path))?;
    let plan: Plan = parse(path, 1, &text)?;
    of_this_schema(path, plan.schema)?;
    Ok(plan.located(folder_of(path)))
}

/// Makes the starts of a plan, with the programs of these build records. Shows the progress on standard error.
pub fn run_files(plan: &Path, builds: &Path, options: &Options) -> Result<Summary, Error> {
    let plan = read_plan(plan)?;
    let text = fs::read_to_string(builds).map_err(reading(builds))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let built = lines.map(|(number, line)| parse(builds, number + 1, line)).collect::<Result<Vec<BuildRecord>, _>>()?;
    let built = latest(built);
    built.iter().try_for_each(|built| of_this_schema(builds, built.schema))?;
    let built: Vec<BuildRecord> = built.into_iter().map(|built| built.located(folder_of(builds))).collect();
    let options = Options { waf: Some(folder_of(builds).join(waf::NAME)), ..options.clone() };
    let shown = StartProgress::new();
    let summary = run(&plan, &built, &options, &|step| shown.step(&step));
    shown.finish();
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
