//! The files that the rules look at.

use std::fmt;
use std::path::Path;

#[derive(Default)]
pub struct Tree {
    pub files: Vec<File>,
}

pub struct File {
    /// From the repository's root, with `/` between the parts.
    pub path: String,
    pub text: String,
}

/// One breach of one rule.
#[derive(Debug)]
pub struct Complaint {
    pub path: String,
    pub line: usize,
    pub what: String,
}

impl File {
    pub fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl Complaint {
    pub fn new(file: &File, line: usize, what: impl Into<String>) -> Self {
        Self { path: file.path.clone(), line, what: what.into() }
    }
}

/// The folder of the package that a file is in, with a slash at its end, and the file's path below it. The package at the top has no folder.
pub fn split_package(path: &str) -> (&str, &str) {
    let depth = match path.split('/').next() {
        Some("matrix") => 1,
        Some("crates") => 2,
        _ => 0,
    };
    let end = path.match_indices('/').take(depth).last().map_or(0, |(slash, _)| slash + 1);
    path.split_at(end)
}

impl Tree {
    /// Every text file of the checkout, without what builds and tools leave there.
    pub fn of_repository() -> Self {
        let mut tree = Self::default();
        tree.read(Path::new(env!("CARGO_MANIFEST_DIR")), "");
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        tree
    }

    pub fn with(mut self, path: &str, text: &str) -> Self {
        self.files.push(File { path: path.to_owned(), text: text.to_owned() });
        self
    }

    pub fn rust<'t>(&'t self, under: &'t str) -> impl Iterator<Item = &'t File> {
        self.files.iter().filter(move |file| file.path.starts_with(under) && file.is_rust())
    }

    fn read(&mut self, folder: &Path, prefix: &str) {
        const NOT_OURS: [&str; 6] = ["target", ".git", "node_modules", ".venv", "__pycache__", ".cargo-home"];
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                self.read(&entry.path(), &format!("{path}/"));
            } else if kind.is_file()
                && let Ok(text) = std::fs::read_to_string(entry.path())
            {
                self.files.push(File { path, text });
            }
        }
    }
}
