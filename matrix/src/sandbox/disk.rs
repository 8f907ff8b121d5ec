//! The files that processes see: as on Lambda, the code is at `/var/task`, and nothing can be written but `/tmp`, which is the environment's own.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};

use super::mounts::{MountError, make_room};

/// The directory of the function's code.
pub(crate) const TASK_ROOT: &str = "/var/task";
const TMP: &str = "/tmp";
/// The mount points that the calling thread sees.
const MOUNTS: &str = "/proc/thread-self/mountinfo";
/// Mount points that stay as they are, with everything below them.
const NOT_FILES: [&str; 3] = ["/proc", "/sys", TMP];

/// The private disk of a sandbox. It exists in the mount namespace of the thread that made it, and its `/tmp` is as old as the sandbox: Lambda does not clear it when it
/// resets an environment. Source: "Understanding the Lambda execution environment lifecycle", Failures during the invoke phase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrivateDisk;

/// What a private disk has.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    /// The directory that is mounted at `/var/task`.
    pub task_root: Option<&'a Path>,
    /// The size of `/tmp` in MB.
    pub tmp_mb: u32,
    /// Files and directories that the processes need, wherever they are.
    pub needed: &'a [PathBuf],
}

impl PrivateDisk {
    /// Makes the disk in the calling thread's mount namespace, which must be its own. `staging` is an empty directory that lives as long as the sandbox.
    pub(crate) fn make(contents: &Contents<'_>, staging: &Path) -> Result<Self, MountError> {
        if let Some(task_root) = contents.task_root {
            let target = Path::new(TASK_ROOT);
            if !target.is_dir() {
                make_room(target, staging)?;
            }
            attach(Some(task_root), target, None, MsFlags::MS_BIND, None)?;
        }
        // Entries of the machine's `/tmp` that stay visible, read-only.
        let kept = entries_of_tmp(contents.needed);
        let handles =
            kept.iter().map(|path| Ok((path.clone(), handle(path)?))).collect::<Result<Vec<_>, MountError>>()?;
        for mounted in MountPoint::all().map_err(|source| refused(Path::new(MOUNTS), source))? {
            mounted.make_read_only()?;
        }
        let size = format!("size={}m,mode=1777", contents.tmp_mb);
        attach(
            Some(Path::new("tmpfs")),
            Path::new(TMP),
            Some("tmpfs"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
            Some(&size),
        )?;
        for (path, handle) in handles {
            keep(&path, &handle)?;
        }
        // Where `/tmp` is a mount of its own, these are parts of it and have been left out above.
        let table = MountPoint::table().map_err(|source| refused(Path::new(MOUNTS), source))?;
        table.iter().filter(|mounted| kept.contains(&mounted.place)).try_for_each(MountPoint::make_read_only)?;
        Ok(Self)
    }
}

/// The entries of `/tmp` that lead to these paths. A link leads to its target too.
fn entries_of_tmp(needed: &[PathBuf]) -> Vec<PathBuf> {
    let resolved = needed.iter().filter_map(|path| fs::canonicalize(path).ok());
    let mut entries: Vec<PathBuf> =
        needed.iter().cloned().chain(resolved).filter_map(|path| entry_of_tmp(&path)).collect();
    entries.sort();
    entries.dedup();
    entries
}

fn entry_of_tmp(path: &Path) -> Option<PathBuf> {
    let first = path.strip_prefix(TMP).ok()?.components().next()?;
    Some(Path::new(TMP).join(first))
}

fn handle(path: &Path) -> Result<File, MountError> {
    let opened = OpenOptions::new().read(true).custom_flags(OFlag::O_PATH.bits()).open(path);
    opened.map_err(|source| refused(path, source))
}

/// Makes a covered file or directory visible again.
fn keep(path: &Path, handle: &File) -> Result<(), MountError> {
    let is_directory = handle.metadata().map_err(|source| refused(path, source))?.is_dir();
    let made = if is_directory { fs::create_dir(path) } else { File::create(path).map(drop) };
    made.map_err(|source| refused(path, source))?;
    // A mount that is covered can still be reached by its descriptor.
    let source = PathBuf::from(format!("/proc/thread-self/fd/{}", handle.as_raw_fd()));
    attach(Some(&source), path, None, MsFlags::MS_BIND, None)
}

/// A mount point with its present flags.
#[derive(Debug, PartialEq, Eq)]
struct MountPoint {
    place: PathBuf,
    flags: MsFlags,
}

impl MountPoint {
    /// All mount points of files that are not covered by later ones.
    fn all() -> io::Result<Vec<Self>> {
        Ok(Self::table()?.into_iter().filter(Self::holds_files).collect())
    }

    fn table() -> io::Result<Vec<Self>> {
        Ok(fs::read_to_string(MOUNTS)?.lines().filter_map(Self::parse).collect())
    }

    /// Reads a line of `mountinfo`, see `proc_pid_mountinfo(5)`: the fifth field is the mount point, the sixth has its options.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ').skip(4);
        let place = unescaped(fields.next()?);
        let flags = fields.next()?.split(',').map(|option| match option {
            "ro" => MsFlags::MS_RDONLY,
            "nosuid" => MsFlags::MS_NOSUID,
            "nodev" => MsFlags::MS_NODEV,
            "noexec" => MsFlags::MS_NOEXEC,
            "noatime" => MsFlags::MS_NOATIME,
            "nodiratime" => MsFlags::MS_NODIRATIME,
            "relatime" => MsFlags::MS_RELATIME,
            _ => MsFlags::empty(),
        });
        Some(Self { place: place.into(), flags: flags.fold(MsFlags::empty(), MsFlags::union) })
    }

    fn holds_files(&self) -> bool {
        !NOT_FILES.iter().any(|place| self.place.starts_with(place))
    }

    /// Flags that are not repeated would be removed, which a user namespace does not allow.
    fn make_read_only(&self) -> Result<(), MountError> {
        if self.flags.contains(MsFlags::MS_RDONLY) || fs::metadata(&self.place).is_err() {
            return Ok(());
        }
        let flags = self.flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        match mount(None::<&Path>, &self.place, None::<&str>, flags, None::<&str>) {
            // No mount point: one that is covered, such as by the overlay that makes room for the code, cannot be written to by this path.
            Ok(()) | Err(Errno::EINVAL) => Ok(()),
            Err(error) => Err(refused(&self.place, error.into())),
        }
    }
}

/// A path of `mountinfo`, in which blanks are written as octal numbers.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

fn refused(path: &Path, source: io::Error) -> MountError {
    MountError::Mount { path: path.to_owned(), source }
}

fn attach(
    source: Option<&Path>,
    target: &Path,
    kind: Option<&str>,
    flags: MsFlags,
    data: Option<&str>,
) -> Result<(), MountError> {
    mount(source, target, kind, flags, data).map_err(|error| refused(target, error.into()))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use nix::sys::statvfs::statvfs;

    use super::*;
    use crate::sandbox::{isolation, mounts};

    /// What a thread with a private disk sees.
    fn seen<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let thread = thread::spawn(move || {
            let (code, staging, needed) =
                (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            fs::write(code.path().join("app.py"), "code").unwrap();
            fs::write(needed.path().join("program"), "needed").unwrap();
            let disk = mounts::mount_all(&[], None, staging.path()).and_then(|()| {
                // As on machines whose `/tmp` is a file system of its own.
                attach(Some(Path::new(TMP)), Path::new(TMP), None, MsFlags::MS_BIND, None)?;
                // It is covered where there is no directory for the code yet.
                attach(Some(Path::new("tmpfs")), Path::new("/var/tmp"), Some("tmpfs"), MsFlags::empty(), None)?;
                let needed = [needed.path().join("program")];
                let contents = Contents { task_root: Some(code.path()), tmp_mb: 512, needed: &needed };
                PrivateDisk::make(&contents, &staging.path().join("task"))
            });
            // This thread cannot remove them: they are read-only for it.
            let left = [code.keep(), staging.keep(), needed.keep()];
            (disk.map(|_| work()), left)
        });
        let (result, left) = thread.join().unwrap();
        for directory in left {
            let _ = fs::remove_dir_all(directory);
        }
        match result {
            Ok(result) => Some(result),
            Err(refused) => {
                let reason = refused.reason();
                assert!(!isolation::is_required(), "{reason}");
                println!("not tested: {reason}");
                None
            }
        }
    }

    #[test]
    fn the_code_is_at_var_task_and_only_tmp_can_be_written_to() {
        let Some((code, writes)) = seen(|| {
            let code = fs::read_to_string("/var/task/app.py").unwrap();
            let places =
                ["/tmp/x", "/var/task/x", "/x", "/var/tmp/x", "/dev/shm/x", concat!(env!("CARGO_MANIFEST_DIR"), "/x")];
            assert!(fs::write("/dev/null", "x").is_ok(), "devices are no files");
            (code, places.map(|place| fs::write(place, "x").is_ok()))
        }) else {
            return;
        };
        assert_eq!((code.as_str(), writes), ("code", [true, false, false, false, false, false]));
        assert!(!Path::new("/tmp/x").exists(), "the machine's directory is as it was");
    }

    fn listed() -> Vec<PathBuf> {
        fs::read_dir(TMP).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn tmp_has_its_size_and_nothing_in_it_but_what_is_needed() {
        let Some((size, entries)) = seen(|| {
            let status = statvfs(TMP).unwrap();
            let entries = listed();
            assert_eq!(fs::read_to_string(entries[0].join("program")).unwrap(), "needed");
            (status.blocks() * status.fragment_size(), entries)
        }) else {
            return;
        };
        assert_eq!((size, entries.len()), (512 << 20, 1));
    }

    #[test]
    fn what_is_needed_of_the_machines_tmp_cannot_be_changed() {
        let Some(changes) = seen(|| {
            let entries = listed();
            let [kept] = entries.as_slice() else { panic!("{entries:?}") };
            let removed = fs::remove_file(kept.join("program")).is_ok();
            [removed, fs::write(kept.join("program"), "other").is_ok(), fs::write(kept.join("new"), "x").is_ok()]
        }) else {
            return;
        };
        assert_eq!(changes, [false; 3]);
    }

    #[test]
    fn a_line_of_mountinfo_has_place_and_flags() {
        let line = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime,nosuid master:1 - ext3 /dev/root rw,errors=continue";
        let expected = MountPoint { place: "/mnt 2".into(), flags: MsFlags::MS_NOATIME | MsFlags::MS_NOSUID };
        assert_eq!(MountPoint::parse(line), Some(expected));
        assert_eq!(MountPoint::parse("36 35"), None);
    }
}
