//! Passes Cargo's information about this build to `src/build_info`.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The sources of the extension, without third-party crates.
const SOURCES: [&str; 7] = [
    "src",
    "crates/agent-config",
    "crates/extension-protocol",
    "crates/waf-protocol",
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
];
/// A file that contains the commit in an archive made by git.
const ARCHIVED: &str = ".git_archival.txt";

fn main() {
    let fact = |name: &str| env::var(name).unwrap_or_default();
    // Cargo separates flags by the unit separator, because a flag may contain a space. Flags that remap path prefixes are left out: they keep
    // directory names of the build machine out of the binary, and would put them back here.
    let flags = fact("CARGO_ENCODED_RUSTFLAGS");
    let flags: Vec<&str> = flags.split('\u{1f}').filter(|flag| !flag.starts_with("--remap-path-prefix=")).collect();
    let flags = flags.join(" ");

    println!("cargo::rustc-env=BOTTLECAP_TARGET={}", fact("TARGET"));
    println!("cargo::rustc-env=BOTTLECAP_PROFILE={}", fact("PROFILE"));
    println!("cargo::rustc-env=BOTTLECAP_OPT_LEVEL={}", fact("OPT_LEVEL"));
    println!("cargo::rustc-env=BOTTLECAP_TARGET_FEATURES={}", fact("CARGO_CFG_TARGET_FEATURE"));
    println!("cargo::rustc-env=BOTTLECAP_FLAGS={flags}");
    println!("cargo::rustc-env=BOTTLECAP_GIT_SHA={}", git_sha());
    println!("cargo::rerun-if-env-changed=BOTTLECAP_GIT_SHA");
    for path in SOURCES.into_iter().chain([ARCHIVED]).map(|path| home().join(path)).filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    if let Some(head) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={}", home().join(head).display());
    }
}

/// The commit of this build, with the suffix `-dirty` if the sources differ from it. Taken from the environment if the sources come without history
/// (a container image), otherwise from git, otherwise from the file that git writes into an archive.
fn git_sha() -> String {
    let told = env::var("BOTTLECAP_GIT_SHA").ok().filter(|sha| !sha.is_empty());
    told.or_else(committed).or_else(archived).unwrap_or_else(|| "unknown".to_owned())
}

/// None if the folder is not part of a repository, though it may be inside one.
fn committed() -> Option<String> {
    git(&["ls-files", "--error-unmatch", "--", "build.rs"])?;
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    Some(if is_committed().unwrap_or(false) { commit } else { commit + "-dirty" })
}

/// Whether the sources on the disk are those of the commit, byte for byte. Flags of the index, filters and lists of ignored files can hide a change from
/// `git status`, so it is not asked. None if git does not answer.
fn is_committed() -> Option<bool> {
    let tree = git(&[&["ls-tree", "-r", "HEAD", "--"], &SOURCES[..]].concat())?;
    // `MODE TYPE OBJECT`, a tabulator, and the name.
    let entries = tree.lines().filter_map(|entry| entry.split_once('\t'));
    let committed: BTreeMap<&str, &str> =
        entries.filter_map(|(head, name)| Some((name, head.rsplit(' ').next()?))).collect();
    let mut names = Vec::new();
    for source in SOURCES {
        list(source, &mut names);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let objects = git(&[&["hash-object", "--no-filters", "--"], &names[..]].concat())?;
    Some(committed == names.into_iter().zip(objects.lines()).collect())
}

/// Adds the names of all files below this one, relative to the sources.
fn list(name: &str, names: &mut Vec<String>) {
    let path = home().join(name);
    if let Ok(entries) = fs::read_dir(&path) {
        for entry in entries.flatten() {
            list(&format!("{name}/{}", entry.file_name().to_string_lossy()), names);
        }
    } else if path.exists() {
        names.push(name.to_owned());
    }
}

fn archived() -> Option<String> {
    let text = fs::read_to_string(home().join(ARCHIVED)).ok()?;
    let commit = text.lines().find_map(|line| line.strip_prefix("node: "))?.get(..12)?;
    commit.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| commit.to_owned())
}

/// The real folder of the sources. The folder with the other lock file contains only links to them.
fn home() -> PathBuf {
    let real = fs::canonicalize("build.rs").ok();
    real.and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default()
}

/// The output of git; None if it fails or is empty.
fn git(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.current_dir(home()).env("GIT_NO_REPLACE_OBJECTS", "1");
    let output = command.args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
}
