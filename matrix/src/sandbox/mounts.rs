//! The sandbox's own mounts over the machine's directories.

use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::setup::Mount;
use crate::terminal::chain_in_line;

/// The mount point of control groups. A process on Lambda sees none; runtimes that see them adapt to their limits.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// Why the sandbox has to use the machine's own directories.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    #[error("no mounts of its own")]
    Namespace(#[source] nix::Error),
    #[error("{} cannot be put in place", path.display())]
    Mount { path: PathBuf, source: io::Error },
}

impl MountError {
    /// The reason with the system's error, in one line.
    pub(crate) fn reason(&self) -> String {
        chain_in_line(self)
    }
}

/// Moves the calling thread into its own mount namespace and mounts the directories there, without a change to what others see.
///
/// Processes and threads that the calling thread starts from now on inherit the namespace. It needs `CAP_SYS_ADMIN`. `over` is overlaid on its target, which
/// has to exist, and must not change from now on. `staging` is an empty directory that lives as long as the sandbox.
pub(crate) fn mount_all(mounts: &[Mount], over: Option<&Mount>, staging: &Path) -> Result<(), MountError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(MountError::Namespace)?;
    // Mounts made from here on do not propagate to the machine.
    attach(None, Path::new("/"), None, MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    // Overlays come first, because they would cover mounts that are below them.
    for (number, mount) in mounts.iter().enumerate().filter(|(_, mount)| !mount.target.exists()) {
        make_room(&mount.target, &staging.join(number.to_string()))?;
    }
    if let Some(Mount { source, target }) = over {
        lay_over(source, target)?;
    }
    for mount in mounts {
        attach(Some(&mount.source), &mount.target, None, MsFlags::MS_BIND)?;
    }
    Ok(())
}

/// Hides all control groups from the calling thread, which must be in a mount namespace of its own.
pub(crate) fn hide_control_groups() -> Result<(), MountError> {
    let target = Path::new(CONTROL_GROUPS);
    mount(Some("none"), target, Some("tmpfs"), MsFlags::MS_RDONLY, None::<&str>)
        .map_err(|error| MountError::Mount { path: target.to_owned(), source: error.into() })
}

/// Makes a missing directory visible, with an overlay on its nearest existing ancestor.
pub(super) fn make_room(target: &Path, staging: &Path) -> Result<(), MountError> {
    let refused = |source| MountError::Mount { path: target.to_owned(), source };
    let parent = target.ancestors().skip(1).find(|parent| parent.is_dir()).unwrap_or(Path::new("/"));
    let missing = target.strip_prefix(parent).map_err(|error| refused(io::Error::other(error)))?;
    std::fs::create_dir_all(staging.join(missing)).map_err(refused)?;
    lay_over(staging, parent)
}

/// Overlays `source` on `target`; where both have an entry, that of `source` is visible.
fn lay_over(source: &Path, target: &Path) -> Result<(), MountError> {
    let layers = format!("lowerdir={}:{}", source.display(), target.display());
    attach(None, target, Some(&layers), MsFlags::empty())
}

/// Mounts an overlay if there are `layers`, otherwise a bind mount.
fn attach(source: Option<&Path>, target: &Path, layers: Option<&str>, flags: MsFlags) -> Result<(), MountError> {
    let kind = layers.map(|_| "overlay");
    mount(source, target, kind, flags, layers)
        .map_err(|error| MountError::Mount { path: target.to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use super::*;
    use crate::sandbox::isolation;

    /// The content of a file as a thread with these mounts reads it, or the reason of a failure.
    fn seen(target: &Path, file: &Path) -> Result<Option<String>, MountError> {
        let (source, staging) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(source.path().join("file"), "private").unwrap();
        let mounts = vec![Mount { source: source.path().to_owned(), target: target.to_owned() }];
        let file = file.to_owned();
        let staged = staging.path().to_owned();
        let thread = thread::spawn(move || mount_all(&mounts, None, &staged).map(|()| fs::read_to_string(file).ok()));
        thread.join().unwrap()
    }

    /// Mounts may fail for a missing privilege only.
    fn assert_tolerable(refused: &MountError) {
        let reason = refused.reason();
        assert!(reason.contains("no mounts of its own: EPERM") && !isolation::is_required(), "{reason}");
    }

    #[test]
    fn what_is_mounted_is_seen_by_this_thread_alone_even_where_nothing_was() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("neighbour"), "still here").unwrap();
        let target = directory.path().join("not/there");
        match seen(&target, &target.join("file")) {
            Ok(read) => {
                assert_eq!(read.as_deref(), Some("private"));
                assert_eq!(seen(&target, &directory.path().join("neighbour")).unwrap().as_deref(), Some("still here"));
            }
            Err(refused) => assert_tolerable(&refused),
        }
        assert!(!target.exists(), "the machine is as it was");
    }

    #[test]
    fn what_is_there_is_covered() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "the machine's").unwrap();
        match seen(directory.path(), &directory.path().join("file")) {
            Ok(read) => assert_eq!(read.as_deref(), Some("private")),
            Err(refused) => assert_tolerable(&refused),
        }
        assert_eq!(fs::read_to_string(directory.path().join("file")).unwrap(), "the machine's");
    }
}
