//! What a `pyproject.toml` requires, as lines for pip: its dependencies, from the sources and indexes of `[tool.uv]`.
//!
//! Source: "Dependency specifiers" of the Python packaging specifications, and "Managing dependencies" of uv.

use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::venv::Error;

/// The requirements of a project.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Project {
    /// Lines of a requirements file; local packages are relative to the project.
    pub lines: Vec<String>,
    /// The versions that `uv.lock` has of packages from an index, such as `requests==2.32.0`.
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

/// Where the packages of a project come from.
struct Sources<'t> {
    project: &'t Path,
    sources: Option<&'t Table>,
}

impl Project {
    /// Reads the file; `None` if nothing depends on anything.
    pub(super) fn read(file: &Path) -> Result<Option<Self>, Error> {
        let failed = |output: String| Error::Failed { step: format!("reading {}", file.display()), output };
        let parse = |text: String| text.parse::<Table>().map_err(|error| failed(error.message().to_owned()));
        let project = parse(fs::read_to_string(file).map_err(|error| failed(error.to_string()))?)?;
        let directory = file.parent().unwrap_or(Path::new("."));
        let listed = at(&project, &["project", "dependencies"]).and_then(Value::as_array);
        let listed: Vec<&str> = listed.into_iter().flatten().filter_map(Value::as_str).collect();
        if listed.is_empty() {
            return Ok(None);
        }
        let locked = parse(fs::read_to_string(directory.join("uv.lock")).unwrap_or_default())?;
        let indexes: Vec<&Value> =
            at(&project, &["tool", "uv", "index"]).and_then(Value::as_array).into_iter().flatten().collect();
        let sources = at(&project, &["tool", "uv", "sources"]).and_then(Value::as_table);
        let sources = Sources { project: directory, sources };
        let mut lines: Vec<String> = indexes.into_iter().filter_map(|index| sources.index_line(index)).collect();
        for text in listed {
            lines.extend(sources.lines(&Dependency::parse(text)).map_err(&failed)?);
        }
        Ok(Some(Self { lines, versions: versions(&locked) }))
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
    /// The lines of a dependency: as it stands, unless it has sources.
    fn lines(&self, dependency: &Dependency<'_>) -> Result<Vec<String>, String> {
        let is_named = |(name, _): &(&String, &Value)| canonical(name) == canonical(dependency.name);
        let Some((_, source)) = self.sources.into_iter().flatten().find(is_named) else {
            return Ok(vec![dependency.text.to_owned()]);
        };
        let alternatives = source.as_array().map_or_else(|| vec![source], |all| all.iter().collect());
        alternatives.into_iter().map(|source| self.line(dependency, source)).collect()
    }

    fn line(&self, dependency: &Dependency<'_>, source: &Value) -> Result<String, String> {
        let text = |key: &str| source.get(key).and_then(Value::as_str);
        let Dependency { name, extras, .. } = dependency;
        let below = text("subdirectory").map(|folder| format!("#subdirectory={folder}")).unwrap_or_default();
        let what = if let Some(path) = text("path") {
            format!("{}{extras}", explicit(path))
        } else if let Some(url) = text("git") {
            let revision = ["rev", "tag", "branch"].iter().find_map(|key| text(key));
            let revision = revision.map(|revision| format!("@{revision}")).unwrap_or_default();
            format!("{name}{extras} @ git+{url}{revision}{below}")
        } else if let Some(url) = text("url") {
            format!("{name}{extras} @ {url}{below}")
        } else if source.get("workspace").and_then(Value::as_bool) == Some(true) {
            let member = self.member(name).ok_or_else(|| format!("no member of the workspace is called {name}"))?;
            format!("{member}{extras}")
        } else if text("index").is_some() {
            return Ok(dependency.text.to_owned());
        } else {
            return Err(format!("tool.uv.sources has a source of {name} of an unknown kind"));
        };
        let markers: Vec<String> =
            [dependency.marker, text("marker")].into_iter().flatten().map(|marker| format!("({marker})")).collect();
        Ok(if markers.is_empty() { what } else { format!("{what} ; {}", markers.join(" and ")) })
    }

    /// The option for an index. One that is only for packages that name it is left out unless one does.
    fn index_line(&self, index: &Value) -> Option<String> {
        let is = |key: &str| index.get(key).and_then(Value::as_bool) == Some(true);
        let name = index.get("name").and_then(Value::as_str);
        let is_used = || {
            let sources = self.sources.into_iter().flatten().map(|(_, source)| source);
            sources.filter_map(|source| source.get("index")?.as_str()).any(|used| Some(used) == name)
        };
        let url = index.get("url")?.as_str()?;
        let option = if is("default") { "--index-url" } else { "--extra-index-url" };
        (!is("explicit") || is_used()).then(|| format!("{option} {url}"))
    }

    /// The path of a package of the same workspace, from the project.
    fn member(&self, name: &str) -> Option<String> {
        let mut up = PathBuf::new();
        for root in self.project.ancestors() {
            let manifest = fs::read_to_string(root.join("pyproject.toml")).ok().and_then(|text| text.parse().ok());
            let members = manifest.as_ref().and_then(|table| at(table, &["tool", "uv", "workspace", "members"]));
            if let Some(members) = members.and_then(Value::as_array) {
                let folders = members.iter().filter_map(Value::as_str).flat_map(|pattern| folders(root, pattern));
                let folder = folders.into_iter().find(|folder| is_called(&root.join(folder), name))?;
                return Some(explicit(&up.join(folder).to_string_lossy()));
            }
            up.push("..");
        }
        None
    }
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

/// The versions of packages that come from an index.
fn versions(locked: &Table) -> Vec<String> {
    let packages = locked.get("package").and_then(Value::as_array).into_iter().flatten();
    let version = |package: &Value| {
        package.get("source")?.get("registry")?;
        let text = |key| package.get(key).and_then(Value::as_str);
        Some(format!("{}=={}", text("name")?, text("version")?))
    };
    packages.filter_map(version).collect()
}

fn at<'t>(table: &'t Table, path: &[&str]) -> Option<&'t Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(*key))
}

/// A name in the form in which all of its spellings are the same ("Names and normalization").
fn canonical(name: &str) -> String {
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
        let named = format!("{explicit}[tool.uv.sources]\nlib = {{ index = 'own' }}\n");
        assert_eq!(lines("lib", &named).unwrap().len(), 2);
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
