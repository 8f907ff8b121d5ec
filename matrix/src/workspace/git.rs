//! Git, of which only the id of the commit is believed. That is for whoever reads it to compare: what git gives by an id is checked against it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::git_objects::{Entry, Kind, ObjectId, Tree};

/// A repository, and the program that knows where its objects are.
#[derive(Clone, Debug)]
pub struct Git {
    program: PathBuf,
    /// The folder of the sources, in the repository's folder or below it.
    root: PathBuf,
}

/// A commit whose bytes have its id.
#[derive(Clone, Debug)]
pub struct Commit {
    pub id: ObjectId,
    text: String,
}

impl Git {
    /// The repository around a folder, by the first program of that name on the path.
    pub fn of(root: &Path) -> Self {
        Self::with(Path::new("git"), root)
    }

    pub fn with(program: &Path, root: &Path) -> Self {
        Self { program: program.to_owned(), root: root.to_owned() }
    }

    /// Its commit at present.
    pub fn head(&self) -> io::Result<Commit> {
        let id = self.output(&["rev-parse", "--verify", "HEAD"])?;
        let id = String::from_utf8_lossy(&id).trim().to_owned();
        let id = ObjectId::parse(&id).ok_or_else(|| {
            io::Error::other(format!("{id:?} is no SHA-1 commit id; repositories with SHA-256 ids are not supported"))
        })?;
        let bytes = self.object(Kind::Commit, id)?;
        Ok(Commit { id, text: String::from_utf8_lossy(&bytes).into_owned() })
    }

    /// What the commit has behind each of these names, which are relative to the root; None of what it does not have.
    pub fn entries<'n>(
        &self,
        commit: &Commit,
        names: impl Iterator<Item = &'n Path>,
    ) -> io::Result<Vec<Option<Entry>>> {
        let of_sources = self.place_of_sources()?;
        let tree = commit.line("tree ").and_then(ObjectId::parse);
        let tree = tree.ok_or_else(|| io::Error::other(format!("the commit {} names no tree", commit.id)))?;
        names.map(|name| self.entry(tree, &of_sources.join(name))).collect()
    }

    /// Goes down from this tree to what is behind a name.
    fn entry(&self, mut tree: ObjectId, name: &Path) -> io::Result<Option<Entry>> {
        let mut entry: Option<Entry> = None;
        for part in name {
            match &entry {
                Some(folder) if folder.is_folder() => tree = folder.id,
                Some(_) => return Ok(None),
                None => {}
            }
            let bytes = self.object(Kind::Tree, tree)?;
            let read = Tree::parse(&bytes).ok_or_else(|| io::Error::other(format!("{tree} is no tree")))?;
            entry = read.entry(part).cloned();
            if entry.is_none() {
                break;
            }
        }
        Ok(entry)
    }

    /// The bytes of an object. An error if they are not those of the id: of a store that somebody has written to, or of a program that is not git.
    fn object(&self, kind: Kind, id: ObjectId) -> io::Result<Vec<u8>> {
        let bytes = self.output(&["cat-file", kind.as_str(), &id.to_string()])?;
        let found = ObjectId::of(kind, &bytes)?;
        if found == id {
            return Ok(bytes);
        }
        let message = format!("git gives a {} with the id {found} for {id}; look at it with git fsck", kind.as_str());
        Err(io::Error::other(message))
    }

    /// Where the sources are in the repository.
    fn place_of_sources(&self) -> io::Result<PathBuf> {
        let root = self.root.canonicalize()?;
        let repository = root.ancestors().find(|folder| folder.join(".git").exists());
        let repository = repository.ok_or_else(|| io::Error::other("there is no .git here or above"))?;
        Ok(root.strip_prefix(repository).unwrap_or(Path::new("")).to_owned())
    }

    pub fn output(&self, arguments: &[&str]) -> io::Result<Vec<u8>> {
        let mut command = self.command(std::env::vars_os().map(|(name, _)| name));
        let output = command.args(arguments).stdin(Stdio::null()).output()?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
        }
    }

    /// The process, without what the caller's variables make of it: another repository, another index, other settings.
    fn command(&self, variables: impl Iterator<Item = OsString>) -> Command {
        let mut command = Command::new(&self.program);
        for name in variables.filter(|name| name.as_bytes().starts_with(b"GIT_")) {
            command.env_remove(name);
        }
        command.env("GIT_NO_REPLACE_OBJECTS", "1").arg("-C").arg(&self.root);
        command
    }
}

impl Commit {
    /// When it was made, in seconds since 1970: of `committer NAME <ADDRESS> SECONDS ZONE`.
    pub fn time(&self) -> Option<&str> {
        let (_, time) = self.line("committer ")?.rsplit_once('>')?;
        time.split_whitespace().next()
    }

    /// The rest of the first line of its head that begins so.
    fn line(&self, start: &str) -> Option<&str> {
        self.text.lines().take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix(start))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn no_variable_of_the_caller_points_git_elsewhere() {
        let set = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CONFIG_COUNT", "HOME"];
        let command = Git::of(Path::new(".")).command(set.map(OsString::from).into_iter());
        let changed: Vec<_> = command.get_envs().collect();
        for name in &set[..4] {
            assert!(changed.contains(&(OsStr::new(name), None)), "{name}: {changed:?}");
        }
        assert!(changed.contains(&(OsStr::new("GIT_NO_REPLACE_OBJECTS"), Some(OsStr::new("1")))), "{changed:?}");
        assert!(!changed.iter().any(|(name, _)| *name == "HOME"), "safe.directory is in the user's configuration");
    }

    #[test]
    fn commit_time_is_read_from_the_head_only() {
        let commit = |text: &str| Commit { id: ObjectId::of(Kind::Blob, b"").unwrap(), text: text.to_owned() };
        let head = "tree 0\nauthor a <b> 1 +0000\ncommitter c > d <e> 1764281234 +0100\n\n";
        assert_eq!(commit(head).time(), Some("1764281234"));
        assert_eq!(commit("tree 0\n\ncommitter c <e> 5 +0000\n").time(), None);
    }
}
