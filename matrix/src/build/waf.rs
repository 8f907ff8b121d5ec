//! The WAF worker: a program of its own beside every agent with the component `appsec`, built from a package of its own, with the library and the rules that it works with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;

pub use super::waf_artefact::{Artefact, Error, PinnedArtefact, pinned};
pub(crate) use super::waf_artefact::{FILE as PINS, TEXT as PINS_TEXT};

use super::Failure;
use super::cargo::{CargoCommand, Outcome};
use super::file_report;
use super::launcher::FOLDER;
use super::recipe::Recipe;
use crate::archive::places;
use crate::elf::Linkage;
use crate::flavour::{Toolchain, Tools};
use crate::materials::packages::{self, Packages};
use crate::sandbox::setup::LayerFile;
use crate::target::Architecture;
use crate::workspace::{Profile, builds_directory, target_directory};
use crate::{executable, workspace};

/// The name of its package and of its program.
pub const NAME: &str = "waf";
/// The switch of agents that start it.
pub const SWITCH: &str = "appsec";
/// The name of the library, by which the loader looks for it.
pub const LIBRARY: &str = "libddwaf.so";
/// The name of the compressed rules.
pub const RULES: &str = "rules.json.gz";
/// Maximum size of its file in bytes.
pub const MAX_BYTES: usize = 64 << 10;

/// The cargo configuration of its package, as it was when this program was built.
pub(crate) const CONFIGURATION: &str = include_str!("../../../crates/waf/.cargo/config.toml");

/// What the worker imports, beside what begins with `ddwaf_`. glibc 2.26 looks for a symbol in the library in which newer ones have it only if it was always there: of these it
/// was.
const IMPORTS: [&str; 11] = [
    "__libc_start_main",
    "abort",
    "bcmp",
    "calloc",
    "free",
    "malloc",
    "memcpy",
    "memmove",
    "memset",
    "realloc",
    "strlen",
];

/// The part of the configuration that counts here.
#[derive(Default, Deserialize)]
struct Configuration {
    build: Build,
}

#[derive(Default, Deserialize)]
struct Build {
    rustflags: Vec<String>,
}

/// The flags of rustc that make it.
pub fn rustflags() -> Vec<String> {
    // A test builds with them, so that they can be read.
    toml::from_str::<Configuration>(CONFIGURATION).unwrap_or_default().build.rustflags
}

/// Builds the worker of the workspace in `root` below `builds`, linked against a library.
pub fn build(
    root: &Path,
    tools: &Tools,
    builds: &Path,
    artefact: &Artefact,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Outcome, Failure> {
    let call = call(root, tools, builds, artefact);
    let outcome = call.run(root, progress)?;
    let failure = |output: String| Failure { command: call.shell(), output };
    let program = fs::read(&outcome.program).map_err(|error| failure(error.to_string()))?;
    let objections = objections(&program, &tools.flavour.architecture.to_string());
    if objections.is_empty() {
        Ok(outcome)
    } else {
        Err(failure(format!("the WAF worker is not what it has to be: {}", objections.join("; "))))
    }
}

fn call(root: &Path, tools: &Tools, builds: &Path, artefact: &Artefact) -> CargoCommand {
    let library = artefact.library.parent().unwrap_or(Path::new("/"));
    CargoCommand::new(NAME, &Recipe::of_waf(library), tools, root, builds)
}

/// The command that makes the worker of the workspace in `root` below `builds`.
pub fn command(root: &Path, tools: &Tools, builds: &Path, artefact: &Artefact) -> String {
    call(root, tools, builds, artefact).shell()
}

/// The worker of the workspace in `root` with the names of everything in it, and where it was compiled below `builds`.
pub fn with_names(
    root: &Path,
    tools: &Tools,
    builds: &Path,
    artefact: &Artefact,
) -> Result<(Outcome, PathBuf), Failure> {
    let call = call(root, tools, builds, artefact).named();
    let outcome = call.run(root, &|_| {})?;
    let target = call.release_directory().map_or_else(|| builds.to_owned(), Path::to_owned);
    Ok((outcome, target))
}

/// The files of such a folder as those of an extension's layer.
pub fn layer_files(folder: &Path) -> Vec<LayerFile> {
    let files = [(places::WAF, NAME), (places::WAF_LIBRARY, LIBRARY), (places::WAF_RULES, RULES)];
    files.map(|(place, name)| LayerFile { place: place.into(), source: folder.join(name) }).into()
}

/// A folder with the worker, its library and the rules, for this machine: made in the target directory by the first that asks.
pub fn folder() -> Result<&'static Path, Failure> {
    static MADE: OnceLock<Result<PathBuf, Failure>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let failure = |output: String| Failure { command: format!("cargo build in {FOLDER}/{NAME}"), output };
        let folder = target_directory().join("matrix/waf");
        let artefact = Artefact::ensure(Architecture::of_this_machine(), &target_directory(), &|_| {});
        let artefact = artefact.map_err(|error| failure(crate::terminal::chain(&error)))?;
        let root = workspace::root();
        let tools = Toolchain::plain(&root, Profile::Release).map_err(|error| failure(error.to_string()))?.launcher;
        let worker = build(&root, &tools, &builds_directory(), &artefact, &|_| {})?;
        let written = fs::create_dir_all(&folder)
            .and_then(|()| executable::copy(&worker.program, &folder.join(NAME)))
            .and_then(|()| executable::copy(&artefact.library, &folder.join(LIBRARY)))
            .and_then(|()| fs::write(folder.join(RULES), artefact.compressed_rules()?));
        written.map_err(|error| failure(error.to_string()))?;
        Ok(folder)
    });
    made.as_deref().map_err(Clone::clone)
}

/// Puts the files of [`folder`] into another one.
pub fn put(to: &Path) -> Result<(), Failure> {
    let from = folder()?;
    let copied = fs::create_dir_all(to).and_then(|()| {
        [NAME, LIBRARY, RULES].iter().try_for_each(|file| executable::copy(&from.join(file), &to.join(file)))
    });
    copied.map_err(|error| Failure {
        command: format!("cp {}/* {}", from.display(), to.display()),
        output: error.to_string(),
    })
}

/// The worker's packages, by its own lock file.
pub fn packages(root: &Path, target: &str) -> Result<Packages, packages::Error> {
    Packages::of_package(NAME, &root.join(FOLDER), &[], target)
}

/// What can be said of a program that is a worker, in place of what other programs say of themselves: it says nothing to anybody but an agent.
pub fn document(program: &[u8]) -> Result<Value, String> {
    file_report::document(NAME, program)
}

/// Whether a document is one of a worker.
pub fn is_build_info(document: &Value) -> bool {
    file_report::is_of(NAME, document)
}

/// In what a program is not what a worker has to be: small, for this processor, and without a symbol or a version that the C library of an old system lacks.
pub fn objections(program: &[u8], architecture: &str) -> Vec<String> {
    let Some(linkage) = Linkage::of(program) else { return vec!["it is no 64-bit ELF file".to_owned()] };
    let mut objections = Vec::new();
    if linkage.libraries != [LIBRARY] {
        objections.push(format!("it needs {}, and not {LIBRARY} alone", linkage.libraries.join(", ")));
    }
    if let Some(version) = linkage.glibc {
        objections.push(format!("it needs GLIBC_{version}, and no version is allowed"));
    }
    if program.len() > MAX_BYTES {
        objections.push(format!("it has {} bytes, and at most {MAX_BYTES} are allowed", program.len()));
    }
    if linkage.architecture != architecture {
        objections.push(format!("it is for {}, not {architecture}", linkage.architecture));
    }
    let imports = crate::elf::imports(program);
    let unknown = imports.iter().filter(|name| !IMPORTS.contains(&name.as_str()) && !name.starts_with("ddwaf_"));
    objections.extend(unknown.map(|name| format!("it imports {name}, which is not known to be everywhere")));
    objections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_needs_its_library_alone_and_imports_nothing_new() {
        let folder = folder().unwrap();
        let worker = fs::read(folder.join(NAME)).unwrap();
        let architecture = Architecture::of_this_machine().to_string();
        assert_eq!(objections(&worker, &architecture), Vec::<String>::new());
        let build_info = document(&worker).unwrap();
        assert!(
            is_build_info(&build_info) && build_info["static"] == false && build_info["architecture"] == architecture,
            "{build_info}"
        );
        let other = fs::read(std::env::current_exe().unwrap()).unwrap();
        let against = self::objections(&other, "m68k").join("; ");
        for part in ["alone", "no version", "at most", "not m68k", "not known to be everywhere"] {
            assert!(against.contains(part), "{part} is not in: {against}");
        }
        assert_eq!(self::objections(b"#!/bin/sh", &architecture), ["it is no 64-bit ELF file"]);
    }
}
