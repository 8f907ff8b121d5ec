//! Reads directories and the start of files without heap allocation, because `/proc` is read repeatedly while a function runs.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::AsRawFd as _,
    path::Path,
};

use nix::{errno::Errno, libc};

/// Buffer size of one system call in bytes: about 100 entries of `/proc`.
const BUFFER_BYTES: usize = 4096;
/// Offsets of the length and the name in a directory entry. Source: getdents(2), `linux_dirent64`.
const LENGTH_AT: usize = 16;
const NAME_AT: usize = 19;

/// Calls `each` with the name of every entry but `.` and `..`.
pub(super) fn each_entry(directory: &Path, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let directory = File::open(directory)?;
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        let mut entries = fill(&directory, &mut buffer)?;
        if entries.is_empty() {
            return Ok(());
        }
        while let Some((name, rest)) = split_entry(entries) {
            if name != b"." && name != b".." {
                each(name);
            }
            entries = rest;
        }
    }
}

/// Number of entries.
pub(super) fn count_entries(directory: &Path) -> io::Result<u64> {
    let mut count = 0;
    each_entry(directory, |_| count += 1)?;
    Ok(count)
}

/// The start of a file, as much as fits into the buffer. Allocates nothing.
pub(super) fn read_start<'a>(path: &Path, buffer: &'a mut [u8]) -> io::Result<&'a str> {
    let mut file = File::open(path)?;
    let mut length = 0;
    loop {
        match file.read(buffer.get_mut(length..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    str::from_utf8(buffer.get(..length).unwrap_or_default()).map_err(io::Error::other)
}

/// The next entries; empty at the end of the directory.
#[expect(
    unsafe_code,
    reason = "every safe interface allocates a buffer for each directory, and most of them each name"
)]
fn fill<'a>(directory: &File, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    // SAFETY: the descriptor is open for the duration of the call, and the kernel writes at most `buffer.len()` bytes.
    let filled =
        unsafe { libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) };
    let filled = usize::try_from(Errno::result(filled)?).unwrap_or_default();
    Ok(buffer.get(..filled).unwrap_or_default())
}

/// The name of the first entry, and the remaining entries.
fn split_entry(entries: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = entries.get(LENGTH_AT..LENGTH_AT + 2)?;
    let length = usize::from(u16::from_ne_bytes(length.try_into().ok()?));
    let (entry, rest) = entries.split_at_checked(length)?;
    let name = entry.get(NAME_AT..)?;
    Some((name.split(|byte| *byte == 0).next()?, rest))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    #[test]
    fn every_entry_is_listed_once() {
        let directory = tempfile::tempdir().unwrap();
        // More entries than one system call returns.
        let expected: BTreeSet<String> = (0..500).map(|number| format!("entry-{number}")).collect();
        for name in &expected {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let mut listed = Vec::new();
        each_entry(directory.path(), |name| listed.push(String::from_utf8(name.to_vec()).unwrap())).unwrap();
        assert_eq!(listed.len(), 500);
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(count_entries(directory.path()).unwrap(), 500);
    }

    #[test]
    fn a_missing_directory_and_a_file_are_errors() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [Path::new("/nonexistent"), file.path()] {
            assert!(count_entries(path).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn the_start_of_a_file_fills_the_buffer_at_most() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "0123456789").unwrap();
        let read = |bytes: usize| read_start(file.path(), &mut vec![0; bytes]).unwrap().to_owned();
        assert_eq!([read(4), read(10), read(100)], ["0123", "0123456789", "0123456789"]);
        assert!(read_start(Path::new("/nonexistent"), &mut [0; 4]).is_err());
    }

    #[test]
    fn a_cut_off_entry_is_none() {
        assert_eq!(split_entry(&[]), None);
        assert_eq!(split_entry(&[0; 18]), None);
        let mut entry = [0_u8; 24];
        entry[LENGTH_AT] = 24;
        entry[NAME_AT] = b'7';
        assert_eq!(split_entry(&entry), Some((&b"7"[..], &[][..])));
        assert_eq!(split_entry(&entry[..23]), None, "its length is more than there is");
        entry[LENGTH_AT] = 8;
        assert_eq!(split_entry(&entry), None, "its length is less than its head has");
    }
}
