//! Checks that the rest of the repository agrees with the manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::{Manifest, Set, docs};

/// Cargo's name for the default set.
const DEFAULT: &str = "default";

/// The parts of a `Cargo.toml` that have to agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Package {
    #[serde(default)]
    features: BTreeMap<String, Vec<String>>,
}

impl Package {
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The switches that a named set turns on, directly or through other sets.
    fn switches(&self, set: &str, sets: &BTreeSet<&str>) -> BTreeSet<&str> {
        let (mut open, mut seen, mut switches) = (vec![set], BTreeSet::new(), BTreeSet::new());
        while let Some((name, features)) = open.pop().and_then(|name| self.features.get_key_value(name)) {
            if !seen.insert(name) {
                continue;
            }
            for feature in features {
                if sets.contains(feature.as_str()) {
                    open.push(feature);
                } else {
                    switches.insert(feature.as_str());
                }
            }
        }
        switches
    }
}

/// Differences between the package's features and named sets and the manifest's.
pub fn features(manifest: &Manifest, package: &Package) -> Vec<String> {
    let sets: BTreeSet<&str> = manifest.sets.iter().map(|set| set.name.as_str()).chain([DEFAULT]).collect();
    let declared: BTreeSet<&str> =
        package.features.keys().map(String::as_str).filter(|name| !sets.contains(name)).collect();
    let known: BTreeSet<&str> = manifest.features().into_iter().collect();
    let mut complaints = Vec::new();
    complaints.extend(known.difference(&declared).map(|name| format!("Cargo.toml has no feature {name}")));
    complaints.extend(declared.difference(&known).map(|name| format!("the manifest has no factor for {name}")));
    let features_of = |set: &Set| {
        let levels = manifest.set_levels(&set.name).unwrap_or_default();
        let settings = manifest.factors.iter().filter_map(|factor| factor.setting(levels.get(&factor.name)?));
        settings.flat_map(|setting| setting.features.iter().map(String::as_str)).collect::<BTreeSet<&str>>()
    };
    for set in &manifest.sets {
        let ours = features_of(set);
        if !package.features.contains_key(&set.name) {
            // Cargo sees no difference between sets that differ in how they are built.
            let is_twin = |other: &Set| package.features.contains_key(&other.name) && features_of(other) == ours;
            if !manifest.sets.iter().any(is_twin) {
                complaints.push(format!("Cargo.toml has no set {}", set.name));
            }
            continue;
        }
        let theirs = package.switches(&set.name, &sets);
        if ours != theirs {
            complaints.push(format!("set {}: Cargo.toml has {theirs:?}, the manifest {ours:?}", set.name));
        }
    }
    complaints
}

/// Tests that factors name as proofs and that do not exist.
pub fn proofs(manifest: &Manifest, root: &Path) -> Vec<String> {
    let named = manifest.factors.iter().flat_map(|factor| factor.proves.iter().map(move |proof| (factor, proof)));
    let missing = named.filter(|(_, proof)| !is_test(root, proof));
    missing.map(|(factor, proof)| format!("{}: there is no test {proof}", factor.name)).collect()
}

/// Whether the file has a test function of that name, with a test attribute directly above it.
fn is_test(root: &Path, proof: &str) -> bool {
    let Some((file, test)) = proof.split_once("::") else { return false };
    let Ok(text) = fs::read_to_string(root.join(file)) else { return false };
    let heads = [format!("fn {test}("), format!("async fn {test}(")];
    let mut lines = text.lines().map(str::trim).rev();
    let found = lines.any(|line| heads.iter().any(|head| line.starts_with(head.as_str())));
    // The attributes and comments above the function.
    found
        && lines
            .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
            .any(|line| line == "#[test]" || line.starts_with("#[tokio::test"))
}

/// Whether the page contains the table that `docs` prints.
pub fn page(manifest: &Manifest, text: &str) -> Vec<String> {
    match docs::between_markers(text) {
        None => vec![format!("{} has no lines {} and {}", docs::PAGE, docs::BEGIN, docs::END)],
        Some(table) if table.trim() == docs::table(manifest).trim() => Vec::new(),
        Some(_) => vec![format!("{} has another table of switches; `cargo matrix docs --write` writes it", docs::PAGE)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let factor = |name: &str| {
            format!(
                "[[factor]]\nname = \"{name}\"\nkind = \"feature\"\ntier = \"A\"\ngates = []\norigin = \"ours\"\n\
                 hypothesis = \"It helps.\"\non.features = [\"{name}\"]\nstatus = \"candidate\"\n"
            )
        };
        let set = "[[set]]\nname = \"most\"\nabout = \"Most.\"\nchoices = [\"first\"]\n";
        Manifest::parse(&(factor("first") + &factor("second") + set)).unwrap()
    }

    fn complaints(features: &str) -> String {
        super::features(&manifest(), &Package::parse(&format!("[features]\n{features}")).unwrap()).join("; ")
    }

    #[test]
    fn the_features_are_the_factors() {
        assert_eq!(complaints("default = [\"most\"]\nmost = [\"first\"]\nfirst = []\nsecond = [\"dep:x\"]"), "");
        assert_eq!(complaints("most = [\"first\"]\nfirst = []"), "Cargo.toml has no feature second");
        let third = complaints("most = [\"first\"]\nfirst = []\nsecond = []\nthird = []");
        assert_eq!(third, "the manifest has no factor for third");
    }

    #[test]
    fn the_sets_are_the_same() {
        let other = complaints("most = [\"first\", \"second\"]\nfirst = []\nsecond = []");
        assert!(other.starts_with("set most: Cargo.toml has"), "{other}");
        assert_eq!(complaints("most = [\"default\"]\ndefault = [\"first\"]\nfirst = []\nsecond = []"), "");
        assert_eq!(complaints("first = []\nsecond = []"), "Cargo.toml has no set most");
        let mut manifest = manifest();
        manifest.sets.push(Set { name: "twin".to_owned(), ..manifest.sets[0].clone() });
        let package = |features: &str| Package::parse(&format!("[features]\n{features}")).unwrap();
        let most = package("most = [\"first\"]\nfirst = []\nsecond = []");
        assert_eq!(super::features(&manifest, &most), Vec::<String>::new(), "they have the same features");
        assert_eq!(super::features(&manifest, &package("first = []\nsecond = []")).len(), 2);
    }

    #[test]
    fn a_proof_is_a_test_of_that_name() {
        let folder = tempfile::tempdir().unwrap();
        let text = "#[test]\nfn one() {\n}\n\nfn two() {}\n\n#[tokio::test]\n#[cfg(unix)]\nasync fn three() {}\n";
        fs::write(folder.path().join("a.rs"), text).unwrap();
        for (proof, there) in [
            ("a.rs::one", true),
            ("a.rs::two", false),
            ("a.rs::three", true),
            ("a.rs::on", false),
            ("b.rs::one", false),
            ("one", false),
        ] {
            assert_eq!(is_test(folder.path(), proof), there, "{proof}");
        }
    }
}
