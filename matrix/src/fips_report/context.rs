//! What is built, from what and with what, and the proofs that need nothing but that.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::allowed::{self, Allowed};
use super::build_report::BuildReport;
use super::certificate::Certified;
use super::compiled::{self, Call};
use super::document::{LauncherUnderTest, ProgramUnderTest};
use super::error::Error;
use super::gather::{Program, check, read};
use super::graph::{self, HeldBack};
use super::integrity::ModuleBytes;
use super::launcher::{self, Evidence};
use super::module_build::{self, ModuleBuild};
use super::procedure::{self, Step};
use super::proof::Proof;
use super::symbols::{self, Symbols};
use super::tools::{BuildTool, BuildTools};
use crate::build::recipe::Recipe;
use crate::build::{self, BuildRecord, Outcome};
use crate::flavour::{Toolchain, Tools};
use crate::hash;
use crate::layer::bundled;
use crate::manifest::Manifest;
use crate::materials::packages::{self, Packages};
use crate::plan::Cell;

/// What is built, from what and with what.
pub(super) struct Context<'m> {
    pub(super) manifest: &'m Manifest,
    pub(super) root: PathBuf,
    pub(super) cell: Cell,
    pub(super) toolchain: Toolchain,
    pub(super) certified: Certified,
    /// Where target directories are.
    pub(super) builds: PathBuf,
}

/// The packages of what is built.
pub(super) struct AllPackages {
    pub(super) agent: Packages,
    /// None without a launcher.
    pub(super) launcher: Option<Packages>,
    /// Those of both.
    pub(super) all: Packages,
}

/// The programs with the names of what is in them, and where the launcher was compiled.
pub(super) struct Named {
    command: String,
    agent: Outcome,
    launcher: Option<(Outcome, PathBuf)>,
}

impl Context<'_> {
    fn recipe(&self) -> Recipe {
        Recipe::of(self.manifest, &self.cell.levels)
    }

    /// What the agent is built with.
    pub(super) fn tools(&self) -> &Tools {
        &self.toolchain.agent
    }

    /// What both programs are built with.
    pub(super) fn used_tools(&self) -> Vec<&Tools> {
        let Toolchain { agent, launcher } = &self.toolchain;
        if self.has_launcher() { vec![agent, launcher] } else { vec![agent] }
    }

    pub(super) fn has_launcher(&self) -> bool {
        self.recipe().launcher
    }

    pub(super) fn packages(&self) -> Result<AllPackages, Error> {
        let recipe = self.recipe();
        let mut agent = Packages::of(&recipe.workspace(&self.root), &recipe.features, &self.tools().flavour.triple)?;
        bundled::mark_replaced(&mut agent)?;
        let launcher = recipe.launcher.then(|| self.launcher_packages()).transpose()?;
        let mut all = agent.clone();
        if let Some(launcher) = &launcher {
            all.add_program(launcher.clone());
        }
        Ok(AllPackages { agent, launcher, all })
    }

    pub(super) fn launcher_packages(&self) -> Result<Packages, Error> {
        Ok(build::launcher::packages(&self.root, &self.toolchain.launcher.flavour.triple)?)
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
        let allowed = Allowed::embedded().map_err(Error::Allowed)?;
        Ok(graph::judge(packages, &self.certified, &allowed, allowed::is_foreign, &command))
    }

    /// The programs with names, and the command that makes the agent.
    pub(super) fn named(&self, interrupted: &AtomicBool) -> Result<Named, Error> {
        let (command, agent) = build::named(self.manifest, &self.cell, self.tools(), &self.builds);
        // The signal has reached the compiler as well, so that its failure says nothing.
        check(interrupted)?;
        let failed = |failure| Error::Failed { cell: self.cell.id.clone(), failure };
        let agent = agent.map_err(failed)?;
        let launcher = self
            .has_launcher()
            .then(|| build::launcher::with_names(&self.root, &self.toolchain.launcher, &self.builds));
        check(interrupted)?;
        Ok(Named { command, agent, launcher: launcher.transpose().map_err(failed)? })
    }

    pub(super) fn module(&self, named: &Named) -> Result<ModuleBuild, Error> {
        let Certified { package, package_version, .. } = &self.certified;
        let script = named.agent.script(package, package_version);
        let script = script.ok_or_else(|| Error::ModuleBuild(format!("cargo names no build of {package}")))?;
        ModuleBuild::read(script).map_err(Error::ModuleBuild)
    }

    /// What rustc has read for both programs.
    pub(super) fn compiled(&self, named: &Named, packages: &Packages) -> Result<Proof, Error> {
        let target = build::directory(self.manifest, &self.cell, self.tools(), &self.builds);
        let agent = Call { workspace: self.recipe().workspace(&self.root), target };
        let launcher = named.launcher.as_ref().map(|(_, target)| {
            let workspace = Recipe::of_launcher(self.toolchain.launcher.flavour.architecture).workspace(&self.root);
            Call { workspace, target: target.clone() }
        });
        let calls: Vec<Call> = [agent].into_iter().chain(launcher).collect();
        let allowed = Allowed::embedded().map_err(Error::Allowed)?;
        compiled::look(&calls, &self.root, packages, &allowed).map_err(Error::Directory)
    }

    /// That the program in front of the agent is the launcher; none without one.
    pub(super) fn launcher(
        &self,
        named: &Named,
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
        Ok(Some(launcher::judge(&evidence, &Allowed::embedded().map_err(Error::Allowed)?)))
    }

    /// The policy's procedure beside what was done.
    pub(super) fn procedure(
        &self,
        module: &ModuleBuild,
        tools: &BuildTools,
        packages: &Packages,
        told: Option<&BuildReport>,
    ) -> Vec<Step> {
        let of_module = packages.0.iter().find(|(key, _)| key.name == self.certified.package);
        let checksum = of_module.and_then(|(_, package)| package.checksum.as_deref()).unwrap_or("none");
        // Without the file the system is unknown.
        let system = std::fs::read_to_string(procedure::SYSTEM).unwrap_or_default();
        let certified = &self.certified;
        procedure::steps(&procedure::Evidence { certified, module, tools, checksum, system: &system, told })
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
        module_build::judge(module, &folder, tools, counts, pinned, self.tools().flavour.architecture)
    }

    /// The packages that no build without the module has in this version.
    pub(super) fn held_back(&self, packages: &Packages) -> Result<Vec<HeldBack>, Error> {
        Ok(graph::held_back(packages, &packages::locked(&self.root)?))
    }

    /// What is in the program by its names, and where the module is in it.
    pub(super) fn names(
        &self,
        Named { command, agent: named, .. }: &Named,
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
        tools: Vec<BuildTool>,
    ) -> Result<ProgramUnderTest, Error> {
        let origin = built.origin.as_ref();
        let lock = |recipe: Recipe| read(&recipe.workspace(&self.root).join("Cargo.lock"));
        let launcher = self.has_launcher().then(|| {
            let command = build::launcher::command(&self.root, &self.toolchain.launcher, &self.builds);
            lock(Recipe::of_launcher(self.toolchain.launcher.flavour.architecture))
                .map(|lock| LauncherUnderTest { lock_sha256: hash::hexadecimal(&lock), command })
        });
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
            programs: program.files.clone(),
            tools,
        })
    }
}
