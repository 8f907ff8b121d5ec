//! What an experiment will cost and what it could see, before anything is built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::promise::Promise;
use crate::build::BuildRecord;
use crate::build::dependencies::Dependencies;
use crate::build::recipe::{Group, Recipe};
use crate::flavour::c_tools;
use crate::manifest::Manifest;
use crate::measure::sample::Sample;
use crate::plan::{Cell, CellKind, Plan};
use crate::target::Architecture;
use crate::workspace::target_directory;

/// Guesses for a machine of two cores, used until there is something better, and always named as guesses.
const FIRST_BUILD_SECONDS: f64 = 120.0;
const FURTHER_BUILD_SECONDS: f64 = 60.0;
/// The launcher and the few crates that it is made of.
const LAUNCHER_SECONDS: f64 = 10.0;
/// Crates of ours, and their build scripts: what is compiled where all dependencies are there.
const ALONE: usize = 4;
/// What the C code of a feature adds to the first build that has it, where no earlier build tells. That of FIPS was measured: its build scripts run beside the compiler, so that
/// `ship-fips` took as long from nothing as `ship`, 155 to 161 s and 160 s on two cores.
const C_SECONDS: [(&str, f64); 3] = [("aws-lc", 60.0), ("fips", 30.0), ("jemalloc", 30.0)];
const START_SECONDS: f64 = 1.0;
const GROUP_MB: f64 = 700.0;
const PROGRAM_MB: f64 = 10.0;

/// How deep experiments lie in their folder: plans, then single cells and comparisons. Single cells of other flavours lie deeper: their compilers take another time,
/// and nothing that is estimated is built with them.
const FOLDERS: [usize; 2] = [1, 2];
/// What lies beside the experiments: a target directory for each group of flags.
const BUILDS: &str = "build";

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
    /// From the plan, the lines of earlier builds, what is compiled already in each group, and samples of an earlier run.
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
            build_basis += &format!("; some of what {shared} of the groups share is compiled already");
        }
        let starts = plan.blocks_here().count() * plan.cells.len() * plan.conditions.len();
        let (each, start_basis) = start_seconds(samples);
        let Promise { detectable_ms, basis } = Promise::of(plan, samples);
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

/// How many minutes plain builds of these cells take on this machine, by what it has built so far.
pub fn build_minutes(manifest: &Manifest, cells: &[&Cell]) -> f64 {
    let experiments = target_directory().join("matrix");
    let known = BuildSeconds::of(&earlier_builds(&experiments));
    known.of_groups(&groups(manifest, cells.iter().copied()), |group| compiled(&experiments, group)) / 60.0
}

/// A program that is to be built.
struct Program {
    /// The cell, or that it is a launcher.
    name: String,
    needs: Dependencies,
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

/// How long builds take, and how we know.
struct BuildSeconds {
    /// The first of a group, which compiles everything.
    first: f64,
    /// Any other of it.
    further: f64,
    /// What the C code of a feature adds to either.
    c_code: BTreeMap<&'static str, f64>,
    basis: String,
}

impl BuildSeconds {
    /// How long the builds of all groups take, one after the other.
    fn of_groups(&self, groups: &BTreeMap<Group, Vec<Program>>, compiled: impl Fn(&Group) -> Vec<Dependencies>) -> f64 {
        let mut seconds = 0.0;
        for (group, programs) in groups {
            let mut there = compiled(group);
            for program in programs {
                seconds += self.of_program(&program.needs, &there);
                there.push(program.needs.clone());
            }
        }
        seconds
    }

    /// How long the build of a program takes where all of this is compiled already.
    fn of_program(&self, needs: &Dependencies, there: &[Dependencies]) -> f64 {
        let ours = match () {
            () if needs.are_of_launcher() => LAUNCHER_SECONDS,
            () if needs.shares(there) => self.further,
            () => self.first,
        };
        let lacking = needs.lacking(there);
        ours + lacking.iter().filter_map(|feature| self.c_code.get(feature.as_str())).sum::<f64>()
    }

    /// From builds of one program each, as it is measured. Those that compiled more than half as many crates as any has compiled count as first ones of a group.
    fn of(builds: &[BuildRecord]) -> Self {
        let is_real = |built: &&BuildRecord| built.failure.is_none() && !built.cached && built.agent.is_none();
        let real: Vec<(usize, &BuildRecord)> =
            builds.iter().filter(is_real).filter_map(|built| Some((built.compiled?, built))).collect();
        let most = real.iter().map(|(compiled, _)| *compiled).max().unwrap_or_default();
        let of = |is_first: bool| {
            let of = real.iter().filter(move |(compiled, _)| (compiled * 2 > most && most > ALONE) == is_first);
            of.map(|(_, built)| *built).collect::<Vec<&BuildRecord>>()
        };
        let (firsts, furthers) = (of(true), of(false));
        let (first, further) = (without_c(&firsts, FIRST_BUILD_SECONDS), without_c(&furthers, FURTHER_BUILD_SECONDS));
        let told =
            format!("the medians of {} earlier builds of everything and {} of less", firsts.len(), furthers.len());
        let ratio = FIRST_BUILD_SECONDS / FURTHER_BUILD_SECONDS;
        let known = |first, further| Self { first, further, c_code: BTreeMap::new(), basis: told };
        let mut known = match (first, further) {
            (Some(first), Some(further)) => known(first, further),
            (Some(first), None) => known(first, first / ratio),
            (None, Some(further)) => known(further * ratio, further),
            (None, None) => Self::guessed(),
        };
        let measured: Vec<_> = c_code_of(&firsts, known.first).chain(c_code_of(&furthers, known.further)).collect();
        for (feature, guess) in C_SECONDS {
            let of_feature = measured.iter().filter(|(name, _)| *name == feature).map(|(_, added)| *added).collect();
            let median = median(of_feature);
            if let Some(median) = median {
                known.basis += &format!(", {median:.0} s for the C code of {feature} in earlier builds");
            }
            known.c_code.insert(feature, median.unwrap_or(guess * known.first / FIRST_BUILD_SECONDS));
        }
        known
    }

    /// Without any earlier build, and without C code.
    fn guessed() -> Self {
        let (first, further) = (FIRST_BUILD_SECONDS, FURTHER_BUILD_SECONDS);
        let basis = format!("a guess of {first} s for the first build of each, {further} s for others");
        Self { first, further, c_code: BTreeMap::new(), basis }
    }
}

/// The median of builds of one kind without C code of new features; if all of them had some, without what that is guessed to have taken. `guess` is that of the kind.
fn without_c(builds: &[&BuildRecord], guess: f64) -> Option<f64> {
    let plain = builds.iter().filter(|built| with_c(built).is_empty());
    median(plain.map(|built| built.seconds).collect()).or_else(|| {
        // Where one step takes longer than was guessed, so does the other.
        let guessed = |built: &BuildRecord| with_c(built).iter().map(|(_, seconds)| seconds).sum::<f64>();
        median(builds.iter().map(|built| built.seconds * guess / (guess + guessed(built))).collect())
    })
}

/// What the C code of a feature has added to builds of one kind that had that of no other, where others of the kind show how long they take without. No less than nothing:
/// build scripts run beside the compiler.
fn c_code_of(builds: &[&BuildRecord], without: f64) -> impl Iterator<Item = (&'static str, f64)> {
    let is_known = builds.iter().any(|built| with_c(built).is_empty());
    let alone = builds.iter().filter(move |_| is_known).filter_map(move |built| match with_c(built)[..] {
        [(feature, _)] => Some((feature, (built.seconds - without).max(0.0))),
        _ => None,
    });
    alone.collect::<Vec<_>>().into_iter()
}

/// The features with C code that were compiled for the first time in a build, each with its guess.
fn with_c(built: &BuildRecord) -> Vec<(&'static str, f64)> {
    C_SECONDS.into_iter().filter(|(feature, _)| built.brought.contains(*feature)).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
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
#[path = "estimate_tests.rs"]
mod tests;
