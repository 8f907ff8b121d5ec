//! The compiler of everything that is Rust, with what does its work. Rust's project publishes one such toolchain for a version and a kind of machine, so its bytes can be pinned.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::certificate::ModuleOptions;
use super::error::Error;
use super::proof::Facts;
use super::tools::{self, BuildTool};
use crate::flavour::Tools;
use crate::target::Architecture;
use crate::workspace;
use crate::workspace::environment;

/// Names in the report.
pub const RUSTC: &str = "rustc";
pub const CARGO: &str = "cargo";
pub const LINKER: &str = "rustc's linker";
pub const LIBRARY: &str = "rustc's library";
pub const STANDARD_LIBRARY: &str = "Rust's standard library";

/// The words for the files of the Rust toolchain in matrix/fips.toml.
pub(super) const NAMES: [&str; 5] = [RUSTC, CARGO, LINKER, LIBRARY, STANDARD_LIBRARY];
/// Prefixes of the names of rustc's own libraries.
const OF_RUSTC: [&str; 2] = ["librustc_driver", "libLLVM"];

/// The toolchain of these tools, and the standard library of their target.
pub(super) fn of_rust(root: &Path, tools: &Tools) -> Vec<BuildTool> {
    let mut rustc = tools.variables.get("RUSTC").map_or_else(|| environment::rustc(root), Command::new);
    // As builds do, which run elsewhere: the variable counts before the file.
    rustc.envs(environment::toolchain(root).map(|toolchain| ("RUSTUP_TOOLCHAIN", toolchain)));
    let sysroot = rustc.args(["--print", "sysroot"]).stdin(Stdio::null()).output();
    let sysroot = sysroot.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let sysroot = Path::new(&sysroot);
    let mut found = vec![BuildTool::of(RUSTC, &program(sysroot, RUSTC), true)];
    let called = PathBuf::from(workspace::cargo().get_program());
    // What is first on the path may be rustup, which starts the toolchain's.
    let called = if called.is_absolute() { called } else { program(sysroot, CARGO) };
    found.push(BuildTool::of(CARGO, tools.command.as_ref().unwrap_or(&called), true));
    let libraries = fs::read_dir(sysroot.join("lib")).into_iter().flatten().flatten();
    let of_rustc =
        |file: &fs::DirEntry| OF_RUSTC.iter().any(|start| file.file_name().to_string_lossy().starts_with(start));
    let mut libraries: Vec<PathBuf> = libraries.filter(of_rustc).map(|file| file.path()).collect();
    libraries.sort();
    found.extend(libraries.iter().map(|file| BuildTool::of(LIBRARY, file, false)));
    found.extend(linkers(sysroot).iter().map(|file| BuildTool::of(LINKER, file, false)));
    let standard = sysroot.join("lib/rustlib").join(&tools.flavour.triple).join("lib");
    found.push(BuildTool::of(STANDARD_LIBRARY, &standard, false));
    found
}

/// The toolchain's program of this name, or the one on the path where the toolchain has none.
fn program(sysroot: &Path, name: &str) -> PathBuf {
    let own = sysroot.join("bin").join(name);
    if own.is_file() { own } else { tools::on_path(OsStr::new(name)).unwrap_or(own) }
}

/// The linker that comes with rustc, which links the launcher and may link the agent, and the program by which the C compiler starts it.
fn linkers(sysroot: &Path) -> Vec<PathBuf> {
    let targets = fs::read_dir(sysroot.join("lib/rustlib")).into_iter().flatten().flatten();
    let programs =
        targets.flat_map(|target| ["bin/rust-lld", "bin/gcc-ld/ld.lld"].map(|name| target.path().join(name)));
    let mut found: Vec<PathBuf> = programs.filter(|program| program.is_file()).collect();
    found.sort();
    found
}

/// Refuses a toolchain that is not the pinned one, before a build whose proof could not hold. `root` names the toolchain that is to be installed.
pub(super) fn check(
    tools: &[BuildTool],
    pinned: &ModuleOptions,
    architecture: Architecture,
    root: &Path,
) -> Result<(), Error> {
    let mut facts = Facts::default();
    note(tools, pinned.rust.get(&architecture.to_string()), &mut facts);
    if facts.against.is_empty() {
        return Ok(());
    }
    let file = root.join("rust-toolchain.toml");
    let toolchain = environment::pinned_toolchain(root).map_err(|source| Error::File { path: file, source })?;
    Err(Error::Toolchain { toolchain, problems: facts.against })
}

/// Compares those of the toolchain among the tools with the pinned ones, by their bytes: SHA-256 by a word for each file. None are pinned for other processors.
pub(super) fn note(tools: &[BuildTool], pinned: Option<&BTreeMap<String, String>>, facts: &mut Facts) {
    let Some(pinned) = pinned else {
        facts.note(
            true,
            "no Rust toolchain is pinned for this processor, so that its bytes are compared with no known ones",
        );
        return;
    };
    let is_pinned = |tool: &&BuildTool| pinned.values().any(|sha256| *sha256 == tool.sha256);
    let others: Vec<&BuildTool> =
        tools.iter().filter(|tool| NAMES.contains(&tool.name.as_str()) && !is_pinned(tool)).collect();
    for BuildTool { name, path, sha256, .. } in &others {
        facts.note(false, format!("{name}: {path} is none of the pinned Rust toolchain: its SHA-256 is {sha256}"));
    }
    let missing: Vec<&str> = pinned
        .iter()
        .filter(|(_, sha256)| !tools.iter().any(|tool| tool.sha256 == **sha256))
        .map(|(name, _)| name.as_str())
        .collect();
    if !missing.is_empty() {
        facts.note(false, format!("the pinned Rust toolchain has not made it: {} missing", missing.join(", ")));
    }
    if others.is_empty() && missing.is_empty() {
        facts
            .note(true, format!("rustc, cargo and all else of Rust's toolchain are the {} pinned files", pinned.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::certificate::CertifiedModule;
    use super::*;
    use crate::flavour::Toolchain;
    use crate::workspace::Profile;

    fn against(tools: &[BuildTool], pinned: &BTreeMap<String, String>) -> String {
        let mut facts = Facts::default();
        note(tools, Some(pinned), &mut facts);
        assert_eq!(facts.against.is_empty(), !facts.evidence.is_empty(), "{facts:?}");
        facts.against.join("; ")
    }

    /// A wrapper that is an ELF file, or another toolchain, could pass on what it likes.
    #[test]
    fn every_file_of_another_toolchain_is_against_the_build() {
        let tool = |name: &str, sha256: &str| {
            let [name, path, sha256] = [name, "/toolchain/file", sha256].map(str::to_owned);
            BuildTool { name, path, sha256, is_elf: true, version: "rustc 1".to_owned() }
        };
        let tools: Vec<BuildTool> = NAMES.iter().map(|name| tool(name, name)).collect();
        let pinned: BTreeMap<String, String> =
            NAMES.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
        assert_eq!(against(&tools, &pinned), "");
        let beside = [&tools[..], &[tool("ld", "ff")]].concat();
        assert_eq!(against(&beside, &pinned), "", "it is nobody's of Rust");
        for place in 0..tools.len() {
            let mut other = tools.clone();
            other[place].sha256 = "00".to_owned();
            let text = against(&other, &pinned);
            assert!(text.contains(&format!("{}: /toolchain/file is none of the pinned", NAMES[place])), "{text}");
            other.remove(place);
            assert!(against(&other, &pinned).contains(&format!("{} missing", NAMES[place])));
        }
        assert!(!against(&[], &pinned).is_empty());
        let mut facts = Facts::default();
        note(&tools, None, &mut facts);
        assert!(facts.against.is_empty() && facts.evidence[0].contains("pinned for this processor"), "{facts:?}");
    }

    #[test]
    fn another_toolchain_is_refused_before_the_build_with_what_to_install() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let pinned = CertifiedModule::embedded().unwrap().build;
        let tool = |sha256: &String| {
            let (name, path) = (RUSTC.to_owned(), "/toolchain/file".to_owned());
            BuildTool { name, path, sha256: sha256.clone(), is_elf: true, version: String::new() }
        };
        let mut tools: Vec<BuildTool> = pinned.rust["x86_64"].values().map(tool).collect();
        check(&tools, &pinned, Architecture::X86_64, root).unwrap();
        tools[0].sha256 = "00".to_owned();
        check(&tools, &pinned, Architecture::Arm64, root).unwrap();
        let error = check(&tools, &pinned, Architecture::X86_64, root).unwrap_err();
        assert_eq!(error.status(), crate::terminal::SETUP_FAILED);
        let install = format!("rustup toolchain install {} ", environment::pinned_toolchain(root).unwrap());
        let text = error.to_string();
        assert!(text.contains(&install) && text.contains("/toolchain/file is none of the pinned"), "{text}");
    }

    #[test]
    fn a_toolchain_without_a_program_of_its_own_is_said_to_use_the_one_on_the_path() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(program(folder.path(), CARGO), tools::on_path(OsStr::new(CARGO)).unwrap());
        let own = folder.path().join("bin/cargo");
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::write(&own, "").unwrap();
        assert_eq!(program(folder.path(), CARGO), own);
    }

    /// As rustup has it; a distribution compiles the same version to other bytes.
    #[test]
    fn the_toolchain_that_the_workspace_names_is_the_pinned_one() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let tools = Toolchain::plain(root, Profile::Release).unwrap().by_path(root).agent;
        let found = of_rust(root, &tools);
        let version = format!("rustc {} ", environment::pinned_toolchain(root).unwrap());
        let is_of_rustup = found[0].path.contains("/toolchains/") && found[0].version.starts_with(&version);
        let pinned = CertifiedModule::embedded().unwrap().build.rust;
        let pinned = pinned.get(&tools.flavour.architecture.to_string());
        let (Some(pinned), true) = (pinned, is_of_rustup) else { return };
        assert_eq!(
            against(&found, pinned),
            "",
            "after a change of rust-toolchain.toml, [build.rust] of matrix/fips.toml has to follow: {found:#?}"
        );
    }
}
