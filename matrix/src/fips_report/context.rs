//! What is built, from what and with what, and the proofs that need nothing but that.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::allowed::{self, Allowed};
use super::certificate::Certified;
use super::document::ProgramUnderTest;
use super::error::Error;
use super::gather::{Program, check, read};
use super::graph::{self, HeldBack};
use super::integrity::ModuleBytes;
use super::module_build::{self, ModuleBuild};
use super::proof::Proof;
use super::symbols::{self, Symbols};
use super::tools::{BuildTool, BuildTools};
use crate::build::recipe::Recipe;
use crate::build::{self, BuildRecord, Outcome};
use crate::flavour::Tools;
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
    pub(super) tools: Tools,
    pub(super) certified: Certified,
    /// Where target directories are.
    pub(super) builds: PathBuf,
}

impl Context<'_> {
    fn recipe(&self) -> Recipe {
        Recipe::of(self.manifest, &self.cell.levels)
    }

    pub(super) fn packages(&self) -> Result<Packages, Error> {
        let recipe = self.recipe();
        let mut packages = Packages::of(&recipe.workspace(&self.root), &recipe.features, &self.tools.flavour.triple)?;
        bundled::mark_replaced(&mut packages)?;
        Ok(packages)
    }

    pub(super) fn dependencies(&self, packages: &Packages) -> Result<Proof, Error> {
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
    pub(super) fn named(&self, interrupted: &AtomicBool) -> Result<(String, Outcome), Error> {
        let (command, named) = build::named(self.manifest, &self.cell, &self.tools, &self.builds);
        // The signal has reached the compiler as well, so that its failure says nothing.
        check(interrupted)?;
        let named = named.map_err(|failure| Error::Failed { cell: self.cell.id.clone(), failure })?;
        Ok((command, named))
    }

    pub(super) fn module(&self, (_, named): &(String, Outcome)) -> Result<ModuleBuild, Error> {
        let Certified { package, package_version, .. } = &self.certified;
        let script = named.script(package, package_version);
        let script = script.ok_or_else(|| Error::ModuleBuild(format!("cargo names no build of {package}")))?;
        ModuleBuild::read(script).map_err(Error::ModuleBuild)
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
        module_build::judge(module, &folder, tools, counts, pinned, self.tools.flavour.architecture)
    }

    /// The packages that no build without the module has in this version.
    pub(super) fn held_back(&self, packages: &Packages) -> Result<Vec<HeldBack>, Error> {
        Ok(graph::held_back(packages, &packages::locked(&self.root)?))
    }

    /// What is in the program by its names, and where the module is in it.
    pub(super) fn names(
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

    pub(super) fn subject(
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
            command: build::command(self.manifest, &self.cell, &self.tools, &self.builds),
            programs: program.files.clone(),
            tools,
        })
    }
}
