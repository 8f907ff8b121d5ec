//! Finds what the proofs are about: builds the program, compares the layer with it, looks at both, and has them run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::allowed::{self, Allowed};
use super::certificate::Certified;
use super::document::{Document, Machine, NOT_CLAIMED, ProgramUnderTest};
use super::error::Error;
use super::integrity::ModuleBytes;
use super::layer::{Expected, LayerFile, ProgramFile};
use super::module_build::{self, BuildTool, ModuleBuild};
use super::price::Price;
use super::proof::Proof;
use super::runs::{self, Runs};
use super::symbols::{self, Symbols};
use super::{graph, handshake, sources};
use crate::archive::places;
use crate::build::recipe::Recipe;
use crate::build::{self, BuildRecord, Outcome};
use crate::elf;
use crate::flavour::{LayerTarget, Toolchain, Tools};
use crate::hash;
use crate::layer::bundled;
use crate::manifest::Manifest;
use crate::materials::packages::{self, Packages};
use crate::plan::Cell;
use crate::target::{Architecture, Libc};
use crate::workspace::environment;
use crate::workspace::{Profile, target_directory};
use crate::{emulator, measure, plan, workspace};

/// What a report is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    pub set: String,
    /// A zip file that has to be of exactly these programs.
    pub layer: Option<PathBuf>,
    pub architecture: Architecture,
}

/// What was found, and judged.
pub struct Found {
    pub proofs: Vec<Proof>,
    pub subject: ProgramUnderTest,
    pub layer: Option<LayerFile>,
    pub certified: Certified,
}

/// All proofs but that of the price.
pub fn proofs(request: &Request, interrupted: &AtomicBool) -> Result<Found, Error> {
    let manifest = Manifest::embedded().map_err(|_| plan::Error::Manifest)?;
    let certified = Certified::embedded()?;
    let (cell, notes) = plan::cell(manifest, &request.set)?;
    for note in notes {
        eprintln!("note: {note}");
    }
    // Before minutes are spent on building.
    let layer = request.layer.as_ref().map(|path| {
        let (architecture, runs) = (request.architecture.to_string(), emulator::can_start(request.architecture));
        LayerFile::open(path, &Expected { cell: &cell.id, architecture: &architecture, runs })
    });
    let layer = layer.transpose()?;
    let root = workspace::root();
    let tools = toolbox(request.architecture, &cell, &root)?;
    let built = build::one(manifest, cell.clone(), tools.clone())?.ok_or(Error::Interrupted)?;
    let program = Program::of(&cell, &built, layer.as_ref())?;
    let context = Context { manifest, root, cell, tools: tools.agent, certified };
    let mut proofs: Vec<Proof> = program.identity.iter().cloned().collect();
    let packages = context.packages()?;
    proofs.push(sources::judge(&packages, &context.certified.sources));
    proofs.push(context.dependencies(&packages)?);
    eprintln!("{}: the same program once more, with the names of what is in it", context.cell.id);
    let named = context.named(interrupted)?;
    let module = context.module(&named)?;
    let build_tools = context.build_tools(&module);
    proofs.push(context.module_build(&module, &packages, &build_tools));
    let (names, place) = context.names(&named, &program)?;
    proofs.push(names);
    let runs = Runs { subject: &program.subject, bytes: &program.bytes, certified: &context.certified, interrupted };
    proofs.extend(runs::proofs(&runs, request.architecture, place)?);
    let subject = context.subject(&built, &program, build_tools)?;
    Ok(Found { proofs, subject, layer, certified: context.certified })
}

impl Found {
    /// Here and now.
    pub fn document(self, price: Option<Price>) -> Document {
        let Self { proofs, subject, layer, certified } = self;
        let date = OffsetDateTime::now_utc().replace_nanosecond(0).ok().and_then(|now| now.format(&Rfc3339).ok());
        Document {
            schema: 2,
            holds: proofs.iter().all(|proof| proof.holds),
            date: date.unwrap_or_default(),
            subject,
            layer: layer.map(|layer| layer.document),
            certified,
            proofs,
            price,
            machine: machine(),
            not_claimed: NOT_CLAIMED.to_vec(),
        }
    }
}

/// Plain tools for this machine's processor, and those of a layer that nobody calls certified for another one.
fn toolbox(architecture: Architecture, cell: &Cell, root: &Path) -> Result<Toolchain, Error> {
    if architecture == Architecture::of_this_machine() {
        return Ok(Toolchain::plain(root, Profile::Release).map_err(build::Error::from)?);
    }
    let wanted = LayerTarget { architecture, libc: Libc::Gnu, glibc_floor: elf::oldest(), accepts_open: true };
    let tools = Toolchain::of(&wanted, &cell.levels, root, &target_directory(), &|step| eprintln!("{step}"));
    Ok(tools.map_err(build::Error::from)?)
}

/// The files of a cell: those of the layer, if there is one.
struct Program {
    subject: handshake::ProgramUnderTest,
    /// Of the agent.
    bytes: Vec<u8>,
    files: Vec<ProgramFile>,
    /// That the layer has no others.
    identity: Option<Proof>,
    /// Where the layer is unpacked.
    _folder: Option<TempDir>,
}

impl Program {
    fn of(cell: &Cell, built: &BuildRecord, layer: Option<&LayerFile>) -> Result<Self, Error> {
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
            identity = Some(layer.identity(&files)?);
            let place = tempfile::tempdir().map_err(Error::Directory)?;
            let (program, agent) = layer.unpack(place.path())?;
            subject = handshake::ProgramUnderTest { program, agent };
            folder = Some(place);
        }
        let bytes = read(subject.agent())?;
        Ok(Self { subject, bytes, files, identity, _folder: folder })
    }
}

/// What is built, from what and with what.
struct Context<'m> {
    manifest: &'m Manifest,
    root: PathBuf,
    cell: Cell,
    tools: Tools,
    certified: Certified,
}

impl Context<'_> {
    fn recipe(&self) -> Recipe {
        Recipe::of(self.manifest, &self.cell.levels)
    }

    fn packages(&self) -> Result<Packages, Error> {
        let recipe = self.recipe();
        let mut packages = Packages::of(&recipe.workspace(&self.root), &recipe.features, &self.tools.flavour.triple)?;
        bundled::mark_replaced(&mut packages)?;
        Ok(packages)
    }

    fn dependencies(&self, packages: &Packages) -> Result<Proof, Error> {
        let recipe = self.recipe();
        let command = format!(
            "cargo tree --manifest-path {} --locked --package {} --edges normal,build --target {} --no-default-features --features {}",
            recipe.workspace(&self.root).join("Cargo.toml").display(),
            packages::ROOT,
            self.tools.flavour.triple,
            recipe.features.join(",")
        );
        let allowed = Allowed::embedded().map_err(Error::Allowed)?;
        Ok(graph::judge(packages, &self.certified, &allowed, allowed::is_foreign, &command))
    }

    /// The program with names, and the command that makes it.
    fn named(&self, interrupted: &AtomicBool) -> Result<(String, Outcome), Error> {
        let (command, named) = build::named(self.manifest, &self.cell, &self.tools);
        // The signal has reached the compiler as well, so that its failure says nothing.
        check(interrupted)?;
        let named = named.map_err(|failure| Error::Failed { cell: self.cell.id.clone(), failure })?;
        Ok((command, named))
    }

    fn module(&self, (_, named): &(String, Outcome)) -> Result<ModuleBuild, Error> {
        let Certified { package, package_version, .. } = &self.certified;
        let script = named.script(package, package_version);
        let script = script.ok_or_else(|| Error::ModuleBuild(format!("cargo names no build of {package}")))?;
        ModuleBuild::read(script).map_err(Error::ModuleBuild)
    }

    /// What has built the module, and the compiler of everything else.
    fn build_tools(&self, module: &ModuleBuild) -> Vec<BuildTool> {
        let mut tools = module.tools();
        let mut rustc = environment::rustc(&self.root);
        // As builds do, which run elsewhere: the variable counts before the file.
        let pinned = std::env::var("RUSTUP_TOOLCHAIN").ok();
        let pinned = pinned.or_else(|| environment::pinned_toolchain(&self.root).ok());
        rustc.envs(pinned.map(|toolchain| ("RUSTUP_TOOLCHAIN", toolchain)));
        let rustc = rustc.args(["--print", "sysroot"]).output();
        let sysroot = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let rustc = sysroot.map(|sysroot| format!("{sysroot}/bin/rustc")).unwrap_or_default();
        let rustc = self.tools.variables.get("RUSTC").cloned().unwrap_or(rustc);
        tools.push(BuildTool::of("rustc".to_owned(), &rustc, true));
        tools
    }

    fn module_build(&self, module: &ModuleBuild, packages: &Packages, tools: &[BuildTool]) -> Proof {
        let of_module = packages.0.iter().find(|(key, _)| key.name == self.certified.package);
        let folder = of_module.map(|(_, package)| package.folder.clone()).unwrap_or_default();
        module_build::judge(module, &folder, tools, &self.certified.build)
    }

    /// What is in the program by its names, and where the module is in it.
    fn names(
        &self,
        (command, named): &(String, Outcome),
        program: &Program,
    ) -> Result<(Proof, Result<ModuleBytes, String>), Error> {
        let symbols = |bytes: &[u8], path: &Path| Symbols::of(bytes).ok_or_else(|| Error::Program(path.to_owned()));
        let with_names = read(&named.program)?;
        let there = symbols(&with_names, &named.program)?;
        let shipped = symbols(&program.bytes, program.subject.agent())?;
        let proof = symbols::judge(&there, &shipped, &self.certified, command);
        Ok((proof, ModuleBytes::of(&with_names, &program.bytes)))
    }

    fn subject(
        &self,
        built: &BuildRecord,
        program: &Program,
        tools: Vec<BuildTool>,
    ) -> Result<ProgramUnderTest, Error> {
        let origin = built.origin.as_ref();
        let lock = self.recipe().workspace(&self.root).join("Cargo.lock");
        Ok(ProgramUnderTest {
            cell: self.cell.id.clone(),
            sha256: built.sha256.clone(),
            bytes: built.bytes,
            sources: origin.map(|origin| origin.sources.clone()).unwrap_or_default(),
            lock_sha256: hash::hexadecimal(&read(&lock)?),
            rustc: origin.map(|origin| origin.compiler.clone()).unwrap_or_default(),
            cc: self.tools.c_compiler.clone(),
            target: self.tools.flavour.triple.clone(),
            command: build::command(self.manifest, &self.cell, &self.tools),
            programs: program.files.clone(),
            tools,
        })
    }
}

/// Writes the list of packages anew, and returns where it is.
pub fn write_packages(set: &str) -> Result<PathBuf, Error> {
    let manifest = Manifest::embedded().map_err(|_| plan::Error::Manifest)?;
    let (cell, _) = plan::cell(manifest, set)?;
    let root = workspace::root();
    let tools = Toolchain::plain(&root, Profile::Release).map_err(build::Error::from)?.agent;
    let context = Context { manifest, root, cell, tools, certified: Certified::embedded()? };
    let allowed = Allowed::embedded().map_err(Error::Allowed)?;
    let path = context.root.join(allowed::FILE);
    let text = allowed.rewritten(&context.packages()?, allowed::is_foreign);
    fs::write(&path, text).map_err(|source| Error::File { path: path.clone(), source })?;
    Ok(path)
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

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })
}
