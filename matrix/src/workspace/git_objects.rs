//! The ids by which git names files, folders and commits, computed here from the bytes: whoever compares them believes neither git nor its object store.

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sha1_checked::{Digest as _, Sha1};

/// The length of an id in bytes.
const LENGTH: usize = 20;

/// The kind of an object, as git writes it before the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Blob,
    Tree,
    Commit,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Tree => "tree",
            Self::Commit => "commit",
        }
    }
}

/// The SHA-1 of an object's kind, length and bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ObjectId([u8; LENGTH]);

impl ObjectId {
    /// Of an object with these bytes. Bytes of the known attacks, by which two files have one SHA-1, are an error, as they are in git.
    pub fn of(kind: Kind, bytes: &[u8]) -> io::Result<Self> {
        let mut context = Sha1::new();
        context.update(format!("{} {}\0", kind.as_str(), bytes.len()));
        context.update(bytes);
        let result = context.try_finalize();
        if result.has_collision() {
            return Err(io::Error::other(format!("a {} was made to have the SHA-1 of another", kind.as_str())));
        }
        Ok(Self((*result.hash()).into()))
    }

    /// That in hexadecimal; None if it is none, or one of a repository that uses SHA-256.
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = [0; LENGTH];
        if text.len() != 2 * LENGTH || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, place) in id.iter_mut().zip((0..text.len()).step_by(2)) {
            *byte = u8::from_str_radix(text.get(place..place + 2)?, 16).ok()?;
        }
        Some(Self(id))
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a tree says of one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Without zeros in front, as a tree has it.
    mode: String,
    pub id: ObjectId,
}

impl Entry {
    const FOLDER: &str = "40000";

    pub fn is_folder(&self) -> bool {
        self.mode == Self::FOLDER
    }

    /// The file, link or folder as it is on the disk; None if it is not there, or is a folder without any file, of which git knows nothing. What `is_left_out`
    /// is passed over. Names are relative to the root.
    pub fn of_path(root: &Path, name: &Path, is_left_out: &dyn Fn(&Path) -> bool) -> io::Result<Option<Self>> {
        let path = root.join(name);
        let metadata = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata?,
        };
        let entry = |mode: &str, id| Ok(Some(Self { mode: mode.to_owned(), id }));
        if metadata.is_symlink() {
            // The object of a link has where it leads.
            let target = fs::read_link(&path)?;
            return entry("120000", ObjectId::of(Kind::Blob, target.as_os_str().as_bytes())?);
        }
        if metadata.is_file() {
            return entry(mode(&metadata), ObjectId::of(Kind::Blob, &fs::read(&path)?)?);
        }
        if !metadata.is_dir() {
            return Err(io::Error::other(format!("{} is neither a file nor a folder", path.display())));
        }
        let mut entries = Vec::new();
        for file in fs::read_dir(&path)? {
            let file = file?.file_name();
            let name = name.join(&file);
            if !is_left_out(&name) {
                entries.extend(Self::of_path(root, &name, is_left_out)?.map(|entry| (file, entry)));
            }
        }
        if entries.is_empty() { Ok(None) } else { entry(Self::FOLDER, Tree(entries).id()?) }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.mode, self.id)
    }
}

fn mode(file: &Metadata) -> &'static str {
    if file.permissions().mode() & 0o100 == 0 { "100644" } else { "100755" }
}

/// A folder: its names and what is behind each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree(Vec<(OsString, Entry)>);

impl Tree {
    /// Reads the bytes of a tree: for each name `MODE NAME`, a zero byte, and the id.
    pub fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at_checked(bytes.iter().position(|byte| *byte == 0)?)?;
            let (mode, name) = head.split_at_checked(head.iter().position(|byte| *byte == b' ')?)?;
            let (id, rest) = rest.get(1..)?.split_first_chunk::<LENGTH>()?;
            let mode = std::str::from_utf8(mode).ok()?.to_owned();
            entries.push((OsString::from_vec(name.get(1..)?.to_vec()), Entry { mode, id: ObjectId(*id) }));
            bytes = rest;
        }
        Some(Self(entries))
    }

    pub fn entry(&self, name: &OsStr) -> Option<&Entry> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, entry)| entry)
    }

    fn id(mut self) -> io::Result<ObjectId> {
        self.0.sort_by(|(a, of_a), (b, of_b)| in_order((a, of_a.is_folder()), (b, of_b.is_folder())));
        let mut bytes = Vec::new();
        for (name, Entry { mode, id }) in &self.0 {
            bytes.extend_from_slice(mode.as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(&id.0);
        }
        ObjectId::of(Kind::Tree, &bytes)
    }
}

/// Git sorts a folder as if its name ended with a slash.
fn in_order((a, a_is_folder): (&OsStr, bool), (b, b_is_folder): (&OsStr, bool)) -> Ordering {
    let ending = |is_folder: bool| is_folder.then_some(&b'/');
    let (a, b) = (a.as_bytes().iter().chain(ending(a_is_folder)), b.as_bytes().iter().chain(ending(b_is_folder)));
    a.cmp(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_that_git_computes() {
        let id = |kind, bytes: &[u8]| ObjectId::of(kind, bytes).unwrap().to_string();
        // Known to every user of git: the empty file and the empty tree.
        assert_eq!(id(Kind::Blob, b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(id(Kind::Tree, b""), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
        let text = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        assert_eq!(ObjectId::parse(text).unwrap().to_string(), text);
        for text in ["", "4b825d", &"+f".repeat(20), &"ff".repeat(32), &"é".repeat(20)] {
            assert!(ObjectId::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_tree_is_read_as_it_is_written_and_nothing_else_is_one() {
        let entry = |mode: &str| Entry { mode: mode.to_owned(), id: ObjectId([7; LENGTH]) };
        let bytes = [&b"100644 a\0"[..], &[7; LENGTH], b"40000 b c\0", &[7; LENGTH]].concat();
        let tree = Tree::parse(&bytes).unwrap();
        assert_eq!((tree.entry(OsStr::new("a")), tree.entry(OsStr::new("c"))), (Some(&entry("100644")), None));
        assert!(tree.entry(OsStr::new("b c")).unwrap().is_folder());
        assert_eq!(tree.id().unwrap(), ObjectId::of(Kind::Tree, &bytes).unwrap());
        for length in [1, 7, 9, 20, bytes.len() - 1] {
            assert!(Tree::parse(bytes.get(..length).unwrap()).is_none(), "{length}");
        }
    }

    #[test]
    fn a_folder_comes_where_its_slash_would() {
        let names = [("a", false), ("a.b", false), ("a", true), ("a0", false)];
        for pair in names.windows(2) {
            let [(a, a_is_folder), (b, b_is_folder)] = pair else { panic!() };
            let order = in_order((OsStr::new(a), *a_is_folder), (OsStr::new(b), *b_is_folder));
            assert_eq!(order, Ordering::Less, "{pair:?}");
        }
    }
}
