//! Writes a decision as `JUnit` XML, which every CI system displays: a test case for each candidate, condition and gate.
//!
//! `JUnit` XML has no standard. These elements and attributes are those that Jenkins, GitLab and GitHub's reporters read:
//! <https://github.com/jenkinsci/xunit-plugin/blob/master/src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/junit-10.xsd>

use super::{Decision, Finding, Outcome};
use crate::plan::circumstances::describe;

/// One test case.
struct Case {
    class: String,
    name: String,
    outcome: Outcome,
    reason: String,
}

/// The whole document.
pub fn write(decision: &Decision) -> String {
    let judged = decision.judgements.iter().map(|judgement| Case {
        class: describe(&judgement.condition),
        name: judgement.title(),
        outcome: judgement.outcome,
        reason: judgement.reason.clone(),
    });
    let found = decision.findings.iter().map(|finding: &Finding| Case {
        class: describe(&finding.condition),
        name: finding.cell.clone().unwrap_or_else(|| "control".to_owned()),
        outcome: finding.outcome,
        reason: finding.reason.clone(),
    });
    let built = decision.builds.iter().map(|build| Case {
        class: "build".to_owned(),
        name: build.cell.clone(),
        outcome: Outcome::BuildFailed,
        reason: format!("{}\n{}", build.command, build.output),
    });
    let suites =
        [("cold start", judged.collect()), ("delivery and control", found.collect()), ("build", built.collect())];
    let suites: String = suites.iter().filter(|(_, cases): &&(_, Vec<Case>)| !cases.is_empty()).map(suite).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"cargo matrix gate\">\n{suites}</testsuites>\n"
    )
}

fn suite((name, cases): &(&str, Vec<Case>)) -> String {
    let count = |element: &str| cases.iter().filter(|case| element_of(case.outcome) == Some(element)).count();
    let lines: String = cases.iter().map(case).collect();
    format!(
        "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n{lines}  </testsuite>\n",
        cases.len(),
        count("failure"),
        count("error"),
        count("skipped"),
    )
}

fn case(case: &Case) -> String {
    let Case { class, name, outcome, reason } = case;
    let head = format!("    <testcase classname=\"{}\" name=\"{}\"", escaped(class), escaped(name));
    let message = reason.lines().next().unwrap_or_default();
    let (message, text) = (escaped(message), escaped(reason));
    match element_of(*outcome) {
        None => format!("{head}/>\n"),
        Some("skipped") => format!("{head}><skipped message=\"{message}\"/></testcase>\n"),
        Some(element) => {
            let kind = outcome.name();
            format!("{head}><{element} message=\"{message}\" type=\"{kind}\">{text}</{element}></testcase>\n")
        }
    }
}

/// The XML element of an outcome: `failure` is about the change, `error` about the run, and an inconclusive test is skipped.
fn element_of(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Pass => None,
        Outcome::Inconclusive => Some("skipped"),
        failure if failure.is_failure() => Some("failure"),
        _ => Some("error"),
    }
}

/// Escapes text for an attribute or an element. Characters that XML 1.0 cannot represent, such as terminal escapes in compiler output, are left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' => escaped += "&#10;",
            '\t' => escaped.push(character),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => escaped.push(character),
        }
    }
    escaped
}
