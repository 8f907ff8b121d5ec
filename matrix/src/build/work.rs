//! Builds the program of one cell.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use super::build_report::BuildReport;
use super::cargo::{CargoCommand, Outcome};
use super::dependencies::Dependencies;
use super::profile::{Graph, ReleaseProfile};
use super::recipe::Recipe;
use super::{BuildRecord, Failure, LauncherTime, Origin, launcher, pinned, yardstick};
use crate::executable;
use crate::files;
use crate::flavour::Toolchain;
use crate::hash;
use crate::manifest::Manifest;
use crate::plan::external::{self, Files, Form};
use crate::plan::{Cell, CellKind, SCHEMA};
use crate::workspace::Profile;
use crate::workspace::sources;

/// The name of every program, which is that of the extension in a layer.
const PROGRAM: &str = "datadog-agent";
/// The file name of the agent behind a launcher.
const AGENT: &str = "agent";
/// The file with the stamp of a program: if it is unchanged, the program is up to date.
const STAMP: &str = "made-from";

/// The manifest, directories and tools that all builds of a plan share.
pub struct BuildContext<'w> {
    pub manifest: &'w Manifest,
    /// The root of the workspace.
    pub root: PathBuf,
    /// The parent of the target directories, one for each group of flags.
    pub builds: PathBuf,
    /// The parent of the folders of finished programs, one for each cell.
    pub programs: PathBuf,
    /// Commit and compiler, for the build record.
    pub origin: Origin,
    /// The compilers and linkers.
    pub tools: Toolchain,
}

/// The task for one cell, and a stamp that changes whenever the resulting program could.
pub struct Job<'c> {
    cell: &'c Cell,
    task: Task,
    stamp: String,
}

enum Task {
    Build(Box<Calls>),
    Yardstick(yardstick::Source),
    External(PathBuf),
}

/// The cargo commands of a cell.
struct Calls {
    recipe: Recipe,
    agent: CargoCommand,
    launcher: Option<CargoCommand>,
}

/// The files that a build of a cell produced.
struct CellFiles {
    program: PathBuf,
    agent: Option<PathBuf>,
    /// Crates of the program that is not a launcher.
    compiled: usize,
    brought: BTreeSet<String>,
    launcher: Option<LauncherTime>,
}

impl CellFiles {
    /// Files that were copied, not compiled.
    fn of(program: PathBuf, agent: Option<PathBuf>) -> Self {
        Self { program, agent, compiled: 0, brought: BTreeSet::new(), launcher: None }
    }
}

impl BuildContext<'_> {
    /// What there is to do; nothing for a cell that is another one's program, and for a floor that this machine does not have.
    pub fn job<'c>(&self, cell: &'c Cell) -> Option<Job<'c>> {
        let task = match &cell.kind {
            CellKind::Again { .. } => return None,
            CellKind::Floor => {
                Task::Yardstick(yardstick::Source::of_floor(&self.root, &self.tools.launcher, &self.builds)?)
            }
            CellKind::StdFloor => Task::Yardstick(yardstick::Source::of_std_floor(&self.root)),
            CellKind::External { path, .. } => Task::External(path.clone()),
            CellKind::Build => {
                let Toolchain { agent: tools, launcher: launcher_tools } = &self.tools;
                let recipe = Recipe::of(self.manifest, &cell.levels).with(tools);
                let agent = CargoCommand::new("bottlecap", &recipe, tools, &self.root, &self.builds);
                let launcher = recipe.launcher.then(|| {
                    let recipe = Recipe::of_launcher(launcher_tools.flavour.architecture);
                    CargoCommand::new(launcher::NAME, &recipe, launcher_tools, &self.root, &self.builds)
                });
                Task::Build(Box::new(Calls { recipe, agent, launcher }))
            }
        };
        let stamp = match &task {
            Task::Build(calls) => {
                let Calls { recipe, agent, launcher } = calls.as_ref();
                let launcher = launcher.as_ref().map(CargoCommand::shell).unwrap_or_default();
                let Toolchain { agent: tools, launcher: launcher_tools } = &self.tools;
                let compilers = format!("{}\n{}\n{}", tools.compiler, recipe.c_tools, launcher_tools.compiler);
                format!("{}\n{compilers}\n{}\n{launcher}\n", self.origin.sources, agent.shell())
            }
            Task::Yardstick(source) => source.stamp(&self.origin.sources, &self.tools.launcher),
            // Another program under the same path has another hash, which is looked at anyway; but not that of what a program was unpacked from.
            Task::External(path) => {
                let layer = (Form::of(path) == Some(Form::Layer)).then(|| hash::of_files([path.as_path()]).ok());
                format!("{}\n{}\n", path.display(), layer.flatten().unwrap_or_default())
            }
        };
        Some(Job { cell, task, stamp })
    }

    /// Whether a line tells of a program that is still there and would not become another one.
    pub fn is_current(&self, job: &Job, line: &BuildRecord) -> bool {
        let stamp = fs::read_to_string(self.folder(job.cell).join(STAMP));
        let files = line.program.iter().chain(&line.agent).map(PathBuf::as_path);
        line.failure.is_none()
            && line.program.is_some()
            && stamp.is_ok_and(|stamp| stamp == job.stamp)
            && hash::of_files(files).is_ok_and(|sha256| sha256 == line.sha256)
    }

    /// Does it.
    pub fn work(&self, job: &Job, progress: &(dyn Fn(&str) + Sync)) -> BuildRecord {
        let start = Instant::now();
        let made = self.make(job, progress);
        let outcome = made.and_then(|made| self.account(job, made).map_err(|error| self.trouble(job, &error)));
        let (mut built, failure) = match outcome {
            Ok(built) => (built, None),
            Err(failure) => (BuildRecord::nothing(&job.cell.id), Some(failure)),
        };
        built.failure = failure;
        built.seconds = start.elapsed().as_secs_f64();
        built
    }

    fn make(&self, job: &Job, progress: &(dyn Fn(&str) + Sync)) -> Result<CellFiles, Failure> {
        let calls = match &job.task {
            Task::Yardstick(source) => return self.yardstick(job, source, progress),
            Task::External(path) => return self.external(job, path),
            Task::Build(calls) => calls.as_ref(),
        };
        let target = &self.tools.agent.flavour.triple;
        pinned::check(&self.root, &calls.recipe, target)
            .map_err(|output| Failure { command: calls.agent.shell(), output })?;
        let brought = self.lacking(&calls.agent, &calls.recipe);
        let main = self.believed(&calls.agent, &calls.recipe, progress)?;
        let new = self.unfinished(job)?;
        let place = |from: &Path, name: &str| {
            executable::copy(from, &new.path().join(name)).map_err(|error| self.trouble(job, &error))
        };
        let folder = self.folder(job.cell);
        let mut made = CellFiles { compiled: main.compiled, brought, ..CellFiles::of(folder.join(PROGRAM), None) };
        match &calls.launcher {
            None => place(&main.program, PROGRAM)?,
            Some(launcher) => {
                // The agent is copied first: the other build may replace it where both share their flags.
                place(&main.program, AGENT)?;
                let start = Instant::now();
                let first = self.launcher(launcher, progress)?;
                place(&first.program, PROGRAM)?;
                made.agent = Some(folder.join(AGENT));
                let seconds = start.elapsed().as_secs_f64();
                made.launcher = Some(LauncherTime { seconds, compiled: first.compiled });
            }
        }
        self.replace(job, &new)?;
        Ok(made)
    }

    /// What was made elsewhere is measured from where it is, unless it has to be unpacked.
    fn external(&self, job: &Job, path: &Path) -> Result<CellFiles, Failure> {
        let folder = match Form::of(path) {
            Some(Form::Folder) => path.to_owned(),
            Some(Form::Layer) => {
                let new = self.unfinished(job)?;
                external::unpack(path, new.path()).map_err(|error| self.trouble(job, &error))?;
                self.replace(job, &new)?;
                self.folder(job.cell)
            }
            Some(Form::Program) | None => return Ok(CellFiles::of(path.to_owned(), None)),
        };
        let Files { program, agent } = external::of_folder(&folder).map_err(|error| self.trouble(job, &error))?;
        Ok(CellFiles::of(program, agent))
    }

    /// An empty folder beside the cell's, for what is not finished yet: one for each process, because two may build the same cell.
    fn unfinished(&self, job: &Job) -> Result<TempDir, Failure> {
        let prefix = format!(".{}-", job.cell.id);
        let made = fs::create_dir_all(&self.programs)
            .and_then(|()| tempfile::Builder::new().prefix(&prefix).tempdir_in(&self.programs));
        made.map_err(|error| self.trouble(job, &error))
    }

    /// Puts what is finished where the cell's programs are. Until then those of the last build are there, of which the lines of that build tell.
    fn replace(&self, job: &Job, new: &TempDir) -> Result<(), Failure> {
        files::replace(new.path(), &self.folder(job.cell)).map_err(|error| self.trouble(job, &error))
    }

    /// Builds a program and asks it what it is.
    fn believed(
        &self,
        call: &CargoCommand,
        recipe: &Recipe,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<Outcome, Failure> {
        let outcome = call.run(&self.root, progress)?;
        let profile = self.tools.agent.profile;
        let failure = |output: String| {
            let command = format!("{} && {} --version=json", call.shell(), outcome.program.display());
            Failure { command, output: format!("the program is not what it was built to be:\n{output}") }
        };
        let asked = ReleaseProfile::of(recipe, &self.root).map_err(|error| failure(error.to_string()))?;
        let opt_level = asked.opt_level();
        let report = BuildReport::of(&outcome.program);
        let mut differences = match &report {
            Ok(report) => report.differences(recipe, profile, opt_level),
            Err(error) => vec![error.clone()],
        };
        let revision = sources::revision(&self.root).unwrap_or_default();
        if let Some(report) = report.ok().filter(|report| profile == Profile::Release && report.git_sha != revision) {
            differences.push(format!("its commit is {}, not {revision}", report.git_sha));
        }
        if profile == Profile::Release {
            differences.extend(self.unlike(call, &asked, &outcome).map_err(failure)?);
        }
        if !differences.is_empty() {
            return Err(failure(differences.join("\n")));
        }
        if let Some(directory) = call.release_directory() {
            // Without it the next estimate takes them for missing.
            let _ = Dependencies::of(self.manifest, recipe).record(directory);
        }
        Ok(outcome)
    }

    /// The features whose crates are not compiled yet where a call builds.
    fn lacking(&self, call: &CargoCommand, recipe: &Recipe) -> BTreeSet<String> {
        let there = call.release_directory().map(Dependencies::compiled_in);
        there.map(|there| Dependencies::of(self.manifest, recipe).lacking(&there)).unwrap_or_default()
    }

    /// In what the profiles with which cargo compiles each crate differ from the one that was asked for. What it has said of them while it compiled is lost where nothing
    /// was, and less than this.
    fn unlike(&self, call: &CargoCommand, asked: &ReleaseProfile, outcome: &Outcome) -> Result<Vec<String>, String> {
        let mut command = call.process(&self.root, std::env::vars_os()).map_err(|failure| failure.output)?;
        let mut differences = asked.differences(&Graph::of(&mut command)?);
        let (compiled, opt_level) = (&outcome.opt_level, asked.opt_level());
        if compiled != opt_level {
            differences.push(format!("cargo has compiled it with opt-level {compiled}, not {opt_level}"));
        }
        Ok(differences)
    }

    /// Builds the launcher or another program of its kind, and looks at its file.
    fn launcher(&self, call: &CargoCommand, progress: &(dyn Fn(&str) + Sync)) -> Result<Outcome, Failure> {
        let outcome = call.run(&self.root, progress)?;
        let failure = |output: String| Failure {
            command: format!("{} && readelf -lW {}", call.shell(), outcome.program.display()),
            output: format!("the program is not what it has to be:\n{output}"),
        };
        let architecture = self.tools.launcher.flavour.architecture;
        let mut objections = launcher::objections_to_file(&outcome.program, &architecture.to_string());
        let asked = ReleaseProfile::of(&Recipe::of_launcher(architecture), &self.root);
        let asked = asked.map_err(|error| failure(error.to_string()))?;
        objections.extend(self.unlike(call, &asked, &outcome).map_err(failure)?);
        if objections.is_empty() { Ok(outcome) } else { Err(failure(objections.join("\n"))) }
    }

    /// A yardstick, from where it comes.
    fn yardstick(
        &self,
        job: &Job,
        source: &yardstick::Source,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<CellFiles, Failure> {
        let new = self.unfinished(job)?;
        let program = new.path().join(PROGRAM);
        let place = |from: &Path| executable::copy(from, &program).map_err(|error| self.trouble(job, &error));
        let mut compiled = 0;
        match source {
            yardstick::Source::Package(call) => {
                let outcome = self.launcher(call, progress)?;
                compiled = outcome.compiled;
                place(&outcome.program)?;
            }
            yardstick::Source::Compiler => {
                yardstick::compile_std_floor(&self.root, &program)?;
                compiled = 1;
            }
            yardstick::Source::Beside(file) => place(file)?,
        }
        self.replace(job, &new)?;
        Ok(CellFiles { compiled, ..CellFiles::of(self.folder(job.cell).join(PROGRAM), None) })
    }

    fn account(&self, job: &Job, made: CellFiles) -> io::Result<BuildRecord> {
        let files: Vec<&Path> = [Some(made.program.as_path()), made.agent.as_deref()].into_iter().flatten().collect();
        let sizes = files.iter().map(|file| Ok(fs::metadata(file)?.len()));
        let bytes = sizes.sum::<io::Result<u64>>()?;
        let sha256 = hash::of_files(files)?;
        fs::create_dir_all(self.folder(job.cell))?;
        files::write(&self.folder(job.cell).join(STAMP), &job.stamp)?;
        let CellFiles { program, agent, compiled, brought, launcher } = made;
        let origin = matches!(job.task, Task::Build(_)).then(|| self.origin.clone());
        let is_measured = origin.is_some() && self.tools.agent.profile == Profile::Release;
        Ok(BuildRecord {
            program: Some(program),
            agent,
            sha256,
            bytes,
            cached: compiled == 0 && launcher.is_none_or(|launcher| launcher.compiled == 0),
            compiled: is_measured.then_some(compiled),
            group: job.group().filter(|_| is_measured).map(|group| group.0),
            launcher: launcher.filter(|_| is_measured),
            brought,
            origin,
            ..BuildRecord::nothing(&job.cell.id)
        })
    }

    fn folder(&self, cell: &Cell) -> PathBuf {
        self.programs.join(&cell.id)
    }

    fn trouble(&self, job: &Job, error: &io::Error) -> Failure {
        let folder = self.folder(job.cell);
        Failure { command: format!("ls -la {}", folder.display()), output: error.to_string() }
    }
}

impl Job<'_> {
    pub fn cell(&self) -> &Cell {
        self.cell
    }

    /// Jobs of the same group follow each other, so that what they share is compiled while it is still in memory.
    pub fn group(&self) -> Option<super::recipe::Group> {
        match &self.task {
            Task::Build(calls) => Some(calls.recipe.group()),
            Task::Yardstick(_) | Task::External(_) => None,
        }
    }
}

impl BuildRecord {
    /// A line that tells of nothing yet.
    fn nothing(cell: &str) -> Self {
        Self {
            schema: SCHEMA,
            cell: cell.to_owned(),
            program: None,
            agent: None,
            sha256: String::new(),
            bytes: 0,
            seconds: 0.0,
            cached: false,
            compiled: None,
            group: None,
            slowdown: None,
            launcher: None,
            brought: BTreeSet::new(),
            origin: None,
            same_as: None,
            failure: None,
        }
    }
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
