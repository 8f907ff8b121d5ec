//! The packages that a FIPS build may be made of: `matrix/fips-packages.toml`. Whatever is not on the list is refused, because a list of what is forbidden is
//! never complete.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use serde::Deserialize;

use crate::materials::packages::{Key, Package, Packages, ROOT};

/// The list, relative to the root of the workspace.
pub const FILE: &str = "matrix/fips-packages.toml";
pub(super) const TEXT: &str = include_str!("../../fips-packages.toml");
/// Where cargo-deny has the same packages, relative to the root, and how that list begins and ends there.
pub const DENY_FILE: &str = "fips/deny.toml";
const DENY_LIST: [&str; 2] = ["\nallow = [\n  \"agent-config\",\n  \"bottlecap\",\n  \"extension-protocol\",\n", "]\n"];
/// Endings of files that no Rust compiler reads: sources in other languages, and what was compiled from them.
const FOREIGN: [&str; 16] =
    ["a", "asm", "c", "cc", "cpp", "cxx", "dll", "go", "lib", "m", "o", "obj", "s", "so", "wasm", "zig"];

/// The list. A key is a name and a version with a space between them, a value the SHA-256 of the archive that the registry has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// Those whose code is in the program.
    pub linked: BTreeMap<String, String>,
    /// Those that are only compiled, or run while the program is built.
    pub build: BTreeMap<String, String>,
    /// Those with code in other languages than Rust, by name, each with what that code is.
    pub foreign: BTreeMap<String, String>,
}

impl Allowed {
    /// What this program was built with.
    pub fn embedded() -> Result<Self, toml::de::Error> {
        Self::read(TEXT)
    }

    /// From the text of such a file.
    pub fn read(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// What of these packages is not on the list, each with the reason, and what is on it and not among them. `foreign` says whether a package has code in other
    /// languages.
    pub fn problems(&self, packages: &Packages, foreign: impl Fn(&Package) -> bool) -> Vec<String> {
        let mut problems = Vec::new();
        let others = || packages.0.iter().filter(|(key, _)| key.name != ROOT);
        for (key, package) in others() {
            let list = if package.linked { &self.linked } else { &self.build };
            match list.get(&key.to_string()) {
                None => problems.push(format!("{key} is not on the list of packages that are {}", kind(package))),
                Some(checksum) if Some(checksum) != package.checksum.as_ref() => {
                    let found = package.checksum.as_deref().unwrap_or("none");
                    problems.push(format!("{key} has the checksum {found}, and the list says {checksum}"));
                }
                Some(_) => {}
            }
            if !self.foreign.contains_key(&key.name) && foreign(package) {
                problems.push(format!("{key} has code in another language than Rust, and the list does not say so"));
            }
        }
        let is_there = |name: &&String, linked: bool| {
            others().any(|(key, package)| key.to_string() == **name && package.linked == linked)
        };
        let gone = self.linked.keys().filter(|name| !is_there(name, true));
        let gone = gone.chain(self.build.keys().filter(|name| !is_there(name, false)));
        problems.extend(gone.map(|name| format!("{name} is on the list and not needed any more")));
        problems
    }

    /// The text of the list for these packages, with what this one says of foreign code.
    pub fn rewritten(&self, packages: &Packages, foreign: impl Fn(&Package) -> bool) -> String {
        let head: Vec<&str> = TEXT.lines().take_while(|line| line.starts_with('#')).collect();
        let mut text = head.join("\n") + "\n";
        for (title, linked) in [("linked", true), ("build", false)] {
            let _ = writeln!(text, "\n[{title}]");
            for (key, package) in packages.0.iter().filter(|(key, it)| key.name != ROOT && it.linked == linked) {
                let _ = writeln!(text, "\"{key}\" = \"{}\"", package.checksum.as_deref().unwrap_or_default());
            }
        }
        text += "\n[foreign]\n";
        let names: BTreeMap<&String, &Package> = packages.0.iter().map(|(Key { name, .. }, it)| (name, it)).collect();
        for (name, _) in names.into_iter().filter(|(name, package)| *name != ROOT && foreign(package)) {
            let about = self.foreign.get(name).map_or("", String::as_str);
            let _ = writeln!(text, "{name} = \"{about}\"");
        }
        text
    }

    /// The configuration of cargo-deny with these packages in the place of those that it has; none where it has no such list.
    pub fn in_deny(&self, configuration: &str) -> Option<String> {
        let [start, end] = DENY_LIST;
        let (head, rest) = configuration.split_once(start)?;
        let (_, tail) = rest.split_once(end)?;
        let keys: BTreeSet<&String> = self.linked.keys().chain(self.build.keys()).collect();
        let lines = keys.into_iter().map(|key| format!("  \"{}\",\n", key.replacen(' ', "@=", 1)));
        Some(format!("{head}{start}{}{end}{tail}", lines.collect::<String>()))
    }
}

fn kind(package: &Package) -> &'static str {
    if package.linked { "linked" } else { "only compiled or run while it is built" }
}

/// Whether a package has files in other languages than Rust, or names a library to link with. What cannot be read counts as foreign.
pub fn is_foreign(package: &Package) -> bool {
    let manifest = fs::read_to_string(package.folder.join("Cargo.toml")).unwrap_or_else(|_| "links =".to_owned());
    manifest.lines().any(|line| line.starts_with("links =")) || has_foreign_files(&package.folder).unwrap_or(true)
}

fn has_foreign_files(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let (path, kind) = {
            let entry = entry?;
            (entry.path(), entry.file_type()?)
        };
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let is_foreign = ending.is_some_and(|ending| FOREIGN.contains(&ending.as_str()));
        if (kind.is_dir() && has_foreign_files(&path)?) || (!kind.is_dir() && is_foreign) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::recipe::Recipe;
    use crate::layer::bundled;
    use crate::manifest::Manifest;

    fn package(linked: bool, checksum: &str) -> Package {
        Package { linked, checksum: Some(checksum.to_owned()), ..Package::default() }
    }

    fn packages(names: &[(&str, bool, &str)]) -> Packages {
        let keyed = names.iter().map(|(name, linked, checksum)| (Key::new(name, "1.0.0"), package(*linked, checksum)));
        Packages(keyed.collect())
    }

    fn list() -> Allowed {
        let listed = |name: &str| BTreeMap::from([(format!("{name} 1.0.0"), "aa".to_owned())]);
        let foreign = BTreeMap::from([("c-sys".to_owned(), "C".to_owned())]);
        Allowed { linked: listed("c-sys"), build: listed("cc"), foreign }
    }

    const GOOD: [(&str, bool, &str); 3] = [("bottlecap", true, ""), ("c-sys", true, "aa"), ("cc", false, "aa")];

    #[test]
    fn only_what_is_listed_with_its_checksum_is_allowed() {
        let foreign = |package: &Package| package.linked;
        let problems = |changed: &[(&str, bool, &str)]| list().problems(&packages(changed), foreign);
        assert_eq!(problems(&GOOD), [""; 0]);
        for (changed, problem) in [
            ([GOOD[0], GOOD[1], ("cc", true, "aa")], "cc 1.0.0 is not on the list of packages that are linked"),
            ([GOOD[0], GOOD[1], ("cc", false, "bb")], "cc 1.0.0 has the checksum bb, and the list says aa"),
            ([GOOD[0], GOOD[0], GOOD[2]], "c-sys 1.0.0 is on the list and not needed any more"),
        ] {
            assert!(problems(&changed).contains(&problem.to_owned()), "{problem}: {:?}", problems(&changed));
        }
        let planted = [GOOD[0], GOOD[1], GOOD[2], ("sha1", true, "aa")];
        assert!(
            list().problems(&packages(&planted), |_| false).iter().any(|it| it.starts_with("sha1 1.0.0 is not on"))
        );
        let mut without_source = packages(&GOOD);
        without_source.0.insert(Key::new("sha1", "1.0.0"), Package { linked: true, ..Package::default() });
        let mut listed = list();
        assert!(listed.problems(&without_source, foreign).concat().contains("sha1 1.0.0 is not on"));
        listed.linked.insert("sha1 1.0.0".to_owned(), String::new());
        assert!(listed.problems(&without_source, |_| false).concat().contains("sha1 1.0.0 has the checksum none"));
        let told = Allowed { foreign: BTreeMap::new(), ..list() };
        assert!(told.problems(&packages(&GOOD), foreign).concat().contains("c-sys 1.0.0 has code in another language"));
    }

    #[test]
    fn foreign_code_is_known_by_the_names_of_files_and_by_the_library_that_a_package_links() {
        let folder = tempfile::tempdir().unwrap();
        let package = Package { folder: folder.path().to_owned(), ..Package::default() };
        assert!(is_foreign(&package), "nobody knows what is in it");
        fs::create_dir(folder.path().join("src")).unwrap();
        fs::write(folder.path().join("Cargo.toml"), "[package]\n").unwrap();
        fs::write(folder.path().join("src/lib.rs"), "").unwrap();
        assert!(!is_foreign(&package));
        fs::write(folder.path().join("src/code.S"), "").unwrap();
        assert!(is_foreign(&package));
        fs::remove_file(folder.path().join("src/code.S")).unwrap();
        fs::write(folder.path().join("Cargo.toml"), "[package]\nlinks = \"z\"\n").unwrap();
        assert!(is_foreign(&package));
    }

    #[test]
    fn cargo_deny_has_the_same_list() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let configuration = fs::read_to_string(root.join(DENY_FILE)).unwrap();
        let allowed = Allowed::embedded().unwrap();
        assert_eq!(allowed.in_deny(&configuration).unwrap(), configuration);
        let mut more = allowed.clone();
        more.build.insert("sha1 0.10.6".to_owned(), "00".to_owned());
        assert!(more.in_deny(&configuration).unwrap().contains("\n  \"sha1@=0.10.6\",\n"));
        assert_eq!(allowed.in_deny("[bans]\nallow = []\n"), None);
    }

    /// After a change of dependencies, `cargo matrix fips-report --write-packages` writes the list anew, to be read before it is committed.
    #[test]
    fn the_list_is_that_of_the_lock_file() {
        let manifest = Manifest::embedded().unwrap();
        let recipe = Recipe::of(manifest, &manifest.set_levels("ship-fips").unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut packages = Packages::of(&recipe.workspace(root), &recipe.features, &crate::target::plain()).unwrap();
        bundled::mark_replaced(&mut packages).unwrap();
        let allowed = Allowed::embedded().unwrap();
        assert_eq!(allowed.problems(&packages, is_foreign), [""; 0]);
        assert_eq!(allowed.rewritten(&packages, is_foreign), TEXT);
        assert!(allowed.foreign.values().all(|about| !about.is_empty()));
        let ring = (Key::new("ring", "0.17.14"), package(true, "00"));
        packages.0.extend([ring]);
        let problems = allowed.problems(&packages, |_| false);
        assert_eq!(problems, ["ring 0.17.14 is not on the list of packages that are linked"]);
    }
}
