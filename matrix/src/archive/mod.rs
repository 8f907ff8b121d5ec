//! Zip files of layers: the same files are written as the same bytes, and nothing that is read gets out of its place.

pub mod limits;
pub mod places;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{self, Cursor, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::{executable, files};

/// The best that Deflate can do. Starts do not depend on it: the platform unpacks a layer when it is published.
const LEVEL: i64 = 9;
/// Of files and of what may be executed.
pub const MODES: [u32; 2] = [0o644, 0o755];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("it is no zip file that can be read")]
    Zip(#[from] ZipError),
    #[error("its entry \"{0}\" would not stay below /opt; a layer like that must not be unpacked")]
    Escapes(String),
    #[error("the name of its entry {0:?} has characters that would change what a terminal shows")]
    Hides(String),
    #[error("its entry \"{0}\" is in it twice, and it depends on who unpacks it which one is there")]
    Twice(String),
    #[error("it unpacks to more than {} bytes, which is all that a function may have", limits::UNZIPPED)]
    TooLarge,
    #[error("{} cannot be read or written", path.display())]
    File { path: PathBuf, source: io::Error },
}

/// A file of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it stands below `/opt`, such as `extensions/datadog-agent`.
    pub place: String,
    pub bytes: Vec<u8>,
    pub executable: bool,
}

/// What an entry of a zip file is; directories are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub file: File,
    /// Bytes in the zip file.
    pub zipped: u64,
    /// Whether the bytes are the path to which a symbolic link leads.
    pub link: bool,
    /// The permission bits with setuid, setgid and sticky; none if the zip file was not made on a Unix system.
    pub mode: Option<u32>,
}

/// A directory that a zip file names; most name only their files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    pub place: String,
    /// As of [`Entry`].
    pub mode: Option<u32>,
}

/// A zip file of these, in the order of their places, all of one time, with two modes.
pub fn write(files: &[File]) -> Result<Vec<u8>, Error> {
    let mut files: Vec<&File> = files.iter().collect();
    files.sort_by(|a, b| a.place.cmp(&b.place));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    // The default time is the earliest that a zip file can tell, in 1980.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(LEVEL))
        .last_modified_time(DateTime::default());
    let [plain, executable] = MODES;
    for file in files {
        let mode = if file.executable { executable } else { plain };
        writer.start_file(file.place.as_str(), options.unix_permissions(mode))?;
        writer.write_all(&file.bytes).map_err(ZipError::from)?;
    }
    Ok(writer.finish()?.into_inner())
}

/// The entries of a zip file, in its order.
pub fn read(bytes: &[u8]) -> Result<Vec<Entry>, Error> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))?;
    if let Some(place) = repeated(&archive, bytes) {
        return Err(Error::Twice(place));
    }
    let mut left = limits::UNZIPPED;
    let (mut entries, mut places) = (Vec::new(), BTreeSet::new());
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let place = entry.name()?.into_owned();
        if !stays(&place) {
            return Err(Error::Escapes(place));
        }
        if place.contains(char::is_control) {
            return Err(Error::Hides(place));
        }
        // Other bytes may be the same name in another encoding, and a directory may have the name of a file.
        if !places.insert(place.trim_end_matches('/').to_owned()) {
            return Err(Error::Twice(place));
        }
        if entry.is_dir() {
            continue;
        }
        let (zipped, link) = (entry.compressed_size(), entry.is_symlink());
        let mode = entry.unix_mode().map(|mode| mode & 0o777 | special_bits(bytes, entry.central_header_start()));
        let executable = mode.is_some_and(|mode| mode & 0o111 != 0);
        let mut bytes = Vec::new();
        // One byte more than may be, whatever the entry says of its own size.
        (&mut entry).take(left + 1).read_to_end(&mut bytes).map_err(ZipError::from)?;
        left = left.checked_sub(count(&bytes)).ok_or(Error::TooLarge)?;
        entries.push(Entry { file: File { place, bytes, executable }, zipped, link, mode });
    }
    Ok(entries)
}

/// A name that two entries have. Of those, the library for zip files keeps the last; others unpack the first, or one over the other.
fn repeated(archive: &ZipArchive<Cursor<&[u8]>>, zip: &[u8]) -> Option<String> {
    if !archive.has_duplicate_names() {
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut header = usize::try_from(archive.central_directory_start()).ok();
    while let Some((name, next)) = header.and_then(|header| central_name(zip, header)) {
        if !seen.insert(name) {
            return Some(String::from_utf8_lossy(name).replace(char::is_control, "?"));
        }
        header = Some(next);
    }
    Some("?".to_owned())
}

/// The name in the central header that starts here, and where the next one starts. Source: APPNOTE.TXT 4.3.12: the lengths of name, extra field and comment are at
/// offsets 28, 30 and 32, and the name at 46.
fn central_name(zip: &[u8], header: usize) -> Option<(&[u8], usize)> {
    const LENGTHS: [usize; 3] = [28, 30, 32];
    const NAME: usize = 46;
    let fields = zip.get(header..)?;
    let length = |at: usize| Some(usize::from(u16::from_le_bytes(*fields.get(at..)?.first_chunk()?)));
    let lengths = LENGTHS.map(length).into_iter().collect::<Option<Vec<_>>>()?;
    let name = fields.get(NAME..NAME + lengths.first()?)?;
    Some((name, header + NAME + lengths.iter().sum::<usize>()))
}

/// What a reader of a zip file that goes from entry to entry would find in it and one that goes by its directory would not, or the other way round.
pub fn inconsistency(bytes: &[u8]) -> Option<String> {
    let checked = ZipArchive::new(Cursor::new(bytes)).and_then(|mut archive| archive.validate_header_consistency());
    checked.err().map(|error| error.to_string())
}

/// The directories that a zip file names, in its order; [`read`] refuses names that lead elsewhere.
pub fn directories(bytes: &[u8]) -> Result<Vec<Directory>, Error> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))?;
    let mut directories = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        if entry.is_dir() {
            let mode = entry.unix_mode().map(|mode| mode & 0o777 | special_bits(bytes, entry.central_header_start()));
            directories.push(Directory { place: entry.name()?.into_owned(), mode });
        }
    }
    Ok(directories)
}

/// setuid, setgid and sticky of the entry whose central header starts here. The library for zip files leaves them out. Source: APPNOTE.TXT 4.3.12, where
/// the upper half of the external file attributes, at offset 38, is the mode on Unix.
fn special_bits(zip: &[u8], header: u64) -> u32 {
    const MODE: usize = 40;
    let mode = usize::try_from(header).ok().and_then(|header| zip.get(header.checked_add(MODE)?..)?.first_chunk());
    mode.map_or(0, |mode| u32::from(u16::from_le_bytes(*mode)) & 0o7000)
}

/// Unpacks a zip file below a directory, as the platform does below `/opt`: over what other layers have put there, with the modes of the zip file. Those that
/// it does not tell are 0644.
pub fn unpack(bytes: &[u8], directory: &Path) -> Result<(), Error> {
    let entries = read(bytes)?;
    // Links come last, and nothing is ever written through one.
    for entry in entries.iter().filter(|entry| !entry.link).chain(entries.iter().filter(|entry| entry.link)) {
        let place = &entry.file.place;
        let path = directory.join(place);
        if leads_through_link(directory, place) {
            return Err(Error::Escapes(place.clone()));
        }
        lay(&path, entry).map_err(|source| Error::File { path, source })?;
    }
    Ok(())
}

fn lay(path: &Path, entry: &Entry) -> io::Result<()> {
    let Entry { file: File { bytes, executable, .. }, link, mode, .. } = entry;
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    if *link {
        if fs::symlink_metadata(path).is_ok() {
            fs::remove_file(path)?;
        }
        return symlink(String::from_utf8_lossy(bytes).as_ref(), path);
    }
    let mode = mode.map_or(MODES[0], |mode| mode & 0o777);
    if *executable {
        executable::write(path, bytes)?;
        return fs::set_permissions(path, Permissions::from_mode(mode));
    }
    files::put(path, bytes, mode)
}

/// Whether a name has nothing in it that leads elsewhere, and is the only one of its place: `a//b` and `a/./b` would be `a/b` too. A directory ends with a slash.
fn stays(place: &str) -> bool {
    let place = place.strip_suffix('/').unwrap_or(place);
    let plain = |part: &str| !["", ".", ".."].contains(&part);
    !place.contains(['\\', '\0']) && place.split('/').all(plain)
}

fn leads_through_link(directory: &Path, place: &str) -> bool {
    let parents = Path::new(place).ancestors().skip(1);
    parents
        .map(|parent| directory.join(parent))
        .take_while(|parent| parent != directory)
        .any(|parent| parent.is_symlink())
}

/// The length of bytes in memory as files count theirs.
pub(crate) fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(place: &str, text: &str, executable: bool) -> File {
        File { place: place.to_owned(), bytes: text.into(), executable }
    }

    /// A zip file with entries that this module would not write.
    fn foreign(entries: &[(&str, &str)], link: Option<(&str, &str)>) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        for (place, text) in entries {
            writer.start_file(*place, options).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        if let Some((place, target)) = link {
            writer.add_symlink(place, target, options).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn the_order_of_the_files_does_not_matter() {
        let (a, b) = (file("a", "1", true), file("b/c", "2", false));
        let zip = write(&[a.clone(), b.clone()]).unwrap();
        assert_eq!(write(&[b.clone(), a.clone()]).unwrap(), zip);
        let files: Vec<File> = read(&zip).unwrap().into_iter().map(|entry| entry.file).collect();
        assert_eq!(files, [a, b]);
    }

    #[test]
    fn files_are_unpacked_with_their_layout_and_their_modes() {
        let directory = tempfile::tempdir().unwrap();
        unpack(&write(&[file("bin/a", "1", true), file("b", "2", false)]).unwrap(), directory.path()).unwrap();
        let mode = |name: &str| fs::metadata(directory.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("bin/a"), mode("b")), (0o755, 0o644));
        unpack(&write(&[file("b", "later", false)]).unwrap(), directory.path()).unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("b")).unwrap(), "later", "a later layer lies over it");
    }

    #[test]
    fn a_program_for_its_owner_alone_stays_one() {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (place, mode) in [("own", 0o700), ("closed", 0o600)] {
            writer.start_file(place, SimpleFileOptions::default().unix_permissions(mode)).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        unpack(&writer.finish().unwrap().into_inner(), directory.path()).unwrap();
        let mode = |name: &str| fs::metadata(directory.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("own"), mode("closed")), (0o700, 0o600));
    }

    #[test]
    fn an_entry_that_escapes_is_refused() {
        for place in
            ["../outside", "/etc/passwd", "a/../../outside", "a/./../b", "..\\outside", "a//b", "a/./b", "a/.", "./a"]
        {
            let directory = tempfile::tempdir().unwrap();
            let below = directory.path().join("opt");
            let error = unpack(&foreign(&[(place, "x")], None), &below).unwrap_err();
            assert!(matches!(error, Error::Escapes(_)), "{place}: {error}");
            assert!(!directory.path().join("outside").exists());
        }
    }

    /// The same zip file with another name of the same length wherever a name stands, in the headers of the entries and in its directory.
    fn renamed(zip: &[u8], from: &str, to: &str) -> Vec<u8> {
        let mut renamed = zip.to_vec();
        for start in (0..zip.len()).filter(|start| zip[*start..].starts_with(from.as_bytes())) {
            renamed[start..start + to.len()].copy_from_slice(to.as_bytes());
        }
        renamed
    }

    #[test]
    fn a_name_of_two_entries_is_refused() {
        let zip = foreign(&[("bin/b", "first"), ("bin/a", "second"), ("bin/c", "third")], None);
        assert_eq!(read(&zip).unwrap().len(), 3);
        let directory = tempfile::tempdir().unwrap();
        let error = unpack(&renamed(&zip, "bin/b", "bin/a"), directory.path()).unwrap_err();
        assert!(matches!(&error, Error::Twice(place) if place == "bin/a"), "{error}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is unpacked");
        // A directory and a file.
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file("lib", SimpleFileOptions::default()).unwrap();
        writer.add_directory("lib/", SimpleFileOptions::default()).unwrap();
        let error = read(&writer.finish().unwrap().into_inner()).unwrap_err();
        assert!(matches!(&error, Error::Twice(place) if place == "lib/"), "{error}");
        // Nothing in a message can change what a terminal shows.
        let error = read(&renamed(&renamed(&zip, "bin/b", "bin\u{1b}a"), "bin/a", "bin\u{1b}a")).unwrap_err();
        assert!(matches!(&error, Error::Twice(place) if place == "bin?a"), "{error}");
    }

    #[test]
    fn entries_that_the_directory_does_not_have_so_are_found() {
        let zip = foreign(&[("bin/b", "first"), ("bin/a", "second")], None);
        assert_eq!(inconsistency(&zip), None);
        assert_eq!(inconsistency(&write(&[file("a", "1", true)]).unwrap()), None);
        let local = zip.windows(5).position(|window| window == b"bin/b").unwrap();
        let mut other = zip.clone();
        other[local..local + 5].copy_from_slice(b"bin/x");
        assert!(inconsistency(&other).is_some());
        // The directory is short of the first entry.
        let central: Vec<usize> = (0..zip.len()).filter(|start| zip[*start..].starts_with(b"PK\x01\x02")).collect();
        let mut short = [&zip[..central[0]], &zip[central[1]..]].concat();
        let end = short.windows(4).position(|window| window == b"PK\x05\x06").unwrap();
        let size = u32::try_from(end - central[0]).unwrap();
        short[end + 8] = 1;
        short[end + 10] = 1;
        short[end + 12..end + 16].copy_from_slice(&size.to_le_bytes());
        assert_eq!(read(&short).unwrap().len(), 1);
        assert!(inconsistency(&short).is_some());
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (opt, outside) = (directory.path().join("opt"), directory.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        unpack(&foreign(&[], Some(("lib", outside.to_str().unwrap()))), &opt).unwrap();
        assert!(opt.join("lib").is_symlink());
        let error = unpack(&foreign(&[("lib/file", "x")], None), &opt).unwrap_err();
        assert!(matches!(error, Error::Escapes(_)), "{error}");
        // The link itself may be replaced.
        unpack(&foreign(&[("lib", "x")], None), &opt).unwrap();
        assert!(!outside.join("file").exists() && opt.join("lib").is_file());
    }

    #[test]
    fn file_that_is_no_zip_is_refused_by_name() {
        assert!(matches!(read(b"#!/bin/sh\n"), Err(Error::Zip(_))));
    }
}
