//! Finds what the proofs are about: builds the program from nothing, compares the layer with it, looks at both, and has them run.

use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::allowed::{self, Allowed};
use super::certificate::Certified;
use super::context::Context;
use super::document::{Document, Machine, NOT_CLAIMED, ProgramUnderTest};
use super::error::Error;
use super::graph::HeldBack;
use super::handshake;
use super::layer::{Expected, LayerFile, ProgramFile};
use super::price::Price;
use super::proof::{Facts, Proof};
use super::runs::{self, Runs};
use super::sources;
use super::tools::{self, BuildTool, BuildTools};
use super::tree::Tree;
use crate::archive::places;
use crate::build::recipe::Recipe;
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
    /// Whether sources that differ from their commit are refused.
    pub refuse_dirty: bool,
}

/// What was found, and judged.
pub struct Found {
    pub proofs: Vec<Proof>,
    pub subject: ProgramUnderTest,
    pub layer: Option<LayerFile>,
    pub certified: Certified,
    pub tree: Tree,
    pub held_back: Vec<HeldBack>,
}

/// What was there before the build.
struct Before {
    tree: Tree,
    sources: Facts,
    tools: Vec<BuildTool>,
}

/// All proofs but that of the price.
pub fn proofs(request: &Request, interrupted: &AtomicBool) -> Result<Found, Error> {
    let manifest = Manifest::embedded().map_err(|_| plan::Error::Manifest)?;
    let (cell, notes) = plan::cell(manifest, &request.set)?;
    for note in notes {
        eprintln!("note: {note}");
    }
    // All that can be refused is refused before minutes are spent on building.
    if Recipe::of(manifest, &cell.levels).launcher {
        return Err(Error::Launcher { cell: cell.id });
    }
    let root = workspace::root();
    let tree = Tree::look(&root)?;
    if request.refuse_dirty && !tree.is_clean() {
        return Err(Error::Dirty { sources: tree.sources });
    }
    let layer = request.open(&cell)?;
    let toolbox = request.toolbox(&cell, &root, layer.as_ref())?;
    let flavours = Flavours::embedded().map_err(build::Error::from)?;
    flavours.check_programs(iter::once(&cell.levels)).map_err(build::Error::from)?;
    let builds = empty_folder()?;
    let context = Context {
        manifest,
        root,
        cell,
        tools: toolbox.agent.clone(),
        certified: Certified::embedded()?,
        builds: builds.path().to_owned(),
    };
    let packages = context.packages()?;
    let before = Before::look(&context, tree, &packages);
    eprintln!("{}: building it from nothing", context.cell.id);
    let built = build::anew(manifest, context.cell.clone(), toolbox.clone(), builds.path())?;
    let built = built.ok_or(Error::Interrupted)?;
    let program = Program::of(&context, &built, layer.as_ref(), &toolbox)?;
    eprintln!("{}: the same program once more, with the names of what is in it", context.cell.id);
    let named = context.named(interrupted)?;
    let module = context.module(&named)?;
    let tree = Tree::look(&context.root)?;
    let mut proofs: Vec<Proof> = program.identity.iter().cloned().collect();
    proofs.push(tree.judge(&before.tree));
    proofs.push(sources::judge(&before.sources, sources::look(&packages, &context.certified.sources)));
    proofs.push(context.dependencies(&packages)?);
    let tools = BuildTools { before: before.tools, after: tools::used(&context.root, &context.tools, &module) };
    proofs.push(context.module_build(&module, &packages, &tools, built.compiled.unwrap_or_default()));
    let (names, place) = context.names(&named, &program)?;
    proofs.push(names);
    let runs = Runs { subject: &program.subject, bytes: &program.bytes, certified: &context.certified, interrupted };
    proofs.extend(runs::proofs(&runs, request.architecture, place)?);
    let (subject, held_back) = (context.subject(&built, &program, tools.after)?, context.held_back(&packages)?);
    Ok(Found { proofs, subject, layer, certified: context.certified, tree, held_back })
}

impl Before {
    fn look(context: &Context<'_>, tree: Tree, packages: &Packages) -> Self {
        let sources = sources::look(packages, &context.certified.sources);
        Self { tree, sources, tools: tools::at_hand(&context.root, &context.tools) }
    }
}

impl Request {
    fn open(&self, cell: &Cell) -> Result<Option<LayerFile>, Error> {
        let (architecture, runs) = (self.architecture.to_string(), emulator::can_start(self.architecture));
        let expected = Expected { cell: &cell.id, architecture: &architecture, runs };
        Ok(self.layer.as_ref().map(|path| LayerFile::open(path, &expected)).transpose()?)
    }

    /// Those of a layer, where there is one or the program is for another processor; no report calls that certified.
    fn toolbox(&self, cell: &Cell, root: &Path, layer: Option<&LayerFile>) -> Result<Toolchain, Error> {
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

impl Found {
    /// Here and now.
    pub fn document(self, price: Option<Price>) -> Document {
        let Self { proofs, subject, layer, certified, tree, held_back } = self;
        let date = OffsetDateTime::now_utc().replace_nanosecond(0).ok().and_then(|now| now.format(&Rfc3339).ok());
        Document {
            schema: 4,
            holds: proofs.iter().all(|proof| proof.holds),
            date: date.unwrap_or_default(),
            subject,
            tree,
            held_back,
            layer: layer.map(|layer| layer.document),
            certified,
            proofs,
            price,
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
    /// That the layer is what is made of it.
    identity: Option<Proof>,
    /// Where the layer is unpacked.
    _folder: Option<TempDir>,
}

impl Program {
    fn of(
        context: &Context<'_>,
        built: &BuildRecord,
        layer: Option<&LayerFile>,
        tools: &Toolchain,
    ) -> Result<Self, Error> {
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
        let (mut identity, mut folder) = (None, None);
        if let Some(layer) = layer {
            let (root, floor) = (&context.root, layer.glibc_floor);
            let made = layers::of_build(root, context.manifest, cell.clone(), built.clone(), tools, floor)?;
            identity = Some(layer.identity(&made.zip)?);
            let place = tempfile::tempdir().map_err(Error::Directory)?;
            let (program, agent) = layer.unpack(place.path())?;
            subject = handshake::ProgramUnderTest { program, agent };
            folder = Some(place);
        }
        let bytes = read(subject.agent())?;
        Ok(Self { subject, bytes, files, identity, _folder: folder })
    }
}

/// Writes the list of packages anew, for the report and for cargo-deny, and returns where they are.
pub fn write_packages(set: &str) -> Result<[PathBuf; 2], Error> {
    let manifest = Manifest::embedded().map_err(|_| plan::Error::Manifest)?;
    let (cell, _) = plan::cell(manifest, set)?;
    let root = workspace::root();
    let tools = Toolchain::plain(&root, Profile::Release).map_err(build::Error::from)?.agent;
    let context = Context {
        manifest,
        root,
        cell,
        tools,
        certified: Certified::embedded()?,
        builds: workspace::builds_directory(),
    };
    let allowed = Allowed::embedded().map_err(Error::Allowed)?;
    let text = allowed.rewritten(&context.packages()?, allowed::is_foreign);
    let written = Allowed::read(&text).map_err(Error::Allowed)?;
    let [list, deny] = [allowed::FILE, allowed::DENY_FILE].map(|file| context.root.join(file));
    let configuration = String::from_utf8_lossy(&read(&deny)?).into_owned();
    let configuration = written.in_deny(&configuration).ok_or_else(|| Error::NoList(deny.clone()))?;
    for (path, text) in [(&list, text), (&deny, configuration)] {
        files::write(path, text).map_err(|source| Error::File { path: path.clone(), source })?;
    }
    Ok([list, deny])
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
