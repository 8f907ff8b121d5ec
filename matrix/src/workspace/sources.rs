//! What is built: the commit, and what differs from it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::environment;
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
    if is_of_repository(root) { of_repository(root, beside) } else { of_folder(root, beside, std::env::var(TOLD).ok()) }
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
    git(root, &["ls-files", "--error-unmatch", "--", "Cargo.toml"]).is_ok()
}

/// What git has written behind this word into an archive of a commit.
fn archived(root: &Path, word: &str, is_of_it: impl Fn(u8) -> bool) -> Option<String> {
    let text = fs::read_to_string(root.join(ARCHIVED)).ok()?;
    let fact = text.lines().find_map(|line| line.strip_prefix(word))?;
    (!fact.is_empty() && fact.bytes().all(is_of_it)).then(|| fact.to_owned())
}

fn of_repository(root: &Path, beside: &[&'static str]) -> io::Result<String> {
    let commit = git(root, &["rev-parse", "HEAD"])?;
    // The commit is printed by the program, so another commit is another program even if nothing else has changed.
    let mut parts = git(root, &with(&["diff", "HEAD", "--no-ext-diff", "--binary", "--"], beside))?;
    let untracked = git(root, &with(&["ls-files", "--others", "--exclude-standard", "-z", "--"], beside))?;
    for name in untracked.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        parts.extend_from_slice(name);
        parts.extend(fs::read(root.join(String::from_utf8_lossy(name).as_ref()))?);
    }
    let commit = String::from_utf8_lossy(&commit).trim().to_owned();
    Ok(if parts.is_empty() { commit } else { format!("{commit}+{}", hash::hexadecimal(&parts)) })
}

fn of_folder(root: &Path, beside: &[&'static str], told: Option<String>) -> io::Result<String> {
    let archived = || archived(root, "node: ", |byte| byte.is_ascii_hexdigit());
    let commit = told.filter(|told| !told.is_empty()).or_else(archived).unwrap_or_else(|| "unknown".to_owned());
    let mut files = Vec::new();
    for part in PARTS.iter().chain(beside) {
        list(root, Path::new(part), &mut files)?;
    }
    files.sort();
    files.dedup();
    let mut all = Vec::new();
    for name in files {
        all.extend_from_slice(name.as_os_str().as_encoded_bytes());
        all.push(0);
        all.extend(hash::hexadecimal(&fs::read(root.join(&name))?).into_bytes());
    }
    Ok(format!("{commit}+{ALL}{}", hash::hexadecimal(&all)))
}

/// Adds the file, or all files below the folder, by their names below the root. A link to a folder, as `fips` has, is not followed: what it leads to is listed
/// by itself.
fn list(root: &Path, name: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let path = root.join(name);
    match fs::symlink_metadata(&path) {
        Ok(of) if of.is_dir() => {
            for entry in fs::read_dir(&path)? {
                list(root, &name.join(entry?.file_name()), files)?;
            }
        }
        Ok(_) if path.is_file() => files.push(name.to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Ok(())
}

/// When the commit was made, in seconds since 1970; that of an archive of a commit is in it.
pub fn commit_time(root: &Path) -> io::Result<String> {
    if !is_of_repository(root) {
        let none =
            "the sources have no history that would tell their time: set SOURCE_DATE_EPOCH to that of their release";
        return archived(root, "time: ", |byte| byte.is_ascii_digit()).ok_or_else(|| io::Error::other(none));
    }
    let time = git(root, &["show", "--no-patch", "--no-show-signature", "--format=%ct", "HEAD"])?;
    Ok(String::from_utf8_lossy(&time).trim().to_owned())
}

/// The compiler that the folder's toolchain file names, as it calls itself; `unknown` where there is none.
pub fn compiler(root: &Path) -> String {
    let output = environment::rustc(root).arg("--version").output();
    let output = output.ok().filter(|output| output.status.success());
    output.map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn with(arguments: &[&'static str], beside: &[&'static str]) -> Vec<&'static str> {
    arguments.iter().chain(&PARTS).chain(beside).copied().collect()
}

fn git(root: &Path, arguments: &[&str]) -> io::Result<Vec<u8>> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output()?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_the_sources_has_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
        git(root, &["init", "--quiet"]).unwrap();
        fs::create_dir(root.join("src")).unwrap();
        fs::write(root.join("src/main.rs"), "1").unwrap();
        fs::write(root.join("Cargo.toml"), "").unwrap();
        git(root, &["add", "."]).unwrap();
        git(root, &[&identity[..], &["commit", "--quiet", "-m", "One"]].concat()).unwrap();

        let clean = state(root, &[]).unwrap();
        assert!(is_clean(&clean) && clean.len() >= 40, "{clean}");
        let time = git(root, &["log", "-1", "--date=unix", "--format=%cd"]).unwrap();
        assert_eq!(commit_time(root).unwrap(), String::from_utf8_lossy(&time).trim());
        fs::write(root.join("README.md"), "not built").unwrap();
        assert_eq!(state(root, &[]).unwrap(), clean);
        assert!(state(root, &["README.md"]).unwrap().starts_with(&format!("{clean}+")), "where it counts, it is told");
        fs::write(root.join("src/new.rs"), "2").unwrap();
        let untracked = state(root, &[]).unwrap();
        fs::write(root.join("src/main.rs"), "3").unwrap();
        let changed = state(root, &[]).unwrap();
        assert!(untracked != clean && changed != untracked && changed.starts_with(&clean), "{untracked} {changed}");
        assert_eq!(state(root, &[]).unwrap(), changed);
        assert_eq!(revision(root).unwrap(), format!("{}-dirty", &clean[..12]));
        git(root, &["add", "."]).unwrap();
        git(root, &[&identity[..], &["commit", "--quiet", "-m", "Two"]].concat()).unwrap();
        let clean = state(root, &[]).unwrap();
        assert_eq!(revision(root).unwrap(), clean[..12]);
    }

    #[test]
    fn the_compiler_has_a_name_and_a_version() {
        assert!(compiler(Path::new(".")).starts_with("rustc 1."), "{}", compiler(Path::new(".")));
        assert_eq!(compiler(Path::new("/nonexistent")), "unknown");
    }

    #[test]
    fn sources_without_a_history_are_named_by_all_that_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("src/deep")).unwrap();
        let write = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
        write("src/deep/main.rs", "1");
        write("README.md", "not built");
        let of = |told: Option<&str>| of_folder(root, &[], told.map(str::to_owned)).unwrap();
        let plain = state(root, &[]).unwrap();
        assert_eq!(plain, of(None));
        assert!(plain.starts_with("unknown+all-") && !is_clean(&plain), "{plain}");
        let told = of(Some("abc"));
        assert_eq!(
            told.split_once('+').map(|(commit, changes)| (commit, remark(Some(changes)))),
            Some(("abc", " without history"))
        );
        assert_eq!((remark(None), remark(Some("00ff"))), ("", " with changes"));
        write(ARCHIVED, "node: $Format:%H$\n");
        assert_eq!(of(None), plain, "not an archive that git has made");
        assert!(commit_time(root).unwrap_err().to_string().contains("SOURCE_DATE_EPOCH"));
        write(ARCHIVED, "node: 0123456789abcdef0123456789abcdef01234567\ntime: 1764281234\n");
        assert_eq!(commit_time(root).unwrap(), "1764281234");
        assert_eq!(revision(root).unwrap(), "0123456789ab", "nobody knows whether it was changed");
        assert!(of(None).starts_with("0123456789abcdef0123456789abcdef01234567+"));
        write(ARCHIVED, "");
        write("README.md", "still not built");
        assert_eq!(of(None), plain);
        write("src/deep/main.rs", "2");
        assert_ne!(of(None), plain);
    }

    #[test]
    fn a_folder_that_only_lies_in_a_repository_has_no_commit_of_it() {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "--quiet"]).unwrap();
        let inner = folder.path().join("unpacked");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("Cargo.toml"), "").unwrap();
        assert!(state(&inner, &[]).unwrap().starts_with("unknown+"));
    }
}
