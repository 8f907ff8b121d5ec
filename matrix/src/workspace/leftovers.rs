//! What runs that were killed have left: temporary directories and processes. Only what is provably of such a run is touched.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};

use super::private::{PRIVATE, TMPDIR};

/// The beginning of the names of temporary directories, and how many random letters and digits follow.
pub(super) const PREFIX: &str = "matrix-run-";
pub(super) const RANDOM: usize = 6;
/// The file that says whose a directory is. It is made before anything else in it, and removed after everything else.
const MARKER: &str = ".cargo-matrix";
/// The age below which a directory may not have been locked yet.
const NEW: Duration = Duration::from_secs(10);

/// Marks a new directory as one of ours.
pub(super) fn mark(directory: &Path) -> io::Result<()> {
    let text = marker_text(directory, &fs::metadata(directory)?);
    let marker = OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(MARKER));
    marker?.write_all(text.as_bytes())
}

/// What the marker of a directory says. A copy of the directory has another inode, and one that somebody has taken for himself another name.
fn marker_text(directory: &Path, found: &Metadata) -> String {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    format!("cargo matrix has made {name}, with the inode {}, and removes it with everything in it.\n", found.ino())
}

/// Removes one of our directories. If that is interrupted, the marker is still there, or nothing is.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() != MARKER {
            let (path, is_directory) = (entry.path(), entry.file_type()?.is_dir());
            if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) }?;
        }
    }
    match fs::remove_file(directory.join(MARKER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::remove_dir(directory),
    }
}

/// Removes the directories that killed runs of this user have left, and ends the processes of those.
pub(super) fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let directory = entry.path();
        if !is_name(&entry.file_name()) {
            continue;
        }
        let Some((_lock, found)) = abandoned(&directory) else { continue };
        match Marker::of(&directory, &found) {
            Marker::Ours if end_processes_of(&directory) => {
                let _ = remove(&directory);
            }
            // The run was killed before it had done anything there. This removes no directory that has anything in it.
            Marker::Missing if found.mode() & 0o7777 == PRIVATE => {
                let _ = fs::remove_dir(&directory);
            }
            Marker::Ours | Marker::Missing | Marker::Foreign => {}
        }
    }
}

/// Whether a name has exactly the form of ours.
fn is_name(name: &OsStr) -> bool {
    let random = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
    random.is_some_and(|random| random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// A directory of this user's that nobody has locked, locked. New ones may not have been locked yet.
fn abandoned(directory: &Path) -> Option<(File, Metadata)> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(directory).ok()?;
    let found = opened.metadata().ok()?;
    let is_old = found.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > NEW));
    let is_free = is_old && found.uid() == geteuid().as_raw() && opened.try_lock().is_ok();
    is_free.then_some((opened, found))
}

/// What the marker of a directory proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    Ours,
    Missing,
    Foreign,
}

impl Marker {
    fn of(directory: &Path, found: &Metadata) -> Self {
        let expected = marker_text(directory, found);
        match written(&directory.join(MARKER), expected.len()) {
            Ok(text) if text == expected.as_bytes() => Self::Ours,
            // The run was killed while it wrote the marker, and had not put anything else there.
            Ok(text) if expected.as_bytes().starts_with(&text) && has_one_entry(directory) => Self::Ours,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Missing,
            Ok(_) | Err(_) => Self::Foreign,
        }
    }
}

/// The text of a file of this user's, up to one byte more than `expected`.
fn written(marker: &Path, expected: usize) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(marker)?;
    let found = opened.metadata()?;
    if !found.is_file() || found.uid() != geteuid().as_raw() {
        return Err(io::Error::other("it is no file of this user"));
    }
    let mut text = Vec::new();
    opened.take(u64::try_from(expected).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut text)?;
    Ok(text)
}

fn has_one_entry(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|entries| entries.count() == 1)
}

/// Ends the processes that a killed run has left: those in mount namespaces with a mount from its directory, and those that have it for temporary files. Returns
/// false, and ends none, if this process sees such a mount itself: then everybody does, and somebody else uses the directory.
fn end_processes_of(directory: &Path) -> bool {
    let Ok(own) = Mount::all("self") else { return false };
    let Some(place) = DirectoryLocation::of(directory, &own) else { return false };
    if own.iter().any(|mount| place.is_mounted_by(mount)) {
        return false;
    }
    let variable = [TMPDIR.as_bytes(), b"=", directory.as_os_str().as_bytes()].concat();
    let has_variable = |process: &str| {
        let variables = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|one| one == variable)
    };
    let has_mount =
        |process: &str| Mount::all(process).is_ok_and(|mounts| mounts.iter().any(|mount| place.is_mounted_by(mount)));
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|process| process.file_name());
    for process in processes.filter_map(|name| name.into_string().ok()) {
        let id = process.parse().ok().and_then(Pid::from_raw).filter(|id| *id != rustix::process::getpid());
        // The descriptor is of this process and never of a later one with its id.
        let Some(handle) = id.and_then(|id| pidfd_open(id, PidfdFlags::empty()).ok()) else { continue };
        if has_mount(&process) || has_variable(&process) {
            let _ = pidfd_send_signal(&handle, Signal::KILL);
        }
    }
    true
}

/// A line of `mountinfo`, see `proc_pid_mountinfo(5)`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    device: OsString,
    /// What of the file system is mounted.
    root: PathBuf,
    /// Where it is mounted.
    point: PathBuf,
    /// The options of the file system; those of an overlay have its directories.
    options: OsString,
}

impl Mount {
    /// Everything that a process sees mounted.
    fn all(process: &str) -> io::Result<Vec<Self>> {
        let lines = fs::read(format!("/proc/{process}/mountinfo"))?;
        Ok(lines.split(|byte| *byte == b'\n').filter_map(Self::parse).collect())
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ').skip(2);
        let (device, root, point) = (fields.next()?, fields.next()?, fields.next()?);
        // A hyphen ends the optional fields; type and source follow.
        let options = fields.skip_while(|field| *field != b"-").nth(3)?;
        Some(Self {
            device: unescaped(device),
            root: unescaped(root).into(),
            point: unescaped(point).into(),
            options: unescaped(options),
        })
    }

    /// The paths in the options, as they were when it was mounted.
    fn layers(&self) -> impl Iterator<Item = &Path> {
        let options = self.options.as_bytes().split(|byte| *byte == b',');
        let values = options.filter_map(|option| option.splitn(2, |byte| *byte == b'=').nth(1));
        let paths = values.flat_map(|value| value.split(|byte| *byte == b':'));
        paths.map(|path| Path::new(OsStr::from_bytes(path)))
    }
}

/// Where a directory is: by its path, and in its file system.
struct DirectoryLocation {
    path: PathBuf,
    device: OsString,
    root: PathBuf,
}

impl DirectoryLocation {
    fn of(directory: &Path, mounts: &[Mount]) -> Option<Self> {
        let path = fs::canonicalize(directory).ok()?;
        // Of mounts on the same point, the last one is seen.
        let above = mounts.iter().filter(|mount| path.starts_with(&mount.point));
        let mount = above.max_by_key(|mount| mount.point.components().count())?;
        let root = mount.root.join(path.strip_prefix(&mount.point).ok()?);
        Some(Self { device: mount.device.clone(), root, path })
    }

    /// Whether a mount shows the directory or something below it.
    fn is_mounted_by(&self, mount: &Mount) -> bool {
        let is_root = mount.device == self.device && mount.root.starts_with(&self.root);
        is_root || mount.layers().any(|layer| layer.starts_with(&self.path))
    }
}

/// A field of `mountinfo`, in which blanks and backslashes are written as octal numbers.
fn unescaped(field: &[u8]) -> OsString {
    let mut text = Vec::new();
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        text.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    OsString::from_vec(text)
}

#[cfg(test)]
mod tests {
    use std::fs::{FileTimes, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Child, Command, Stdio};
    use std::time::SystemTime;

    use super::*;
    use crate::sandbox::isolation;

    /// A closed directory, which is made to look old after `fill`.
    fn made(parent: &Path, name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
        let path = parent.join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(PRIVATE)).unwrap();
        fill(&path);
        let old = FileTimes::new().set_modified(SystemTime::now() - 2 * NEW);
        File::open(&path).unwrap().set_times(old).unwrap();
        path
    }

    fn marked(parent: &Path, name: &str) -> PathBuf {
        made(parent, name, |path| {
            mark(path).unwrap();
            fs::create_dir(path.join("opt")).unwrap();
        })
    }

    #[test]
    fn directories_of_killed_runs_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let dead = marked(parent.path(), "matrix-run-dead00");
        let before_its_marker = made(parent.path(), "matrix-run-empty0", |_| ());
        let within_its_marker = made(parent.path(), "matrix-run-begun0", |path| {
            mark(path).unwrap();
            File::options().write(true).open(path.join(MARKER)).unwrap().set_len(20).unwrap();
        });
        sweep(parent.path());
        assert_eq!([dead, before_its_marker, within_its_marker].map(|path| path.exists()), [false; 3]);
    }

    #[test]
    fn directories_of_others_and_of_runs_that_go_on_stay() {
        let parent = tempfile::tempdir().unwrap();
        let file = |path: &Path| fs::write(path.join("results.csv"), "precious").unwrap();
        let named = |name: &str| made(parent.path(), name, file);
        let mut kept =
            vec![named("matrix-run-results"), named("matrix-run-"), named("matrix-run-abc123"), named("other")];
        // The form of the name is not ours, nor is a marker that was copied, of a directory that was renamed, or of somebody's own.
        kept.push(marked(parent.path(), "matrix-run-results-2"));
        kept.push(marked(parent.path(), "matrix-run-abc_12"));
        let original = parent.path().join("original");
        fs::rename(marked(parent.path(), "matrix-run-moved0"), &original).unwrap();
        fs::rename(&original, parent.path().join("matrix-run-moved1")).unwrap();
        kept.push(parent.path().join("matrix-run-moved1"));
        kept.push(made(parent.path(), "matrix-run-copied", |path| {
            fs::copy(parent.path().join("matrix-run-moved1").join(MARKER), path.join(MARKER)).unwrap();
        }));
        kept.push(made(parent.path(), "matrix-run-partly", |path| {
            fs::write(path.join(MARKER), "cargo").unwrap();
            file(path);
        }));
        kept.push(made(parent.path(), "matrix-run-open00", |path| {
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        }));
        let living = marked(parent.path(), "matrix-run-living");
        let lock = File::open(&living).unwrap();
        lock.lock().unwrap();
        kept.push(living);
        let new = parent.path().join("matrix-run-new000");
        fs::create_dir(&new).unwrap();
        mark(&new).unwrap();
        kept.push(new);
        sweep(parent.path());
        assert_eq!(kept.iter().filter(|path| !path.exists()).collect::<Vec<_>>(), Vec::<&PathBuf>::new());
        assert_eq!(fs::read_to_string(parent.path().join("matrix-run-results/results.csv")).unwrap(), "precious");
    }

    #[test]
    fn an_interrupted_removal_leaves_the_marker() {
        let parent = tempfile::tempdir().unwrap();
        let directory = marked(parent.path(), "matrix-run-busy00");
        for name in ["a", "b", "z"] {
            fs::write(directory.join(name), "").unwrap();
        }
        assert_eq!(Marker::of(&directory, &fs::metadata(&directory).unwrap()), Marker::Ours);
        // As if the process ended after any of them.
        fs::remove_file(directory.join("a")).unwrap();
        assert_eq!(Marker::of(&directory, &fs::metadata(&directory).unwrap()), Marker::Ours);
        remove(&directory).unwrap();
        assert!(!directory.exists());
    }

    /// How a process has ended that was killed, or none if it goes on; then it is killed.
    fn killed(mut process: Child) -> Option<i32> {
        let signal = process.try_wait().unwrap().and_then(|status| status.signal());
        process.kill().unwrap();
        process.wait().unwrap();
        signal
    }

    #[test]
    fn processes_with_the_temporary_directory_of_a_killed_run_end() {
        let parent = tempfile::tempdir().unwrap();
        let dead = marked(parent.path(), "matrix-run-ended0");
        let sleeper = |name: &str, directory: &Path| Command::new("sleep").arg("60").env(name, directory).spawn();
        let mut of_dead = sleeper(TMPDIR, &dead).unwrap();
        let others =
            [sleeper(TMPDIR, parent.path()), sleeper("MY_TMPDIR", &dead), sleeper(TMPDIR, &dead.join("below"))];
        sweep(parent.path());
        assert_eq!(of_dead.wait().unwrap().signal(), Some(9));
        assert_eq!(others.map(|other| killed(other.unwrap())), [None; 3]);
    }

    /// A process in a mount namespace of its own, in which the directory is mounted.
    fn with_mount(directory: &Path) -> Option<Child> {
        let script = "mount --bind \"$0\" /mnt && echo mounted && exec sleep 60";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(directory);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 7];
        let is_mounted = child.stdout.as_mut().unwrap().read_exact(&mut said).is_ok();
        if !is_mounted {
            child.wait().unwrap();
        }
        is_mounted.then_some(child)
    }

    #[test]
    fn processes_with_mounts_of_a_killed_run_end_and_those_of_similar_names_do_not() {
        let parent = tempfile::tempdir().unwrap();
        let dead = marked(parent.path(), "matrix-run-mount0");
        let similar = marked(parent.path(), "matrix-run-mount01");
        let not_ours = made(parent.path(), "matrix-run-", |path| fs::create_dir(path.join("opt")).unwrap());
        let Some(mut of_dead) = with_mount(&dead.join("opt")) else {
            return isolation::skip("no mount namespace");
        };
        let others = [&similar, &not_ours].map(|directory| with_mount(&directory.join("opt")).unwrap());
        sweep(parent.path());
        assert_eq!(of_dead.wait().unwrap().signal(), Some(9));
        assert_eq!(others.map(killed), [None; 2]);
        assert!(!dead.exists() && similar.exists() && not_ours.exists());
    }

    #[test]
    fn a_mount_is_below_a_directory_by_the_parts_of_its_path() {
        let parse = |line: &str| Mount::parse(line.as_bytes()).unwrap();
        let tmp = parse("30 1 0:29 / /tmp rw,nosuid shared:5 - tmpfs tmpfs rw,size=1k");
        let root = parse("1 0 8:1 / / rw - ext4 /dev/sda1 rw");
        let place =
            DirectoryLocation { path: "/tmp/matrix-run-a".into(), device: "0:29".into(), root: "/matrix-run-a".into() };
        let bound = |device: &str, root: &str| parse(&format!("9 8 {device} {root} /opt rw - tmpfs tmpfs rw"));
        let overlay = |layers: &str| parse(&format!("9 8 0:50 / /var rw - overlay overlay rw,lowerdir={layers},x"));
        assert!(
            place.is_mounted_by(&bound("0:29", "/matrix-run-a/opt"))
                && place.is_mounted_by(&bound("0:29", "/matrix-run-a"))
        );
        assert!(place.is_mounted_by(&overlay("/var:/tmp/matrix-run-a/0")));
        for other in [
            bound("0:29", "/matrix-run-ab/opt"),
            bound("8:1", "/matrix-run-a"),
            overlay("/tmp/matrix-run-ab"),
            tmp,
            root,
        ] {
            assert!(!place.is_mounted_by(&other), "{other:?}");
        }
        let escaped = parse("9 8 0:29 /a\\040b\\134 /mnt\\0402 rw - ext4 /dev/x rw");
        assert_eq!((escaped.root, escaped.point), (PathBuf::from("/a b\\"), PathBuf::from("/mnt 2")));
        assert_eq!(Mount::parse(b"36 35"), None);
    }
}
