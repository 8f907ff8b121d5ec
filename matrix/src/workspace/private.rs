//! Directories from which programs are executed, and which therefore nobody but the user may fill.

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::leftovers;

/// The mode of a directory that only its owner can enter.
pub(super) const PRIVATE: u32 = 0o700;
const READABLE: u32 = 0o755;
const WRITABLE_BY_ALL: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// The variable that tells programs where to put temporary files.
pub(crate) const TMPDIR: &str = "TMPDIR";
/// Files by which cargo and rustup decide what they execute. They look for them in every directory above the present one.
const GUIDES: [&str; 5] =
    ["Cargo.toml", "rust-toolchain", "rust-toolchain.toml", ".cargo/config", ".cargo/config.toml"];

/// Why a directory is not used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot make the directory {}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("{} is not a directory; remove it", .0.display())]
    NotADirectory(PathBuf),
    #[error(
        "{} belongs to the user with the id {owner}, who could replace the programs in it; remove it, or set XDG_CACHE_HOME or CARGO_TARGET_DIR to a directory of yours",
        path.display()
    )]
    Foreign { path: PathBuf, owner: u32 },
    #[error(
        "every user can write to {}, and so replace the programs in it; remove that permission with: chmod o-w {}",
        .0.display(), .0.display()
    )]
    Writable(PathBuf),
}

/// Makes a directory that only this user can enter, or checks that an existing one is the user's and closes it to others. Its parent may not be another user's
/// either: who owns it could exchange the directory.
pub(crate) fn ensure(directory: &Path) -> Result<(), Error> {
    let failed = |source| Error::Make { path: directory.to_owned(), source };
    DirBuilder::new().recursive(true).mode(PRIVATE).create(directory).map_err(failed)?;
    let found = checked(directory)?;
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        checked(parent)?;
    }
    if found.uid() == geteuid().as_raw() && found.mode() & 0o777 != PRIVATE {
        fs::set_permissions(directory, Permissions::from_mode(PRIVATE)).map_err(failed)?;
    }
    Ok(())
}

/// A directory of an unpredictable name that only this user can enter. Dropping it removes it; if this process is killed, the next run removes it.
#[derive(Debug)]
pub(crate) struct TemporaryDirectory {
    directory: PathBuf,
    /// Locked as long as the directory is in use.
    _lock: File,
}

impl TemporaryDirectory {
    /// Makes a directory, whatever the umask is, and removes those of runs that were killed.
    pub(crate) fn new() -> io::Result<Self> {
        leftovers::sweep(&std::env::temp_dir());
        let made = tempfile::Builder::new()
            .prefix(leftovers::PREFIX)
            .rand_bytes(leftovers::RANDOM)
            .permissions(Permissions::from_mode(PRIVATE))
            .tempdir()?;
        let lock = File::open(made.path())?;
        lock.lock()?;
        leftovers::mark(made.path())?;
        Ok(Self { directory: made.keep(), _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    /// Makes a directory in it that everybody may read, whatever the umask is. Nobody gets there but by a mount.
    pub(crate) fn readable(&self, name: &str) -> io::Result<PathBuf> {
        let directory = self.path().join(name);
        fs::create_dir(&directory)?;
        fs::set_permissions(&directory, Permissions::from_mode(READABLE))?;
        Ok(directory)
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // What cannot be removed now, the next run tries.
        let _ = leftovers::remove(&self.directory);
    }
}

/// A file above a directory by which another user decides what cargo executes there: every user can write to its directory, such as `/tmp`, and it belongs to
/// neither this user nor root.
pub(super) fn planted_above(directory: &Path) -> Option<PathBuf> {
    let is_open = |parent: &&Path| fs::metadata(parent).is_ok_and(|found| found.mode() & WRITABLE_BY_ALL != 0);
    let guides = |parent: &Path| GUIDES.map(|guide| parent.join(guide));
    let is_foreign = |guide: &PathBuf| {
        fs::symlink_metadata(guide).is_ok_and(|found| ![geteuid().as_raw(), 0].contains(&found.uid()))
    };
    directory.ancestors().filter(is_open).flat_map(guides).find(is_foreign)
}

/// Checks the owner of a directory and, if it is a link, also that of the link.
fn checked(directory: &Path) -> Result<Metadata, Error> {
    let failed = |source| Error::Make { path: directory.to_owned(), source };
    let itself = fs::symlink_metadata(directory).map_err(failed)?;
    let target = fs::metadata(directory).map_err(failed)?;
    if !target.is_dir() {
        return Err(Error::NotADirectory(directory.to_owned()));
    }
    if let Some(foreign) = [&itself, &target].into_iter().find(|entry| !is_trusted(entry.uid())) {
        return Err(Error::Foreign { path: directory.to_owned(), owner: foreign.uid() });
    }
    if target.mode() & (WRITABLE_BY_ALL | STICKY) == WRITABLE_BY_ALL {
        return Err(Error::Writable(directory.to_owned()));
    }
    Ok(target)
}

/// Whether what a user owns may be executed: this user, root, and the owner of the workspace at hand, whose sources are built and run anyway. In a container,
/// that one is often not the user.
fn is_trusted(owner: u32) -> bool {
    let workspace_owner = || super::located().and_then(|root| fs::metadata(root).ok()).map(|root| root.uid());
    owner == geteuid().as_raw() || owner == 0 || workspace_owner() == Some(owner)
}

/// Whether the workspace of this manifest may be used. In a directory that every user can write to, such as `/tmp`, the manifest has to be the user's own:
/// cargo finds a manifest in any directory above the present one.
pub(super) fn is_own_workspace(manifest: &Path) -> bool {
    let (Some(Ok(directory)), Ok(file)) = (manifest.parent().map(fs::metadata), fs::metadata(manifest)) else {
        return false;
    };
    directory.mode() & WRITABLE_BY_ALL == 0 || file.uid() == geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    const NOBODY: u32 = 65_534;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    /// Gives a path to another user; only root can.
    fn give_away(path: &Path) -> bool {
        chown(path, Some(NOBODY), None).is_ok()
    }

    #[test]
    fn a_new_directory_is_closed_to_others_and_so_is_an_open_one_of_the_user() {
        let home = tempfile::tempdir().unwrap();
        let new = home.path().join("matrix/python");
        ensure(&new).unwrap();
        assert_eq!((mode(&new), mode(new.parent().unwrap())), (PRIVATE, PRIVATE));
        fs::set_permissions(&new, Permissions::from_mode(0o755)).unwrap();
        ensure(&new).unwrap();
        assert_eq!(mode(&new), PRIVATE);
        assert_eq!(mode(TemporaryDirectory::new().unwrap().path()), PRIVATE);
    }

    #[test]
    fn what_another_user_has_put_above_for_cargo_is_found() {
        let shared = tempfile::tempdir().unwrap();
        let own = shared.path().join("mine/project");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("Cargo.toml"), "").unwrap();
        let planted = shared.path().join("rust-toolchain.toml");
        fs::write(&planted, "[toolchain]\npath = \"/elsewhere\"\n").unwrap();
        fs::set_permissions(shared.path(), Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(planted_above(&own), None, "it is the user's own");
        if !give_away(&planted) {
            println!("not tested: only root can give files away");
            return;
        }
        assert_eq!(planted_above(&own), Some(planted));
        fs::set_permissions(shared.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(planted_above(&own), None, "nobody but the owner can have put it there");
    }

    #[test]
    fn a_directory_that_another_user_has_put_there_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let (planted, link) = (home.path().join("planted"), home.path().join("link"));
        fs::create_dir(&planted).unwrap();
        symlink(&planted, &link).unwrap();
        if !give_away(&planted) {
            println!("not tested: only root can give files away");
            return;
        }
        for path in [&planted, &link, &planted.join("python")] {
            let refused = ensure(path).unwrap_err();
            assert!(matches!(refused, Error::Foreign { owner: NOBODY, .. }), "{refused}");
        }
    }

    #[test]
    fn a_parent_in_which_every_user_can_exchange_entries_is_refused() {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(ensure(&home.path().join("python")), Err(Error::Writable(_))));
        fs::set_permissions(home.path(), Permissions::from_mode(0o1777)).unwrap();
        ensure(&home.path().join("python")).unwrap();
    }

    #[test]
    fn manifest_writable_by_others_is_no_workspace() {
        let shared = tempfile::tempdir().unwrap();
        let manifest = shared.path().join("Cargo.toml");
        fs::write(&manifest, "").unwrap();
        if !give_away(&manifest) {
            println!("not tested: only root can give files away");
            return;
        }
        assert!(is_own_workspace(&manifest), "a checkout of another user, as in a container");
        fs::set_permissions(shared.path(), Permissions::from_mode(0o1777)).unwrap();
        assert!(!is_own_workspace(&manifest));
    }
}
