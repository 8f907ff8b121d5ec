//! Writes files atomically: the tool's output for people and for its other commands.
//!
//! A full disk, a signal or a crash would otherwise leave half a file. The bytes go to a temporary name in the same directory, which is renamed when all of
//! them are written. An existing file stays until then.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The mode of a new file, less the umask.
const MODE: u32 = 0o666;

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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_device_is_written_to_and_not_replaced() {
        write(Path::new("/dev/null"), "nothing").unwrap();
        let error = write(Path::new("/dev/full"), "too much").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(!fs::metadata("/dev/full").unwrap().is_file());
        assert!(write(Path::new("/proc"), "a directory").is_err());
    }
}
