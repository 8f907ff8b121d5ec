//! Finds what the proofs are about: builds the program from nothing, compares the layer with it, looks at both, and has them run.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, iter, panic, thread};

use tempfile::TempDir;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::allowed::{self, PackageAllowlist};
use super::benchmark::Benchmark;
use super::certificate::CertifiedModule;
use super::context::{AllPackages, Context, ProgramsWithSymbols, has_worker};
use super::document::{Document, Machine, NOT_CLAIMED, ProgramUnderTest};
use super::error::Error;
use super::graph::HeldBackPackage;
use super::handshake;
use super::integrity::ModuleBytes;
use super::layer::{ExpectedLayer, LayerFile, ProgramFile};
use super::module_build::ModuleBuild;
use super::procedure::Step;
use super::proof::{Facts, Proof};
use super::runs::{self, RunContext};
use super::rust_tools;
use super::sources;
use super::tools::{self, BuildTool, BuildTools};
use super::tree::Tree;
use super::worker::WorkerFiles;
use crate::archive::places;
use crate::build::{self, BuildRecord};
use crate::elf;
use crate::flavour::{Flavours, LayerTarget, Toolchain};
use crate::layer as layers;
use crate::manifest::Manifest;
use crate::materials::packages::Packages;
use crate::plan::Cell;
use crate::target::{Architecture, Libc};
use crate::workspace::{Profile, target_directory};
use crate::{emulator, files, measure, plan, workspace};

/// What a report is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    pub set: String,
    /// A zip file that has to be what is made of this program.
    pub layer: Option<PathBuf>,
    pub architecture: Architecture,
    /// Whether sources that differ from their commit are proven all the same.
    pub allow_dirty: bool,
}

/// What was found, and judged.
pub struct GatheredEvidence {
    pub proofs: Vec<Proof>,
    pub subject: ProgramUnderTest,
    pub layer: Option<LayerFile>,
    pub certified: CertifiedModule,
    pub tree: Tree,
    pub held_back: Vec<HeldBackPackage>,
    /// The policy's procedure beside what was done.
    pub procedure: Vec<Step>,
}

/// What was there before the build.
struct PreBuildState {
    tree: Tree,
    sources: Facts,
    tools: Vec<BuildTool>,
}

/// All proofs but that of the benchmark.
pub fn proofs(request: &Request, interrupted: &AtomicBool) -> Result<GatheredEvidence, Error> {
    let manifest = Manifest::embedded().map_err(|_| plan::Error::Manifest)?;
    let (cell, notes) = plan::cell(manifest, &request.set)?;
    for note in notes {
        eprintln!("note: {note}");
    }
    // All that can be refused is refused before minutes are spent on building.
    let root = workspace::root();
    let tree = Tree::look(&root)?;
    if !request.allow_dirty && !tree.is_clean() {
        return Err(Error::Dirty { sources: tree.sources });
    }
    let layer = request.open(&cell)?;
    let toolchain = request.toolchain(&cell, &root, layer.as_ref())?.by_path(&root);
    let flavours = Flavours::embedded().map_err(build::Error::from)?;
    flavours.check_programs(iter::once(&cell.levels)).map_err(build::Error::from)?;
    let folder = empty_folder()?;
    let certified = CertifiedModule::embedded()?;
    let builds = folder.path().to_owned();
    let mut context = Context { manifest, root, cell, toolchain, certified, builds, artefact: None };
    let packages = context.packages()?;
    let before = PreBuildState::look(&context, tree, &packages.all);
    rust_tools::check(&before.tools, &context.certified.build, request.architecture, &context.root)?;
    context.install_artefact()?;
    eprintln!("{}: building it from nothing", context.cell.id);
    let built = build::anew(manifest, context.cell.clone(), context.toolchain.clone(), &context.builds)?;
    let built = built.ok_or(Error::Interrupted)?;
    let program = Program::of(&context, &built, layer.as_ref())?;
    let (certified, architecture) = (&context.certified, request.architecture);
    let runs = RunContext { subject: &program.subject, bytes: &program.bytes, certified, architecture, interrupted };
    eprintln!("{}: the same once more, with the names of what is in it, and handshakes meanwhile", context.cell.id);
    // The one is a linker that keeps a processor busy, and the others mostly wait.
    let (named, run_proofs) = thread::scope(|scope| {
        let named = scope.spawn(|| context.named(interrupted));
        let run_proofs = runs.in_sandboxes();
        (named.join().unwrap_or_else(|gone| panic::resume_unwind(gone)), run_proofs)
    });
    let (named, run_proofs) = (named?, run_proofs?);
    let BuildOutputs { mut proofs, tree, module, tools, place } =
        BuildOutputs::look(&context, before, &packages, &program, &named, &built)?;
    let results = runs::proofs(&runs, run_proofs, place)?;
    proofs.extend(results.proofs);
    let procedure = context.procedure(&module, &tools, &packages.agent, results.build_report.as_ref());
    let held_back = context.held_back(&packages.agent)?;
    let subject = context.subject(&built, &program, &named, tools.after)?;
    Ok(GatheredEvidence { proofs, subject, layer, certified: context.certified, tree, held_back, procedure })
}

/// What the build has left behind, and the proofs of that.
struct BuildOutputs {
    proofs: Vec<Proof>,
    tree: Tree,
    module: ModuleBuild,
    tools: BuildTools,
    /// Where the module is in the agent, or why that cannot be told.
    place: Result<ModuleBytes, String>,
}

impl BuildOutputs {
    fn look(
        context: &Context<'_>,
        before: PreBuildState,
        packages: &AllPackages,
        program: &Program,
        named: &ProgramsWithSymbols,
        built: &BuildRecord,
    ) -> Result<Self, Error> {
        let module = context.module(named)?;
        let linked = context.linker_inputs(named, &before.tools);
        let after = tools::used(&context.root, &context.used_tools(), &module, linked.of_machine);
        let tools = BuildTools { before: before.tools, after, linked: linked.facts };
        let tree = Tree::look(&context.root)?;
        let mut proofs: Vec<Proof> = program.identity.iter().cloned().collect();
        proofs.push(tree.judge(&before.tree));
        proofs.push(sources::judge(&before.sources, sources::look(&packages.all, &context.certified.sources)));
        proofs.push(context.compiled(named, &packages.all)?);
        proofs.push(context.dependencies(&packages.agent)?);
        proofs.push(context.module_build(&module, &packages.all, &tools, built.compiled.unwrap_or_default()));
        let (names, place) = context.names(named, program)?;
        proofs.push(names);
        proofs.extend(context.launcher(named, program, packages)?);
        proofs.extend(context.worker(named, program, packages)?);
        Ok(Self { proofs, tree, module, tools, place })
    }
}

impl PreBuildState {
    fn look(context: &Context<'_>, tree: Tree, packages: &Packages) -> Self {
        let sources = sources::look(packages, &context.certified.sources);
        Self { tree, sources, tools: tools::at_hand(&context.root, &context.used_tools()) }
    }
}

impl Request {
    fn open(&self, cell: &Cell) -> Result<Option<LayerFile>, Error> {
        let (architecture, runs) = (self.architecture.to_string(), emulator::can_start(self.architecture));
        let expected =
            ExpectedLayer { cell: &cell.id, architecture: &architecture, has_worker: has_worker(cell), runs };
        Ok(self.layer.as_ref().map(|path| LayerFile::open(path, &expected)).transpose()?)
    }

    /// Those of a layer, where there is one or the program is for another processor; no report calls that certified.
    fn toolchain(&self, cell: &Cell, root: &Path, layer: Option<&LayerFile>) -> Result<Toolchain, Error> {
        if layer.is_none() && self.architecture == Architecture::of_this_machine() {
            return Ok(Toolchain::plain(root, Profile::Release).map_err(build::Error::from)?);
        }
        let glibc_floor = layer.map_or_else(elf::oldest, |layer| layer.glibc_floor);
        let wanted = LayerTarget { architecture: self.architecture, libc: Libc::Gnu, glibc_floor, accepts_open: true };
        let tools = Toolchain::of(&wanted, &cell.levels, root, &target_directory(), &|step| eprintln!("{step}"));
        Ok(tools.map_err(build::Error::from)?)
    }
}

/// Where nothing has been built; it goes with the report.
fn empty_folder() -> Result<TempDir, Error> {
    let reports = target_directory().join("matrix/fips-report");
    let reports = std::path::absolute(reports).map_err(Error::Directory)?;
    fs::create_dir_all(&reports).map_err(Error::Directory)?;
    tempfile::Builder::new().prefix("build-").tempdir_in(reports).map_err(Error::Directory)
}

impl GatheredEvidence {
    /// Here and now.
    pub fn document(self, benchmark: Option<Benchmark>) -> Document {
        let Self { proofs, subject, layer, certified, tree, held_back, procedure } = self;
        let date = OffsetDateTime::now_utc().replace_nanosecond(0).ok().and_then(|now| now.format(&Rfc3339).ok());
        Document {
            schema: 7,
            holds: proofs.iter().all(|proof| proof.holds),
            date: date.unwrap_or_default(),
            subject,
            tree,
            held_back,
            layer: layer.map(|layer| layer.document),
            certified,
            procedure,
            proofs,
            benchmark,
            machine: machine(),
            not_claimed: NOT_CLAIMED.to_vec(),
        }
    }
}

/// The files of a cell: those of the layer, if there is one.
pub(super) struct Program {
    pub(super) subject: handshake::ProgramUnderTest,
    /// Of the agent.
    pub(super) bytes: Vec<u8>,
    pub(super) files: Vec<ProgramFile>,
    /// None without a launcher.
    pub(super) launcher: Option<LauncherFiles>,
    /// None without the WAF, or without a layer.
    pub(super) worker: Option<ShippedWorker>,
    /// That the layer is what is made of it.
    identity: Option<Proof>,
    /// Where the layer is unpacked.
    _folder: Option<TempDir>,
}

/// The program in front of the agent.
pub(super) struct LauncherFiles {
    pub(super) built: Vec<u8>,
    /// As the layer has it.
    pub(super) shipped: Vec<u8>,
}

/// The WAF worker in the layer, and what is beside it.
pub(super) struct ShippedWorker {
    program: Vec<u8>,
    library: Vec<u8>,
    rules: Vec<u8>,
}

impl ShippedWorker {
    /// None of a layer that lacks one of them.
    fn of(layer: &LayerFile) -> Option<Self> {
        let file = |place: &str| layer.file(place).map(<[u8]>::to_vec);
        let (program, library) = (file(places::WAF)?, file(places::WAF_LIBRARY)?);
        Some(Self { program, library, rules: file(places::WAF_RULES)? })
    }

    pub(super) fn files(&self) -> WorkerFiles<'_> {
        WorkerFiles { program: &self.program, library: &self.library, rules: &self.rules }
    }
}

impl Program {
    fn of(context: &Context<'_>, built: &BuildRecord, layer: Option<&LayerFile>) -> Result<Self, Error> {
        let cell = &context.cell;
        let Some(program) = built.program.clone() else {
            let failure = built.failure.clone().unwrap_or_default();
            return Err(Error::Failed { cell: cell.id.clone(), failure });
        };
        let mut subject = handshake::ProgramUnderTest { program, agent: built.agent.clone() };
        let placed = [(places::EXTENSION, Some(&subject.program)), (places::AGENT, subject.agent.as_ref())];
        let placed = placed.into_iter().filter_map(|(place, file)| Some((place, file?)));
        let files: Vec<ProgramFile> =
            placed.map(|(place, file)| Ok(ProgramFile::of(place, &read(file)?))).collect::<Result<_, Error>>()?;
        let launcher = subject.agent.is_some().then(|| read(&subject.program)).transpose()?;
        let (mut identity, mut folder) = (None, None);
        if let Some(layer) = layer {
            let (root, floor) = (&context.root, layer.glibc_floor);
            let tools = &context.toolchain;
            let made = layers::of_build(root, context.manifest, cell.clone(), built.clone(), tools, floor)?;
            identity = Some(layer.identity(&made.zip)?);
            let place = tempfile::tempdir().map_err(Error::Directory)?;
            let (program, agent) = layer.unpack(place.path())?;
            subject = handshake::ProgramUnderTest { program, agent };
            folder = Some(place);
        }
        let bytes = read(subject.agent())?;
        let shipped = launcher.is_some().then(|| read(&subject.program)).transpose()?;
        let launcher = launcher.zip(shipped).map(|(built, shipped)| LauncherFiles { built, shipped });
        let worker = layer.and_then(ShippedWorker::of);
        Ok(Self { launcher, worker, subject, bytes, files, identity, _folder: folder })
    }
}

/// Writes the list of packages anew, for the report and for cargo-deny, and returns where they are.
pub fn write_packages(set: &str) -> Result<Vec<PathBuf>, Error> {
    let manifest = Manifest::embedded().map_err(|_| plan::Error::Manifest)?;
    let (cell, _) = plan::cell(manifest, set)?;
    let root = workspace::root();
    let toolchain = Toolchain::plain(&root, Profile::Release).map_err(build::Error::from)?;
    let (certified, builds) = (CertifiedModule::embedded()?, workspace::builds_directory());
    let context = Context { manifest, root, cell, toolchain, certified, builds, artefact: None };
    let allowed = PackageAllowlist::embedded().map_err(Error::Allowed)?;
    let text = allowed.rewritten(&context.packages_of_programs()?, allowed::is_foreign);
    let written = PackageAllowlist::read(&text).map_err(Error::Allowed)?;
    let mut files = vec![(context.root.join(allowed::FILE), text)];
    for program in allowed::PROGRAMS {
        let deny = context.root.join(program.deny_file());
        let configuration = String::from_utf8_lossy(&read(&deny)?).into_owned();
        let configuration = written.in_deny(program, &configuration).ok_or_else(|| Error::NoList(deny.clone()))?;
        files.push((deny, configuration));
    }
    for (path, text) in &files {
        files::write(path, text).map_err(|source| Error::File { path: path.clone(), source })?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

pub(super) fn check(interrupted: &AtomicBool) -> Result<(), Error> {
    if interrupted.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}

fn machine() -> Machine {
    let measure::Machine { cpu, cores, kernel, .. } = measure::Machine::here(Path::new("."));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    Machine { cpu, cores, kernel, load }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })
}
