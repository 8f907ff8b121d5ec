//! What a Python function requires, and everything that determines what is installed for it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use super::pyproject::Project;
use super::tree;
use crate::venv::{Error, digest};
use crate::workspace::private::TemporaryDirectory;

/// The beginning of the variables that are settings of pip, among them those of indexes.
const VARIABLES: &str = "PIP_";
/// Options of a requirements file that name another one.
const INCLUDES: [&str; 4] = ["-r", "--requirement", "-c", "--constraint"];
/// Options that name a directory of archives.
const FIND_LINKS: [&str; 2] = ["-f", "--find-links"];
/// Options before a local package that is to be used where it is. Packages are installed beside the function, so that the option has no use here.
const EDITABLE: [&str; 2] = ["-e", "--editable"];
/// The file of requirements.
const REQUIREMENTS: &str = "requirements.txt";
/// The file with the locked versions.
const CONSTRAINTS: &str = "constraints.txt";
/// Maximum number of files that one may lead to.
const MAX_FILES: usize = 100;

/// The requirements of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requirements {
    /// The requirements files and their texts for a copy.
    files: BTreeMap<PathBuf, String>,
    /// Local packages, archives, and directories of archives, without `..`.
    local: Vec<PathBuf>,
    /// Whether the function's own directory does not do: it has no requirements file, or something would be written to a local package when that is built.
    needs_copy: bool,
    /// Changes with everything that is read.
    pub key: String,
    /// The file that they come from, for messages.
    pub source: PathBuf,
}

impl Requirements {
    /// Those of `requirements.txt`, or else of `pyproject.toml` with the versions of `uv.lock`. `None` if the function has neither.
    pub(super) fn of(directory: &Path) -> Result<Option<Self>, Error> {
        let failed = |source| Error::Write { path: directory.to_owned(), source };
        let own = fs::canonicalize(directory).map_err(failed)?;
        let file = own.join(REQUIREMENTS);
        if file.is_file() {
            return Self::of_files(&own, read_all(&own)?, directory.join(REQUIREMENTS), false).map(Some);
        }
        let project = own.join("pyproject.toml");
        let found = if project.is_file() { Project::read(&project)? } else { None };
        found.map_or(Ok(None), |project| {
            let constraints = if project.versions.is_empty() { "" } else { "-c constraints.txt\n" };
            let files = [
                (own.join(REQUIREMENTS), format!("{constraints}{}\n", project.lines.join("\n"))),
                (own.join(CONSTRAINTS), project.versions.join("\n")),
            ];
            Self::of_files(&own, files.into(), directory.join("pyproject.toml"), true).map(Some)
        })
    }

    fn of_files(
        directory: &Path,
        files: BTreeMap<PathBuf, String>,
        source: PathBuf,
        is_generated: bool,
    ) -> Result<Self, Error> {
        let mut local = Vec::new();
        let mut builds = false;
        for (file, text) in &files {
            for line in text.lines().map(str::trim) {
                let archives = option(line, &FIND_LINKS);
                let Some(path) = archives.or_else(|| local_path(line)) else { continue };
                refuse_above_root(file, directory, path)?;
                let path = without_dots(&directory.join(path));
                builds |= archives.is_none() && path.is_dir();
                local.extend(Some(path).filter(|path| path.exists()));
            }
        }
        local.sort();
        local.dedup();
        let contents: Vec<_> = local.iter().map(|path| state_of(path)).collect();
        let texts: Vec<&String> = files.values().collect();
        let key = digest(&(&texts, contents, settings(&texts)));
        let files = files.into_iter().map(|(file, text)| (file, installable(&text))).collect();
        Ok(Self { files, local, needs_copy: is_generated || builds, key, source })
    }

    /// A directory to install from, with `requirements.txt`; `None` if the function's own can be used.
    pub(super) fn copy(&self, directory: &Path) -> Result<Option<Copy>, Error> {
        if !self.needs_copy {
            return Ok(None);
        }
        let home = TemporaryDirectory::new().map_err(|source| Error::Write { path: std::env::temp_dir(), source })?;
        let failed = |source| Error::Write { path: home.path().to_owned(), source };
        let directory = fs::canonicalize(directory).map_err(failed)?;
        let copy = Copy { directory: below(home.path(), &directory), home };
        let failed = |source| Error::Write { path: copy.path().to_owned(), source };
        fs::create_dir_all(&copy.directory).map_err(failed)?;
        for path in self.trees(&directory) {
            let place = below(copy.home.path(), &path);
            if path.is_dir() {
                tree::copy(&path, &place).map_err(|(path, source)| Error::Write { path, source })?;
            } else {
                place.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
                symlink(&path, &place).map_err(failed)?;
            }
        }
        self.files.iter().try_for_each(|(file, text)| copy.write(file, text)).map_err(failed)?;
        Ok(Some(copy))
    }

    /// What has to be copied; nothing of it is part of anything else of it.
    fn trees(&self, directory: &Path) -> Vec<PathBuf> {
        let is_own = |path: &PathBuf| path.starts_with(directory);
        let own = self.local.iter().any(is_own).then(|| directory.to_owned());
        let mut all: Vec<PathBuf> = self.local.iter().cloned().chain(own).collect();
        // A directory before what is in it.
        all.sort();
        let mut trees: Vec<PathBuf> = Vec::new();
        for path in all {
            if trees.last().is_none_or(|last| !path.starts_with(last)) {
                trees.push(path);
            }
        }
        trees
    }
}

/// A copy of a function's directory. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Copy {
    /// As deep below a private directory as the function's is below the root: what is read with `..` is in the private directory too, where nobody else can
    /// have put it.
    directory: PathBuf,
    home: TemporaryDirectory,
}

impl Copy {
    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    /// Writes a file to its place below the private directory. A link there may lead to the user's own file, which stays as it is.
    fn write(&self, file: &Path, text: &str) -> io::Result<()> {
        let place = below(self.home.path(), file);
        let parent = place.parent().unwrap_or(&self.directory);
        fs::create_dir_all(parent)?;
        if !fs::canonicalize(parent)?.starts_with(fs::canonicalize(self.home.path())?) {
            return Ok(());
        }
        match fs::remove_file(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::write(&place, text),
        }
    }
}

/// The texts of `requirements.txt` and of all files that it includes.
fn read_all(directory: &Path) -> Result<BTreeMap<PathBuf, String>, Error> {
    let mut files = BTreeMap::new();
    let mut waiting = vec![directory.join(REQUIREMENTS)];
    while let Some(file) = waiting.pop().filter(|_| files.len() < MAX_FILES) {
        if files.contains_key(&file) {
            continue;
        }
        let text = read(&file)?;
        let parent = file.parent().unwrap_or(directory);
        for name in text.lines().filter_map(|line| option(line.trim(), &INCLUDES)) {
            refuse_above_root(&file, parent, name)?;
            waiting.extend(Some(without_dots(&parent.join(name))).filter(|path| path.is_file()));
        }
        files.insert(file, text);
    }
    Ok(files)
}

/// The user's settings that determine where packages come from: variables of pip, its configuration files, and variables that the files name.
fn settings(texts: &[&String]) -> Vec<(OsString, Option<OsString>)> {
    let of_pip = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(VARIABLES));
    let mut settings: Vec<(OsString, Option<OsString>)> = of_pip.map(|(name, value)| (name, Some(value))).collect();
    let home = std::env::home_dir().unwrap_or_default();
    let configuration = std::env::var_os("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
    let files = [
        std::env::var_os("PIP_CONFIG_FILE").map(PathBuf::from).unwrap_or_default(),
        configuration.join("pip/pip.conf"),
        home.join(".pip/pip.conf"),
        PathBuf::from("/etc/pip.conf"),
    ];
    settings.extend(files.map(|file| (file.clone().into(), fs::read_to_string(file).ok().map(OsString::from))));
    let named = texts.iter().flat_map(|text| text.split("${").skip(1)).filter_map(|rest| Some(rest.split_once('}')?.0));
    settings.extend(named.map(|name| (name.into(), std::env::var_os(name))));
    settings.sort();
    settings
}

/// A path that would lead elsewhere from a copy.
fn refuse_above_root(file: &Path, directory: &Path, path: &str) -> Result<(), Error> {
    let mut depth = 0_usize;
    for component in directory.components().chain(Path::new(path).components()) {
        depth = match component {
            Component::Normal(_) => depth + 1,
            Component::RootDir => 0,
            Component::ParentDir if depth == 0 => {
                let output = format!("\"{path}\" has more `..` than there are directories above");
                return Err(Error::Failed { step: format!("reading {}", file.display()), output });
            }
            Component::ParentDir => depth - 1,
            Component::CurDir | Component::Prefix(_) => depth,
        };
    }
    Ok(())
}

/// A text without the option for packages that stay where they are: a copy does not.
fn installable(text: &str) -> String {
    let plain =
        |line: &str| EDITABLE.iter().find_map(|option| option_value(line.trim_start(), option)).map(str::to_owned);
    text.lines().map(|line| plain(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
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

/// The value of one of these options, if the line is one.
fn option<'l>(line: &'l str, options: &[&str]) -> Option<&'l str> {
    options.iter().find_map(|option| option_value(line, option))
}

fn option_value<'l>(line: &'l str, option: &str) -> Option<&'l str> {
    let rest = line.strip_prefix(option)?;
    // A long option is separated from its value.
    let value = match rest.strip_prefix([' ', '=', '\t']) {
        Some(value) => value,
        None if option.starts_with("--") => return None,
        None => rest,
    };
    let value = value.split(" #").next().unwrap_or_default().trim();
    (!value.is_empty() && !value.starts_with('-')).then_some(value)
}

/// The path of a local package or archive that a line names.
fn local_path(line: &str) -> Option<&str> {
    let line = line.split(" #").next()?.trim();
    let line = option(line, &EDITABLE).unwrap_or(line);
    let path = line.split_once("file://").map_or(line, |(_, path)| path);
    let path = path.split(['[', ';']).next()?.trim();
    let is_archive = Path::new(path).extension().is_some_and(|extension| extension == "whl" || extension == "gz");
    let is_elsewhere = line.contains("://") && !line.contains("file://");
    (!is_elsewhere && (path.starts_with(['.', '/']) || is_archive)).then_some(path)
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
        assert!(Requirements::of(directory.path()).unwrap().unwrap().needs_copy);
        written(directory.path(), &[("requirements.txt", "-f wheels\na\n"), ("wheels/a-1-py3-none-any.whl", "x")]);
        let before = key(directory.path());
        written(directory.path(), &[("wheels/a-1-py3-none-any.whl", "other")]);
        assert_ne!(key(directory.path()), before);
        assert!(!Requirements::of(directory.path()).unwrap().unwrap().needs_copy, "nothing is built");
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

        let text = fs::read_to_string(copy.path().join("requirements.txt")).unwrap();
        assert_eq!(text, "./local\n../lib\n-r ../base.txt\n", "what is copied is not used where it is");
        fs::write(copy.path().join("../lib/built"), "x").unwrap();
        assert!(!parent.path().join("lib/built").exists(), "nothing is written beside the function");
    }

    #[test]
    fn a_requirements_file_that_is_a_link_stays_as_it_is() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("function");
        written(parent.path(), &[("function/local/setup.py", "x"), ("common.txt", "-e ./local\n")]);
        std::os::unix::fs::symlink("../common.txt", directory.join("requirements.txt")).unwrap();
        let copy = Requirements::of(&directory).unwrap().unwrap().copy(&directory).unwrap().unwrap();
        assert_eq!(fs::read_to_string(copy.path().join("requirements.txt")).unwrap(), "./local\n");
        assert_eq!(fs::read_to_string(parent.path().join("common.txt")).unwrap(), "-e ./local\n");
    }

    #[test]
    fn a_path_with_more_dots_than_directories_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let up = "../".repeat(directory.path().canonicalize().unwrap().components().count());
        for line in [format!("-r {up}base.txt\n"), format!("-e {up}lib\n"), format!("--find-links={up}wheels\n")] {
            written(directory.path(), &[("requirements.txt", &line)]);
            let error = Requirements::of(directory.path()).unwrap_err().to_string();
            assert!(error.contains("more `..` than there are directories"), "{error}");
        }
        let up = up.strip_prefix("../").unwrap();
        written(directory.path(), &[("requirements.txt", &format!("{up}nonexistent\n"))]);
        assert!(Requirements::of(directory.path()).is_ok(), "the root itself is no secret place");
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
        let lines = |found: &Requirements| found.files.values().next_back().unwrap().clone();
        assert_eq!(lines(&found), "requests>=2\nstructlog\n");
        let lock = "[[package]]\nname = \"requests\"\nversion = \"2.32.0\"\nsource = { registry = \"https://index.example/simple\" }\n\
            [[package]]\nname = \"x\"\nversion = \"0.1\"\nsource = { virtual = \".\" }\n";
        written(directory.path(), &[("uv.lock", lock)]);
        let locked = Requirements::of(directory.path()).unwrap().unwrap();
        assert_eq!(locked.files.values().next().unwrap(), "requests==2.32.0\n");
        assert!(lines(&locked).starts_with("-c constraints.txt\n") && locked.key != found.key);
        written(directory.path(), &[("pyproject.toml", "[tool.x]\n")]);
        assert_eq!(Requirements::of(directory.path()).unwrap(), None);
    }

    #[test]
    fn a_package_of_a_project_is_built_from_a_copy() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("function");
        let project = "[project]\nname = \"x\"\ndependencies = [\"shop-lib[fast]>=1\"]\n\
            [tool.uv.sources]\nshop_lib = { path = \"../lib\", editable = true }\n";
        written(parent.path(), &[("function/pyproject.toml", project), ("lib/setup.py", "x")]);
        let found = Requirements::of(&directory).unwrap().unwrap();
        let copy = found.copy(&directory).unwrap().unwrap();
        assert_eq!(fs::read_to_string(copy.path().join("requirements.txt")).unwrap(), "../lib[fast]\n");
        assert_eq!(fs::read_to_string(copy.path().join("../lib/setup.py")).unwrap(), "x");
        assert!(!copy.path().join("pyproject.toml").exists(), "nothing of the function's own is needed");
        written(parent.path(), &[("lib/setup.py", "other")]);
        assert_ne!(key(&directory), found.key);
    }

    #[test]
    fn lines_that_lead_to_other_files_are_recognised() {
        let included = |line| option(line, &INCLUDES);
        assert_eq!(included("-r base.txt"), Some("base.txt"));
        assert_eq!(included("-cpins.txt"), Some("pins.txt"));
        assert_eq!(included("--requirement=more.txt # all"), Some("more.txt"));
        assert_eq!([included("requests"), included("--require-hashes")], [None, None]);
        for (line, path) in
            [("-e ./a", "./a"), ("../b[extra] ; x", "../b"), ("c @ file:///tmp/c", "/tmp/c"), ("d.whl # x", "d.whl")]
        {
            assert_eq!(local_path(line), Some(path), "{line}");
        }
        assert_eq!(local_path("requests==2.0"), None);
        assert_eq!(local_path("a @ https://x.example/a-1.tar.gz"), None);
    }
}
