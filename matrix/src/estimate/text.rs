//! The text summary of a plan.

use std::fmt::Write as _;

use super::cost::Estimate;
use crate::manifest::Manifest;
use crate::plan::circumstances::describe;
use crate::plan::{CellKind, Plan};

/// How many confounded effects are named before the rest is only counted.
const SHOWN: usize = 6;
/// How many lines of them are shown: a screen has so many that none of them would be read.
const LINES: usize = 30;

/// The text of `cargo matrix plan`: design, aliases, cells, conditions, costs.
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
    let _ = writeln!(text, "\nconditions, with {} blocks each:", plan.blocks_here().count());
    for condition in &plan.conditions {
        let _ = writeln!(text, "  {}", describe(condition));
    }
    text += &time_and_space(estimate);
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
    for alias in plan.aliases.iter().take(LINES) {
        let shown = alias.with.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = alias.with.len().saturating_sub(SHOWN);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let _ = writeln!(text, "  {} ~ {shown}{more}", alias.effect);
    }
    if let more @ 1.. = plan.aliases.len().saturating_sub(LINES) {
        let _ = writeln!(text, "  and {more} effects more: `--format json` has them all");
    }
    text
}

fn about(manifest: &Manifest, plan: &Plan, cell: &crate::plan::Cell) -> String {
    match &cell.kind {
        CellKind::Floor => "minimal extension without a C library (yardstick)".to_owned(),
        CellKind::StdFloor => "minimal extension with the standard library".to_owned(),
        CellKind::External { path, .. } => path.display().to_string(),
        CellKind::Again { of } => format!("control (A/A): {of} a second time"),
        CellKind::Build => {
            let chosen = manifest.chosen(&cell.levels);
            // In a design, only the first cell names the levels that all cells share.
            let is_named = |factor: &str| {
                plan.factors.is_empty()
                    || plan.cells.first().is_some_and(|first| first.id == cell.id)
                    || plan.factors.iter().any(|varies| varies == factor)
            };
            let chosen = chosen.filter(|(factor, _)| is_named(&factor.name)).map(|(_, choice)| choice.to_string());
            chosen.collect::<Vec<_>>().join(" ")
        }
    }
}

fn time_and_space(estimate: &Estimate) -> String {
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
    let basis = &estimate.detectable_basis;
    let _ = match estimate.detectable_ms {
        Some(detectable) => writeln!(text, "minimum detectable effect at ready: {detectable:.2} ms ({basis})"),
        None => writeln!(text, "no minimum detectable effect at ready: {basis}"),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::cells;
    use crate::test_arguments::parse;

    fn shown(line: &str) -> String {
        let manifest = Manifest::embedded().unwrap();
        let (plan, notes) = cells::plan(manifest, &parse(line.split_whitespace())).unwrap();
        render(manifest, &plan, &notes, &Estimate::of(manifest, &plan, &[], |_| Vec::new(), &[]))
    }

    #[test]
    fn what_is_confounded_is_said_before_anything_is_built() {
        let text = shown("resolution-4 --factors lazy-intake,tag-cache,bind-first,static-libgcc");
        let confounded = text.find("  lazy-intake*tag-cache ~ bind-first*static-libgcc").unwrap();
        assert!(confounded < text.find("\nbuilds: 8 in 2 groups").unwrap(), "{text}");
        assert!(shown("full --factors lazy-intake,tag-cache").contains("confounded with each other:\n  nothing"));
    }

    #[test]
    fn a_screen_is_shown_on_a_page() {
        let text = shown("plackett-burman --exclude static,launcher");
        assert!(text.contains("effects more: `--format json` has them all"), "{text}");
        assert!(text.contains("note: opt-level does not vary"), "{text}");
    }

    #[test]
    fn conditions_and_estimates_are_printed() {
        let text = shown("sets --memory 128 --regime throttled --blocks 7 --shard 0/2");
        assert!(text.contains("conditions, with 4 blocks each:\n  128 MB, throttled init, file in memory, no added latency, al2023 trust store, null runtime"), "{text}");
        assert!(text.contains("cold starts: 28, about 0 min (assumed: 1 s each)"), "{text}");
        assert!(!text.contains("confounded"), "sets are compared, not decomposed");
    }
}
