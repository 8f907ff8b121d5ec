//! The launcher: a program of another kind than the agent. It is built from a package of its own, with the flags that the package's own cargo configuration has,
//! and is the same before every agent. It has no text about itself, and so its file is looked at instead of asking it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;

use super::Failure;
use super::cargo::{CargoCommand, Outcome};
use super::file_report;
use super::recipe::Recipe;
use crate::elf::Linkage;
use crate::elf::program::Program;
use crate::flavour::{Toolchain, Tools};
use crate::materials::packages::{self, Packages};
use crate::target::Architecture;
use crate::workspace;
use crate::workspace::{Profile, builds_directory};

/// The folder of its own workspace, from the root of the other one.
pub const FOLDER: &str = "crates";
/// The name of its package and of its program.
pub const NAME: &str = "launcher";
/// Maximum size of its file in bytes: four pages. What is loaded before the registration is what every function pays for.
pub const MAX_BYTES: usize = 16 << 10;

/// The cargo configuration of its package, as it was when this program was built.
pub(crate) const CONFIGURATION: &str = include_str!("../../../crates/launcher/.cargo/config.toml");

/// The part of the configuration that counts here: the flags for each set of targets, by cargo's name of the set.
#[derive(Default, Deserialize)]
struct Configuration {
    target: BTreeMap<String, Target>,
}

#[derive(Deserialize)]
struct Target {
    rustflags: Vec<String>,
}

/// The flags of rustc that make it for this processor.
pub fn rustflags(architecture: Architecture) -> Vec<String> {
    const EVERYWHERE: &str = r#"cfg(target_os = "linux")"#;
    let processor = match architecture {
        Architecture::X86_64 => r#"cfg(target_arch = "x86_64")"#,
        Architecture::Arm64 => r#"cfg(target_arch = "aarch64")"#,
    };
    // A test reads it, so that it can be read.
    let mut targets = toml::from_str::<Configuration>(CONFIGURATION).unwrap_or_default().target;
    [EVERYWHERE, processor].iter().filter_map(|target| targets.remove(*target)).flat_map(|it| it.rustflags).collect()
}

/// The launcher for tests: built into the target directory by the first that asks, for this machine.
pub fn for_tests() -> Result<&'static Path, Failure> {
    static BUILT: OnceLock<Result<PathBuf, Failure>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let root = workspace::root();
        let failure = |output: String| Failure { command: format!("cargo build in {FOLDER}/{NAME}"), output };
        let tools = Toolchain::plain(&root, Profile::Release).map_err(|error| failure(error.to_string()))?.launcher;
        let builds = builds_directory();
        let call = CargoCommand::new(NAME, &Recipe::of_launcher(tools.flavour.architecture), &tools, &root, &builds);
        Ok(call.run(&root, &|_| {})?.program)
    });
    built.as_deref().map_err(Clone::clone)
}

/// The command that makes the launcher of the workspace in `root` below `builds`.
pub fn command(root: &Path, tools: &Tools, builds: &Path) -> String {
    CargoCommand::new(NAME, &Recipe::of_launcher(tools.flavour.architecture), tools, root, builds).shell()
}

/// The launcher of the workspace in `root` with the names of everything in it, and where it was compiled below `builds`.
pub fn with_names(root: &Path, tools: &Tools, builds: &Path) -> Result<(Outcome, PathBuf), Failure> {
    let call = CargoCommand::new(NAME, &Recipe::of_launcher(tools.flavour.architecture), tools, root, builds).named();
    let outcome = call.run(root, &|_| {})?;
    let target = call.release_directory().map_or_else(|| builds.to_owned(), Path::to_owned);
    Ok((outcome, target))
}

/// The launcher's packages, by its own lock file.
pub fn packages(root: &Path, target: &str) -> Result<Packages, packages::Error> {
    Packages::of_package(NAME, &root.join(FOLDER), &[], target)
}

/// What can be said of a program that is a launcher, in place of what other programs say of themselves.
pub fn document(program: &[u8]) -> Result<Value, String> {
    file_report::document(NAME, program)
}

/// Whether a document is one of a launcher.
pub fn is_build_info(document: &Value) -> bool {
    file_report::is_of(NAME, document)
}

/// In what a program is not what a launcher has to be: static without anything to be relocated, small, and for this processor.
pub fn objections(program: &[u8], architecture: &str) -> Vec<String> {
    let Some(linkage) = Linkage::of(program) else { return vec!["it is no 64-bit ELF file".to_owned()] };
    let mut objections = Vec::new();
    if let Some(interpreter) = &linkage.interpreter {
        objections.push(format!("it needs the loader {interpreter}"));
    }
    if Program::parse(program).is_ok_and(|program| program.is_dynamic()) {
        objections.push("it has a dynamic segment, so that it has to be relocated".to_owned());
    }
    if program.len() > MAX_BYTES {
        objections.push(format!("it has {} bytes, and at most {MAX_BYTES} are allowed", program.len()));
    }
    if linkage.architecture != architecture {
        objections.push(format!("it is for {}, not {architecture}", linkage.architecture));
    }
    objections
}

/// The same of a file.
pub fn objections_to_file(program: &Path, architecture: &str) -> Vec<String> {
    fs::read(program).map_or_else(|error| vec![error.to_string()], |bytes| objections(&bytes, architecture))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_the_packages_own_configuration() {
        let flags = rustflags(Architecture::X86_64);
        for flag in ["linker=rust-lld", "relocation-model=static", "link-arg=--script=launcher/layout.ld"] {
            assert!(flags.iter().any(|other| other == flag), "{flag} is not in {flags:?}");
        }
        let more = rustflags(Architecture::Arm64);
        assert_eq!(more.strip_prefix(&*flags), Some(&["-C".to_owned(), "code-model=tiny".to_owned()][..]), "{more:?}");
    }

    #[test]
    fn the_launcher_is_static_and_small_and_no_other_program_is_one() {
        let architecture = Architecture::of_this_machine().to_string();
        let launcher = fs::read(for_tests().unwrap()).unwrap();
        assert_eq!(objections(&launcher, &architecture), Vec::<String>::new());
        let build_info = document(&launcher).unwrap();
        assert!(
            is_build_info(&build_info) && build_info["static"] == true && build_info["architecture"] == architecture,
            "{build_info}"
        );
        let other = fs::read(std::env::current_exe().unwrap()).unwrap();
        let against = objections(&other, "m68k").join("; ");
        for part in ["loader", "dynamic segment", "at most", "not m68k"] {
            assert!(against.contains(part), "{part} is not in: {against}");
        }
        assert_eq!(objections(b"#!/bin/sh", &architecture), ["it is no 64-bit ELF file"]);
        assert!(document(b"").is_err());
    }
}
