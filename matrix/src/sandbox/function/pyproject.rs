//! What a `pyproject.toml` requires, as lines for pip: its dependencies, from the sources and indexes of `[tool.uv]`.
//!
//! pip takes a package from whichever index has its highest version, also where uv asks one index alone. A package of such an index is therefore required by the
//! URL of its file in `uv.lock`, and refused without it.
//!
//! Source: "Dependency specifiers" of the Python packaging specifications, and "Managing dependencies" and "Using workspaces" of uv.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::uv_lock::Lock;
use crate::venv::Error;

/// The requirements of a project.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Project {
    /// Lines of a requirements file; local packages are relative to the project.
    pub lines: Vec<String>,
    /// Constraints: the versions and files that `uv.lock` has, such as `requests==2.32.0`.
    pub versions: Vec<String>,
}

/// A dependency such as `shop-lib[fast]>=1; python_version > '3.9'`.
#[derive(Debug)]
struct Dependency<'t> {
    name: &'t str,
    /// With their brackets.
    extras: &'t str,
    marker: Option<&'t str>,
    text: &'t str,
}

/// A `pyproject.toml`.
#[derive(Debug)]
struct Manifest {
    /// Its directory, from the project.
    place: PathBuf,
    table: Table,
}

/// Where the packages of a project come from.
struct Sources<'t> {
    project: &'t Path,
    /// The root of the project's workspace.
    root: Option<&'t Manifest>,
    lock: &'t Lock,
    lines: Vec<String>,
    /// The local packages whose dependencies have been followed.
    followed: BTreeSet<PathBuf>,
}

impl Project {
    /// Reads the file; `None` if nothing depends on anything.
    pub(super) fn read(file: &Path) -> Result<Option<Self>, Error> {
        let failed = |output: String| Error::Failed { step: format!("reading {}", file.display()), output };
        let directory = file.parent().unwrap_or(Path::new("."));
        let table = parsed(&fs::read_to_string(file).map_err(|error| failed(error.to_string()))?).map_err(failed)?;
        let own = Manifest { place: PathBuf::new(), table };
        let listed = own.dependencies("");
        if listed.is_empty() {
            return Ok(None);
        }
        let root = root_of(directory);
        let of_root = root.as_ref().map(|root| directory.join(&root.place).join("uv.lock"));
        let files = [Some(directory.join("uv.lock")), of_root];
        let locked = files.into_iter().flatten().find_map(|lock| fs::read_to_string(lock).ok());
        let of_root = root.iter().filter(|root| !root.place.as_os_str().is_empty()).flat_map(Manifest::indexes);
        let indexes: Vec<&Value> = own.indexes().chain(of_root).collect();
        let default =
            indexes.iter().find(|index| is_set(index, "default")).and_then(|index| index.get("url")?.as_str());
        let lock = Lock::new(parsed(&locked.unwrap_or_default()).map_err(failed)?, default);
        let lines = indexes.iter().filter_map(|index| index_line(index)).collect();
        let mut sources =
            Sources { project: directory, root: root.as_ref(), lock: &lock, lines, followed: BTreeSet::new() };
        for text in listed {
            sources.require(&own, text, None).map_err(failed)?;
        }
        for line in lock.with_extras() {
            sources.add(line);
        }
        Ok(Some(Self { lines: sources.lines, versions: lock.constraints() }))
    }
}

impl Manifest {
    /// The manifest in a directory that is `place` from the project.
    fn read(project: &Path, place: PathBuf) -> Option<Self> {
        let table = fs::read_to_string(project.join(&place).join("pyproject.toml")).ok()?.parse().ok()?;
        Some(Self { place, table })
    }

    /// The dependencies, with those of extras in the form `[a,b]`.
    fn dependencies(&self, extras: &str) -> Vec<&str> {
        let own = at(&self.table, &["project", "dependencies"]);
        let names = extras.trim_matches(['[', ']']).split(',').map(canonical);
        let optional = at(&self.table, &["project", "optional-dependencies"]).and_then(Value::as_table);
        let of_extra = |extra: String| {
            optional.into_iter().flatten().find(|(name, _)| canonical(name) == extra).map(|(_, all)| all)
        };
        let lists = own.into_iter().chain(names.filter_map(of_extra));
        lists.filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect()
    }

    fn source(&self, dependency: &Dependency<'_>) -> Option<&Value> {
        let sources = at(&self.table, &["tool", "uv", "sources"]).and_then(Value::as_table);
        let is_named = |(name, _): &(&String, &Value)| canonical(name) == canonical(dependency.name);
        sources?.iter().find(is_named).map(|(_, source)| source)
    }

    fn indexes(&self) -> impl Iterator<Item = &Value> {
        at(&self.table, &["tool", "uv", "index"]).and_then(Value::as_array).into_iter().flatten()
    }

    /// The directories of the members of its workspace, from its own.
    fn members(&self, directory: &Path) -> Vec<PathBuf> {
        let members = at(&self.table, &["tool", "uv", "workspace", "members"]).and_then(Value::as_array);
        let patterns = members.into_iter().flatten().filter_map(Value::as_str);
        patterns.flat_map(|pattern| folders(directory, pattern)).collect()
    }
}

impl<'t> Dependency<'t> {
    fn parse(text: &'t str) -> Self {
        let text = text.trim();
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        let rest = rest.trim_start();
        let extras = rest.split_inclusive(']').next().filter(|extras| extras.starts_with('[')).unwrap_or_default();
        let marker = rest.split_once(';').map(|(_, marker)| marker.trim());
        Self { name, extras, marker, text }
    }
}

impl Sources<'_> {
    /// Adds the lines of a dependency: as it stands, unless it has sources. One of a local package, which is required under the condition `of_package`, has lines
    /// only if it has sources: pip reads its other dependencies itself.
    fn require(&mut self, manifest: &Manifest, text: &str, of_package: Option<&str>) -> Result<(), String> {
        let dependency = Dependency::parse(text);
        let is_own = manifest.place.as_os_str().is_empty();
        let of_root = || self.root.and_then(|root| Some((root, root.source(&dependency)?)));
        let Some((owner, source)) = manifest.source(&dependency).map(|source| (manifest, source)).or_else(of_root)
        else {
            let files = self.lock.files(dependency.name, dependency.extras, dependency.marker);
            let as_written = Some(dependency.text.to_owned()).filter(|_| files.is_empty());
            for line in files.into_iter().chain(as_written).filter(|_| is_own) {
                self.add(line);
            }
            return Ok(());
        };
        let alternatives = source.as_array().map_or_else(|| vec![source], |all| all.iter().collect());
        for source in alternatives {
            let markers = [of_package, dependency.marker, source.get("marker").and_then(Value::as_str)];
            let markers: Vec<String> = markers.into_iter().flatten().map(|marker| format!("({marker})")).collect();
            let markers = (!markers.is_empty()).then(|| markers.join(" and "));
            if let Some(index) = source.get("index") {
                if owner.indexes().any(|known| known.get("name") == Some(index) && is_set(known, "default")) {
                    self.add(dependency.text.to_owned());
                    continue;
                }
                self.require_files(&dependency, markers.as_deref())?;
                continue;
            }
            let (what, folder) = self.place(owner, &dependency, source)?;
            self.add(markers.as_ref().map_or(what.clone(), |markers| format!("{what} ; {markers}")));
            if let Some(folder) = folder {
                self.follow(folder, dependency.extras, markers.as_deref())?;
            }
        }
        Ok(())
    }

    /// Adds the files of a package of an index of its own. From a name, pip would ask every index.
    fn require_files(&mut self, dependency: &Dependency<'_>, markers: Option<&str>) -> Result<(), String> {
        let Dependency { name, extras, .. } = dependency;
        let files = self.lock.files(name, extras, markers);
        if files.is_empty() {
            return Err(format!(
                "{name} comes from an index of its own, and pip takes a package from any index that has it; run `uv lock`, or write a requirements.txt with \
                 `{name} @ URL`"
            ));
        }
        for line in files {
            self.add(line);
        }
        Ok(())
    }

    fn add(&mut self, line: String) {
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    /// Adds what a local package requires from sources that only uv knows.
    fn follow(&mut self, folder: PathBuf, extras: &str, markers: Option<&str>) -> Result<(), String> {
        let Ok(resolved) = fs::canonicalize(self.project.join(&folder)) else { return Ok(()) };
        let Some(manifest) = Manifest::read(self.project, folder) else { return Ok(()) };
        if self.followed.insert(resolved.join(extras)) {
            manifest.dependencies(extras).into_iter().try_for_each(|text| self.require(&manifest, text, markers))?;
        }
        Ok(())
    }

    /// The requirement of a package from its source in the manifest `owner`, and its path from the project if it is a local one.
    fn place(
        &self,
        owner: &Manifest,
        dependency: &Dependency<'_>,
        source: &Value,
    ) -> Result<(String, Option<PathBuf>), String> {
        let text = |key: &str| source.get(key).and_then(Value::as_str);
        let Dependency { name, extras, .. } = dependency;
        let below = text("subdirectory").map(|folder| format!("#subdirectory={folder}")).unwrap_or_default();
        let local = |folder: PathBuf| (format!("{}{extras}", explicit(&folder.to_string_lossy())), Some(folder));
        if let Some(path) = text("path") {
            Ok(local(owner.place.join(path)))
        } else if let Some(url) = text("git") {
            let revision = ["rev", "tag", "branch"].iter().find_map(|key| text(key));
            let revision = revision.map(|revision| format!("@{revision}")).unwrap_or_default();
            Ok((format!("{name}{extras} @ git+{url}{revision}{below}"), None))
        } else if let Some(url) = text("url") {
            Ok((format!("{name}{extras} @ {url}{below}"), None))
        } else if is_set(source, "workspace") {
            self.member(name).map(local).ok_or_else(|| format!("no member of the workspace is called {name}"))
        } else {
            Err(format!("tool.uv.sources has a source of {name} of an unknown kind"))
        }
    }

    /// The path of a package of the same workspace, from the project.
    fn member(&self, name: &str) -> Option<PathBuf> {
        let root = self.root?;
        let directory = self.project.join(&root.place);
        let folder = root.members(&directory).into_iter().find(|folder| is_called(&directory.join(folder), name))?;
        Some(root.place.join(folder))
    }
}

/// The root of the workspace that a project is a member of: the nearest manifest with a workspace above it.
fn root_of(project: &Path) -> Option<Manifest> {
    let above = |depth: usize| -> PathBuf { std::iter::repeat_n("..", depth).collect() };
    let mut manifests = (0..project.ancestors().count()).filter_map(|depth| Manifest::read(project, above(depth)));
    let root = manifests.find(|manifest| at(&manifest.table, &["tool", "uv", "workspace"]).is_some())?;
    let directory = project.join(&root.place);
    let own = fs::canonicalize(project).ok()?;
    let is_own = |folder: PathBuf| fs::canonicalize(directory.join(folder)).is_ok_and(|folder| folder == own);
    let is_member = root.place.as_os_str().is_empty() || root.members(&directory).into_iter().any(is_own);
    is_member.then_some(root)
}

/// The option for an index; none for one that is only for packages that name it.
fn index_line(index: &Value) -> Option<String> {
    let url = index.get("url")?.as_str()?;
    let option = if is_set(index, "default") { "--index-url" } else { "--extra-index-url" };
    (!is_set(index, "explicit")).then(|| format!("{option} {url}"))
}

fn is_set(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool) == Some(true)
}

fn parsed(text: &str) -> Result<Table, String> {
    text.parse().map_err(|error: toml::de::Error| error.message().to_owned())
}

/// A path that pip does not take for the name of a package.
fn explicit(path: &str) -> String {
    if path.starts_with(['.', '/']) { path.to_owned() } else { format!("./{path}") }
}

/// The folders of a pattern such as `packages/*`, relative to the root of the workspace.
fn folders(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let Some(parent) = pattern.strip_suffix('*') else { return vec![PathBuf::from(pattern)] };
    let entries = fs::read_dir(root.join(parent)).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| Path::new(parent).join(entry.file_name())).collect();
    folders.sort();
    folders
}

fn is_called(folder: &Path, name: &str) -> bool {
    let text = fs::read_to_string(folder.join("pyproject.toml")).unwrap_or_default();
    let table: Table = text.parse().unwrap_or_default();
    let own = at(&table, &["project", "name"]).and_then(Value::as_str);
    own.is_some_and(|own| canonical(own) == canonical(name))
}

fn at<'t>(table: &'t Table, path: &[&str]) -> Option<&'t Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(*key))
}

/// A name in the form in which all of its spellings are the same ("Names and normalization").
pub(super) fn canonical(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(directory: &Path, name: &str, text: &str) -> PathBuf {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn lines(dependency: &str, uv: &str) -> Result<Vec<String>, String> {
        let directory = tempfile::tempdir().unwrap();
        let text = format!("[project]\nname = \"x\"\ndependencies = ['''{dependency}''']\n{uv}");
        let file = written(directory.path(), "pyproject.toml", &text);
        Project::read(&file).map(|project| project.unwrap().lines).map_err(|error| error.to_string())
    }

    #[test]
    fn a_package_comes_from_its_source() {
        let of = |dependency: &str, source: &str| lines(dependency, &format!("[tool.uv.sources]\n{source}\n"));
        let one = |line: &str| Ok(vec![line.to_owned()]);
        assert_eq!(of("requests>=2", "other = { path = 'x' }"), one("requests>=2"));
        assert_eq!(of("Shop.Lib", "shop-lib = { path = 'lib' }"), one("./lib"));
        let git = "lib = { git = 'https://git.example/lib', tag = 'v1', subdirectory = 'py' }";
        assert_eq!(of("lib[a,b]>=1", git), one("lib[a,b] @ git+https://git.example/lib@v1#subdirectory=py"));
        assert_eq!(of("lib", "lib = { url = 'https://x.example/lib.whl' }"), one("lib @ https://x.example/lib.whl"));
        let marked = "lib = [{ path = '../a', marker = \"os_name == 'nt'\" }, { path = '../b' }]";
        let expected = ["../a ; (python_version > '3.9') and (os_name == 'nt')", "../b ; (python_version > '3.9')"];
        assert_eq!(of("lib; python_version > '3.9'", marked).unwrap(), expected);
        assert!(of("lib", "lib = { elsewhere = true }").unwrap_err().contains("unknown kind"));
    }

    #[test]
    fn an_index_counts_if_it_is_for_all_or_if_a_package_names_it() {
        let index = "[[tool.uv.index]]\nname = 'own'\nurl = 'https://i.example/simple'\n";
        assert_eq!(lines("lib", index).unwrap(), ["--extra-index-url https://i.example/simple", "lib"]);
        assert_eq!(
            lines("lib", &format!("{index}default = true\n")).unwrap(),
            ["--index-url https://i.example/simple", "lib"]
        );
        let explicit = format!("{index}explicit = true\n");
        assert_eq!(lines("lib", &explicit).unwrap(), ["lib"]);
    }

    #[test]
    fn a_package_of_one_index_alone_is_required_by_its_file_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        let project = "[project]\nname = 'x'\ndependencies = ['lib>=1']\n[tool.uv.sources]\nlib = { index = 'own' }\n\
            [[tool.uv.index]]\nname = 'own'\nurl = 'https://i.example/simple'\nexplicit = true\n";
        let file = written(directory.path(), "pyproject.toml", project);
        let refused = Project::read(&file).unwrap_err().to_string();
        assert!(refused.contains("lib comes from an index of its own") && refused.contains("lib @ URL"), "{refused}");
        let lock = "[[package]]\nname = 'lib'\nversion = '1.2'\nsource = { registry = 'https://i.example/simple' }\n\
            wheels = [{ url = 'https://i.example/lib-1.2-py3-none-any.whl', hash = 'sha256:ab' }]\n";
        written(directory.path(), "uv.lock", lock);
        let project = Project::read(&file).unwrap().unwrap();
        assert_eq!(project.lines, ["lib @ https://i.example/lib-1.2-py3-none-any.whl#sha256=ab"]);
        assert_eq!(project.versions, ["lib @ https://i.example/lib-1.2-py3-none-any.whl#sha256=ab"]);
    }

    #[test]
    fn members_that_members_need_come_from_the_workspace_and_versions_from_its_lock() {
        let root = tempfile::tempdir().unwrap();
        let sources = "shop-lib = { workspace = true }\nshop-core = { workspace = true }\n";
        let workspace = format!("[tool.uv.workspace]\nmembers = ['packages/*']\n[tool.uv.sources]\n{sources}");
        written(root.path(), "pyproject.toml", &workspace);
        let lib = "[project]\nname = 'shop-lib'\ndependencies = ['requests', 'shop-core']\n";
        written(root.path(), "packages/lib/pyproject.toml", lib);
        let core = "[project]\nname = 'shop-core'\ndependencies = ['shop-lib', 'own']\n\
            [tool.uv.sources]\nown = { path = 'own' }\n";
        written(root.path(), "packages/core/pyproject.toml", core);
        let lock =
            "[[package]]\nname = 'requests'\nversion = '2.32.0'\nsource = { registry = 'https://pypi.org/simple' }\n";
        written(root.path(), "uv.lock", lock);
        let order = "[project]\nname = 'order'\ndependencies = [\"shop-lib ; os_name == 'x'\"]\n";
        let file = written(root.path(), "packages/order/pyproject.toml", order);
        let project = Project::read(&file).unwrap().unwrap();
        let expected = ["../../packages/lib", "../../packages/core", "../../packages/core/own"];
        let paths: Vec<&str> = project.lines.iter().filter_map(|line| line.split(" ; ").next()).collect();
        assert_eq!(paths[..2], expected[..2]);
        assert!(paths.contains(&expected[2]) && !paths.contains(&"requests"), "{paths:?}");
        assert!(project.lines.iter().all(|line| line.contains("os_name == 'x'")), "{:?}", project.lines);
        assert_eq!(project.versions, ["requests==2.32.0"]);
    }

    #[test]
    fn a_member_of_the_workspace_is_found_by_its_name() {
        let root = tempfile::tempdir().unwrap();
        written(root.path(), "pyproject.toml", "[tool.uv.workspace]\nmembers = ['packages/*', 'functions/order']\n");
        written(root.path(), "packages/a/pyproject.toml", "[project]\nname = 'shop_lib'\n");
        let project = "[project]\nname = 'order'\ndependencies = ['shop-lib']\n[tool.uv.sources]\nshop-lib = { workspace = true }\n";
        let file = written(root.path(), "functions/order/pyproject.toml", project);
        assert_eq!(Project::read(&file).unwrap().unwrap().lines, ["../../packages/a"]);
        fs::remove_file(root.path().join("packages/a/pyproject.toml")).unwrap();
        assert!(Project::read(&file).unwrap_err().to_string().contains("is called shop-lib"));
    }
}
