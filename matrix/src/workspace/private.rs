//! Directories from which programs are executed, and which therefore nobody but the user may fill.

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;

/// The mode of a directory that only its owner can enter.
const PRIVATE: u32 = 0o700;
const READABLE: u32 = 0o755;
const WRITABLE_BY_ALL: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// The beginning of the names of temporary directories.
const TEMPORARY: &str = "matrix-run-";
/// The variable that tells programs where to put temporary files.
pub(crate) const TMPDIR: &str = "TMPDIR";
/// Files by which cargo and rustup decide what they execute. They look for them in every directory above the present one.
const GUIDES: [&str; 5] =
    ["Cargo.toml", "rust-toolchain", "rust-toolchain.toml", ".cargo/config", ".cargo/config.toml"];
/// The age below which a directory may not have been locked yet.
const NEW: Duration = Duration::from_secs(10);

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
pub(crate) struct Temporary {
    directory: TempDir,
    /// Locked as long as the directory is in use.
    _lock: File,
}

impl Temporary {
    /// Makes a directory whose name begins with [`TEMPORARY`], whatever the umask is, and removes those of runs that were killed.
    pub(crate) fn new() -> io::Result<Self> {
        sweep(&std::env::temp_dir());
        let made = tempfile::Builder::new().prefix(TEMPORARY).permissions(Permissions::from_mode(PRIVATE)).tempdir();
        let directory = made?;
        let lock = File::open(directory.path())?;
        lock.lock()?;
        Ok(Self { directory, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Makes a directory in it that everybody may read, whatever the umask is. Nobody gets there but by a mount.
    pub(crate) fn readable(&self, name: &str) -> io::Result<PathBuf> {
        let directory = self.path().join(name);
        fs::create_dir(&directory)?;
        fs::set_permissions(&directory, Permissions::from_mode(READABLE))?;
        Ok(directory)
    }
}

/// Removes the user's directories that nobody has locked. New ones may not have been locked yet.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_named = entry.file_name().to_str().is_some_and(|name| name.starts_with(TEMPORARY));
        let path = entry.path();
        let Some(found) = is_named.then(|| fs::symlink_metadata(&path).ok()).flatten() else { continue };
        let is_old = found.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > NEW));
        let is_ours = found.is_dir() && found.uid() == geteuid().as_raw();
        if is_ours && is_old && File::open(&path).is_ok_and(|lock| lock.try_lock().is_ok()) {
            end_processes_of(&path);
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Ends the processes that a killed run has left: those that see its directory mounted, and those that have it for temporary files. Its name is random, so that
/// no other process knows it.
fn end_processes_of(directory: &Path) {
    let (Some(name), own) = (directory.file_name(), std::process::id().to_string()) else { return };
    let has = |file: PathBuf, part: &[u8]| {
        fs::read(file).is_ok_and(|text| text.windows(part.len().max(1)).any(|window| window == part))
    };
    let variable = [TMPDIR.as_bytes(), b"=", directory.as_os_str().as_bytes(), b"\0"].concat();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.filter(|process| *process.file_name() != *own) {
        let id = process.file_name().to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        // The descriptor is of this process and never of a later one with its id.
        let Some(handle) = id.and_then(|id| pidfd_open(id, PidfdFlags::empty()).ok()) else { continue };
        let path = process.path();
        if has(path.join("mountinfo"), name.as_bytes()) || has(path.join("environ"), &variable) {
            let _ = pidfd_send_signal(&handle, Signal::KILL);
        }
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
    use std::fs::FileTimes;
    use std::os::unix::fs::{chown, symlink};
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;
    use std::time::SystemTime;

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
        assert_eq!(mode(Temporary::new().unwrap().path()), PRIVATE);
    }

    #[test]
    fn directories_of_killed_runs_are_removed_and_no_others() {
        let parent = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let path = parent.path().join(name);
            fs::create_dir(&path).unwrap();
            let old = FileTimes::new().set_modified(SystemTime::now() - 2 * NEW);
            File::open(&path).unwrap().set_times(old).unwrap();
            path
        };
        let (dead, living, other) = (made("matrix-run-dead"), made("matrix-run-living"), made("other"));
        let new = parent.path().join("matrix-run-new");
        fs::create_dir(&new).unwrap();
        let lock = File::open(&living).unwrap();
        lock.lock().unwrap();
        sweep(parent.path());
        assert_eq!([&dead, &living, &other, &new].map(|path| path.exists()), [false, true, true, true]);
    }

    #[test]
    fn processes_of_killed_runs_end() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join("matrix-run-ended");
        fs::create_dir(&dead).unwrap();
        let old = FileTimes::new().set_modified(SystemTime::now() - 2 * NEW);
        File::open(&dead).unwrap().set_times(old).unwrap();
        let sleeper = |directory: &Path| Command::new("sleep").arg("60").env(TMPDIR, directory).spawn().unwrap();
        let (mut of_dead, mut other) = (sleeper(&dead), sleeper(parent.path()));
        sweep(parent.path());
        assert_eq!(of_dead.wait().unwrap().signal(), Some(9));
        assert_eq!(other.try_wait().unwrap(), None);
        other.kill().unwrap();
        other.wait().unwrap();
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
    fn a_manifest_that_anybody_could_have_put_there_makes_no_workspace() {
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
