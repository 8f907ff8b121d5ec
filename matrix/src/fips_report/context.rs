//! What is built, from what and with what, and the proofs that need nothing but that.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::allowed::{self, PackageAllowlist, PackagesOfPrograms};
use super::build_report::BuildReport;
use super::certificate::CertifiedModule;
use super::compiled::{self, Call};
use super::distribution;
use super::document::{ProgramBuild, ProgramUnderTest};
use super::error::Error;
use super::gather::{Program, ShippedWorker, check, read};
use super::graph::{self, HeldBackPackage};
use super::integrity::ModuleBytes;
use super::launcher::{self, Evidence};
use super::layer::ProgramFile;
use super::linker_inputs::{self, LinkerInputs};
use super::module_build::{self, ModuleBuild};
use super::procedure::{self, Step};
use super::proof::Proof;
use super::rust_tools;
use super::symbols::{self, Symbols};
use super::tools::{BuildTool, BuildTools};
use super::worker::{self, WorkerFiles};
use crate::archive::places;
use crate::build::recipe::Recipe;
use crate::build::waf::{self, Artefact};
use crate::build::{self, BuildRecord, Outcome};
use crate::flavour::{Toolchain, Tools};
use crate::hash;
use crate::layer::bundled;
use crate::manifest::{Manifest, ON};
use crate::materials::packages::{self, Packages};
use crate::plan::Cell;
use crate::workspace::{sources, target_directory};

/// The build that the report is about: its cell, workspace and tools.
pub(super) struct Context<'m> {
    pub(super) manifest: &'m Manifest,
    pub(super) root: PathBuf,
    pub(super) cell: Cell,
    pub(super) toolchain: Toolchain,
    pub(super) certified: CertifiedModule,
    /// The directory of cargo's target directories.
    pub(super) builds: PathBuf,
    /// The pinned libddwaf.so and rules; `None` without a WAF worker, and before `install_artefact`.
    pub(super) artefact: Option<Artefact>,
}

/// The packages of each program, by its lock file.
pub(super) struct AllPackages {
    pub(super) agent: Packages,
    /// `None` if the set has no launcher.
    pub(super) launcher: Option<Packages>,
    /// `None` if the set has no WAF worker.
    pub(super) worker: Option<Packages>,
    /// The packages of all programs together.
    pub(super) all: Packages,
}

/// The programs built with their symbols, and the target directories of launcher and worker.
pub(super) struct ProgramsWithSymbols {
    command: String,
    agent: Outcome,
    launcher: Option<(Outcome, PathBuf)>,
    worker: Option<WorkerWithSymbols>,
}

/// The WAF worker, which is built for the report alone.
pub(super) struct WorkerWithSymbols {
    /// The stripped program, as a layer has it.
    built: Vec<u8>,
    /// libddwaf.so.
    library: Vec<u8>,
    rules: Vec<u8>,
    named: Outcome,
    target: PathBuf,
    command: String,
}

impl WorkerWithSymbols {
    /// The files of a layer for the WAF worker.
    pub(super) fn files(&self) -> WorkerFiles<'_> {
        WorkerFiles { program: &self.built, library: &self.library, rules: &self.rules }
    }
}

impl Context<'_> {
    fn recipe(&self) -> Recipe {
        Recipe::of(self.manifest, &self.cell.levels)
    }

    /// The tools that build the agent.
    pub(super) fn tools(&self) -> &Tools {
        &self.toolchain.agent
    }

    /// The tools that build the agent, and those of launcher and worker if the set has one.
    pub(super) fn used_tools(&self) -> Vec<&Tools> {
        let Toolchain { agent, launcher } = &self.toolchain;
        if self.has_launcher() || self.has_worker() { vec![agent, launcher] } else { vec![agent] }
    }

    /// Whether the agent starts the WAF worker.
    pub(super) fn has_worker(&self) -> bool {
        has_worker(&self.cell)
    }

    /// Downloads libddwaf.so and the rules unless they are there.
    pub(super) fn install_artefact(&mut self) -> Result<(), Error> {
        if self.has_worker() {
            let architecture = self.toolchain.launcher.flavour.architecture;
            self.artefact = Some(Artefact::ensure(architecture, &target_directory(), &|step| eprintln!("{step}"))?);
        }
        Ok(())
    }

    pub(super) fn has_launcher(&self) -> bool {
        self.recipe().launcher
    }

    pub(super) fn packages(&self) -> Result<AllPackages, Error> {
        let recipe = self.recipe();
        let mut agent = Packages::of(&recipe.workspace(&self.root), &recipe.features, &self.tools().flavour.triple)?;
        bundled::mark_replaced(&mut agent)?;
        let triple = &self.toolchain.launcher.flavour.triple;
        let launcher = recipe.launcher.then(|| build::launcher::packages(&self.root, triple)).transpose()?;
        let worker = self.has_worker().then(|| waf::packages(&self.root, triple)).transpose()?;
        let mut all = agent.clone();
        for program in launcher.iter().chain(&worker) {
            all.add_program(program.clone());
        }
        Ok(AllPackages { agent, launcher, worker, all })
    }

    /// The packages of agent, launcher and worker, whether this cell has them or not.
    pub(super) fn packages_of_programs(&self) -> Result<PackagesOfPrograms, Error> {
        let triple = &self.toolchain.launcher.flavour.triple;
        Ok(PackagesOfPrograms {
            agent: self.packages()?.agent,
            launcher: build::launcher::packages(&self.root, triple)?,
            worker: waf::packages(&self.root, triple)?,
        })
    }

    /// The packages that this report allows for its processor.
    fn allowlist(&self) -> Result<PackageAllowlist, Error> {
        PackageAllowlist::embedded_for(self.tools().flavour.architecture).map_err(Error::Allowed)
    }

    pub(super) fn dependencies(&self, packages: &Packages) -> Result<Proof, Error> {
        let recipe = self.recipe();
        let command = format!(
            "cargo tree --manifest-path {} --locked --package {} --edges normal,build --target {} --no-default-features --features {}",
            recipe.workspace(&self.root).join("Cargo.toml").display(),
            packages::ROOT,
            self.tools().flavour.triple,
            recipe.features.join(",")
        );
        let allowed = self.allowlist()?;
        Ok(graph::judge(packages, &self.certified, &allowed, allowed::is_foreign, &command))
    }

    /// The programs with names, and the command that makes the agent.
    pub(super) fn named(&self, interrupted: &AtomicBool) -> Result<ProgramsWithSymbols, Error> {
        let (command, agent) = build::named(self.manifest, &self.cell, self.tools(), &self.builds);
        // The signal has reached the compiler as well, so that its failure says nothing.
        check(interrupted)?;
        let failed = |failure| Error::Failed { cell: self.cell.id.clone(), failure };
        let agent = agent.map_err(failed)?;
        let launcher = self
            .has_launcher()
            .then(|| build::launcher::with_names(&self.root, &self.toolchain.launcher, &self.builds));
        check(interrupted)?;
        let worker = self.artefact.as_ref().map(|artefact| self.named_worker(artefact)).transpose();
        check(interrupted)?;
        Ok(ProgramsWithSymbols { command, agent, launcher: launcher.transpose().map_err(failed)?, worker: worker? })
    }

    /// The worker as it is shipped, and then with names, which takes the place of the other.
    fn named_worker(&self, artefact: &Artefact) -> Result<WorkerWithSymbols, Error> {
        let (root, tools, builds) = (&self.root, &self.toolchain.launcher, &self.builds);
        let failed = |failure| Error::Failed { cell: waf::NAME.to_owned(), failure };
        let built = waf::build(root, tools, builds, artefact, &|_| {}).map_err(failed)?;
        let built = read(&built.program)?;
        let (named, target) = waf::with_names(root, tools, builds, artefact).map_err(failed)?;
        let command = waf::command(root, tools, builds, artefact);
        let rules = artefact.compressed_rules().map_err(Error::Directory)?;
        Ok(WorkerWithSymbols { built, library: read(&artefact.library)?, rules, named, target, command })
    }

    pub(super) fn module(&self, named: &ProgramsWithSymbols) -> Result<ModuleBuild, Error> {
        let CertifiedModule { package, package_version, .. } = &self.certified;
        let script = named.agent.script(package, package_version);
        let script = script.ok_or_else(|| Error::ModuleBuild(format!("cargo names no build of {package}")))?;
        ModuleBuild::read(script).map_err(Error::ModuleBuild)
    }

    /// What the linkers of all programs have opened. What this build has made, and what is of the sources, of Rust's toolchain and of the pinned WAF, other proofs are about.
    pub(super) fn linker_inputs(&self, named: &ProgramsWithSymbols, before: &[BuildTool]) -> LinkerInputs {
        let programs = [
            ("the agent", Some(&named.agent)),
            (build::launcher::NAME, named.launcher.as_ref().map(|(launcher, _)| launcher)),
            (waf::NAME, named.worker.as_ref().map(|worker| &worker.named)),
        ];
        let programs = programs.into_iter().filter_map(|(name, program)| Some((name, program?.link_report.as_ref())));
        let (root, builds) = (canonical(&self.root), canonical(&self.builds));
        let library = self.artefact.as_ref().map(|artefact| canonical(&artefact.library));
        let standard: Vec<&str> = before
            .iter()
            .filter(|tool| tool.name == rust_tools::STANDARD_LIBRARY)
            .map(|tool| tool.path.as_str())
            .collect();
        linker_inputs::look(programs, &|file| {
            file.starts_with(&builds)
                || standard.iter().any(|folder| file.starts_with(folder))
                || library.as_deref() == Some(file)
                || file.strip_prefix(&root).is_ok_and(sources::is_part)
        })
    }

    /// What rustc has read for both programs.
    pub(super) fn compiled(&self, named: &ProgramsWithSymbols, packages: &Packages) -> Result<Proof, Error> {
        let target = build::directory(self.manifest, &self.cell, self.tools(), &self.builds);
        let agent = Call { workspace: self.recipe().workspace(&self.root), target };
        // Both of them are of the same workspace.
        let beside = self.root.join(build::launcher::FOLDER);
        let launcher = named.launcher.as_ref().map(|(_, target)| target);
        let targets = launcher.into_iter().chain(named.worker.as_ref().map(|worker| &worker.target));
        let calls = targets.map(|target| Call { workspace: beside.clone(), target: target.clone() });
        let calls: Vec<Call> = [agent].into_iter().chain(calls).collect();
        let allowed = self.allowlist()?;
        compiled::look(&calls, &self.root, packages, &allowed).map_err(Error::Directory)
    }

    /// That the program in front of the agent is the launcher; none without one.
    pub(super) fn launcher(
        &self,
        named: &ProgramsWithSymbols,
        program: &Program,
        packages: &AllPackages,
    ) -> Result<Option<Proof>, Error> {
        let (Some((with_names, _)), Some(files), Some(packages)) =
            (&named.launcher, &program.launcher, &packages.launcher)
        else {
            return Ok(None);
        };
        let tools = &self.toolchain.launcher;
        let evidence = Evidence {
            built: &files.built,
            shipped: &files.shipped,
            named: &read(&with_names.program)?,
            packages,
            architecture: &tools.flavour.architecture.to_string(),
            module: &self.certified.module,
            command: &build::launcher::command(&self.root, tools, &self.builds),
        };
        Ok(Some(launcher::judge(&evidence, &self.allowlist()?)))
    }

    /// That what the agent starts for `AppSec` is the WAF worker, and what is beside it; none without one.
    pub(super) fn worker(
        &self,
        named: &ProgramsWithSymbols,
        program: &Program,
        packages: &AllPackages,
    ) -> Result<Option<Proof>, Error> {
        let (Some(worker), Some(packages)) = (&named.worker, &packages.worker) else { return Ok(None) };
        let evidence = worker::Evidence {
            built: &worker.built,
            named: &read(&worker.named.program)?,
            shipped: program.worker.as_ref().map_or_else(|| worker.files(), ShippedWorker::files),
            packages,
            architecture: &self.toolchain.launcher.flavour.architecture.to_string(),
            module: &self.certified.module,
            command: &worker.command,
        };
        let allowed = self.allowlist()?;
        Ok(Some(worker::judge(&evidence, &allowed, &waf::pinned()?)))
    }

    /// The policy's procedure beside what was done.
    pub(super) fn procedure(
        &self,
        module: &ModuleBuild,
        tools: &BuildTools,
        packages: &Packages,
        build_report: Option<&BuildReport>,
    ) -> Vec<Step> {
        let of_module = packages.0.iter().find(|(key, _)| key.name == self.certified.package);
        let checksum = of_module.and_then(|(_, package)| package.checksum.as_deref()).unwrap_or("none");
        // Without the file the system is unknown.
        let system = std::fs::read_to_string(procedure::SYSTEM).unwrap_or_default();
        let certified = &self.certified;
        procedure::steps(&procedure::Evidence { certified, module, tools, checksum, system: &system, build_report })
    }

    /// `compiled` is how many crates and build scripts cargo has compiled.
    pub(super) fn module_build(
        &self,
        module: &ModuleBuild,
        packages: &Packages,
        tools: &BuildTools,
        compiled: usize,
    ) -> Proof {
        let of_module = packages.0.iter().find(|(key, _)| key.name == self.certified.package);
        let folder = of_module.map(|(_, package)| package.folder.clone()).unwrap_or_default();
        let (counts, pinned) = ((compiled, packages.0.len()), &self.certified.build);
        let of_packages = distribution::compare(&tools.after, Path::new(distribution::DPKG));
        module_build::judge(module, &folder, tools, counts, pinned, self.tools().flavour.architecture, of_packages)
    }

    /// The packages that no build without the module has in this version.
    pub(super) fn held_back(&self, packages: &Packages) -> Result<Vec<HeldBackPackage>, Error> {
        Ok(graph::held_back(packages, &packages::locked(&self.root)?))
    }

    /// What is in the program by its names, and where the module is in it.
    pub(super) fn names(
        &self,
        ProgramsWithSymbols { command, agent: named, .. }: &ProgramsWithSymbols,
        program: &Program,
    ) -> Result<(Proof, Result<ModuleBytes, String>), Error> {
        let symbols = |bytes: &[u8], path: &Path| Symbols::of(bytes).ok_or_else(|| Error::Program(path.to_owned()));
        let with_names = read(&named.program)?;
        let there = symbols(&with_names, &named.program)?;
        let shipped = symbols(&program.bytes, program.subject.agent())?;
        let proof = symbols::judge(&there, &shipped, &self.certified, command);
        Ok((proof, ModuleBytes::of(&with_names, &program.bytes)))
    }

    pub(super) fn subject(
        &self,
        built: &BuildRecord,
        program: &Program,
        named: &ProgramsWithSymbols,
        tools: Vec<BuildTool>,
    ) -> Result<ProgramUnderTest, Error> {
        let origin = built.origin.as_ref();
        let lock = |recipe: Recipe| read(&recipe.workspace(&self.root).join("Cargo.lock"));
        // Launcher and worker have one lock file.
        let beside = |command: String| -> Result<ProgramBuild, Error> {
            let lock = lock(Recipe::of_launcher(self.toolchain.launcher.flavour.architecture))?;
            Ok(ProgramBuild { lock_sha256: hash::hexadecimal(&lock), command })
        };
        let launcher = self
            .has_launcher()
            .then(|| beside(build::launcher::command(&self.root, &self.toolchain.launcher, &self.builds)));
        let worker = named.worker.as_ref();
        let mut programs = program.files.clone();
        programs.extend(worker.iter().flat_map(|worker| {
            [(places::WAF, &worker.built), (places::WAF_LIBRARY, &worker.library), (places::WAF_RULES, &worker.rules)]
                .map(|(place, bytes)| ProgramFile::of(place, bytes))
        }));
        Ok(ProgramUnderTest {
            cell: self.cell.id.clone(),
            sha256: built.sha256.clone(),
            bytes: built.bytes,
            sources: origin.map(|origin| origin.sources.clone()).unwrap_or_default(),
            lock_sha256: hash::hexadecimal(&lock(self.recipe())?),
            rustc: origin.map(|origin| origin.compiler.clone()).unwrap_or_default(),
            cc: self.tools().c_compiler.clone(),
            target: self.tools().flavour.triple.clone(),
            command: build::command(self.manifest, &self.cell, self.tools(), &self.builds),
            launcher: launcher.transpose()?,
            worker: worker.map(|worker| beside(worker.command.clone())).transpose()?,
            programs,
            tools,
        })
    }
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Whether an agent starts the WAF worker.
pub(super) fn has_worker(cell: &Cell) -> bool {
    cell.levels.get(waf::SWITCH).is_some_and(|level| level == ON)
}
