//! What is compiled before our own crates, as far as it decides how long a build takes: the crates of a lock file, and those that single features add to them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::recipe::Recipe;
use crate::manifest::{Factor, Manifest, Tier};

/// The folder in a target directory that has a file for each that was compiled there.
const FOLDER: &str = "compiled";
/// The workspace of the root.
const ROOT: &str = "root";

/// The crates that a build needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependencies {
    /// The folder whose lock file counts.
    workspace: String,
    /// Those features that are there for a crate.
    features: BTreeSet<String>,
}

impl Dependencies {
    pub fn of(manifest: &Manifest, recipe: &Recipe) -> Self {
        let present = manifest.factors.iter().filter(|factor| factor.tier == Tier::B);
        let present: BTreeSet<String> =
            present.flat_map(Factor::levels).flat_map(|level| level.setting.features.clone()).collect();
        Self {
            workspace: recipe.workspace.clone().unwrap_or_else(|| ROOT.to_owned()),
            features: recipe.features.iter().filter(|feature| present.contains(*feature)).cloned().collect(),
        }
    }

    /// Those that builds in this target directory have recorded.
    pub fn compiled_in(directory: &Path) -> Vec<Self> {
        let entries = fs::read_dir(directory.join(FOLDER)).into_iter().flatten().flatten();
        entries.map(|entry| Self::named(&entry.file_name().to_string_lossy())).collect()
    }

    /// Records that they are compiled in this target directory.
    pub fn record(&self, directory: &Path) -> io::Result<()> {
        let folder = directory.join(FOLDER);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(self.name()), "")
    }

    /// Whether any of these are of the same lock file.
    pub fn shares(&self, there: &[Self]) -> bool {
        there.iter().any(|other| other.workspace == self.workspace)
    }

    /// Whether they are the launcher's, which has few.
    pub fn are_of_launcher(&self) -> bool {
        self.workspace == super::launcher::FOLDER
    }

    /// The features whose crates none of these has.
    pub fn lacking(&self, there: &[Self]) -> BTreeSet<String> {
        let same = there.iter().filter(|other| other.workspace == self.workspace);
        let known: BTreeSet<&String> = same.flat_map(|other| &other.features).collect();
        self.features.iter().filter(|feature| !known.contains(feature)).cloned().collect()
    }

    fn name(&self) -> String {
        self.features.iter().fold(self.workspace.clone(), |name, feature| name + "+" + feature)
    }

    fn named(name: &str) -> Self {
        let mut words = name.split('+').map(str::to_owned);
        Self { workspace: words.next().unwrap_or_default(), features: words.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(set: &str) -> Dependencies {
        let manifest = Manifest::embedded().unwrap();
        Dependencies::of(manifest, &Recipe::of(manifest, &manifest.set_levels(set).unwrap()))
    }

    #[test]
    fn what_is_compiled_is_known_by_lock_file_and_feature() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Dependencies::compiled_in(folder.path()), []);
        let ship = of("ship");
        ship.record(folder.path()).unwrap();
        ship.record(folder.path()).unwrap();
        let there = Dependencies::compiled_in(folder.path());
        assert_eq!(there, std::slice::from_ref(&ship));
        assert!(ship.shares(&there) && ship.lacking(&there).is_empty());
        let fips = of("ship-fips");
        assert!(!fips.shares(&there));
        assert_eq!(fips.lacking(&there), BTreeSet::from(["appsec", "fips", "otlp"].map(str::to_owned)));
        let baseline = of("baseline");
        assert!(baseline.shares(&there));
        assert_eq!(baseline.lacking(&there), BTreeSet::from(["jemalloc".to_owned()]));
    }
}
