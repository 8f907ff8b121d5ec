//! What is built: the commit, and what differs from it.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::hash;

/// What a build of the extension is made from, apart from the compiler that the toolchain file names.
const PARTS: [&str; 8] =
    ["src", "build.rs", "Cargo.toml", "Cargo.lock", "fips", "rust-toolchain.toml", ".cargo", "matrix/Cargo.toml"];

/// A name for the sources as they are now: two builds with the same name are from the same sources. `beside` is what else in the repository decides what
/// is made.
pub fn state(root: &Path, beside: &[&'static str]) -> io::Result<String> {
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

/// When the commit was made, in seconds since 1970.
pub fn commit_time(root: &Path) -> io::Result<String> {
    let time = git(root, &["show", "--no-patch", "--no-show-signature", "--format=%ct", "HEAD"])?;
    Ok(String::from_utf8_lossy(&time).trim().to_owned())
}

/// The compiler that the folder's toolchain file names, as it calls itself; `unknown` where there is none.
pub fn compiler(root: &Path) -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).current_dir(root).arg("--version").output();
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
        git(root, &["add", "."]).unwrap();
        git(root, &[&identity[..], &["commit", "--quiet", "-m", "One"]].concat()).unwrap();

        let clean = state(root, &[]).unwrap();
        assert!(!clean.contains('+') && clean.len() >= 40, "{clean}");
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
    }

    #[test]
    fn the_compiler_has_a_name_and_a_version() {
        assert!(compiler(Path::new(".")).starts_with("rustc 1."), "{}", compiler(Path::new(".")));
        assert_eq!(compiler(Path::new("/nonexistent")), "unknown");
    }

    #[test]
    fn a_folder_without_git_has_no_state() {
        let folder = tempfile::tempdir().unwrap();
        assert!(state(folder.path(), &[]).is_err() && commit_time(folder.path()).is_err());
    }
}
