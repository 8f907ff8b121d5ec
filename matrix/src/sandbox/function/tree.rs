//! Copies of directories: of functions, of their packages and of layers.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The file with which tools mark directories that can be made again.
const CACHE_TAG: &str = "CACHEDIR.TAG";

/// A path that could not be copied, and why.
pub(crate) type Failure = (PathBuf, io::Error);

/// Copies the files below a directory, without the history of its versions and what cargo has built. Links stay links, and what is no file at all, such as a
/// pipe, is left out: reading from it may never end. A file or a link that is there already is replaced, and never followed.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    copy_without(from, to, &[])
}

/// As [`copy`], without files and directories of these names.
pub(crate) fn copy_without(from: &Path, to: &Path, names: &[&str]) -> Result<(), Failure> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| (path, source)
    };
    let root = fs::canonicalize(from).map_err(failed(from))?;
    let mut waiting = vec![(root.clone(), to.to_owned())];
    while let Some((from, to)) = waiting.pop() {
        make_way(&to).and_then(|()| fs::create_dir_all(&to)).map_err(failed(&to))?;
        for entry in fs::read_dir(&from).map_err(failed(&from))? {
            let entry = entry.map_err(failed(&from))?;
            let (path, copied) = (entry.path(), to.join(entry.file_name()));
            if names.iter().any(|name| *name == entry.file_name()) {
                continue;
            }
            let kind = entry.file_type().map_err(failed(&path))?;
            make_way(&copied).map_err(failed(&copied))?;
            if kind.is_symlink() {
                target(&path, &root).and_then(|target| symlink(target, copied)).map_err(failed(&path))?;
            } else if kind.is_file() {
                fs::copy(&path, copied).map_err(failed(&path))?;
            } else if kind.is_dir() && !is_left_out(&path) {
                waiting.push((path, copied));
            }
        }
    }
    Ok(())
}

/// What the copy of a link leads to: the same file if that is outside of `root`, otherwise its counterpart.
fn target(link: &Path, root: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(link) {
        Ok(target) if !target.starts_with(root) => Ok(target),
        _ => fs::read_link(link),
    }
}

/// Removes what would be written through. A directory stays.
fn make_way(place: &Path) -> io::Result<()> {
    match fs::symlink_metadata(place) {
        Ok(found) if !found.is_dir() => fs::remove_file(place),
        _ => Ok(()),
    }
}

/// Whether copies are without this directory.
pub(super) fn is_left_out(directory: &Path) -> bool {
    directory.ends_with(".git") || (directory.ends_with("target") && directory.join(CACHE_TAG).is_file())
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn links_stay_links_and_pipes_and_caches_are_left_out() {
        let (home, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let from = home.path().join("function");
        for directory in ["lib", "src/target", ".git", "target"] {
            fs::create_dir_all(from.join(directory)).unwrap();
        }
        for file in ["app.py", "lib/a.py", "src/target/b.py", ".git/config", "target/CACHEDIR.TAG", "../beside"] {
            fs::write(from.join(file), file).unwrap();
        }
        for (link, target) in [("loop", "."), ("dangling", "nowhere"), ("lib/up", "../app.py"), ("out", "../beside")] {
            symlink(target, from.join(link)).unwrap();
        }
        mkfifo(&from.join("pipe"), Mode::S_IRWXU).unwrap();

        let to = to.path().join("copy");
        // What another layer has put there leads elsewhere.
        fs::create_dir(&to).unwrap();
        for (link, target) in [("lib", home.path()), ("app.py", &home.path().join("beside"))] {
            symlink(target, to.join(link)).unwrap();
        }
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(home.path().join("beside")).unwrap(), "../beside");
        assert!(!home.path().join("a.py").exists());
        let mut names: Vec<_> = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["app.py", "dangling", "lib", "loop", "out", "src"]);
        assert!(to.join("src/target/b.py").exists(), "a directory that is only called so");
        let read = |name: &str| fs::read_to_string(to.join(name)).unwrap();
        assert_eq!((read("lib/a.py").as_str(), read("out").as_str()), ("lib/a.py", "../beside"));
        assert_eq!(fs::canonicalize(to.join("lib/up")).unwrap(), fs::canonicalize(to.join("app.py")).unwrap());
        assert_eq!(copy(&from.join("none"), &to).unwrap_err().0, from.join("none"));
    }
}
