//! What an experiment will cost and what it could see, before anything is built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::promise::Promise;
use super::{CellKind, Plan};
use crate::build::{Built, recipe::Recipe};
use crate::manifest::Manifest;
use crate::measure::sample::Sample;

/// Guesses for a machine of two cores, used until there is something better, and always named as guesses.
const FIRST_BUILD_SECONDS: f64 = 240.0;
const FURTHER_BUILD_SECONDS: f64 = 60.0;
const START_SECONDS: f64 = 1.0;
const GROUP_MB: f64 = 700.0;
const PROGRAM_MB: f64 = 10.0;

/// The price and the worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Distinct sets of flags, each with the cells that share what they compile.
    pub groups: Vec<Vec<String>>,
    pub builds: usize,
    pub build_minutes: f64,
    /// Where the minutes come from.
    pub build_basis: String,
    pub disk_mb: f64,
    pub cold_starts: u64,
    pub start_minutes: f64,
    pub start_basis: String,
    /// The smallest change of `ready`, in milliseconds, that will be found four times out of five; none if the run can decide nothing.
    pub detectable_ms: Option<f64>,
    pub detectable_basis: String,
}

impl Estimate {
    /// From the plan, the lines of earlier builds and samples of an earlier run.
    pub fn of(manifest: &Manifest, plan: &Plan, builds: &[Built], samples: &[Sample]) -> Self {
        let groups = groups(manifest, plan);
        let count: usize = groups.iter().map(Vec::len).sum();
        let seconds = BuildSeconds::of(builds);
        let further_builds = number(count) - number(groups.len());
        let starts = plan.blocks_here().count() * plan.cells.len() * plan.conditions.len();
        let (each, start_basis) = start_seconds(samples);
        let Promise { detectable_ms, basis } = Promise::of(plan, samples);
        Self {
            build_minutes: (number(groups.len()) * seconds.first + further_builds * seconds.further) / 60.0,
            builds: count,
            disk_mb: number(groups.len()) * GROUP_MB + number(count) * PROGRAM_MB,
            groups,
            build_basis: seconds.basis,
            cold_starts: starts as u64,
            start_minutes: number(starts) * each / 60.0,
            start_basis,
            detectable_ms,
            detectable_basis: basis,
        }
    }
}

/// The cells of each set of flags; a launcher is a build of its own.
fn groups(manifest: &Manifest, plan: &Plan) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let mut launchers = BTreeSet::new();
    for cell in plan.cells.iter().filter(|cell| cell.kind == CellKind::Build) {
        let recipe = Recipe::of(manifest, &cell.levels);
        groups.entry(recipe.group()).or_default().push(cell.id.clone());
        if recipe.launcher {
            launchers.insert(Recipe::of_launcher(manifest, &cell.levels));
        }
    }
    for launcher in launchers {
        groups.entry(launcher.group()).or_default().push("(launcher)".to_owned());
    }
    groups.into_values().collect()
}

/// How long builds take, and how we know.
struct BuildSeconds {
    /// The first of a group, which compiles everything.
    first: f64,
    /// Any other of it.
    further: f64,
    basis: String,
}

impl BuildSeconds {
    fn of(builds: &[Built]) -> Self {
        let real = builds.iter().filter(|built| built.failure.is_none() && !built.cached);
        let mut seconds: Vec<f64> = real.map(|built| built.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        if let (Some(&first), Some(&further)) = (seconds.last(), seconds.get(seconds.len() / 2)) {
            let basis = format!("the longest and the median of {} earlier builds", seconds.len());
            return Self { first, further, basis };
        }
        let (first, further) = (FIRST_BUILD_SECONDS, FURTHER_BUILD_SECONDS);
        let basis = format!("a guess of {first} s for the first build of each, {further} s for others");
        Self { first, further, basis }
    }
}

/// Seconds from one start to the next, and how we know.
fn start_seconds(samples: &[Sample]) -> (f64, String) {
    let mut times: Vec<i64> = samples.iter().map(|sample| sample.at_ms).collect();
    times.sort_unstable();
    let mut gaps: Vec<i64> = times.windows(2).filter_map(|pair| Some(pair.last()? - pair.first()?)).collect();
    gaps.sort_unstable();
    match gaps.get(gaps.len() / 2) {
        // Milliseconds between starts are far below where a float loses whole numbers.
        #[expect(clippy::cast_precision_loss, reason = "see above")]
        Some(&gap) if gap > 0 => (gap as f64 / 1000.0, format!("the median of {} earlier starts", samples.len())),
        _ => (START_SECONDS, format!("a guess of {START_SECONDS} s for each")),
    }
}

/// Counts here are of cells and starts, far below where a float loses whole numbers.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn number(count: usize) -> f64 {
    count as f64
}

/// What earlier builds took, from every experiment under this folder. What cannot be read tells nothing.
pub fn earlier_builds(experiments: &Path) -> Vec<Built> {
    let folders = fs::read_dir(experiments).into_iter().flatten().filter_map(Result::ok);
    let files: BTreeSet<_> = folders.map(|folder| folder.path().join(crate::build::FILE)).collect();
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).flat_map(|text| lines(&text)).collect()
}

/// Every line that can be read: the last one of an interrupted run may be half a line.
pub fn lines<T: serde::de::DeserializeOwned>(text: &str) -> Vec<T> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[cfg(test)]
#[path = "estimate_tests.rs"]
mod tests;
