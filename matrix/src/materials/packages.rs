//! What is in a program besides our own code: the packages that cargo chooses for its features and its target.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::workspace::{self, environment};

/// Our own package.
pub const ROOT: &str = "bottlecap";
/// The other packages of the product. Each lies in a folder with its name in [`PARTS_FOLDER`].
const PARTS: [&str; 5] = ["agent-config", "extension-protocol", "launcher", "waf", "waf-protocol"];
const PARTS_FOLDER: &str = "crates";
/// Where packages that have parts lie, from the root of the repository.
const WHOLES: [&str; 4] = ["", "fips", "crates/launcher", "crates/waf"];
/// How `Cargo.lock` names the public registry, wherever cargo downloads from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cargo {cargo_command} does not say what the program is made of: {reason}")]
    Cargo { cargo_command: &'static str, reason: String },
    #[error("cargo {cargo_command} does not say what the program is made of")]
    Unreadable { cargo_command: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the cargo home of isolated builds cannot be prepared")]
    Home(#[source] io::Error),
    #[error("Cargo.lock cannot be read")]
    Lock(#[source] io::Error),
    #[error("Cargo.lock is not a lock file")]
    Malformed(#[source] toml::de::Error),
    #[error("Cargo.lock does not have {0}")]
    NotLocked(String),
    #[error("Cargo.lock has ambiguous packages: {0}")]
    Ambiguous(String),
    #[error("cargo metadata knows nothing of {0}")]
    Unknown(String),
}

/// The packages of one cell, by name and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packages(pub BTreeMap<Key, Package>);

/// Unique, because all of them come from one registry or lie on this machine, and a lock file that has one twice is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub name: String,
    pub version: String,
}

/// A package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// An SPDX expression.
    pub licence: Option<String>,
    /// As its `Cargo.toml` names them; many name nobody.
    pub authors: Vec<String>,
    /// Where its sources are, by its `Cargo.toml`.
    pub repository: Option<String>,
    pub origin: Origin,
    /// Where its files are on this machine.
    pub folder: PathBuf,
    /// SHA-256 of the archive that the registry has, in hexadecimal; none of our own.
    pub checksum: Option<String>,
    /// Whether its code is in the program; that of others runs while it is built.
    pub linked: bool,
    pub needs: BTreeSet<Key>,
}

/// Where cargo gets a package from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// This workspace, or another directory: it is published nowhere.
    #[default]
    Path,
    CratesIo,
    /// The address of another registry's index.
    Registry(String),
    /// The address of a repository with the commit, as package URLs have it.
    Git(String),
}

impl Origin {
    /// From the `source` of a package in `Cargo.lock`.
    pub fn of(source: Option<&str>) -> Self {
        match source.and_then(|source| source.split_once('+')) {
            None => Self::Path,
            Some(_) if source == Some(CRATES_IO) => Self::CratesIo,
            Some(("git", address)) => {
                let (repository, commit) = address.split_once('#').unwrap_or((address, ""));
                let repository = repository.split('?').next().unwrap_or_default();
                Self::Git(format!("git+{repository}@{commit}"))
            }
            Some((_, address)) => Self::Registry(address.to_owned()),
        }
    }
}

impl Packages {
    /// Those of the workspace's program in this cell.
    pub fn of(workspace: &Path, features: &[String], target: &str) -> Result<Self, Error> {
        Self::of_package(ROOT, workspace, features, target)
    }

    /// Adds those of a program beside it. A package of the same version is the same one.
    pub fn add_program(&mut self, program: Self) {
        for (key, package) in program.0 {
            let there = self.0.entry(key).or_insert_with(|| package.clone());
            there.linked |= package.linked;
            there.needs.extend(package.needs);
        }
        self.join_ours(ROOT);
    }

    /// Makes our own packages one: they are parts of the product, and come from nowhere else. Another package without a source is none of ours, and stays.
    fn join_ours(&mut self, name: &str) {
        let whole = self.0.iter().find(|(key, _)| key.name == name).map(|(_, package)| package.folder.clone());
        let whole = whole.unwrap_or_default();
        let is_part = |key: &Key, package: &Package| {
            package.origin == Origin::Path && key.name != name && is_part_of(&whole, &key.name, &package.folder)
        };
        let mut needs = BTreeSet::new();
        let mut parts = BTreeSet::new();
        self.0.retain(|key, package| {
            if is_part(key, package) {
                needs.append(&mut package.needs);
                parts.insert(key.clone());
            }
            !parts.contains(key)
        });
        if let Some((_, ours)) = self.0.iter_mut().find(|(key, _)| key.name == name) {
            ours.needs.append(&mut needs);
            ours.needs.retain(|key| !parts.contains(key));
        }
    }

    /// Those of another package with its own lock file in this workspace.
    pub fn of_package(name: &str, workspace: &Path, features: &[String], target: &str) -> Result<Self, Error> {
        let features = ["--no-default-features".to_owned(), format!("--features={}", features.join(","))];
        let tree = |edges: &str| {
            let of = ["--locked", "--package", name, "--prefix", "depth", "--format", "|{p}", "--target", target];
            cargo(workspace, "tree", of.into_iter().chain(["--edges", edges]), &features)
        };
        let edges = edges(&tree("normal,build")?);
        // Macros are libraries for the compiler, and what only they need is not in the program either.
        let linked = self::edges(&tree("normal,no-proc-macro")?);
        let of = ["--locked", "--format-version", "1", "--filter-platform", target];
        let described = CargoMetadata::read(&cargo(workspace, "metadata", of.into_iter(), &features)?)?;
        let lock = Lock::read(workspace)?;
        let packages = edges.into_iter().map(|(key, needs)| {
            let described = described.packages.iter().find(|package| key.is(&package.name, &package.version));
            let described = described.ok_or_else(|| Error::Unknown(key.to_string()))?;
            let locked = lock.package.iter().find(|package| key.is(&package.name, &package.version));
            let locked = locked.ok_or_else(|| Error::NotLocked(key.to_string()))?;
            let package = Package {
                licence: described.license.as_deref().map(expression),
                authors: described.authors.clone(),
                repository: described.repository.clone(),
                origin: Origin::of(locked.source.as_deref()),
                folder: described.manifest_path.parent().map(Path::to_owned).unwrap_or_default(),
                checksum: locked.checksum.clone(),
                linked: linked.contains_key(&key),
                needs,
            };
            Ok((key, package))
        });
        let mut packages = packages.collect::<Result<_, _>>().map(Self)?;
        packages.join_ours(name);
        Ok(packages)
    }
}

/// Every package in the lock file of a workspace, whether a build needs it or not.
pub fn locked(workspace: &Path) -> Result<BTreeSet<Key>, Error> {
    Ok(Lock::read(workspace)?.package.iter().map(|package| Key::new(&package.name, &package.version)).collect())
}

impl Key {
    pub fn new(name: &str, version: &str) -> Self {
        Self { name: name.to_owned(), version: version.to_owned() }
    }

    fn is(&self, name: &str, version: &str) -> bool {
        self.name == name && self.version == version
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// Whether the package in this folder is a part of the one in the folder `whole`. Where a link leads counts, and not where it stands.
fn is_part_of(whole: &Path, name: &str, folder: &Path) -> bool {
    let (Ok(whole), Ok(folder)) = (whole.canonicalize(), folder.canonicalize()) else { return false };
    let root = folder.parent().filter(|_| folder.ends_with(Path::new(PARTS_FOLDER).join(name))).and_then(Path::parent);
    PARTS.contains(&name) && root.is_some_and(|root| WHOLES.iter().any(|place| root.join(place) == whole))
}

/// What each package of a tree needs. A line is the depth, `|`, a name and a version; one whose needs have been told before ends with `(*)`.
fn edges(tree: &str) -> BTreeMap<Key, BTreeSet<Key>> {
    let mut edges: BTreeMap<Key, BTreeSet<Key>> = BTreeMap::new();
    let mut above: Vec<Key> = Vec::new();
    for line in tree.lines() {
        let Some((depth, package)) = line.split_once('|') else { continue };
        let mut words = package.split(' ');
        let (Ok(depth), Some(name), Some(version)) = (depth.parse(), words.next(), words.next()) else { continue };
        let key = Key::new(name, version.trim_start_matches('v'));
        above.truncate(depth);
        if let Some(parent) = above.last() {
            edges.entry(parent.clone()).or_default().insert(key.clone());
        }
        edges.entry(key.clone()).or_default();
        above.push(key);
    }
    edges
}

/// An old way to say `OR` was a slash.
fn expression(licence: &str) -> String {
    licence.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

fn cargo<'a>(
    workspace: &Path,
    cargo_command: &'static str,
    arguments: impl Iterator<Item = &'a str>,
    features: &[String],
) -> Result<String, Error> {
    let mut command: Command = workspace::cargo();
    environment::isolate(&mut command, workspace, &workspace::builds_directory()).map_err(Error::Home)?;
    let manifest = std::path::absolute(workspace.join("Cargo.toml")).map_err(Error::Home)?;
    command.arg(cargo_command).arg("--manifest-path").arg(manifest).args(arguments).args(features).stdin(Stdio::null());
    let output = command.output().map_err(|error| Error::Unreadable { cargo_command, source: error.into() })?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Cargo { cargo_command, reason });
    }
    String::from_utf8(output.stdout).map_err(|error| Error::Unreadable { cargo_command, source: error.into() })
}

/// The part of `cargo metadata` that counts here.
#[derive(Deserialize)]
struct CargoMetadata {
    packages: Vec<DescribedPackage>,
}

#[derive(Deserialize)]
struct DescribedPackage {
    name: String,
    version: String,
    license: Option<String>,
    authors: Vec<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
}

impl CargoMetadata {
    fn read(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text)
            .map_err(|error| Error::Unreadable { cargo_command: "metadata", source: error.into() })
    }
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<LockedPackage>,
}

impl Lock {
    fn read(workspace: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(workspace.join("Cargo.lock")).map_err(Error::Lock)?;
        let lock: Self = toml::from_str(&text).map_err(Error::Malformed)?;
        lock.ambiguity().map_or(Ok(lock), |reason| Err(Error::Ambiguous(reason)))
    }

    /// Why a name and a version would not be one package, or the name of our own one of another.
    fn ambiguity(&self) -> Option<String> {
        let (mut keys, mut ours) = (BTreeSet::new(), BTreeSet::new());
        self.package.iter().find_map(|LockedPackage { name, version, source, .. }| {
            let key = Key::new(name, version);
            let is_ours = name == ROOT || PARTS.contains(&name.as_str());
            match (Origin::of(source.as_deref()), source) {
                (Origin::Git(_) | Origin::Registry(_), Some(source)) => Some(format!("{key} is from {source}")),
                (Origin::CratesIo, _) if is_ours => Some(format!("{key} has the name of ours")),
                _ if is_ours && !ours.insert(name) => Some(format!("{name} is there twice")),
                _ if !keys.insert(key.clone()) => Some(format!("{key} is there twice")),
                _ => None,
            }
        })
    }
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::build::recipe::Recipe;
    use crate::manifest::Manifest;

    fn of(set: &str) -> Packages {
        let manifest = Manifest::embedded().unwrap();
        let recipe = Recipe::of(manifest, &manifest.set_levels(set).unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        Packages::of(&recipe.workspace(root), &recipe.features, &crate::target::plain()).unwrap()
    }

    fn named<'p>(packages: &'p Packages, name: &str) -> Option<&'p Package> {
        packages.0.iter().find(|(key, _)| key.name == name).map(|(_, package)| package)
    }

    #[test]
    fn a_cell_has_the_packages_of_its_features() {
        let (ship, baseline) = (of("ship"), of("baseline"));
        assert!(named(&ship, "webpki-roots").is_some() && named(&ship, "tikv-jemallocator").is_none());
        assert!(named(&baseline, "webpki-roots").is_none() && named(&baseline, "tikv-jemallocator").is_some());
        assert!(named(&ship, "matrix").is_none() && named(&ship, "clap").is_none(), "the tool's own are not in it");
    }

    #[test]
    fn build_dependencies_are_separate_from_linked_packages() {
        let ship = of("ship");
        for (name, linked) in [("tokio", true), ("zstd-sys", true), ("cc", false), ("serde_derive", false)] {
            assert_eq!(named(&ship, name).map(|package| package.linked), Some(linked), "{name}");
        }
        let root = named(&ship, ROOT).unwrap();
        assert!(root.linked && root.checksum.is_none() && root.needs.iter().any(|key| key.name == "tokio"));
        let unchecked = ship.0.iter().filter(|(key, package)| key.name != ROOT && package.checksum.is_none());
        assert_eq!(unchecked.count(), 0);
        let published = ship.0.iter().filter(|(_, package)| package.origin == Origin::CratesIo);
        assert_eq!((published.count(), &root.origin), (ship.0.len() - 1, &Origin::Path));
        assert!(!root.authors.is_empty(), "who supplies it is what Cargo.toml says");
    }

    #[test]
    fn a_layer_with_a_launcher_has_its_packages_too() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut ship = of("ship");
        let before = ship.0.len();
        assert!(named(&ship, "rustix").is_none());
        ship.add_program(crate::build::launcher::packages(root, &crate::target::plain()).unwrap());
        assert!(named(&ship, "rustix").is_some_and(|package| package.linked && package.checksum.is_some()));
        assert!(named(&ship, ROOT).unwrap().needs.iter().any(|key| key.name == "rustix"));
        assert!(ship.0.len() > before);
        for ours in [crate::build::launcher::NAME, "extension-protocol", "agent-config"] {
            assert!(named(&ship, ours).is_none(), "{ours} is a part of our own package");
        }
    }

    #[test]
    fn a_cell_with_a_lock_file_of_its_own_has_the_versions_in_it() {
        let validated = of("ship-fips");
        let key = Key::new("aws-lc-fips-sys", "0.13.11");
        assert!(validated.0.get(&key).is_some_and(|package| package.linked && package.checksum.is_some()));
        for other in ["ring", "webpki-roots"] {
            assert!(named(&validated, other).is_none(), "{other}");
        }
    }

    /// A program that needs the packages in these folders of its own.
    fn workspace(folders: &[&str]) -> tempfile::TempDir {
        let workspace = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| crate::files::write(&workspace.path().join(file), text).unwrap();
        let named = |name: &str| format!("name = \"{name}\"\nversion = \"0.1.0\"\n");
        let manifest = |name: &str| format!("[package]\nedition = \"2024\"\n{}[dependencies]\n", named(name));
        let (mut root, mut lock) = (manifest(ROOT), "version = 4\n".to_owned());
        let mut names = Vec::new();
        for folder in folders {
            let name = folder.split('/').next_back().unwrap();
            root += &format!("{name} = {{ path = \"{folder}\" }}\n");
            lock += &format!("[[package]]\n{}", named(name));
            names.push(name);
            write(&format!("{folder}/Cargo.toml"), &manifest(name));
            write(&format!("{folder}/src/lib.rs"), "");
        }
        write("Cargo.toml", &(root + "[workspace]\n"));
        write("Cargo.lock", &format!("{lock}[[package]]\n{}dependencies = {names:?}\n", named(ROOT)));
        write("src/main.rs", "fn main() {}");
        workspace
    }

    #[test]
    fn only_our_own_packages_at_their_places_are_parts_of_the_product() {
        let workspace = workspace(&["crates/extension-protocol", "crates/sha1", "elsewhere/launcher"]);
        let packages = Packages::of(workspace.path(), &[], &crate::target::plain()).unwrap();
        let names: Vec<_> = packages.0.keys().map(|key| key.name.as_str()).collect();
        assert_eq!(names, [ROOT, "launcher", "sha1"]);
        let planted = named(&packages, "sha1").unwrap();
        assert!(planted.linked && planted.checksum.is_none() && planted.origin == Origin::Path, "{planted:?}");
        let needs: Vec<_> = named(&packages, ROOT).unwrap().needs.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(needs, ["launcher", "sha1"]);
    }

    #[test]
    fn a_part_that_is_a_link_to_elsewhere_is_none() {
        let (workspace, other) = (workspace(&["crates/extension-protocol"]), tempfile::tempdir().unwrap());
        let part = workspace.path().join("crates/extension-protocol");
        assert!(is_part_of(workspace.path(), "extension-protocol", &part));
        assert!(!is_part_of(other.path(), "extension-protocol", &part));
        fs::rename(&part, other.path().join("extension-protocol")).unwrap();
        std::os::unix::fs::symlink(other.path().join("extension-protocol"), &part).unwrap();
        assert!(!is_part_of(workspace.path(), "extension-protocol", &part));
    }

    #[test]
    fn a_package_with_the_name_and_version_of_another_is_refused() {
        let workspace = workspace(&["crates/extension-protocol"]);
        let lock = workspace.path().join("Cargo.lock");
        let before = fs::read_to_string(&lock).unwrap();
        assert!(locked(workspace.path()).is_ok());
        let with = |name: &str, source: &str| {
            let package = format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"{source}\"\n");
            fs::write(&lock, before.clone() + &package + &package.replace(source, CRATES_IO)).unwrap();
            locked(workspace.path()).map_err(|error| error.to_string()).unwrap_err()
        };
        for (source, reason) in [
            ("git+https://example.com/sha2#0123", "sha2 1.0.0 is from git+https://example.com/sha2#0123"),
            ("registry+https://example.com/index", "sha2 1.0.0 is from registry+https://example.com/index"),
            (CRATES_IO, "sha2 1.0.0 is there twice"),
        ] {
            assert!(with("sha2", source).contains(reason), "{}", with("sha2", source));
        }
        assert!(with(ROOT, CRATES_IO).contains("bottlecap 1.0.0 has the name of ours"));
        fs::write(&lock, before.clone() + "[[package]]\nname = \"bottlecap\"\nversion = \"0.2.0\"\n").unwrap();
        assert!(locked(workspace.path()).unwrap_err().to_string().contains("bottlecap is there twice"));
    }

    #[test]
    fn old_licences_become_expressions() {
        assert_eq!(expression("MIT / Apache-2.0"), "MIT OR Apache-2.0");
        assert_eq!(expression("MIT/Apache-2.0"), "MIT OR Apache-2.0");
        assert_eq!(expression("ISC AND (MIT OR Zlib)"), "ISC AND (MIT OR Zlib)");
    }

    #[test]
    fn dependencies_of_repeated_packages_are_complete() {
        let tree = "0|a v1.0.0 (/here)\n1|b v2.0.0\n2|c v3.0.0\n1|d v4.0.0 (proc-macro)\n2|b v2.0.0 (*)\n";
        let edges = edges(tree);
        let needs =
            |name, version| edges[&Key::new(name, version)].iter().map(|key| key.name.as_str()).collect::<Vec<_>>();
        assert_eq!(needs("a", "1.0.0"), ["b", "d"]);
        assert_eq!(needs("b", "2.0.0"), ["c"]);
        assert_eq!(needs("d", "4.0.0"), ["b"]);
        assert_eq!(needs("c", "3.0.0"), Vec::<&str>::new());
    }
}
