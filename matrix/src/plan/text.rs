//! A plan for people.

use std::fmt::Write as _;

use super::estimate::Estimate;
use super::{CellKind, Plan};
use crate::manifest::Manifest;

/// How many confounded effects are named before the rest is only counted.
const SHOWN: usize = 6;

/// What is planned, in the order in which one would object to it.
pub fn render(manifest: &Manifest, plan: &Plan, notes: &[String], estimate: &Estimate) -> String {
    let mut text = format!("design {}, seed {}\n", plan.design, plan.seed);
    if !plan.factors.is_empty() {
        let _ = writeln!(text, "factors: {}", plan.factors.join(", "));
    }
    for note in notes {
        let _ = writeln!(text, "note: {note}");
    }
    text += &aliases(plan);
    let _ = writeln!(text, "\n{} cells:", plan.cells.len());
    for cell in &plan.cells {
        let _ = writeln!(text, "  {:<28} {}", cell.id, about(manifest, plan, cell));
    }
    let _ = writeln!(text, "\n{} conditions, {} blocks each:", plan.conditions.len(), plan.blocks_here().count());
    for condition in &plan.conditions {
        let _ = writeln!(
            text,
            "  {} MB, {}, {} cache, {} latency, {} trust store, {} runtime",
            condition.memory_mb,
            word(condition.regime),
            word(condition.cache),
            word(condition.platform),
            word(condition.trust_store),
            condition.runtime
        );
    }
    text += &costs(estimate);
    text
}

fn aliases(plan: &Plan) -> String {
    if plan.factors.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nconfounded with each other:\n");
    if plan.aliases.is_empty() {
        text += "  nothing: every main effect and every interaction of two factors has an estimate of its own\n";
    } else if plan.aliases.iter().all(|alias| alias.effect.contains('*')) {
        text += "  main effects with no interaction of two factors; but these with each other:\n";
    }
    for alias in &plan.aliases {
        let shown = alias.with.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = alias.with.len().saturating_sub(SHOWN);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let _ = writeln!(text, "  {} ~ {shown}{more}", alias.effect);
    }
    text
}

fn about(manifest: &Manifest, plan: &Plan, cell: &super::Cell) -> String {
    match &cell.kind {
        CellKind::Floor => "the least that an extension can do".to_owned(),
        CellKind::External { path, .. } => path.display().to_string(),
        CellKind::Again { of } => format!("{of} once more: the two have to be alike"),
        CellKind::Build => {
            let chosen = manifest.chosen(&cell.levels);
            // In a design, what is the same in all cells is told once by its first cell.
            let tells = |factor: &str| {
                plan.factors.is_empty()
                    || plan.cells.first().is_some_and(|first| first.id == cell.id)
                    || plan.factors.iter().any(|varies| varies == factor)
            };
            let chosen = chosen.filter(|(factor, _)| tells(&factor.name)).map(|(_, choice)| choice.to_string());
            chosen.collect::<Vec<_>>().join(" ")
        }
    }
}

fn costs(estimate: &Estimate) -> String {
    let mut text = format!(
        "\nbuilds: {} in {} groups of flags, about {:.0} min ({}), {:.1} GB of disk\n",
        estimate.builds,
        estimate.groups.len(),
        estimate.build_minutes,
        estimate.build_basis,
        estimate.disk_mb / 1000.0
    );
    for group in &estimate.groups {
        let _ = writeln!(text, "  {}", group.join(" "));
    }
    let _ = writeln!(
        text,
        "cold starts: {}, about {:.0} min ({})",
        estimate.cold_starts, estimate.start_minutes, estimate.start_basis
    );
    let _ = writeln!(
        text,
        "smallest visible change of ready: {:.3} ms = {}",
        estimate.detectable_ms, estimate.detectable_basis
    );
    text
}

/// A condition's word, as in the plan's file and on the command line.
fn word(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
