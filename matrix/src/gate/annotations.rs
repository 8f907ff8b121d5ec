//! Writes a decision as GitHub Actions annotations.
//!
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#setting-an-error-message>

use super::{Decision, Outcome};
use crate::plan::circumstances::describe;

/// One line for each error, or one notice if there are none.
pub fn write(decision: &Decision) -> String {
    let mut lines = Vec::new();
    for build in &decision.builds {
        let text = format!("{} could not be built: {}\n{}", build.cell, build.command, build.output);
        lines.push(line(Outcome::BuildFailed, &text));
    }
    for finding in decision.findings.iter().filter(|finding| finding.outcome != Outcome::Pass) {
        let cell = finding.cell.as_ref().map(|cell| format!("{cell}, ")).unwrap_or_default();
        lines.push(line(finding.outcome, &format!("{cell}{}: {}", describe(&finding.condition), finding.reason)));
    }
    for judgement in decision.own_judgements().filter(|judgement| judgement.outcome != Outcome::Pass) {
        let (who, where_) = (judgement.title(), describe(&judgement.condition));
        lines.push(line(judgement.outcome, &format!("{who}, {where_}: {}", judgement.reason)));
    }
    if lines.is_empty() {
        lines.push(line(decision.outcome, &decision.sentence));
    }
    lines.concat()
}

fn line(outcome: Outcome, text: &str) -> String {
    let level = match outcome {
        Outcome::Pass => "notice",
        failure if failure.is_failure() => "error",
        _ => "warning",
    };
    format!("::{level} title={}::{}\n", property(&format!("Cold start: {}", outcome.name())), data(text.trim_end()))
}

/// Escapes a message, which must be one line.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property, in which colons and commas are separators.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
