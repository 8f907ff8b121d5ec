//! How large a layer may be: `layer-budgets.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::contents::Listed;

/// The text of the budgets, as it was when this program was built.
const TEXT: &str = include_str!("../../layer-budgets.toml");

/// The flavour whose budgets are called by their cells alone.
const USUAL: &str = "x86_64";

/// The budgets of cells, by their names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Budgets(BTreeMap<String, Budget>);

/// What one cell may have, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The zip file.
    pub zipped: u64,
    /// All files together.
    pub unzipped: u64,
    /// What each file had when the budget was set, to tell what has grown.
    pub files: BTreeMap<String, u64>,
}

impl Budgets {
    /// Those that this program was built with.
    pub fn embedded() -> Result<Self, toml::de::Error> {
        toml::from_str(TEXT)
    }

    pub fn of(&self, cell: &str, flavour: &str) -> Option<&Budget> {
        self.0.get(&Self::name(cell, flavour))
    }

    /// What a budget is called: by the cell alone where the layer is for the processor that most functions have, and built with nothing but the workspace's
    /// own toolchain.
    pub fn name(cell: &str, flavour: &str) -> String {
        if flavour == USUAL { cell.to_owned() } else { format!("{cell}@{flavour}") }
    }
}

impl Budget {
    /// In which way a layer is larger than it may be, and which files are to blame.
    pub fn complaints(&self, zipped: u64, unzipped: u64, files: &BTreeMap<String, Listed>) -> Vec<String> {
        let mut complaints = Vec::new();
        for (what, has, may) in [("zipped", zipped, self.zipped), ("unzipped", unzipped, self.unzipped)] {
            if has > may {
                complaints.push(format!("{what} it has {has} bytes, {} more than its budget of {may}", has - may));
            }
        }
        if complaints.is_empty() {
            return complaints;
        }
        for (place, file) in files {
            let before = self.files.get(place).copied();
            match before {
                None => complaints.push(format!("{place} is new, with {} bytes", file.bytes)),
                Some(before) if file.bytes > before => {
                    complaints.push(format!("{place} has grown by {} bytes, from {before}", file.bytes - before));
                }
                Some(_) => {}
            }
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn files(sizes: &[(&str, u64)]) -> BTreeMap<String, Listed> {
        let listed = |bytes| Listed { bytes, sha256: String::new(), executable: false };
        sizes.iter().map(|(place, bytes)| ((*place).to_owned(), listed(*bytes))).collect()
    }

    fn budget() -> Budget {
        toml::from_str("zipped = 50\nunzipped = 100\nfiles = { agent = 80, notes = 10 }").unwrap()
    }

    #[test]
    fn what_is_within_its_budget_may_change_its_parts() {
        assert_eq!(budget().complaints(50, 100, &files(&[("agent", 90), ("other", 10)])), Vec::<String>::new());
    }

    #[test]
    fn what_has_grown_is_named() {
        let complaints = budget().complaints(51, 114, &files(&[("agent", 85), ("notes", 9), ("new", 20)]));
        let expected = [
            "zipped it has 51 bytes, 1 more than its budget of 50",
            "unzipped it has 114 bytes, 14 more than its budget of 100",
            "agent has grown by 5 bytes, from 80",
            "new is new, with 20 bytes",
        ];
        assert_eq!(complaints, expected);
    }

    #[test]
    fn every_set_has_a_budget_that_its_own_files_fit() {
        let budgets = Budgets::embedded().unwrap();
        for set in &Manifest::embedded().unwrap().sets {
            let budget = budgets.of(&set.name, USUAL).unwrap_or_else(|| panic!("{} has no budget", set.name));
            assert!(budget.files.values().sum::<u64>() <= budget.unzipped, "{}", set.name);
            assert!(budget.zipped <= super::super::limits::ZIPPED, "{}", set.name);
        }
    }
}
