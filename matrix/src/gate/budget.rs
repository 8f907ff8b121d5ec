//! How much may grow: a file of budgets.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::Error;
use crate::plan::{Condition, Regime};

/// The budgets of all conditions; the first that fits holds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    budget: Vec<Budget>,
}

/// What holds under some conditions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    /// In MB; every tier if it is left out.
    memory: Option<u32>,
    regime: Option<Regime>,
    #[serde(default)]
    register: Limits,
    #[serde(default)]
    ready: Limits,
}

/// The largest growth of one gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Against a cell of the same run, in milliseconds, from 0.
    pub ms: Option<f64>,
    /// Of the ratio to the floor against a stored one, as a factor, from 1.
    pub ratio: Option<f64>,
}

impl Budgets {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let budgets: Self = toml::from_str(&text).map_err(|source| Error::Budgets { path: path.to_owned(), source })?;
        let mut limits = budgets.budget.iter().flat_map(|budget| [budget.register, budget.ready]);
        match limits.find_map(Limits::complaint) {
            Some(what) => Err(Error::Limit { path: path.to_owned(), what }),
            None => Ok(budgets),
        }
    }

    /// What holds for a gate under a condition; nothing where no budget fits.
    pub fn of(&self, condition: &Condition, gate: &str) -> Limits {
        let fits = |budget: &&Budget| {
            budget.memory.is_none_or(|memory| memory == condition.memory_mb)
                && budget.regime.is_none_or(|regime| regime == condition.regime)
        };
        let budget = self.budget.iter().find(fits);
        budget.map_or_else(Limits::default, |budget| if gate == "register" { budget.register } else { budget.ready })
    }
}

impl Limits {
    fn complaint(self) -> Option<String> {
        let wrong = |limit: Option<f64>, least: f64| limit.filter(|limit| !(limit.is_finite() && *limit >= least));
        let ms = wrong(self.ms, 0.0).map(|ms| format!("ms = {ms}: a budget is 0 or more milliseconds"));
        ms.or_else(|| wrong(self.ratio, 1.0).map(|ratio| format!("ratio = {ratio}: a budget is a factor of 1 or more")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Budgets, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("budgets.toml");
        fs::write(&path, text).unwrap();
        Budgets::read(&path)
    }

    #[test]
    fn the_first_budget_that_fits_holds() {
        let budgets = read(
            "[[budget]]\nmemory = 128\nregime = \"throttled\"\nready = { ms = 2 }\n\
             [[budget]]\nmemory = 128\nready = { ms = 1.5 }\n\
             [[budget]]\nregister = { ms = 0.5, ratio = 1.1 }",
        )
        .unwrap();
        let at = |memory_mb, regime| Condition { memory_mb, regime, ..Condition::default() };
        assert_eq!(budgets.of(&at(128, Regime::Throttled), "ready").ms, Some(2.0));
        assert_eq!(budgets.of(&at(128, Regime::Boosted), "ready").ms, Some(1.5));
        let rest = budgets.of(&at(512, Regime::Boosted), "register");
        assert_eq!(rest, Limits { ms: Some(0.5), ratio: Some(1.1) });
        assert_eq!(budgets.of(&at(512, Regime::Boosted), "ready"), Limits::default());
    }

    #[test]
    fn what_is_no_budget_is_refused() {
        for text in [
            "",
            "[[budget]]\nmemory = 128\nredy = { ms = 1 }",
            "[[budget]]\nready = { ms = -1 }",
            "[[budget]]\nready = { ratio = 0.9 }",
            "[[budget]]\nready = { ms = nan }",
            "[[budget]]\nregime = \"slow\"",
        ] {
            let error = read(text).unwrap_err();
            assert!(matches!(error, Error::Budgets { .. } | Error::Limit { .. }), "{text}: {error}");
        }
    }
}
