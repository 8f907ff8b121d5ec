//! The size budgets of layers: `layer-budgets.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::contents::FileEntry;
use crate::manifest::{Choice, Levels};

/// The text of the budgets, as it was when this program was built.
const TEXT: &str = include_str!("../../layer-budgets.toml");

/// The flavour whose budgets are called by their cells alone.
const USUAL: &str = "x86_64";

/// The budgets of cells, by their names, and what holds for a cell that has none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Budgets {
    general: Option<DefaultBudget>,
    #[serde(flatten)]
    cells: BTreeMap<String, Budget>,
}

/// What a layer may have, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The zip file.
    pub zipped: u64,
    /// All files together.
    pub unzipped: u64,
    /// What each file had when the budget was set, to tell what has grown. The general budget has none.
    pub files: BTreeMap<String, u64>,
}

/// The budget of any cell without a row of its own: that of a plain agent, and more for each choice that makes a layer larger.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultBudget {
    zipped: u64,
    unzipped: u64,
    #[serde(default)]
    more: BTreeMap<Choice, Allowance>,
}

/// What a choice may add, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowance {
    zipped: u64,
    unzipped: u64,
}

/// Which budget a layer was held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The row of its cell and flavour.
    Cell,
    /// The sum of what its choices may have.
    General,
}

impl Budgets {
    /// Those that this program was built with.
    pub fn embedded() -> Result<Self, toml::de::Error> {
        toml::from_str(TEXT)
    }

    /// The budget of a cell: its own row, or else the general one.
    pub fn of(&self, cell: &str, flavour: &str, levels: &Levels) -> Option<(Scope, Budget)> {
        let own = self.cells.get(&Self::name(cell, flavour)).map(|budget| (Scope::Cell, budget.clone()));
        own.or_else(|| Some((Scope::General, self.general.as_ref()?.of(levels))))
    }

    /// What a budget is called: by the cell alone where the layer is for the processor that most functions have, and built with nothing but the workspace's
    /// own toolchain.
    pub fn name(cell: &str, flavour: &str) -> String {
        if flavour == USUAL { cell.to_owned() } else { format!("{cell}@{flavour}") }
    }
}

impl DefaultBudget {
    fn of(&self, levels: &Levels) -> Budget {
        let chosen = self.more.iter().filter(|(choice, _)| choice.holds(levels)).map(|(_, allowance)| allowance);
        chosen.fold(
            Budget { zipped: self.zipped, unzipped: self.unzipped, files: BTreeMap::new() },
            |sum, allowance| Budget {
                zipped: sum.zipped + allowance.zipped,
                unzipped: sum.unzipped + allowance.unzipped,
                ..sum
            },
        )
    }
}

impl Budget {
    /// In which way a layer is larger than it may be, and which files are to blame.
    pub fn complaints(&self, zipped: u64, unzipped: u64, files: &BTreeMap<String, FileEntry>) -> Vec<String> {
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
                None if self.files.is_empty() => complaints.push(format!("{place} has {} bytes", file.bytes)),
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
    use crate::archive::limits;
    use crate::manifest::{Manifest, Set};

    fn files(sizes: &[(&str, u64)]) -> BTreeMap<String, FileEntry> {
        let listed = |bytes| FileEntry { bytes, sha256: String::new(), executable: false };
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
    fn the_general_budget_has_no_sizes_to_compare_with() {
        let general = Budget { files: BTreeMap::new(), ..budget() };
        let complaints = general.complaints(51, 100, &files(&[("agent", 85)]));
        assert_eq!(complaints, ["zipped it has 51 bytes, 1 more than its budget of 50", "agent has 85 bytes"]);
    }

    #[test]
    fn every_set_has_a_budget_that_its_own_files_fit() {
        let budgets = Budgets::embedded().unwrap();
        let manifest = Manifest::embedded().unwrap();
        for Set { name, .. } in &manifest.sets {
            let (scope, budget) = budgets.of(name, USUAL, &manifest.set_levels(name).unwrap()).unwrap();
            assert_eq!(scope, Scope::Cell, "{name} has no budget of its own");
            assert!(budget.files.values().sum::<u64>() <= budget.unzipped, "{name}");
            assert!(budget.zipped <= limits::ZIPPED, "{name}");
        }
    }

    #[test]
    fn every_combination_has_a_budget_within_the_limits_of_lambda() {
        let budgets = Budgets::embedded().unwrap();
        let manifest = Manifest::embedded().unwrap();
        let general = budgets.general.as_ref().unwrap();
        for choice in general.more.keys() {
            assert!(manifest.offers(choice).is_ok(), "{choice} is no choice of the manifest");
        }
        let flavours = ["x86_64", "x86_64-old", "x86_64-musl", "arm64", "arm64-musl"];
        for factor in &manifest.factors {
            for level in factor.levels() {
                let mut levels = manifest.set_levels("ship").unwrap();
                levels.insert(factor.name.clone(), level.name.to_owned());
                let cell = format!("ship+{}={}", factor.name, level.name);
                for flavour in flavours {
                    let (_, budget) = budgets.of(&cell, flavour, &levels).unwrap();
                    let complaints = limits::complaints(budget.zipped, budget.unzipped);
                    assert_eq!(complaints, Vec::<String>::new(), "{cell}@{flavour}");
                }
            }
        }
        let all = general.more.values().fold((general.zipped, general.unzipped), |(zipped, unzipped), allowance| {
            (zipped + allowance.zipped, unzipped + allowance.unzipped)
        });
        assert_eq!(limits::complaints(all.0, all.1), Vec::<String>::new());
    }

    /// Otherwise a set would be refused under another name, or a layer could grow by as much as the difference before anybody is told.
    #[test]
    fn the_general_budget_is_little_more_than_those_of_the_cells() {
        let budgets = Budgets::embedded().unwrap();
        let manifest = Manifest::embedded().unwrap();
        for (name, own) in &budgets.cells {
            let (cell, flavour) = name.split_once('@').unwrap_or((name, USUAL));
            let set = manifest.sets.iter().map(|set| set.name.as_str()).filter(|set| cell.starts_with(set));
            let set = set.max_by_key(|set| set.len()).unwrap();
            let mut levels = manifest.set_levels(set).unwrap();
            if cell.ends_with("+launcher") {
                levels.insert("launcher".to_owned(), "on".to_owned());
            }
            let (scope, general) = budgets.of("no such cell", flavour, &levels).unwrap();
            assert_eq!(scope, Scope::General);
            assert!(general.zipped >= own.zipped && general.unzipped >= own.unzipped, "{name}");
            let is_usual = flavour == USUAL && cell.starts_with("ship");
            assert!(!is_usual || general.unzipped <= own.unzipped + own.unzipped / 8, "{name}");
        }
    }
}
