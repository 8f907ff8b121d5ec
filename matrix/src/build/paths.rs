//! Directories of the machine that builds, kept out of what is built.
//!
//! Every place that can panic names its source file, by the path under which the compiler found it, and so do errors of libraries in C. So the same sources
//! made other programs for another user or in another directory, and each program told where it was made.

use std::path::{Path, PathBuf};

use crate::workspace::environment::{self, user_cargo_home};

/// Flags of rustc that tell a path below the root as `./…`, one of a dependency, seen through one of these homes of cargo's, as `/crates/name-version/…`, and one of what
/// build scripts make below the target directory as `/target/…`.
pub fn remapped(root: &Path, homes: &[PathBuf], target: &Path) -> Vec<String> {
    replaced(root, homes, target).map(|(from, to)| format!("--remap-path-prefix={from}={to}")).collect()
}

/// The flag that has a program name the standard library's files as it does without the component `rust-src`. With it, which comes with rust-analyzer, rustc names the
/// files that it has. None where the compiler does not say which one it is.
pub fn remapped_library(root: &Path) -> Option<String> {
    let said = |options: &[&str]| {
        let output = environment::rustc(root).args(options).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let sysroot = said(&["--print", "sysroot"]).filter(|sysroot| !sysroot.is_empty())?;
    let version = said(&["-vV"])?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "))?;
    Some(format!("--remap-path-prefix={sysroot}/lib/rustlib/src/rust=/rustc/{commit}"))
}

/// The same for the C compiler. It is about the text of paths alone, and so no other code comes of it. Build scripts split the variable at every blank, so a path
/// that has one is left as it is.
pub fn remapped_in_c(root: &Path, homes: &[PathBuf], target: &Path) -> Vec<String> {
    let plain = replaced(root, homes, target).filter(|(from, _)| !from.contains(char::is_whitespace));
    plain.map(|(from, to)| format!("-ffile-prefix-map={from}={to}")).collect()
}

/// What paths begin with here, and everywhere. What comes later counts first.
fn replaced(root: &Path, homes: &[PathBuf], target: &Path) -> impl Iterator<Item = (String, &'static str)> {
    let ours = [(root.to_owned(), "."), (target.to_owned(), "/target")];
    let all = ours.into_iter().chain(sources(homes).into_iter().map(|folder| (folder, "/crates")));
    all.filter_map(|(from, to)| Some((from.to_str()?.to_owned(), to)))
}

/// The first directory of this machine that a program names. Elsewhere it would be another program.
pub fn named(program: &[u8], root: &Path) -> Option<String> {
    // Our own sources, and what is generated beside them; the root by itself may be as short as `/src`.
    let ours = ["src/", "target/"].map(|part| root.join(part));
    // Dependencies, in whichever home: builds have one of their own.
    let folders = ours.into_iter().chain(sources(&[PathBuf::new()]));
    let mut texts = folders.map(|folder| folder.join("")).filter_map(|folder| folder.to_str().map(str::to_owned));
    texts.find(|text| program.windows(text.len()).any(|window| window == text.as_bytes()))
}

/// The folder of the usual registry. It is told even where nothing is unpacked yet, so that the first build is the same as those after it.
const USUAL: &str = "index.crates.io-1949cf8c6b5b557f";

/// Where cargo unpacks the dependencies, one folder for each registry, sorted, as seen through each of these homes.
fn sources(homes: &[PathBuf]) -> Vec<PathBuf> {
    let folders = user_cargo_home().and_then(|home| std::fs::read_dir(home.join("registry/src")).ok());
    let mut names: Vec<_> = folders.into_iter().flatten().flatten().map(|folder| folder.file_name()).collect();
    names.push(USUAL.into());
    names.sort();
    names.dedup();
    homes.iter().flat_map(|home| names.iter().map(|name| home.join("registry/src").join(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_workspace_and_dependencies_are_remapped() {
        let homes = [PathBuf::from("/a/home"), PathBuf::from("/another")];
        let target = Path::new("/some/where/target/a");
        let flags = remapped(Path::new("/some/where"), &homes, target);
        assert_eq!(flags.first().map(String::as_str), Some("--remap-path-prefix=/some/where=."));
        let second = flags.get(1).map(String::as_str);
        assert_eq!(second, Some("--remap-path-prefix=/some/where/target/a=/target"), "it counts before the root");
        // This test is built from dependencies, wherever they are.
        for home in ["/a/home", "/another"] {
            let start = format!("--remap-path-prefix={home}/registry/src/");
            assert!(flags.iter().any(|flag| flag.starts_with(&start) && flag.ends_with("=/crates")), "{flags:?}");
        }
        let in_c = remapped_in_c(Path::new("/some/where"), &homes, target);
        assert_eq!(in_c.first().map(String::as_str), Some("-ffile-prefix-map=/some/where=."));
        assert_eq!(in_c.len(), flags.len());
    }

    #[test]
    fn files_of_the_standard_library_are_named_as_without_its_sources() {
        let flag = remapped_library(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let (from, to) = flag.rsplit_once('=').unwrap();
        assert!(from.ends_with("/lib/rustlib/src/rust"), "{flag}");
        // This test has places of the standard library that can panic, and was compiled without the flag.
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let sources = Path::new(from.trim_start_matches("--remap-path-prefix="));
        let named = if sources.join("library").exists() { sources.to_str().unwrap() } else { to };
        assert!(this.windows(named.len()).any(|window| window == named.as_bytes()), "{named}");
    }

    #[test]
    fn a_program_that_names_its_place_is_found_out() {
        let root = Path::new("/some where");
        assert_eq!(named(b"at /some where/src/main.rs:1", root).as_deref(), Some("/some where/src/"));
        let dependency = b"at /a home/registry/src/index.crates.io-1949cf8c6b5b557f/a-1.0.0/src/lib.rs:1";
        assert!(named(dependency, root).is_some_and(|named| named.starts_with("registry/src/")));
        assert_eq!(named(b"at ./src/main.rs:1 and /crates/a-1.0.0/src/lib.rs:1", root), None);
        // This test was built as all debug builds are.
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(named(&this, root).is_some());
    }

    #[test]
    fn a_path_with_a_blank_is_remapped_in_rustc_only() {
        let (root, target) = (Path::new("/some where"), Path::new("/some where/target"));
        assert_eq!(
            remapped(root, &[], target),
            ["--remap-path-prefix=/some where=.", "--remap-path-prefix=/some where/target=/target"]
        );
        assert!(remapped_in_c(root, &[], target).is_empty());
    }
}
