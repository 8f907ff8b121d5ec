//! What a Python function requires, and everything that determines what is installed for it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use super::tree;
use crate::venv::{Error, digest};
use crate::workspace::private::Temporary;

/// Variables with which pip chooses an index, and so the packages.
const INDEX: [&str; 6] =
    ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CONFIG_FILE", "PIP_CONSTRAINT"];
/// Options of a requirements file that name another one.
const INCLUDES: [&str; 4] = ["-r", "--requirement", "-c", "--constraint"];
/// The file of requirements.
const REQUIREMENTS: &str = "requirements.txt";
/// The file with the locked versions.
const CONSTRAINTS: &str = "constraints.txt";
/// Maximum number of files that one may lead to.
const MAX_FILES: usize = 100;

/// The requirements of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requirements {
    /// The requirements file for functions that have none.
    pub generated: Option<String>,
    /// The versions that it is constrained to.
    pub versions: Vec<String>,
    /// Changes with everything that is read.
    pub key: String,
    /// Whether a package of the function's own directory is built, which writes to that directory.
    pub builds_local: bool,
    /// What is read outside of the function's directory, without links in the directories above it.
    pub outside: Vec<PathBuf>,
    /// The file that they come from, for messages.
    pub source: PathBuf,
}

impl Requirements {
    /// Those of `requirements.txt`, or else of `pyproject.toml` with the versions of `uv.lock`. `None` if the function has neither.
    pub(super) fn of(directory: &Path) -> Result<Option<Self>, Error> {
        let file = directory.join(REQUIREMENTS);
        if file.is_file() {
            return Self::of_file(directory, file).map(Some);
        }
        let project = directory.join("pyproject.toml");
        if project.is_file() { Self::of_project(directory, project) } else { Ok(None) }
    }

    fn of_file(directory: &Path, source: PathBuf) -> Result<Self, Error> {
        let failed = |source| Error::Write { path: directory.to_owned(), source };
        let directory = &fs::canonicalize(directory).map_err(failed)?;
        let mut inputs = BTreeMap::new();
        let mut waiting = vec![directory.join(REQUIREMENTS)];
        let mut local = Vec::new();
        while let Some(file) = waiting.pop().filter(|_| inputs.len() < MAX_FILES) {
            if inputs.contains_key(&file) {
                continue;
            }
            let text = read(&file)?;
            let parent = file.parent().unwrap_or(directory).to_owned();
            for line in text.lines().map(str::trim) {
                waiting.extend(included(line).map(|name| parent.join(name)).filter(|path| path.is_file()));
                local.extend(local_path(line).map(|path| directory.join(path)).filter(|path| path.exists()));
            }
            inputs.insert(file, text);
        }
        let contents: Vec<_> = local.iter().map(|path| state_of(path)).collect();
        let index: Vec<_> = INDEX.iter().map(std::env::var_os).collect();
        let is_inside = |path: &&PathBuf| fs::canonicalize(path).is_ok_and(|path| path.starts_with(directory));
        let mut outside: Vec<PathBuf> =
            inputs.keys().chain(&local).filter(|path| !is_inside(path)).map(|path| without_dots(path)).collect();
        // A directory before what is in it.
        outside.sort();
        Ok(Self {
            generated: None,
            versions: Vec::new(),
            key: digest(&(inputs.values().collect::<Vec<_>>(), contents, index)),
            builds_local: local.iter().any(|path| is_inside(&path)),
            outside,
            source,
        })
    }

    fn of_project(directory: &Path, source: PathBuf) -> Result<Option<Self>, Error> {
        let text = read(&source)?;
        let failed = |error: toml::de::Error| Error::Failed {
            step: format!("reading {}", source.display()),
            output: error.message().to_owned(),
        };
        let project: toml::Table = text.parse().map_err(failed)?;
        let listed = project.get("project").and_then(|project| project.get("dependencies")?.as_array());
        let listed: Vec<&str> = listed.into_iter().flatten().filter_map(toml::Value::as_str).collect();
        if listed.is_empty() {
            return Ok(None);
        }
        let lock = fs::read_to_string(directory.join("uv.lock")).unwrap_or_default();
        let locked: toml::Table = lock.parse().map_err(failed)?;
        let packages = locked.get("package").and_then(toml::Value::as_array);
        let version = |package: &toml::Value| {
            let from_index = package.get("source").is_some_and(|source| source.get("registry").is_some());
            let text = |key| package.get(key).and_then(toml::Value::as_str);
            from_index.then(|| Some(format!("{}=={}", text("name")?, text("version")?))).flatten()
        };
        let versions: Vec<String> = packages.into_iter().flatten().filter_map(version).collect();
        let constraints = if versions.is_empty() { String::new() } else { format!("-c {CONSTRAINTS}\n") };
        let generated = format!("{constraints}{}\n", listed.join("\n"));
        let index: Vec<_> = INDEX.iter().map(std::env::var_os).collect();
        let key = digest(&(&generated, &versions, index));
        Ok(Some(Self { generated: Some(generated), versions, key, builds_local: false, outside: Vec::new(), source }))
    }
}

impl Requirements {
    /// A directory to install from, with `requirements.txt`; `None` if the function's own can be used.
    pub(super) fn copy(&self, directory: &Path) -> Result<Option<Copy>, Error> {
        if self.generated.is_none() && !self.builds_local {
            return Ok(None);
        }
        let home = Temporary::new().map_err(|source| Error::Write { path: std::env::temp_dir(), source })?;
        let failed = |source| Error::Write { path: home.path().to_owned(), source };
        let directory = fs::canonicalize(directory).map_err(failed)?;
        let copy = Copy { directory: below(home.path(), &directory), home };
        let failed = |source| Error::Write { path: copy.path().to_owned(), source };
        if let Some(generated) = &self.generated {
            fs::create_dir_all(&copy.directory).map_err(failed)?;
            fs::write(copy.directory.join(REQUIREMENTS), generated).map_err(failed)?;
            fs::write(copy.directory.join(CONSTRAINTS), self.versions.join("\n")).map_err(failed)?;
        } else {
            tree::copy(&directory, &copy.directory).map_err(|(path, source)| Error::Write { path, source })?;
            self.outside.iter().try_for_each(|path| link(path, copy.home.path())).map_err(failed)?;
        }
        Ok(Some(copy))
    }
}

/// A copy of a function's directory. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Copy {
    /// As deep below a private directory as the function's is below the root: what is read with `..` is in the private directory too, where nobody else can
    /// have put it.
    directory: PathBuf,
    home: Temporary,
}

impl Copy {
    pub(super) fn path(&self) -> &Path {
        &self.directory
    }
}

/// Makes a file or directory visible at its place below `home`.
fn link(path: &Path, home: &Path) -> io::Result<()> {
    let place = below(home, path);
    fs::create_dir_all(place.parent().unwrap_or(home))?;
    match symlink(fs::canonicalize(path)?, &place) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// The place of an absolute path below `home`.
fn below(home: &Path, path: &Path) -> PathBuf {
    home.join(path.strip_prefix("/").unwrap_or(path))
}

/// A path with its `..` resolved by its text.
fn without_dots(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut resolved, component| {
        if component == Component::ParentDir {
            resolved.pop();
        } else {
            resolved.push(component);
        }
        resolved
    })
}

fn read(file: &Path) -> Result<String, Error> {
    let failed =
        |error: io::Error| Error::Failed { step: format!("reading {}", file.display()), output: error.to_string() };
    fs::read_to_string(file).map_err(failed)
}

/// The file that a line includes.
fn included(line: &str) -> Option<&str> {
    INCLUDES.iter().find_map(|option| {
        let rest = line.strip_prefix(option)?;
        let name = rest.strip_prefix([' ', '=', '\t']).unwrap_or(rest).trim();
        (!name.is_empty() && !name.starts_with('-')).then_some(name)
    })
}

/// The path of a local package or archive that a line names.
fn local_path(line: &str) -> Option<&str> {
    let line = line.split(" #").next()?.trim();
    let line = ["-e", "--editable"].iter().find_map(|option| line.strip_prefix(option)).map_or(line, str::trim);
    let line = line.trim_start_matches('=').trim();
    let path = line.split_once("file://").map_or(line, |(_, path)| path);
    let path = path.split(['[', ';']).next()?.trim();
    let is_archive = Path::new(path).extension().is_some_and(|extension| extension == "whl" || extension == "gz");
    (path.starts_with(['.', '/']) || is_archive).then_some(path)
}

/// The names, sizes and times of all files of a package.
fn state_of(path: &Path) -> Vec<(PathBuf, u64)> {
    let mut state = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.is_dir() {
            waiting.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else {
            let modified = found.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let modified = modified.map_or(0, |at| u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
            state.push((path, modified.wrapping_add(found.len())));
        }
    }
    state.sort();
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(directory: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn key(directory: &Path) -> String {
        Requirements::of(directory).unwrap().unwrap().key
    }

    #[test]
    fn everything_that_a_requirements_file_reads_is_part_of_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let files = [
            ("requirements.txt", "-r more/base.txt\n--constraint=pins.txt\n./local\n"),
            ("more/base.txt", "a\n"),
            ("pins.txt", "a==1\n"),
            ("local/setup.py", "x"),
        ];
        written(directory.path(), &files);
        let mut keys = vec![key(directory.path())];
        assert_eq!(key(directory.path()), keys[0]);
        for (name, text) in [
            ("more/base.txt", "b\n"),
            ("pins.txt", "a==2\n"),
            ("local/setup.py", "xyz"),
            ("requirements.txt", "./local\n"),
        ] {
            written(directory.path(), &[(name, text)]);
            keys.push(key(directory.path()));
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 5);
        assert!(Requirements::of(directory.path()).unwrap().unwrap().builds_local);
    }

    #[test]
    fn what_is_beside_the_function_is_read_from_there_and_nowhere_else() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("function");
        let files = [
            ("function/requirements.txt", "./local\n-e ../lib\n-r ../base.txt\n"),
            ("function/local/setup.py", "x"),
            ("lib/setup.py", "beside it"),
            ("base.txt", "a\n"),
        ];
        written(parent.path(), &files);
        let copy = Requirements::of(&directory).unwrap().unwrap().copy(&directory).unwrap().unwrap();
        assert!(!copy.path().starts_with(&directory));
        assert_eq!(fs::read_to_string(copy.path().join("local/setup.py")).unwrap(), "x");
        assert_eq!(fs::read_to_string(copy.path().join("../lib/setup.py")).unwrap(), "beside it");
        assert_eq!(fs::read_to_string(copy.path().join("../base.txt")).unwrap(), "a\n");
        for depth in 1..=directory.canonicalize().unwrap().components().count() - 2 {
            let above = copy.path().join("../".repeat(depth)).canonicalize().unwrap();
            assert!(above.starts_with(copy.home.path()), "{above:?}");
        }

        written(parent.path(), &[("function/requirements.txt", "../lib\n")]);
        let found = Requirements::of(&directory).unwrap().unwrap();
        assert!(!found.builds_local && found.copy(&directory).unwrap().is_none(), "nothing of it is the function's");
    }

    #[test]
    fn a_project_file_counts_with_the_versions_that_are_locked() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Requirements::of(directory.path()).unwrap(), None);
        written(
            directory.path(),
            &[("pyproject.toml", "[project]\nname = \"x\"\ndependencies = [\"requests>=2\", \"structlog\"]\n")],
        );
        let found = Requirements::of(directory.path()).unwrap().unwrap();
        assert_eq!(found.generated.as_deref(), Some("requests>=2\nstructlog\n"));
        let lock = "[[package]]\nname = \"requests\"\nversion = \"2.32.0\"\nsource = { registry = \"https://index.example/simple\" }\n\
            [[package]]\nname = \"x\"\nversion = \"0.1\"\nsource = { virtual = \".\" }\n";
        written(directory.path(), &[("uv.lock", lock)]);
        let locked = Requirements::of(directory.path()).unwrap().unwrap();
        assert_eq!(locked.versions, ["requests==2.32.0"]);
        assert!(locked.generated.unwrap().starts_with("-c constraints.txt\n") && locked.key != found.key);
        written(directory.path(), &[("pyproject.toml", "[tool.x]\n")]);
        assert_eq!(Requirements::of(directory.path()).unwrap(), None);
    }

    #[test]
    fn lines_that_lead_to_other_files_are_recognised() {
        assert_eq!(included("-r base.txt"), Some("base.txt"));
        assert_eq!(included("-cpins.txt"), Some("pins.txt"));
        assert_eq!(included("requests"), None);
        for (line, path) in
            [("-e ./a", "./a"), ("../b[extra] ; x", "../b"), ("c @ file:///tmp/c", "/tmp/c"), ("d.whl # x", "d.whl")]
        {
            assert_eq!(local_path(line), Some(path), "{line}");
        }
        assert_eq!(local_path("requests==2.0"), None);
    }
}
