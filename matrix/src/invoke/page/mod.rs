//! The run as one HTML page, complete in one file, with a light and a dark theme: the timeline of the sandbox, and a flame graph of each trace with the logs and
//! metrics beside it.

mod flame;
mod lanes;
mod scale;
mod tables;

use super::render::{delivered, not_isolated};
use super::run_summary::{RunSummary, Verdict};
use super::timeline::Timeline;
use crate::markup::{self, Element};

/// What the title of every page ends with.
const TITLE: &str = " in the sandbox";

/// Whether this is the beginning of a page.
pub fn is_head(text: &str) -> bool {
    text.starts_with("<!DOCTYPE html>") && text.contains(&format!("{TITLE}</title>"))
}

/// Writes the page. `function` is the name of the function.
pub fn page(function: &str, run_summary: &RunSummary, timeline: &Timeline) -> String {
    let title = format!("{function}: {}{TITLE}", count(run_summary.invocations.len(), "invocation"));
    let head = markup::head(&title).child(Element::new("style").style(include_str!("style.css")));
    let body = Element::new("body")
        .child(header(&title, run_summary))
        .child(main(run_summary, timeline))
        .child(Element::new("script").script(markup::SCRIPT))
        .child(Element::new("script").script(include_str!("script.js")));
    markup::document(head, body)
}

fn header(title: &str, run_summary: &RunSummary) -> Element {
    let (class, verdict) = match run_summary.verdict {
        Verdict::Delivered => ("good", delivered(run_summary.extensions).to_owned()),
        Verdict::PayloadLost => ("bad", "Something is missing at the intake.".to_owned()),
        Verdict::FunctionFailed => ("bad", "The function failed.".to_owned()),
        Verdict::ExtensionCrashed => {
            ("bad", format!("The extension failed: {}.", run_summary.crash.as_deref().unwrap_or("unknown")))
        }
        Verdict::NotIsolated => ("bad", "The network is the machine's although another one was requested.".to_owned()),
        Verdict::Interrupted => ("bad", "Interrupted; this is what had arrived.".to_owned()),
    };
    let verdict = Element::new("p").class(format!("verdict {class}")).text(verdict + &not_isolated(run_summary));
    Element::new("header").child(Element::new("h1").text(title)).child(verdict)
}

fn main(run_summary: &RunSummary, timeline: &Timeline) -> Element {
    let notes = run_summary.notes.iter().map(|note| Element::new("p").class("alarm note").text(note));
    let colors = flame::colors(&run_summary.traces);
    let traces = run_summary.traces.iter().enumerate().map(|(number, trace)| flame::section(number, trace, &colors));
    let beside = Element::new("div").class("beside");
    Element::new("main")
        .child(section("Timeline of the sandbox").child(lanes::drawing(timeline)))
        .child(section("Invocations").child(tables::invocations(run_summary)).children(notes))
        .children(tables::missing(&run_summary.missing))
        .children(traces)
        .child(
            beside
                .child(section("Logs").child(tables::logs(run_summary)))
                .child(section("Metrics").child(tables::metrics(run_summary))),
        )
        .children(
            (!run_summary.operations.is_empty())
                .then(|| section("Trace statistics").child(tables::operations(run_summary))),
        )
        .child(section("Requests at the intake").child(tables::routes(run_summary)))
}

fn section(title: &str) -> Element {
    Element::new("section").child(Element::new("h2").text(title))
}

/// A number with its noun.
fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A duration with as many digits as can be told apart.
fn milliseconds(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.2} ms") } else { format!("{value:.1} ms") }
}

#[cfg(test)]
mod tests;
