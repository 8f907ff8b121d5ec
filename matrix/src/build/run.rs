//! Builds of several cells, one after the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::build_log::BuildLog;
use super::cargo::{CargoCommand, Outcome};
use super::progress::Progress;
use super::recipe::Recipe;
use super::work::{BuildContext, Job};
use super::{BuildRecord, Error, Failure, Origin, load, waf, yardstick};
use crate::flavour::{Flavours, Toolchain, Tools};
use crate::interrupt;
use crate::manifest::Manifest;
use crate::plan::check;
use crate::plan::{self, Cell, file};
use crate::workspace;
use crate::workspace::{Profile, builds_directory};
use crate::workspace::{environment, sources};

/// Estimates the minutes that building these cells takes.
pub type Estimate = dyn Fn(&Manifest, &[&Cell]) -> f64;

/// How a build of cells ended.
#[derive(Debug)]
pub enum End {
    All(Vec<BuildRecord>),
    Interrupted(Vec<BuildRecord>),
}

/// The cells to build, and where.
struct Order {
    cells: Vec<Cell>,
    /// The folder for `programs/` and `builds.jsonl`.
    folder: PathBuf,
    /// Whether the WAF worker is built as well.
    has_waf: bool,
}

/// Builds a set, or the cells of a plan: its file, or its folder. `estimate` says how long it will take; stderr gets both times at the end.
pub fn build(what: &str, profile: Profile, estimate: &Estimate) -> Result<End, Error> {
    let manifest = Manifest::embedded().map_err(|_| plan::Error::Manifest)?;
    let order = if what.contains('/') || Path::new(what).exists() {
        Order::of_plan(manifest, Path::new(what))?
    } else {
        Order::of_cell(manifest, what)?
    };
    if order.has_waf {
        waf::put(&order.folder.join(waf::NAME)).map_err(Error::Waf)?;
    }
    // Estimates are of builds for use.
    let estimate = (profile == Profile::Release).then_some(estimate);
    carry_out(manifest, &order, Toolchain::plain(&workspace::root(), profile)?, &builds_directory(), estimate)
}

/// Builds one cell with these tools, or finds that it is there already: with those of a plain build, where `cargo matrix build` would. None if it was
/// interrupted.
pub fn one(manifest: &Manifest, cell: Cell, tools: Toolchain) -> Result<Option<BuildRecord>, Error> {
    let order = Order::of_one(cell, tools.agent.folder());
    Ok(carry_out(manifest, &order, tools, &builds_directory(), None)?.first())
}

/// Builds one cell with these tools from nothing, so that nothing in it was made by other tools or from other sources. All that is compiled, and the program,
/// come to lie in `folder`, which has to be empty. None if the build was interrupted.
pub fn anew(manifest: &Manifest, cell: Cell, tools: Toolchain, folder: &Path) -> Result<Option<BuildRecord>, Error> {
    let failed = |source| Error::File { path: folder.to_owned(), source };
    if std::fs::read_dir(folder).map_err(failed)?.next().is_some() {
        return Err(failed(std::io::ErrorKind::DirectoryNotEmpty.into()));
    }
    let order = Order { cells: vec![cell], folder: folder.to_owned(), has_waf: false };
    Ok(carry_out(manifest, &order, tools, folder, None)?.first())
}

/// The agent of a cell, where cargo puts it.
pub fn program(manifest: &Manifest, cell: &Cell, tools: &Tools) -> Result<Outcome, Failure> {
    called(&agent(manifest, cell, tools, &builds_directory()), cell)
}

/// The agent of a cell with the names of everything in it, and the command that makes it below `builds`.
pub fn named(manifest: &Manifest, cell: &Cell, tools: &Tools, builds: &Path) -> (String, Result<Outcome, Failure>) {
    let call = agent(manifest, cell, tools, builds).named();
    (call.shell(), called(&call, cell))
}

fn called(call: &CargoCommand, cell: &Cell) -> Result<Outcome, Failure> {
    let progress = Progress::new(1);
    let outcome = call.run(&workspace::root(), &|package| progress.at(&cell.id, package));
    progress.finish();
    outcome
}

/// The command that makes the agent of a cell below `builds`.
pub fn command(manifest: &Manifest, cell: &Cell, tools: &Tools, builds: &Path) -> String {
    agent(manifest, cell, tools, builds).shell()
}

/// The directory below `builds` in which cargo compiles the agent of a cell.
pub fn directory(manifest: &Manifest, cell: &Cell, tools: &Tools, builds: &Path) -> PathBuf {
    agent(manifest, cell, tools, builds).release_directory().map_or_else(|| builds.to_owned(), Path::to_owned)
}

fn agent(manifest: &Manifest, cell: &Cell, tools: &Tools, builds: &Path) -> CargoCommand {
    let recipe = Recipe::of(manifest, &cell.levels).with(tools);
    CargoCommand::new("bottlecap", &recipe, tools, &workspace::root(), builds)
}

fn carry_out(
    manifest: &Manifest,
    order: &Order,
    tools: Toolchain,
    builds: &Path,
    estimate: Option<&Estimate>,
) -> Result<End, Error> {
    // Whoever reads the lines may be somewhere else.
    let folder = absolute(&order.folder)?;
    let root = workspace::root();
    let context = BuildContext {
        manifest,
        origin: Origin {
            sources: sources::state(&root, &[]).map_err(Error::Sources)?,
            compiler: tools.agent.compiler.clone(),
        },
        root,
        builds: builds.to_owned(),
        programs: folder.join("programs"),
        tools,
    };
    all(&context, &order.cells, &mut BuildLog::open(&folder)?, estimate)
}

fn absolute(folder: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(folder).map_err(|source| Error::File { path: folder.to_owned(), source })
}

impl End {
    /// The line of the first cell; none if it was interrupted.
    fn first(self) -> Option<BuildRecord> {
        match self {
            Self::All(lines) => lines.into_iter().next(),
            Self::Interrupted(_) => None,
        }
    }
}

impl Order {
    fn of_plan(manifest: &Manifest, path: &Path) -> Result<Self, Error> {
        let plan = file::read(path)?;
        let misfits = check::plan(manifest, &plan);
        if !misfits.is_empty() {
            return Err(Error::Misfit(misfits));
        }
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        let has_waf = plan.has_waf();
        Ok(Self { cells: plan.located(&absolute(folder)?).cells, folder: folder.to_owned(), has_waf })
    }

    fn of_cell(manifest: &Manifest, name: &str) -> Result<Self, Error> {
        if let Some(cell) = yardstick::cell(name) {
            return Ok(Self::of_one(cell, None));
        }
        let (cell, notes) = plan::cell(manifest, name)?;
        for note in notes {
            eprintln!("note: {note}");
        }
        Ok(Self::of_one(cell, None))
    }

    /// `flavour` is the folder of programs that are not built plainly.
    fn of_one(cell: Cell, flavour: Option<&str>) -> Self {
        let flavour = flavour.map_or_else(|| "single".to_owned(), |flavour| format!("flavours/{flavour}"));
        let folder = crate::workspace::target_directory().join("matrix").join(flavour).join(&cell.id);
        Self { cells: vec![cell], folder, has_waf: false }
    }
}

fn all(
    context: &BuildContext,
    cells: &[Cell],
    build_log: &mut BuildLog,
    estimate: Option<&Estimate>,
) -> Result<End, Error> {
    let interrupted = interrupt::watch();
    let jobs = in_groups(cells.iter().filter_map(|cell| context.job(cell)));
    let is_current = |job: &Job| build_log.line(&job.cell().id).is_some_and(|line| context.is_current(job, line));
    let (current, due): (Vec<_>, Vec<_>) = jobs.into_iter().partition(is_current);
    Flavours::embedded()?.check_programs(due.iter().map(|job| &job.cell().levels))?;
    let mut ignored = environment::ignored_variables(std::env::vars_os().map(|(name, _)| name));
    ignored.extend(environment::ignored_config_tables(&context.root, environment::user_cargo_home().as_deref()));
    if !due.is_empty() && !ignored.is_empty() {
        eprintln!(
            "note: set here, and kept out of every build so that it is the same everywhere: {}",
            ignored.join(", ")
        );
    }
    let due_cells: Vec<&Cell> = due.iter().map(Job::cell).collect();
    // Before anything is built that it would count.
    let estimated = estimate.filter(|_| !due.is_empty()).map(|estimate| estimate(context.manifest, &due_cells));
    // Later, the load of this run is in it.
    let slowdown = if due.is_empty() { 1.0 } else { load::slowdown() };
    let start = Instant::now();
    let progress = Progress::new(current.len() + due.len());
    for job in &current {
        progress.done(&job.cell().id, "is there already");
    }
    for job in &due {
        let cell = &job.cell().id;
        // Of others there is nothing to compile.
        if job.group().is_some() {
            progress.at(cell, "starting");
        }
        let mut built = context.work(job, &|step| progress.at(cell, step));
        built.slowdown = built.compiled.map(|_| slowdown);
        // The signal has reached the compiler as well, so that its failure says nothing about the cell.
        if interrupted.load(Ordering::Relaxed) && built.failure.is_some() {
            break;
        }
        // Nor does a full disk. Nothing is recorded, so that the next call builds the cell.
        if let Some(said) = built.failure.as_ref().and_then(Failure::full_disk) {
            progress.finish();
            return Err(Error::FullDisk { cell: cell.clone(), folder: context.builds.clone(), said: said.to_owned() });
        }
        progress.done(cell, &outcome(&built));
        build_log.record(built)?;
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
    }
    progress.finish();
    let lines = build_log.finish(cells)?;
    if interrupted.load(Ordering::Relaxed) {
        return Ok(End::Interrupted(lines));
    }
    if let Some(minutes) = estimated {
        eprintln!("{}", beside_estimate(start.elapsed(), minutes));
    }
    Ok(End::All(lines))
}

/// A sentence with the minutes that the builds took and the estimate.
fn beside_estimate(took: Duration, estimated: f64) -> String {
    format!("took {:.1} min, estimated {estimated:.1}", took.as_secs_f64() / 60.0)
}

/// In the plan's order, but with those of a group after the first of it.
fn in_groups<'c>(jobs: impl Iterator<Item = Job<'c>>) -> Vec<Job<'c>> {
    let mut ranks = BTreeMap::new();
    let mut jobs: Vec<(usize, Job)> = jobs
        .map(|job| {
            let next = ranks.len();
            (*ranks.entry(job.group()).or_insert(next), job)
        })
        .collect();
    jobs.sort_by_key(|(rank, _)| *rank);
    jobs.into_iter().map(|(_, job)| job).collect()
}

fn outcome(built: &BuildRecord) -> String {
    if let Some(failure) = &built.failure {
        let last = failure.output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        return format!("failed after {:.0} s: {last}", built.seconds);
    }
    let cached = if built.cached { ", nothing to compile" } else { "" };
    format!("{} bytes in {:.0} s{cached}", built.bytes, built.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executable;
    use crate::plan::CellKind;

    #[test]
    fn a_full_disk_ends_the_build_and_is_no_failure_of_the_cell() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let compiler = root.join("cargo");
        let said = "error: failed to write `/t/x.rmeta`: No space left on device (os error 28)";
        executable::write(&compiler, format!("#!/bin/sh\necho '{said}' >&2\nexit 101\n")).unwrap();
        let mut tools = Toolchain::plain(&root, Profile::Release).unwrap();
        tools.agent.command = Some(compiler);
        let manifest = Manifest::embedded().unwrap();
        let levels = manifest.set_levels("baseline").unwrap();
        let cell = Cell { id: "one".to_owned(), kind: CellKind::Build, levels };
        let context = BuildContext {
            manifest,
            builds: root.join("build"),
            programs: root.join("programs"),
            origin: Origin { sources: "commit".to_owned(), compiler: "rustc 1".to_owned() },
            tools,
            root: root.clone(),
        };
        let Err(error) = all(&context, &[cell], &mut BuildLog::open(&root).unwrap(), None) else {
            panic!("it is built")
        };
        let text = error.to_string();
        assert!(matches!(error, Error::FullDisk { .. }), "{text}");
        assert!(
            text.contains(said) && text.contains(&format!("make room where {}/build is", root.display())),
            "{text}"
        );
        assert!(!root.join(super::super::FILE).exists(), "the next call builds it");
    }

    #[test]
    fn what_is_to_be_built_is_estimated_and_what_is_there_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let context = BuildContext {
            manifest: Manifest::embedded().unwrap(),
            builds: root.join("build"),
            programs: root.join("programs"),
            origin: Origin { sources: "commit".to_owned(), compiler: "rustc 1".to_owned() },
            tools: Toolchain::plain(&root, Profile::Release).unwrap(),
            root: root.clone(),
        };
        let floor = yardstick::cell(yardstick::STD_FLOOR).unwrap();
        let asked = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let seen = asked.clone();
        let estimate = move |_: &Manifest, cells: &[&Cell]| {
            seen.borrow_mut().push(cells.iter().map(|cell| cell.id.clone()).collect::<Vec<_>>());
            2.0
        };
        for _ in 0..2 {
            let cells = std::slice::from_ref(&floor);
            all(&context, cells, &mut BuildLog::open(&root).unwrap(), Some(&estimate)).unwrap();
        }
        assert_eq!(*asked.borrow(), [["std-floor"]]);
        assert_eq!(beside_estimate(Duration::from_secs(90), 2.0), "took 1.5 min, estimated 2.0");
    }
}
