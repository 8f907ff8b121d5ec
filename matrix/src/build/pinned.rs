//! Sources of the FIPS build that are pinned file by file: `[[source]]` in `matrix/fips.toml`. Cargo checks an archive when it unpacks it, and never again.

use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::recipe::Recipe;
use crate::hash;
use crate::materials::packages::{Key, Package, Packages};

pub(crate) const TEXT: &str = include_str!("../../fips.toml");
/// The feature of builds that they are for.
pub(super) const FEATURE: &str = "fips";
/// What cargo adds to an unpacked archive, and `cargo vendor` to its copy.
const ADDED: [&str; 2] = [".cargo-ok", ".cargo-checksum.json"];

/// How a person gets the same number, in the folder of a package.
pub const COMMAND: &str = "find . -type f ! -name .cargo-ok ! -name .cargo-checksum.json | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum";

/// A package with a number for all of its files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedSource {
    pub package: String,
    pub version: String,
    /// As [`tree_hash`] computes it.
    pub sha256: String,
}

/// The part of the file that counts here.
#[derive(Deserialize)]
struct Pins {
    source: Vec<PinnedSource>,
}

impl PinnedSource {
    /// Says of the package among these whether it is the pinned one: an error if it is not there, is another version or has been changed.
    pub fn compare(&self, packages: &Packages) -> Result<String, String> {
        let Self { package, version, sha256 } = self;
        let found: Vec<(&Key, &Package)> = packages.0.iter().filter(|(key, _)| key.name == *package).collect();
        let [(key, there)] = found[..] else {
            return Err(format!("there are {} packages of the name {package}", found.len()));
        };
        let place = there.folder.display();
        match tree_hash(&there.folder) {
            Ok(_) if key.version != *version => Err(format!("{key} is there, and {version} is pinned")),
            Ok(hash) if hash == *sha256 => Ok(format!("every file of {key} in {place} is as pinned: {hash}")),
            Ok(hash) => Err(format!(
                "{key} in {place} has been changed: it has {hash}, and {sha256} is pinned; remove the folder, and cargo unpacks it again"
            )),
            Err(error) => Err(format!("{key} in {place} cannot be read: {error}")),
        }
    }
}

/// Refuses to compile a FIPS build from sources that are not the pinned ones; says nothing of other builds.
pub(super) fn check(root: &Path, recipe: &Recipe, target: &str) -> Result<(), String> {
    if !recipe.features.iter().any(|feature| feature == FEATURE) {
        return Ok(());
    }
    let pins: Pins = toml::from_str(TEXT).map_err(|error| error.to_string())?;
    let packages =
        Packages::of(&recipe.workspace(root), &recipe.features, target).map_err(|error| error.to_string())?;
    pins.source.iter().try_for_each(|pinned| pinned.compare(&packages).map(drop))
}

/// The SHA-256 of what `sha256sum` says of every file in a folder, in the order of their names. What is neither a file nor a folder is an error.
fn tree_hash(folder: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    list(folder, ".", &mut files)?;
    files.sort();
    let mut text = String::new();
    for name in files {
        let hash = hash::of_files([folder.join(&name).as_path()])?;
        text += &format!("{hash}  {name}\n");
    }
    Ok(hash::hexadecimal(text.as_bytes()))
}

fn list(folder: &Path, name: &str, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, own) = (entry.file_type()?, entry.file_name());
        let own = own.to_str().ok_or_else(|| io::Error::other(format!("{} is no text", entry.path().display())))?;
        let name = format!("{name}/{own}");
        match () {
            () if kind.is_dir() => list(&entry.path(), &name, files)?,
            () if !kind.is_file() => return Err(io::Error::other(format!("{name} is neither a file nor a folder"))),
            () if ADDED.contains(&own) => {}
            () => files.push(name),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use super::*;
    use crate::manifest::Manifest;

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        for (name, text) in [("Cargo.toml", "[package]"), ("src/a.c", "int a;"), ("src.c", "x"), (".cargo-ok", "ok")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_person_gets_the_same_number() {
        let folder = tree();
        let output = Command::new("sh").args(["-c", COMMAND]).current_dir(folder.path()).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed.split(' ').next(), Some(tree_hash(folder.path()).unwrap().as_str()));
    }

    #[test]
    fn one_changed_byte_one_more_file_or_another_version_is_against_it() {
        let folder = tree();
        let sha256 = tree_hash(folder.path()).unwrap();
        let pinned = PinnedSource { package: "module".to_owned(), version: "1.0.0".to_owned(), sha256 };
        let packages = |version: &str| {
            let package = Package { folder: folder.path().to_owned(), ..Package::default() };
            Packages(BTreeMap::from([(Key::new("module", version), package)]))
        };
        let holds = || pinned.compare(&packages("1.0.0")).is_ok();
        assert!(holds());
        assert!(pinned.compare(&packages("1.0.1")).is_err());
        assert!(pinned.compare(&Packages(BTreeMap::new())).is_err());
        fs::write(folder.path().join(".cargo-ok"), "other").unwrap();
        assert!(holds(), "cargo's own file is none of the package");
        fs::write(folder.path().join("src/a.c"), "int b;").unwrap();
        assert!(!holds(), "a file has changed");
        fs::write(folder.path().join("src/a.c"), "int a;").unwrap();
        assert!(holds());
        fs::write(folder.path().join("CMakeToolchain.txt"), "").unwrap();
        assert!(!holds(), "a file has come");
        fs::remove_file(folder.path().join("CMakeToolchain.txt")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        assert!(!holds(), "a link is no file of an archive");
    }

    /// What lies on this machine is what is pinned, and only FIPS builds are held to it.
    #[test]
    fn a_fips_build_is_compiled_from_the_pinned_sources_alone() {
        let manifest = Manifest::embedded().unwrap();
        let recipe = Recipe::of(manifest, &manifest.set_levels("ship-fips").unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        check(root, &recipe, &crate::target::plain()).unwrap();
        let nowhere = Path::new("/nowhere");
        assert!(check(nowhere, &recipe, &crate::target::plain()).is_err());
        check(nowhere, &Recipe::default(), &crate::target::plain()).unwrap();
    }
}
