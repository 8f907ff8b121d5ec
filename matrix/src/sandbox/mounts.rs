//! Directories that only the sandbox sees where the machine has others.

use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::setup::Mount;

/// Where control groups are; a process on Lambda sees none, and runtimes that do see them adapt to their limits.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// Why the sandbox has to do with the machine's own directories.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("no mounts of its own: {0}")]
    Namespace(#[source] nix::Error),
    #[error("{} cannot be put in place: {source}", path.display())]
    Mount { path: PathBuf, source: io::Error },
}

/// Moves the calling thread into a mount namespace of its own and puts the directories in place, without any change to what others see.
///
/// Processes and threads started by the calling thread from now on see the same. It needs `CAP_SYS_ADMIN`. `over` is laid over what is in its target, which
/// has to exist, and must not change from now on. `staging` is an empty directory that lives as long as the sandbox.
pub(crate) fn settle(mounts: &[Mount], over: Option<&Mount>, staging: &Path) -> Result<(), Refused> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(Refused::Namespace)?;
    // Nothing that is mounted from here on spreads to the machine.
    attach(None, Path::new("/"), None, MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    // First, because what is laid over a directory covers what has been put into it before.
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
pub(crate) fn hide_control_groups() -> Result<(), Refused> {
    let target = Path::new(CONTROL_GROUPS);
    mount(Some("none"), target, Some("tmpfs"), MsFlags::MS_RDONLY, None::<&str>)
        .map_err(|error| Refused::Mount { path: target.to_owned(), source: error.into() })
}

/// Lets a directory that does not exist be seen, by laying another one over the nearest that does.
fn make_room(target: &Path, staging: &Path) -> Result<(), Refused> {
    let refused = |source| Refused::Mount { path: target.to_owned(), source };
    let parent = target.ancestors().skip(1).find(|parent| parent.is_dir()).unwrap_or(Path::new("/"));
    let missing = target.strip_prefix(parent).map_err(|error| refused(io::Error::other(error)))?;
    std::fs::create_dir_all(staging.join(missing)).map_err(refused)?;
    lay_over(staging, parent)
}

/// Shows both directories as one, and of what is in both that of the source.
fn lay_over(source: &Path, target: &Path) -> Result<(), Refused> {
    let layers = format!("lowerdir={}:{}", source.display(), target.display());
    attach(None, target, Some(&layers), MsFlags::empty())
}

/// An overlay when there are `layers`, a bind otherwise.
fn attach(source: Option<&Path>, target: &Path, layers: Option<&str>, flags: MsFlags) -> Result<(), Refused> {
    let kind = layers.map(|_| "overlay");
    mount(source, target, kind, flags, layers)
        .map_err(|error| Refused::Mount { path: target.to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use super::*;
    use crate::sandbox::isolation;

    /// What a thread with these mounts reads from a file, or why it could not.
    fn seen(target: &Path, file: &Path) -> Result<Option<String>, Refused> {
        let (source, staging) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(source.path().join("file"), "private").unwrap();
        let mounts = vec![Mount { source: source.path().to_owned(), target: target.to_owned() }];
        let file = file.to_owned();
        let staged = staging.path().to_owned();
        let thread = thread::spawn(move || settle(&mounts, None, &staged).map(|()| fs::read_to_string(file).ok()));
        thread.join().unwrap()
    }

    /// Without privileges there are no mounts, and only then.
    fn assert_tolerable(refused: &Refused) {
        let reason = refused.to_string();
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
