//! Bounded reads of files that a setting or a convention names. A FIFO could block forever and a device could supply endless data, so only regular
//! files are read.

use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use nix::fcntl::OFlag;

/// Reads a regular file of at most `max_bytes` bytes. Any other kind of file and any longer file is an error.
pub fn read(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    // Without `O_NONBLOCK`, opening a FIFO blocks until another process opens its other end.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    // One byte more than the limit detects a longer file.
    file.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max_bytes {
        return Err(io::Error::other(format!("it has more than {max_bytes} bytes")));
    }
    Ok(bytes)
}

/// Reads a file like [`read`], as UTF-8 text.
pub fn read_text(path: &Path, max_bytes: usize) -> io::Result<String> {
    String::from_utf8(read(path, max_bytes)?).map_err(|_| io::Error::other("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn a_regular_file_is_read_up_to_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "text").unwrap();
        symlink(&file, &link).unwrap();
        assert_eq!(read(&file, 4).unwrap(), b"text");
        assert_eq!(read_text(&link, 4).unwrap(), "text");
        assert_eq!(read(&file, 3).unwrap_err().to_string(), "it has more than 3 bytes");
        fs::write(&file, [0xff]).unwrap();
        assert_eq!(read_text(&file, 4).unwrap_err().to_string(), "it is not UTF-8");
        assert_eq!(read(&directory.path().join("none"), 4).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_has_no_end_is_refused_before_it_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        for path in [fifo.as_path(), Path::new("/dev/zero"), Path::new("/dev/null"), directory.path()] {
            assert_eq!(read(path, 1 << 20).unwrap_err().to_string(), "it is not a regular file", "{}", path.display());
        }
    }
}
