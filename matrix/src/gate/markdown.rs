//! Writes a decision as a comment on a pull request.

use super::{Decision, Finding, Outcome};
use crate::plan::circumstances::{describe, labels};
use crate::report::escaped;

/// An invisible marker by which the poster of the comment finds the previous run's comment, to replace it.
const MARK: &str = "<!-- cargo matrix gate -->";

/// The whole comment.
pub fn write(decision: &Decision) -> String {
    let mut blocks = vec![
        format!("{MARK}\n### Cold start: {}", decision.outcome.name()),
        format!("> [!{}]\n> {}", alert(decision.outcome), decision.sentence),
    ];
    for build in &decision.builds {
        blocks.push(format!("{} could not be built: {}", escaped(&build.cell), escaped(&build.command)));
        // Indented, not fenced: no compiler output can end an indented block.
        let lines: Vec<_> = build.output.lines().map(|line| format!("    {line}")).collect();
        blocks.push(format!("<details><summary>What was said</summary>\n\n{}\n\n</details>", lines.join("\n")));
    }
    blocks.extend(findings(decision));
    if !decision.judgements.is_empty() {
        blocks.push(table(decision));
    }
    blocks.extend(decision.notes.iter().map(|note| escaped(note)));
    blocks.extend(decision.measured_on.as_deref().map(escaped));
    blocks.join("\n\n") + "\n"
}

fn findings(decision: &Decision) -> Option<String> {
    let line = |finding: &Finding| {
        let cell = finding.cell.as_ref().map(|cell| format!("{cell}, ")).unwrap_or_default();
        let text = format!("{cell}{}: {}", describe(&finding.condition), finding.reason);
        format!("- **{}** {}", finding.outcome.name(), escaped(&text))
    };
    let lines: Vec<_> = decision.findings.iter().map(line).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn table(decision: &Decision) -> String {
    let conditions: Vec<_> = decision.judgements.iter().map(|judgement| &judgement.condition).collect();
    let mut lines = vec![
        "| Condition | Candidate | Against | Gate | Verdict | Growth |".to_owned(),
        "| --- | --- | --- | --- | --- | --- |".to_owned(),
    ];
    for (judgement, label) in decision.judgements.iter().zip(labels(&conditions)) {
        let verdict = judgement.outcome.name();
        let fields = [&label, &judgement.candidate, &judgement.against, judgement.gate, verdict, &judgement.reason];
        lines.push(format!("| {} |", fields.map(escaped).join(" | ")));
    }
    lines.join("\n")
}

/// The alert type of an outcome in GitHub's Markdown.
fn alert(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "NOTE",
        failure if failure.is_failure() => "CAUTION",
        _ => "WARNING",
    }
}
