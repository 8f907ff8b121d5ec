//! What is built: the commit, and what differs from it.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::environment;
use super::git::Git;
use super::git_objects::Entry;
use crate::hash;

/// What a build of the extension is made from, apart from the compiler that the toolchain file names.
const PARTS: [&str; 9] = [
    "src",
    "crates",
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
    "fips",
    "rust-toolchain.toml",
    ".cargo",
    "matrix/Cargo.toml",
];

/// Where cargo puts what it builds of the workspaces in these folders. It takes nothing of a source from there unless a file elsewhere says so.
const BUILT: [&str; 2] = ["crates/target", "fips/target"];

/// What a program's own word for its commit ends with where the sources differed from that.
pub const DIRTY: &str = "-dirty";

/// What the hash begins with where it is of all sources, because there is no history that tells what differs.
const ALL: &str = "all-";

/// Has the commit in it where git has made an archive of it.
const ARCHIVED: &str = ".git_archival.txt";
/// Names the commit for sources without a history.
const TOLD: &str = "BOTTLECAP_GIT_SHA";

/// A name for the sources as they are now: two builds with the same name are from the same sources. It is the commit, with `+` and a hash behind it where they
/// differ from it, and with `+all-` and a hash of all of them where there is no history to compare them with. `beside` is what else in the repository decides
/// what is made.
pub fn state(root: &Path, beside: &[&'static str]) -> io::Result<String> {
    if is_of_repository(root) {
        of_repository(&Git::of(root), root, beside)
    } else {
        of_folder(root, beside, std::env::var(TOLD).ok())
    }
}

/// What a program is to say of its commit: twelve digits, with [`DIRTY`] behind them where its sources differ from it; `unknown` where nobody says.
pub fn revision(root: &Path) -> io::Result<String> {
    let state = state(root, &[])?;
    let commit = state.split('+').next().unwrap_or_default();
    let short = commit.get(..12).unwrap_or(commit).to_owned();
    Ok(if is_of_repository(root) && !is_clean(&state) { short + DIRTY } else { short })
}

/// Whether this name is that of a commit, from which nothing differs.
pub fn is_clean(state: &str) -> bool {
    !state.contains('+')
}

/// What to say behind the commit, given what stands behind `+` in the name.
pub fn remark(changes: Option<&str>) -> &'static str {
    match changes {
        None => "",
        Some(hash) if hash.starts_with(ALL) => " without history",
        Some(_) => " with changes",
    }
}

/// A folder may lie in a repository without being a part of it.
fn is_of_repository(root: &Path) -> bool {
    Git::of(root).output(&["ls-tree", "-z", "HEAD", "--", "Cargo.toml"]).is_ok_and(|tree| !tree.is_empty())
}

/// What git has written behind this word into an archive of a commit.
fn archived(root: &Path, word: &str, is_of_it: impl Fn(u8) -> bool) -> Option<String> {
    let text = fs::read_to_string(root.join(ARCHIVED)).ok()?;
    let fact = text.lines().find_map(|line| line.strip_prefix(word))?;
    (!fact.is_empty() && fact.bytes().all(is_of_it)).then(|| fact.to_owned())
}

/// Compares the bytes on the disk with the commit, by ids that are computed here. Nothing that git keeps or says can hide a change: neither the index with its
/// flags, attributes with filters, lists of what is to be ignored and replaced objects, nor an object with other bytes than its id says, nor another program in
/// the place of git. Only which commit that is, git says.
fn of_repository(git: &Git, root: &Path, beside: &[&'static str]) -> io::Result<String> {
    // The commit is printed by the program, so another commit is another program even if nothing else has changed.
    let commit = git.head()?;
    let committed = git.entries(&commit, parts(beside).map(Path::new))?;
    let mut differences = Vec::new();
    for (part, committed) in parts(beside).zip(committed) {
        let present = Entry::of_path(root, Path::new(part), &is_built)?;
        if present != committed {
            let present = present.map_or_else(|| "gone".to_owned(), |entry| entry.to_string());
            for text in [part, &present] {
                differences.extend_from_slice(text.as_bytes());
                differences.push(0);
            }
        }
    }
    let commit = commit.id;
    Ok(if differences.is_empty() {
        commit.to_string()
    } else {
        format!("{commit}+{}", hash::hexadecimal(&differences))
    })
}

fn of_folder(root: &Path, beside: &[&'static str], recorded: Option<String>) -> io::Result<String> {
    let archived = || archived(root, "node: ", |byte| byte.is_ascii_hexdigit());
    let commit =
        recorded.filter(|recorded| !recorded.is_empty()).or_else(archived).unwrap_or_else(|| "unknown".to_owned());
    let mut all = Vec::new();
    for (name, metadata) in list_parts(root, beside)? {
        let path = root.join(&name);
        let content = if metadata.is_symlink() {
            fs::read_link(&path)?.into_os_string().into_encoded_bytes()
        } else {
            fs::read(&path)?
        };
        all.extend_from_slice(name.as_os_str().as_encoded_bytes());
        all.push(0);
        all.extend(hash::hexadecimal(&content).into_bytes());
    }
    Ok(format!("{commit}+{ALL}{}", hash::hexadecimal(&all)))
}

/// Whether a file with this name below the root is one of those that a build of the extension is made from, and so compared with the commit.
pub fn is_part(name: &Path) -> bool {
    PARTS.iter().any(|part| name.starts_with(part)) && !name.ancestors().any(is_built)
}

/// Whether it is the folder of what cargo has built.
fn is_built(name: &Path) -> bool {
    BUILT.iter().any(|built| name == Path::new(built))
}

/// The names of all files and links that a build of the extension is made from, and of those of other parts `beside` them, below the root.
pub fn files(root: &Path, beside: &[&'static str]) -> io::Result<Vec<PathBuf>> {
    Ok(list_parts(root, beside)?.into_keys().collect())
}

fn parts(beside: &[&'static str]) -> impl Iterator<Item = &'static str> {
    PARTS.iter().chain(beside).copied()
}

/// The files and links of the parts, by their names below the root.
fn list_parts(root: &Path, beside: &[&'static str]) -> io::Result<BTreeMap<PathBuf, Metadata>> {
    let mut files = BTreeMap::new();
    for part in parts(beside) {
        list(root, Path::new(part), &mut files)?;
    }
    Ok(files)
}

/// Adds the file, or all files below the folder. A link, as `fips` has some to folders, is not followed: what it leads to is listed by itself.
fn list(root: &Path, name: &Path, files: &mut BTreeMap<PathBuf, Metadata>) -> io::Result<()> {
    let path = root.join(name);
    let metadata = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if metadata.is_file() || metadata.is_symlink() {
        files.insert(name.to_owned(), metadata);
    } else if !metadata.is_dir() {
        return Err(io::Error::other(format!("{} is neither a file nor a folder", path.display())));
    } else if !is_built(name) {
        for entry in fs::read_dir(&path)? {
            list(root, &name.join(entry?.file_name()), files)?;
        }
    }
    Ok(())
}

/// When the commit was made, in seconds since 1970; that of an archive of a commit is in it.
pub fn commit_time(root: &Path) -> io::Result<String> {
    if !is_of_repository(root) {
        let none = "the sources have no commit to take their time from: set SOURCE_DATE_EPOCH to that of their release";
        return archived(root, "time: ", |byte| byte.is_ascii_digit()).ok_or_else(|| io::Error::other(none));
    }
    let commit = Git::of(root).head()?;
    commit.time().map(str::to_owned).ok_or_else(|| io::Error::other(format!("the commit {} has no time", commit.id)))
}

/// The compiler that the folder's toolchain file names, as it calls itself; `unknown` where there is none.
pub fn compiler(root: &Path) -> String {
    let output = environment::rustc(root).arg("--version").output();
    let output = output.ok().filter(|output| output.status.success());
    output.map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
