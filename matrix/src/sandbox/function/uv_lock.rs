//! `uv.lock`, as constraints for pip.
//!
//! Source: "Lockfile" of uv, and "Binary distribution format" of the Python packaging specifications.

use std::collections::BTreeSet;
use std::env::consts::ARCH;

use toml::{Table, Value};

use super::pyproject::canonical;

/// The index where no other one is the default.
const DEFAULT: &str = "https://pypi.org/simple";

/// The packages of a project and of all that it requires, with their versions and files.
#[derive(Debug)]
pub(super) struct Lock {
    table: Table,
    /// The URL of the index for packages without an index of their own.
    default: String,
}

/// A file of a package, with the condition under which pip can install it.
struct Distribution {
    url: String,
    marker: Option<String>,
}

impl Lock {
    pub(super) fn new(table: Table, default: Option<&str>) -> Self {
        Self { table, default: default.unwrap_or(DEFAULT).trim_end_matches('/').to_owned() }
    }

    /// Constraints for the packages of indexes: the version of one from the default index, and otherwise the URL of its file, which no other index can offer.
    /// With a lock for several environments, a package occurs once for each.
    pub(super) fn constraints(&self) -> Vec<String> {
        let lines = |package| {
            let files = self.requirements(package, "", None);
            let text = |key| package.get(key).and_then(Value::as_str);
            let is_of_index = package.get("source").is_some_and(|source| source.get("registry").is_some());
            match (text("name"), text("version")) {
                (Some(name), Some(version)) if files.is_empty() && is_of_index => {
                    vec![with_markers(format!("{name}=={version}"), [environments(package), None, None])]
                }
                _ => files,
            }
        };
        self.packages().flat_map(lines).collect()
    }

    /// The requirements of a package by the URL of its file; none if it is not from another index than the default one.
    pub(super) fn files(&self, name: &str, extras: &str, marker: Option<&str>) -> Vec<String> {
        let packages = self.packages().filter(|package| is_called(package, name));
        packages.flat_map(|package| self.requirements(package, extras, marker)).collect()
    }

    /// Requirements for the packages of other indexes that are required with extras somewhere: for those, pip does not apply a constraint with a URL.
    pub(super) fn with_extras(&self) -> Vec<String> {
        let list = |package: &Value| package.get("dependencies").and_then(Value::as_array).cloned().unwrap_or_default();
        let required: Vec<Value> = self.packages().flat_map(list).filter(|one| one.get("extra").is_some()).collect();
        let names: BTreeSet<&str> = required.iter().filter_map(|one| one.get("name")?.as_str()).collect();
        names.into_iter().flat_map(|name| self.files(name, "", None)).collect()
    }

    fn requirements(&self, package: &Value, extras: &str, marker: Option<&str>) -> Vec<String> {
        let registry = package.get("source").and_then(|source| source.get("registry")?.as_str());
        let is_other = registry.is_some_and(|registry| registry.trim_end_matches('/') != self.default);
        let Some(name) = package.get("name").and_then(Value::as_str).filter(|_| is_other) else { return Vec::new() };
        let line = |file: Distribution| {
            let markers = [environments(package), file.marker, marker.map(str::to_owned)];
            with_markers(format!("{name}{extras} @ {}", file.url), markers)
        };
        distributions(package).into_iter().map(line).collect()
    }

    fn packages(&self) -> impl Iterator<Item = &Value> {
        self.table.get("package").and_then(Value::as_array).into_iter().flatten()
    }
}

fn is_called(package: &Value, name: &str) -> bool {
    package.get("name").and_then(Value::as_str).is_some_and(|own| canonical(own) == canonical(name))
}

/// The files of a package that pip may install here: a wheel for every machine, or else those for this one, or else the sources. Another file is better than
/// none: pip refuses it.
fn distributions(package: &Value) -> Vec<Distribution> {
    let wheels: Vec<&Value> = package.get("wheels").and_then(Value::as_array).into_iter().flatten().collect();
    let urls: Vec<String> = wheels.into_iter().filter_map(located).collect();
    let plain = |url: &String| Distribution { url: url.clone(), marker: None };
    if let Some(url) = urls.iter().find(|url| file_name(url).ends_with("-none-any.whl")) {
        return vec![plain(url)];
    }
    let mut here: Vec<Distribution> = Vec::new();
    for found in urls.iter().filter_map(|url| for_this_machine(url)) {
        // Among several for the same version, the first one is as good as another.
        if here.iter().all(|other| other.marker != found.marker) {
            here.push(found);
        }
    }
    if !here.is_empty() {
        return here;
    }
    let sources = package.get("sdist").and_then(located);
    sources.iter().chain(urls.first()).next().map(plain).into_iter().collect()
}

/// A wheel that is compiled for this machine, with the version of Python that it is for.
fn for_this_machine(url: &str) -> Option<Distribution> {
    let mut tags = file_name(url).strip_suffix(".whl")?.rsplit('-');
    let (platform, abi, python) = (tags.next()?, tags.next()?, tags.next()?);
    let is_here = platform.contains("linux") && !platform.contains("musl") && platform.contains(ARCH);
    let minor: u32 = python.strip_prefix("cp3")?.parse().ok()?;
    let marker = match abi {
        "abi3" => format!("python_full_version >= '3.{minor}'"),
        _ if abi == python => format!("python_version == '3.{minor}'"),
        _ => return None,
    };
    is_here.then(|| Distribution { url: url.to_owned(), marker: Some(marker) })
}

/// The URL of a file with its hash, which pip compares.
fn located(file: &Value) -> Option<String> {
    let url = file.get("url")?.as_str()?;
    let hash = file.get("hash").and_then(|hash| hash.as_str()?.split_once(':'));
    Some(hash.map_or_else(|| url.to_owned(), |(kind, hash)| format!("{url}#{kind}={hash}")))
}

fn file_name(url: &str) -> &str {
    let path = url.split(['#', '?']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}

/// The condition of a package that is for some environments only.
fn environments(package: &Value) -> Option<String> {
    let markers = package.get("resolution-markers")?.as_array()?.iter().filter_map(Value::as_str);
    let markers: Vec<String> = markers.map(|marker| format!("({marker})")).collect();
    (!markers.is_empty()).then(|| markers.join(" or "))
}

fn with_markers(what: String, markers: [Option<String>; 3]) -> String {
    let markers: Vec<String> = markers.into_iter().flatten().collect();
    match &markers[..] {
        [] => what,
        [one] => format!("{what} ; {one}"),
        _ => format!("{what} ; ({})", markers.join(") and (")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(package: &str, default: Option<&str>) -> Lock {
        let text = format!("[[package]]\nname = 'lib'\nversion = '1.0'\n{package}\n");
        Lock::new(text.parse().unwrap(), default)
    }

    #[test]
    fn a_package_of_several_environments_has_a_condition_for_each() {
        let fork = lock(
            "source = { registry = 'https://pypi.org/simple' }\nresolution-markers = [\"os_name == 'a'\", \"os_name == 'b'\"]",
            None,
        );
        assert_eq!(fork.constraints(), ["lib==1.0 ; (os_name == 'a') or (os_name == 'b')"]);
    }

    #[test]
    fn a_package_of_another_index_is_the_file_for_this_machine() {
        let wheel = |tags: &str| format!("{{ url = 'https://x.example/lib-1.0-{tags}.whl', hash = 'sha256:ab' }}");
        let of = |wheels: &[String]| {
            let wheels = wheels.join(", ");
            let sources = "sdist = { url = 'https://x.example/lib-1.0.tar.gz', hash = 'sha256:cd' }";
            let package =
                format!("source = {{ registry = 'https://x.example/simple' }}\n{sources}\nwheels = [{wheels}]");
            lock(&package, None).constraints()
        };
        let (here, windows) = (wheel(&format!("cp312-cp312-manylinux_2_28_{ARCH}")), wheel("cp312-cp312-win_amd64"));
        let expected = format!(
            "lib @ https://x.example/lib-1.0-cp312-cp312-manylinux_2_28_{ARCH}.whl#sha256=ab ; python_version == '3.12'"
        );
        assert_eq!(of(&[windows.clone(), here.clone(), here]), [expected]);
        assert_eq!(of(&[windows]), ["lib @ https://x.example/lib-1.0.tar.gz#sha256=cd"]);
        let of_default = lock("source = { registry = 'https://x.example/simple' }", Some("https://x.example/simple/"));
        assert_eq!(of_default.constraints(), ["lib==1.0"]);
    }

    #[test]
    fn a_package_that_is_required_with_extras_has_a_requirement() {
        let package = "source = { registry = 'https://x.example/simple' }\nsdist = { url = 'https://x.example/lib.tar.gz' }\n\
            [[package]]\nname = 'user'\nversion = '2'\ndependencies = [{ name = 'lib', extra = ['fast'] }]";
        let lock = lock(package, None);
        assert_eq!(lock.with_extras(), ["lib @ https://x.example/lib.tar.gz"]);
        let line = "lib[fast] @ https://x.example/lib.tar.gz ; os_name == 'x'";
        assert_eq!(lock.files("Lib", "[fast]", Some("os_name == 'x'")), [line]);
    }
}
