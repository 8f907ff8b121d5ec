//! Writes files atomically: the tool's output for people and for its other commands.
//!
//! A full disk, a signal or a crash would otherwise leave half a file. The bytes go to a temporary name in the same directory, which is renamed when all of
//! them are written. An existing file stays until then.

use std::collections::BTreeSet;
use std::fs::{self, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat2};

/// The mode of a new file, less the umask.
const MODE: u32 = 0o666;
/// Bytes of the largest layer or program that is read: more than a build with debug information has.
const LARGEST: u64 = 1 << 30;

/// Why nothing is written: the command reads that file.
#[derive(Debug, thiserror::Error)]
#[error("{} is read by this command, and {option} would overwrite it; name another file or directory with {option}", path.display())]
pub struct Overwrites {
    pub path: PathBuf,
    pub option: &'static str,
}

/// Returns an error if a file that an option writes is one of those that the command reads, by whatever name.
pub fn keep_inputs<O, I>(option: &'static str, outputs: O, inputs: I) -> Result<(), Overwrites>
where
    O: IntoIterator<Item: AsRef<Path>>,
    I: IntoIterator<Item: AsRef<Path>>,
{
    // A device or a pipe is not replaced.
    let identity = |path: &Path| {
        let found = fs::metadata(path).ok().filter(Metadata::is_file);
        found.map(|found| (found.dev(), found.ino()))
    };
    let inputs: BTreeSet<(u64, u64)> = inputs.into_iter().filter_map(|input| identity(input.as_ref())).collect();
    let is_input = |output: &O::Item| identity(output.as_ref()).is_some_and(|found| inputs.contains(&found));
    match outputs.into_iter().find(is_input) {
        Some(output) => Err(Overwrites { path: output.as_ref().to_owned(), option }),
        None => Ok(()),
    }
}

/// The bytes of a layer or a program. A device or a pipe may have no end, or not begin; it is an error, and so is a file that no layer and no program is as large as.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !found.is_file() {
        return Err(io::Error::other("it is a device or a pipe; save it as a file"));
    }
    let mut bytes = Vec::new();
    if found.len() <= LARGEST {
        file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    }
    if found.len() > LARGEST || u64::try_from(bytes.len()).is_ok_and(|read| read > LARGEST) {
        let reason = format!("it has more than {LARGEST} bytes, and no layer or program has");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// Writes `bytes` to `path`, and creates the directory if needed. Symbolic links are followed; a device or a pipe is written directly.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let there = fs::metadata(&path).ok();
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        return OpenOptions::new().write(true).open(&path)?.write_all(bytes.as_ref());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let new = Permissions::from_mode(MODE);
    let mut unfinished = tempfile::Builder::new().prefix(".unfinished-").permissions(new).tempfile_in(folder)?;
    if let Some(there) = there {
        // The umask does not apply to an existing file.
        unfinished.as_file().set_permissions(there.permissions())?;
    }
    unfinished.write_all(bytes.as_ref())?;
    unfinished.persist(&path)?;
    Ok(())
}

/// Writes `bytes` to `path` with exactly this mode. A file or a symbolic link that is there is replaced, and never followed.
pub fn put(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut unfinished = tempfile::Builder::new().prefix(".unfinished-").tempfile_in(folder)?;
    unfinished.write_all(bytes)?;
    unfinished.as_file().set_permissions(Permissions::from_mode(mode))?;
    unfinished.persist(path)?;
    Ok(())
}

/// Moves the file or directory `new` to `place`, and removes what was there. An interruption at any moment leaves whole files under every name that both have:
/// those of before, or those of after.
pub fn replace(new: &Path, place: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, new, AT_FDCWD, place, RenameFlags::RENAME_EXCHANGE) {
        Ok(()) => remove(new),
        Err(Errno::ENOENT) => fs::rename(new, place),
        // Not every file system can exchange two names.
        Err(_) => move_over(new, place),
    }
}

/// The same without an exchange. A file replaces another one at once; of directories, one file after the other does, and what only the old one has is removed last.
fn move_over(new: &Path, place: &Path) -> io::Result<()> {
    let is_directory = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.is_dir());
    let (moves_directory, replaces_directory) = (is_directory(new)?, is_directory(place).ok());
    if moves_directory && replaces_directory == Some(true) {
        let mut moved = BTreeSet::new();
        for entry in fs::read_dir(new)? {
            let name = entry?.file_name();
            move_over(&new.join(&name), &place.join(&name))?;
            moved.insert(name);
        }
        for entry in fs::read_dir(place)? {
            let entry = entry?;
            if !moved.contains(&entry.file_name()) {
                remove(&entry.path())?;
            }
        }
        return remove(new);
    }
    // No name can change from a directory to a file, or back, in one step.
    if replaces_directory.is_some_and(|replaces_directory| replaces_directory != moves_directory) {
        remove(place)?;
    }
    fs::rename(new, place)
}

/// Removes a file, a symbolic link, or a directory with all that is in it.
fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files.
    fn directory(at: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            write(&at.join(name), text).unwrap();
        }
    }

    /// Every file below, with its text.
    fn all(at: &Path) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                found.extend(all(&path).into_iter().map(|(below, text)| (format!("{name}/{below}"), text)));
            } else {
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_directory_takes_the_place_of_another_one() {
        let after = [("agent/x", "new"), ("deep/file", "new"), ("program", "new")];
        for replace in [replace, move_over] {
            let folder = tempfile::tempdir().unwrap();
            let (place, new) = (folder.path().join("place"), folder.path().join("new"));
            directory(&new, &after);
            replace(&new, &place).unwrap();
            directory(&place, &[("deep/stale", "old"), ("made-from", "old"), ("program", "old")]);
            fs::remove_dir_all(place.join("agent")).unwrap();
            fs::write(place.join("agent"), "a file where a directory comes").unwrap();
            directory(&new, &after);
            replace(&new, &place).unwrap();
            let there = all(&place);
            let there: Vec<_> = there.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            assert_eq!(there, after);
            assert!(!new.exists());
        }
    }

    #[test]
    fn nothing_is_removed_before_it_is_replaced() {
        for replace in [replace, move_over] {
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path().join("place");
            directory(&place, &[("made-from", "old"), ("program", "old")]);
            // As if the process ended before anything was moved.
            assert!(replace(&folder.path().join("nowhere"), &place).is_err());
            assert_eq!(all(&place).len(), 2);
        }
    }

    #[test]
    fn a_file_has_its_mode_and_a_link_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        put(&link, b"after", 0o644).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "before");
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        assert_eq!(fs::metadata(&link).unwrap().permissions().mode() & 0o7777, 0o644);
        assert!(put(folder.path(), b"a directory", 0o644).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_is_replaced_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/file");
        write(&path, "a longer text").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        write(&path, "short").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "short");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_followed_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, "after").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn output_equal_to_an_input_is_found_by_any_path() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("plan.json"), "").unwrap();
        fs::write(at("other"), "").unwrap();
        std::os::unix::fs::symlink(at("plan.json"), at("link")).unwrap();
        let inputs = || [at("samples.jsonl"), at("plan.json")];
        for output in [at("plan.json"), at("link"), folder.path().join("./plan.json")] {
            let error = keep_inputs("--out", [at("new"), output.clone()], inputs()).unwrap_err();
            assert_eq!((error.path, error.option), (output, "--out"));
        }
        keep_inputs("--out", [at("samples.jsonl"), at("other"), at("new")], inputs()).unwrap();
        keep_inputs("--out", ["/dev/null"], ["/dev/null"]).unwrap();
    }

    #[test]
    fn what_has_no_end_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, large) = (folder.path().join("pipe"), folder.path().join("large"));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::File::create(&large).unwrap().set_len(LARGEST + 1).unwrap();
        for path in [Path::new("/dev/zero"), &pipe] {
            assert_eq!(read(path).unwrap_err().to_string(), "it is a device or a pipe; save it as a file");
        }
        assert_eq!(read(&large).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        fs::write(&large, "bytes").unwrap();
        assert_eq!(read(&large).unwrap(), b"bytes");
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        write(Path::new("/dev/null"), "nothing").unwrap();
        let error = write(Path::new("/dev/full"), "too much").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(!fs::metadata("/dev/full").unwrap().is_file());
        assert!(write(Path::new("/proc"), "a directory").is_err());
    }
}
