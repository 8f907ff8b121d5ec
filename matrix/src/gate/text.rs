//! Writes a decision for a terminal or a log.

use std::fmt::Write as _;

use super::Decision;
use crate::plan::circumstances::describe;

/// The outcome first, then the details.
pub fn write(decision: &Decision) -> String {
    let mut text = format!("{}\n{}\n", decision.title(), decision.sentence);
    for build in &decision.builds {
        let _ = writeln!(text, "\n{} could not be built: {}\n{}", build.cell, build.command, build.output.trim_end());
    }
    for finding in &decision.findings {
        let cell = finding.cell.as_ref().map(|cell| format!("{cell}, ")).unwrap_or_default();
        let (name, condition) = (finding.outcome.name(), describe(&finding.condition));
        let _ = writeln!(text, "\n{name}: {cell}{condition}: {}", finding.reason);
    }
    let mut condition = None;
    for judgement in &decision.judgements {
        if condition != Some(&judgement.condition) {
            let _ = writeln!(text, "\n{}", describe(&judgement.condition));
            condition = Some(&judgement.condition);
        }
        let _ = writeln!(text, "  {:<16} {}: {}", judgement.outcome.name(), judgement.title(), judgement.reason);
    }
    for note in &decision.notes {
        let _ = writeln!(text, "\nNote: {note}");
    }
    text
}
