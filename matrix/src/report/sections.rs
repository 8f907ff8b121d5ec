//! The content of a report, independent of its format, so that all formats say the same.

use std::collections::BTreeMap;

use super::alarm::{self, Alarm};

use super::input::Experiment;
use super::provenance::Provenance;
use super::words;
use crate::analyze::{CellSummary, Comparison, ConditionAnalysis, Direction, Effect, Estimate, Summary, Verdict};
use crate::measure::sample::MEASURES;
use crate::plan::CellKind;
use crate::plan::circumstances;

/// A whole report.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    pub experiment: &'a Experiment,
    /// Alarms about the whole experiment, to be read first.
    pub alarms: Vec<Alarm>,
    pub sections: Vec<ConditionSection<'a>>,
}

/// The section about one condition.
#[derive(Clone, Debug)]
pub struct ConditionSection<'a> {
    pub found: &'a ConditionAnalysis,
    /// The condition with all its factors.
    pub title: String,
    /// Only what distinguishes the condition from the others.
    pub label: String,
    /// Alarms about this condition, to be read before any number.
    pub alarms: Vec<Alarm>,
    /// The cell that the others are compared with, if there is one.
    pub reference: Option<&'a str>,
    /// A row for each cell, in the plan's order.
    pub rows: Vec<Row<'a>>,
    /// All estimates. Within a kind and a measure significant ones come first, by size.
    pub findings: Vec<Finding<'a>>,
}

/// One cell of a condition.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    pub summary: &'a CellSummary,
    pub role: Role<'a>,
    /// The ratio of the cell's median to the floor's, by gate.
    pub to_floor: BTreeMap<&'static str, f64>,
    /// The comparison of the cell with the reference of the section.
    pub against: Option<&'a Comparison>,
}

/// The role of a cell in the experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    Reference,
    Floor,
    /// The floor of the standard library.
    StdFloor,
    External,
    /// A control: the same program as another cell.
    Again {
        of: &'a str,
    },
    Build,
}

/// An estimate and the sentence about it.
#[derive(Clone, Debug)]
pub struct Finding<'a> {
    pub kind: Kind,
    /// A cell, a factor, or two factors.
    pub subject: &'a str,
    pub measure: &'a str,
    /// The cell that it is compared with; `None` for effects.
    pub against: Option<&'a str>,
    /// The two levels that a main effect leads between; `None` otherwise.
    pub direction: Option<&'a Direction>,
    /// Effects that may explain the estimate as well.
    pub aliases: &'a [String],
    pub estimate: &'a Estimate,
    pub sentence: String,
}

/// The kind of an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Comparison,
    Effect,
    Interaction,
}

/// The two gates that every report is about.
pub const GATES: [&str; 2] = ["register", "ready"];

impl<'a> Report<'a> {
    pub fn of(experiment: &'a Experiment) -> Self {
        let found = &experiment.analysis.conditions;
        let conditions: Vec<_> = found.iter().map(|found| &found.condition).collect();
        let labels = circumstances::labels(&conditions);
        let sections =
            found.iter().zip(labels).map(|(found, label)| ConditionSection::of(experiment, found, label)).collect();
        let mut alarms = alarm::of_builds(experiment);
        alarms.extend(alarm::of_untimed(experiment));
        // With several conditions, an invalid one may be far down the page or in a hidden tab.
        if found.len() > 1 {
            alarms.extend(found.iter().filter(|found| found.invalid.is_some()).map(alarm::of_invalid));
        }
        alarms.extend(alarm::of_notes(experiment));
        alarms.sort_by_key(|alarm| alarm.weight);
        Self { experiment, alarms, sections }
    }

    /// One line about the experiment: design, counts and seed.
    pub fn summary(&self) -> String {
        use super::number::counted;
        let analysis = &self.experiment.analysis;
        let starts = self.sections.iter().flat_map(|section| &section.rows).map(|row| row.summary.starts).sum();
        format!(
            "Design {}, {}, {}, {}, seed {}.",
            analysis.design,
            counted(self.experiment.plan.cells.len(), "cell"),
            counted(analysis.conditions.len(), "condition"),
            counted(starts, "cold start"),
            analysis.seed
        )
    }

    /// Where the numbers come from, if it was recorded.
    pub fn provenance(&self) -> Option<Provenance<'a>> {
        Provenance::of(self.experiment)
    }
}

impl<'a> ConditionSection<'a> {
    fn of(experiment: &'a Experiment, found: &'a ConditionAnalysis, label: String) -> Self {
        let reference = reference(experiment, found);
        Self {
            title: circumstances::describe(&found.condition),
            label,
            alarms: alarm::of_condition(experiment, found, reference),
            reference,
            rows: rows(experiment, found, reference),
            findings: findings(found),
            found,
        }
    }

    /// The floor, if it was measured.
    pub fn floor(&self) -> Option<&Row<'a>> {
        self.rows.iter().find(|row| row.role == Role::Floor)
    }

    /// Whether a cell is one of the yardsticks: differences to it would dwarf those between switches.
    pub fn is_yardstick(&self, name: &str) -> bool {
        self.rows.iter().any(|row| row.name() == name && matches!(row.role, Role::Floor | Role::StdFloor))
    }

    /// Findings of one kind and measure, significant ones first, by size.
    pub fn about<'s>(&'s self, kind: Kind, measure: &'s str) -> impl Iterator<Item = &'s Finding<'a>> {
        self.findings.iter().filter(move |finding| finding.kind == kind && finding.measure == measure)
    }

    /// The kind that charts and tables mainly show: effects if the design has factors, otherwise comparisons.
    pub fn main_kind(&self) -> Kind {
        if self.found.effects.is_empty() { Kind::Comparison } else { Kind::Effect }
    }

    /// Measures with an estimate of that kind, in the order of [`MEASURES`], unknown ones last.
    pub fn measures(&self, kind: Kind) -> Vec<&'a str> {
        let mut measures: Vec<&str> = Vec::new();
        for finding in self.findings.iter().filter(|finding| finding.kind == kind) {
            if !measures.contains(&finding.measure) {
                measures.push(finding.measure);
            }
        }
        measures.sort_by_key(|name| (rank(name), *name));
        measures
    }
}

impl<'a> Row<'a> {
    pub fn name(&self) -> &'a str {
        &self.summary.cell
    }

    /// The summary of a measure, if it was measured.
    pub fn measure(&self, name: &str) -> Option<&'a Summary> {
        self.summary.measures.get(name)
    }

    /// The cell's name, with its role unless it is an ordinary build.
    pub fn title(&self) -> String {
        let name = self.name();
        match self.role {
            Role::Reference => format!("{name} (reference)"),
            Role::Floor if name == "floor" => name.to_owned(),
            Role::Floor => format!("{name} (floor)"),
            Role::External => format!("{name} (not ours)"),
            Role::Again { of } => format!("{name} (same as {of})"),
            Role::Build | Role::StdFloor => name.to_owned(),
        }
    }
}

impl Finding<'_> {
    /// Whether the estimate is statistically significant.
    pub fn is_found(&self) -> bool {
        matches!(self.estimate.verdict, Verdict::Faster | Verdict::Slower)
    }
}

/// The index of a measure in [`MEASURES`]; unknown measures come last.
pub fn rank(measure: &str) -> usize {
    MEASURES.iter().position(|known| known.name == measure).unwrap_or(MEASURES.len())
}

/// The reference of a condition: the cell that most comparisons name, or without comparisons the plan's first cell.
fn reference<'a>(experiment: &'a Experiment, found: &'a ConditionAnalysis) -> Option<&'a str> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for comparison in &found.comparisons {
        *times.entry(&comparison.reference).or_default() += 1;
    }
    let most = times.into_iter().max_by_key(|(_, times)| *times).map(|(name, _)| name);
    most.or_else(|| experiment.plan.cells.first().map(|cell| cell.id.as_str()))
}

fn rows<'a>(experiment: &'a Experiment, found: &'a ConditionAnalysis, reference: Option<&'a str>) -> Vec<Row<'a>> {
    let role = |name: &str| {
        let kind = experiment.plan.cells.iter().find(|cell| cell.id == name).map(|cell| &cell.kind);
        match kind {
            Some(CellKind::Floor) => Role::Floor,
            Some(CellKind::StdFloor) => Role::StdFloor,
            _ if reference == Some(name) => Role::Reference,
            Some(CellKind::External { .. }) => Role::External,
            Some(CellKind::Again { of }) => Role::Again { of },
            Some(CellKind::Build) | None => Role::Build,
        }
    };
    let floor = found.cells.iter().find(|summary| role(&summary.cell) == Role::Floor);
    let row = |summary: &'a CellSummary| Row {
        summary,
        role: role(&summary.cell),
        to_floor: floor.map(|floor| multiples(summary, floor)).unwrap_or_default(),
        against: found
            .comparisons
            .iter()
            .find(|comparison| comparison.cell == summary.cell && Some(comparison.reference.as_str()) == reference),
    };
    found.cells.iter().map(row).collect()
}

fn multiples(summary: &CellSummary, floor: &CellSummary) -> BTreeMap<&'static str, f64> {
    let multiple = |gate: &'static str| {
        let ratio = summary.measures.get(gate)?.p50 / floor.measures.get(gate)?.p50;
        ratio.is_finite().then_some((gate, ratio))
    };
    GATES.into_iter().filter_map(multiple).collect()
}

fn findings(found: &ConditionAnalysis) -> Vec<Finding<'_>> {
    let compared = found.comparisons.iter().flat_map(|comparison| {
        comparison.differences.iter().map(|(measure, estimate)| Finding {
            kind: Kind::Comparison,
            subject: &comparison.cell,
            measure,
            against: Some(&comparison.reference),
            direction: None,
            aliases: &[],
            estimate,
            sentence: words::difference(measure, estimate),
        })
    });
    let mut findings: Vec<Finding> = compared
        .chain(estimated(Kind::Effect, &found.effects, words::difference))
        .chain(estimated(Kind::Interaction, &found.interactions, words::interaction))
        .collect();
    findings.sort_by(|one, other| {
        let key = |finding: &Finding| (finding.kind, rank(finding.measure), !finding.is_found());
        key(one).cmp(&key(other)).then(other.estimate.value.abs().total_cmp(&one.estimate.value.abs()))
    });
    findings
}

/// Appends the aliases to a sentence about a confounded effect, because the estimate may be theirs.
fn confounded(sentence: String, estimate: &Estimate, aliases: &[String]) -> String {
    const SHOWN: usize = 3;
    let says = matches!(estimate.verdict, Verdict::Faster | Verdict::Slower | Verdict::Inconclusive);
    if !says || aliases.is_empty() {
        return sentence;
    }
    let names: Vec<String> = aliases.iter().take(SHOWN).map(|name| name.replace('*', " × ")).collect();
    let more = match aliases.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" or {more} others"),
    };
    format!("{sentence}; this may be {}{more} instead", names.join(", "))
}

fn estimated(kind: Kind, effects: &[Effect], say: fn(&str, &Estimate) -> String) -> impl Iterator<Item = Finding<'_>> {
    effects.iter().flat_map(move |effect| {
        effect.estimates.iter().map(move |(measure, estimate)| Finding {
            kind,
            subject: &effect.name,
            measure,
            against: None,
            direction: effect.direction.as_ref(),
            aliases: &effect.aliases,
            estimate,
            sentence: confounded(say(measure, estimate), estimate, &effect.aliases),
        })
    })
}
