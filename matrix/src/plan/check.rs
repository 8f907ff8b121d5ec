//! Whether a plan fits the manifest.

use super::Plan;
use crate::manifest::{Choice, Manifest, ON};

/// What evaluates requests for attacks.
const COMPONENT: &str = "appsec";

/// Why a plan cannot be executed with this manifest.
pub fn plan(manifest: &Manifest, plan: &Plan) -> Vec<String> {
    let mut complaints = plan.contradictions();
    for cell in plan.cells.iter().filter(|cell| !cell.levels.is_empty()) {
        let mut add = |what: String| complaints.push(format!("cell {}: {what}", cell.id));
        for (factor, level) in &cell.levels {
            if let Err(error) = manifest.offers(&Choice::new(factor, level)) {
                add(error.to_string());
            }
        }
        let missing = manifest.factors.iter().filter(|factor| !cell.levels.contains_key(&factor.name));
        missing.for_each(|factor| add(format!("the level of {} is missing", factor.name)));
        if let Some(reason) = manifest.illegal(&cell.levels) {
            add(reason);
        }
        if plan.has_waf() && cell.levels.get(COMPONENT).is_none_or(|level| level != ON) {
            add(format!("it has no {COMPONENT}, and a condition has it on"));
        }
    }
    complaints
}
