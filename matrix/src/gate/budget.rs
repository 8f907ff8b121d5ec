//! Reads the file of budgets: the growth that is allowed.

use std::fs;
use std::path::Path;

use clap::ValueEnum as _;
use serde::Deserialize;

use super::Error;
use crate::measure::sample::{MEASURES, Measure};
use crate::plan::circumstances::describe;
use crate::plan::{Condition, Regime};
use crate::report::GATES;

/// The budgets of all conditions. The first row that matches a condition applies, for the gates and for each measure.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// Budgets of the gates.
    budget: Vec<GateBudget>,
    /// Budgets of other measures.
    #[serde(default)]
    measure: Vec<MeasureBudget>,
}

/// The budgets of the gates under some conditions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct GateBudget {
    /// Memory tier in MB; every tier if absent.
    memory: Option<u32>,
    regime: Option<Regime>,
    #[serde(default)]
    register: Limits,
    #[serde(default)]
    ready: Limits,
}

/// The budget of another measure under some conditions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct MeasureBudget {
    /// One of [`MEASURES`].
    name: String,
    memory: Option<u32>,
    regime: Option<Regime>,
    /// The largest growth against a cell of the same run, in the measure's unit, 0 or more.
    growth: f64,
}

/// The largest allowed growth of one gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Against a cell of the same run, in milliseconds, 0 or more.
    pub ms: Option<f64>,
    /// The ratio to the floor against a stored one, as a factor, 1 or more.
    pub ratio: Option<f64>,
}

impl Budgets {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let budgets: Self = toml::from_str(&text).map_err(|source| Error::Budgets { path: path.to_owned(), source })?;
        match budgets.complaint() {
            Some(what) => Err(Error::Limit { path: path.to_owned(), what }),
            None => Ok(budgets),
        }
    }

    /// The budget of a gate under a condition; empty if no row matches.
    pub fn of(&self, condition: &Condition, gate: &str) -> Limits {
        let budget = self.budget.iter().find(|budget| budget.scope().fits(condition.memory_mb, condition.regime));
        budget.map_or_else(Limits::default, |budget| if gate == "register" { budget.register } else { budget.ready })
    }

    /// The other measures with a budget under a condition, with their largest growth.
    pub fn measures(&self, condition: &Condition) -> Vec<(&'static Measure, f64)> {
        let limit = |measure: &'static Measure| {
            let mut rows = self.measure.iter().filter(|row| row.name == measure.name);
            let row = rows.find(|row| row.scope().fits(condition.memory_mb, condition.regime))?;
            Some((measure, row.growth))
        };
        MEASURES.iter().filter_map(limit).collect()
    }

    /// Reports a row that applies under none of these conditions, which is most likely a typo.
    pub fn unused(&self, conditions: &[Condition]) -> Option<String> {
        let all: Vec<String> = conditions.iter().map(describe).collect();
        let used = |rows: &[Row], row: &Row| {
            conditions.iter().any(|at| first(rows, at.memory_mb, at.regime).is_some_and(|first| first.name == row.name))
        };
        let unused = |rows: Vec<Row>| rows.iter().find(|row| !used(&rows, row)).cloned();
        self.groups().into_iter().find_map(unused).map(|row| {
            let name = row.name;
            format!(
                "{name} holds under no condition of this run, which has {}; mend it, or say --unused-budgets if it is for other runs",
                all.join("; ")
            )
        })
    }

    fn complaint(&self) -> Option<String> {
        let mut limits = self.budget.iter().flat_map(|budget| [budget.register, budget.ready]);
        let measures = || self.measure.iter().find_map(MeasureBudget::complaint);
        limits
            .find_map(Limits::complaint)
            .or_else(measures)
            .or_else(|| self.groups().iter().find_map(|rows| hidden(rows)))
    }

    /// The groups of rows in which the first match applies: the rows of the gates, and those of each measure.
    fn groups(&self) -> Vec<Vec<Row>> {
        let gates = (1..).zip(&self.budget).map(|(number, budget)| budget.scope().row("budget", number, None));
        let measures = MEASURES.iter().map(|measure| {
            let rows = (1..).zip(&self.measure).filter(|(_, row)| row.name == measure.name);
            rows.map(|(number, row)| row.scope().row("measure", number, Some(measure.name))).collect()
        });
        std::iter::once(gates.collect()).chain(measures).collect()
    }
}

/// The conditions that a row applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scope {
    memory: Option<u32>,
    regime: Option<Regime>,
}

/// A row with its description.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    scope: Scope,
    name: String,
}

impl Scope {
    fn fits(self, memory: u32, regime: Regime) -> bool {
        self.memory.is_none_or(|own| own == memory) && self.regime.is_none_or(|own| own == regime)
    }

    /// Describes a row as in the file: `[[budget]] number 2 (memory = 128)`.
    fn row(self, table: &str, number: usize, measure: Option<&str>) -> Row {
        let regime = self.regime.and_then(|regime| Some(regime.to_possible_value()?.get_name().to_owned()));
        let fields = [
            measure.map(|name| format!("name = \"{name}\"")),
            self.memory.map(|memory| format!("memory = {memory}")),
            regime.map(|regime| format!("regime = \"{regime}\"")),
        ];
        let fields: Vec<String> = fields.into_iter().flatten().collect();
        let fields = if fields.is_empty() { "for every condition".to_owned() } else { fields.join(", ") };
        Row { scope: self, name: format!("[[{table}]] number {number} ({fields})") }
    }
}

fn first(rows: &[Row], memory: u32, regime: Regime) -> Option<&Row> {
    rows.iter().find(|row| row.scope.fits(memory, regime))
}

/// Reports a row that never applies, because earlier rows match wherever it does.
fn hidden(rows: &[Row]) -> Option<String> {
    // 0 stands for all memory tiers that no row names; no tier has 0 MB.
    let memories = || rows.iter().filter_map(|row| row.scope.memory).chain([0]);
    let points: Vec<(u32, Regime)> =
        memories().flat_map(|memory| Regime::value_variants().iter().map(move |regime| (memory, *regime))).collect();
    rows.iter().find_map(|row| {
        let fits: Vec<_> = points.iter().filter(|(memory, regime)| row.scope.fits(*memory, *regime)).collect();
        let before: Vec<&Row> = fits.iter().filter_map(|(memory, regime)| first(rows, *memory, *regime)).collect();
        let other = before.iter().all(|first| first.name != row.name).then(|| before.first())??;
        Some(format!("{} never holds, because {} comes first; put it before that, or remove it", row.name, other.name))
    })
}

impl GateBudget {
    fn scope(&self) -> Scope {
        Scope { memory: self.memory, regime: self.regime }
    }
}

impl MeasureBudget {
    fn scope(&self) -> Scope {
        Scope { memory: self.memory, regime: self.regime }
    }

    fn complaint(&self) -> Option<String> {
        let Self { name, growth, .. } = self;
        let known = || MEASURES.iter().map(|measure| measure.name).filter(|name| !GATES.contains(name));
        if !known().any(|known| known == name) {
            let all: Vec<&str> = known().collect();
            return Some(format!("name = \"{name}\": a measure is one of {}", all.join(", ")));
        }
        let wrong = !(growth.is_finite() && *growth >= 0.0);
        wrong.then(|| format!("growth = {growth} of {name}: a budget is 0 or more"))
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

    fn at(memory_mb: u32, regime: Regime) -> Condition {
        Condition { memory_mb, regime, ..Condition::default() }
    }

    #[test]
    fn the_first_budget_that_fits_holds() {
        let budgets = read(
            "[[budget]]\nmemory = 128\nregime = \"throttled\"\nready = { ms = 2 }\n\
             [[budget]]\nmemory = 128\nready = { ms = 1.5 }\n\
             [[budget]]\nregister = { ms = 0.5, ratio = 1.1 }\n\
             [[measure]]\nname = \"threads\"\nmemory = 128\ngrowth = 1\n\
             [[measure]]\nname = \"threads\"\ngrowth = 0\n\
             [[measure]]\nname = \"file_size\"\nregime = \"throttled\"\ngrowth = 100",
        )
        .unwrap();
        assert_eq!(budgets.of(&at(128, Regime::Throttled), "ready").ms, Some(2.0));
        assert_eq!(budgets.of(&at(128, Regime::Boosted), "ready").ms, Some(1.5));
        let rest = budgets.of(&at(512, Regime::Boosted), "register");
        assert_eq!(rest, Limits { ms: Some(0.5), ratio: Some(1.1) });
        assert_eq!(budgets.of(&at(512, Regime::Boosted), "ready"), Limits::default());
        let measures = |condition: &Condition| {
            budgets.measures(condition).into_iter().map(|(measure, growth)| (measure.name, growth)).collect::<Vec<_>>()
        };
        assert_eq!(measures(&at(128, Regime::Boosted)), [("threads", 1.0)]);
        assert_eq!(measures(&at(512, Regime::Throttled)), [("threads", 0.0), ("file_size", 100.0)]);
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
            "[[budget]]\n[[measure]]\nname = \"sise\"\ngrowth = 1",
            "[[budget]]\n[[measure]]\nname = \"ready\"\ngrowth = 1",
            "[[budget]]\n[[measure]]\nname = \"threads\"\ngrowth = -1",
            "[[budget]]\n[[measure]]\nname = \"threads\"",
        ] {
            let error = read(text).unwrap_err();
            assert!(matches!(error, Error::Budgets { .. } | Error::Limit { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn a_budget_that_others_hide_is_refused_by_name() {
        let refused = |text: &str, hidden: &str, by: &str| {
            let said = read(text).unwrap_err().to_string();
            let expected = format!("{hidden} never holds, because {by} comes first");
            assert!(said.contains(&expected), "{said} has no {expected}");
        };
        refused(
            "[[budget]]\nmemory = 128\n[[budget]]\nmemory = 128\nregime = \"boosted\"",
            "[[budget]] number 2 (memory = 128, regime = \"boosted\")",
            "[[budget]] number 1 (memory = 128)",
        );
        refused(
            "[[budget]]\nregime = \"boosted\"\n[[budget]]\nregime = \"throttled\"\n[[budget]]\nmemory = 128",
            "[[budget]] number 3 (memory = 128)",
            "[[budget]] number 1 (regime = \"boosted\")",
        );
        refused(
            "[[budget]]\n[[measure]]\nname = \"threads\"\ngrowth = 1\n[[measure]]\nname = \"threads\"\nmemory = 128\ngrowth = 2",
            "[[measure]] number 2 (name = \"threads\", memory = 128)",
            "[[measure]] number 1 (name = \"threads\")",
        );
        let kept = "[[budget]]\nmemory = 128\n[[budget]]\n[[measure]]\nname = \"threads\"\ngrowth = 1\n[[measure]]\nname = \"file_size\"\ngrowth = 1";
        assert!(read(kept).is_ok());
    }

    #[test]
    fn a_budget_that_no_condition_uses_is_named() {
        let budgets = read("[[budget]]\nmemory = 1204\nready = { ms = 1 }\n[[budget]]\nready = { ms = 2 }").unwrap();
        let said = budgets.unused(&[at(1024, Regime::Boosted)]).unwrap();
        assert!(said.starts_with("[[budget]] number 1 (memory = 1204) holds under no condition of this run"), "{said}");
        assert!(said.contains("1024 MB, boosted init"), "{said}");
        let conditions = [at(1204, Regime::Boosted), at(128, Regime::Boosted)];
        assert_eq!(budgets.unused(&conditions), None);
        let said = budgets.unused(&conditions[..1]).unwrap();
        assert!(said.starts_with("[[budget]] number 2 (for every condition)"), "{said}");
    }

    #[test]
    fn the_documented_measures_are_those_that_can_have_a_budget() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gate.md");
        let page = fs::read_to_string(path).unwrap();
        for Measure { name, unit, about, .. } in MEASURES.iter().filter(|measure| !GATES.contains(&measure.name)) {
            let row = format!("| `{name}` | {unit} | {about} |");
            assert!(page.contains(&row), "docs/gate.md has no row {row}");
        }
    }
}
