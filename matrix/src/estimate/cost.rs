//! What a plan costs and can detect, before anything is built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::build_seconds::{BuildSeconds, Program};
use super::detectable::DetectableEffect;
use crate::build::dependencies::Dependencies;
use crate::build::recipe::{Group, Recipe};
use crate::build::{BuildRecord, load};
use crate::flavour::c_tools;
use crate::manifest::Manifest;
use crate::measure::sample::Sample;
use crate::plan::{Cell, CellKind, Plan};
use crate::target::Architecture;
use crate::workspace::target_directory;

/// Seconds of a start, assumed until earlier samples are known.
const START_SECONDS: f64 = 1.0;
/// The slowdown from which on the summary names it.
const BUSY: f64 = 1.1;
const GROUP_MB: f64 = 700.0;
const PROGRAM_MB: f64 = 10.0;

/// How deep experiments lie in their folder: plans, then single cells and comparisons. Single cells of other flavours lie deeper: their compilers take another time,
/// and nothing that is estimated is built with them.
const FOLDERS: [usize; 2] = [1, 2];
/// What lies beside the experiments: a target directory for each group of flags.
const BUILDS: &str = "build";

/// What a plan costs and can detect.
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
    /// The minimum detectable effect at `ready`, in milliseconds, with a power of 80 %; none if the run can decide nothing.
    pub detectable_ms: Option<f64>,
    pub detectable_basis: String,
}

impl Estimate {
    /// Estimates a plan from the records of earlier builds, the dependencies compiled in each group, and samples of an earlier run.
    pub fn of(
        manifest: &Manifest,
        plan: &Plan,
        builds: &[BuildRecord],
        compiled: impl Fn(&Group) -> Vec<Dependencies>,
        samples: &[Sample],
    ) -> Self {
        let groups = groups(manifest, &plan.cells);
        let count: usize = groups.values().map(Vec::len).sum();
        let known = BuildSeconds::of(builds);
        let shared = groups.keys().filter(|group| !compiled(group).is_empty()).count();
        let seconds = known.of_groups(&groups, compiled);
        let mut build_basis = known.basis;
        if shared > 0 {
            build_basis += &format!("; groups with compiled dependencies: {shared}");
        }
        let starts = plan.blocks_here().count() * plan.cells.len() * plan.conditions.len();
        let (each, start_basis) = start_seconds(samples);
        let DetectableEffect { detectable_ms, basis } = DetectableEffect::of(plan, samples);
        let names = |programs: Vec<Program>| programs.into_iter().map(|program| program.name).collect();
        Self {
            build_minutes: seconds / 60.0,
            builds: count,
            disk_mb: number(groups.len()) * GROUP_MB + number(count) * PROGRAM_MB,
            groups: groups.into_values().map(names).collect(),
            build_basis,
            cold_starts: starts as u64,
            start_minutes: number(starts) * each / 60.0,
            start_basis,
            detectable_ms,
            detectable_basis: basis,
        }
    }
}

impl Estimate {
    /// The estimate with build times multiplied by `slowdown`, 1 on an idle machine.
    #[must_use]
    pub fn slowed(mut self, slowdown: f64) -> Self {
        self.build_minutes *= slowdown;
        if slowdown > BUSY {
            self.build_basis += &format!("; ×{slowdown:.1} because the machine is busy");
        }
        self
    }
}

/// How many minutes plain builds of these cells take on this machine, by what it has built so far and what it does beside them now.
pub fn build_minutes(manifest: &Manifest, cells: &[&Cell]) -> f64 {
    let experiments = target_directory().join("matrix");
    let known = BuildSeconds::of(&earlier_builds(&experiments));
    let seconds = known.of_groups(&groups(manifest, cells.iter().copied()), |group| compiled(&experiments, group));
    load::slowdown() * seconds / 60.0
}

/// The programs of each set of flags; a launcher is a build of its own.
fn groups<'c>(manifest: &Manifest, cells: impl IntoIterator<Item = &'c Cell>) -> BTreeMap<Group, Vec<Program>> {
    let mut groups: BTreeMap<_, Vec<Program>> = BTreeMap::new();
    let mut add = |name: &str, recipe: &Recipe| {
        let needs = Dependencies::of(manifest, recipe);
        groups.entry(recipe.group()).or_default().push(Program { name: name.to_owned(), needs });
    };
    let mut has_launcher = false;
    for cell in cells.into_iter().filter(|cell| cell.kind == CellKind::Build) {
        let recipe = Recipe::of(manifest, &cell.levels).with_c_tools(c_tools::of_this_machine());
        add(&cell.id, &recipe);
        has_launcher |= recipe.launcher;
    }
    if has_launcher {
        add("(launcher)", &Recipe::of_launcher(Architecture::of_this_machine()));
    }
    groups
}

/// Seconds from one start to the next, and the source of that number.
fn start_seconds(samples: &[Sample]) -> (f64, String) {
    let mut times: Vec<i64> = samples.iter().map(|sample| sample.at_ms).collect();
    times.sort_unstable();
    let mut gaps: Vec<i64> = times.windows(2).filter_map(|pair| Some(pair.last()? - pair.first()?)).collect();
    gaps.sort_unstable();
    match gaps.get(gaps.len() / 2) {
        // Milliseconds between starts are far below where a float loses whole numbers.
        #[expect(clippy::cast_precision_loss, reason = "see above")]
        Some(&gap) if gap > 0 => (gap as f64 / 1000.0, format!("from {} earlier starts", samples.len())),
        _ => (START_SECONDS, format!("assumed: {START_SECONDS} s each")),
    }
}

/// Counts here are of cells and starts, far below where a float loses whole numbers.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn number(count: usize) -> f64 {
    count as f64
}

/// What earlier builds took, from every experiment under this folder. What cannot be read tells nothing.
pub fn earlier_builds(experiments: &Path) -> Vec<BuildRecord> {
    let files = FOLDERS.into_iter().flat_map(|depth| below(experiments, depth));
    let files: BTreeSet<_> = files.map(|folder| folder.join(crate::build::FILE)).collect();
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).flat_map(|text| lines(&text)).collect()
}

/// The folders that lie so deep below this one.
fn below(folder: &Path, depth: usize) -> Vec<PathBuf> {
    if depth == 0 {
        return vec![folder.to_owned()];
    }
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let folders = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    // Where cargo builds there are thousands of folders, and no experiment.
    let folders = folders.filter(|path| path.file_name().is_none_or(|name| name != BUILDS));
    folders.flat_map(|path| below(&path, depth - 1)).collect()
}

/// What of a group is compiled already, where a plain build would have it.
pub fn compiled(experiments: &Path, group: &Group) -> Vec<Dependencies> {
    Dependencies::compiled_in(&experiments.join(BUILDS).join(&group.0))
}

/// Every line that can be read: the last one of an interrupted run may be half a line.
pub fn lines<T: serde::de::DeserializeOwned>(text: &str) -> Vec<T> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[cfg(test)]
#[path = "cost_tests.rs"]
mod tests;
