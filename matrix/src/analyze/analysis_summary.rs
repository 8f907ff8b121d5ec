//! Prints an analysis in a few lines. `cargo matrix report` shows all of it.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use super::{Analysis, ConditionAnalysis, Direction, Effect, Estimate, Verdict};
use crate::measure::sample::MEASURES;
use crate::plan::circumstances::describe;

/// The gates that the summary shows: a cold start is judged by these two.
const SHOWN: [&str; 2] = ["register", "ready"];

/// An analysis that displays as its summary.
pub struct AnalysisSummary<'a>(pub &'a Analysis);

impl Display for AnalysisSummary<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for note in &self.0.notes {
            writeln!(out, "Note: {note}")?;
        }
        self.0.conditions.iter().try_for_each(|condition| show(out, condition))
    }
}

fn show(out: &mut Formatter<'_>, analysis: &ConditionAnalysis) -> fmt::Result {
    writeln!(out, "\n{}: {} complete blocks", describe(&analysis.condition), analysis.blocks)?;
    if let Some(reason) = &analysis.invalid {
        writeln!(out, "  invalid: {reason}")?;
    }
    if let Some(family @ 1..) = headline(analysis) {
        writeln!(out, "  {family} verdicts share a chance of 5 % for a false alarm")?;
    }
    for failure in analysis.cells.iter().filter_map(|cell| Some((&cell.cell, cell.failures.as_ref()?))) {
        writeln!(out, "  {}: {}", failure.0, failure.1)?;
    }
    for measure in MEASURES.iter().filter(|measure| SHOWN.contains(&measure.name)) {
        let row = |name: &str, estimate: Option<&Estimate>| {
            estimate.map(|estimate| format!("    {name:<32} {}", EstimateSentence { estimate, unit: measure.unit }))
        };
        let comparisons = analysis.comparisons.iter().filter_map(|comparison| {
            row(
                &format!("{} against {}", comparison.cell, comparison.reference),
                comparison.differences.get(measure.name),
            )
        });
        let effects = analysis.effects.iter().chain(&analysis.interactions);
        let named = |effect: &Effect| match &effect.direction {
            Some(Direction { from, to }) => format!("{} from {from} to {to}{}", effect.name, or_aliases(effect)),
            None => format!("interaction {}{}", effect.name, or_aliases(effect)),
        };
        let effects = effects.filter_map(|effect| row(&named(effect), effect.estimates.get(measure.name)));
        // In a designed experiment the effects are the result; comparisons of single cells are left out.
        let rows: Vec<String> = if analysis.effects.is_empty() { comparisons.collect() } else { effects.collect() };
        if !rows.is_empty() {
            writeln!(out, "  {}\n{}", measure.name, rows.join("\n"))?;
        }
    }
    Ok(())
}

/// The aliases of an effect, in parentheses: its estimate may be due to them as well.
fn or_aliases(effect: &Effect) -> String {
    if effect.aliases.is_empty() { String::new() } else { format!(" (or {})", effect.aliases.join(", ")) }
}

/// The number of hypotheses in the family of the gates.
fn headline(analysis: &ConditionAnalysis) -> Option<usize> {
    let gate = |estimates: &BTreeMap<String, Estimate>| {
        SHOWN.iter().filter_map(|gate| Some(estimates.get(*gate)?.family)).max()
    };
    let effects = analysis.effects.iter().filter_map(|effect| gate(&effect.estimates)).max();
    effects.or_else(|| analysis.comparisons.iter().filter_map(|one| gate(&one.differences)).max())
}

/// An estimate that displays as a sentence that can be quoted.
struct EstimateSentence<'a> {
    estimate: &'a Estimate,
    unit: &'static str,
}

impl Display for EstimateSentence<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self { estimate: Estimate { value, low, high, detectable, verdict, needed, .. }, unit } = self;
        match verdict {
            Verdict::Faster => write!(out, "faster by {:.2} {unit} [{:.2}, {:.2}]", -value, -high, -low),
            Verdict::Slower => write!(out, "slower by {value:.2} {unit} [{low:.2}, {high:.2}]"),
            Verdict::NoDetectableChange => {
                write!(out, "no detectable change (MDE {detectable:.2} {unit})")
            }
            Verdict::Inconclusive => {
                write!(out, "inconclusive: {value:.2} {unit} [{low:.2}, {high:.2}]")?;
                needed.map_or(Ok(()), |needed| write!(out, "; needs {needed} blocks"))
            }
            Verdict::NoOp => write!(out, "the same program"),
            Verdict::DigestMismatch => write!(out, "delivers something else"),
            Verdict::InvalidRun => write!(out, "the measurement is biased"),
        }
    }
}
