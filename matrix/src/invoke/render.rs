//! Renders the run summary as text.

mod logs;

use std::collections::BTreeSet;

use console::{Style, measure_text_width, pad_str, truncate_str};
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;

use super::run_summary::{Extensions, Log, Metric, MissingDeliveries, Outcome, RunSummary, Verdict};
use super::security::SecurityEvent;
use super::text::{self, escaped};
use crate::sandbox::intake::RequestOutcome;

/// The terminal that the text is written to.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub struct Page {
    /// Width in columns.
    pub width: usize,
    pub colours: bool,
    /// Whether all logs are shown, however many there are.
    pub all_logs: bool,
    /// Whether the tags of metrics are shown.
    pub tags: bool,
    /// Whether logs are shown at all.
    pub logs: bool,
    /// Whether enhanced metrics are shown.
    pub enhanced: bool,
    /// Whether nothing is shown but what is missing, and the verdict.
    pub brief: bool,
}

/// Maximum width of a table cell before it is cut. The last cell of a row takes the rest.
const CELL: usize = 60;
const GAP: &str = "  ";
/// The beginning of the names of the metrics that the extension makes itself.
const ENHANCED: &str = "aws.lambda.enhanced.";

/// Renders the whole summary.
pub fn render(run_summary: &RunSummary, page: Page) -> String {
    let mut text = Text { page, out: String::new() };
    if page.brief {
        text.missing(&run_summary.missing);
        text.verdict(run_summary);
        return text.out;
    }
    text.invocations(run_summary);
    text.gates(run_summary);
    text.exits(run_summary);
    text.routes(run_summary);
    if page.logs {
        text.logs(run_summary);
    }
    text.metrics(run_summary);
    text.traces(run_summary);
    text.operations(run_summary);
    text.missing(&run_summary.missing);
    text.notes(run_summary);
    text.verdict(run_summary);
    text.out
}

struct Text {
    page: Page,
    out: String,
}

impl Text {
    fn invocations(&mut self, run_summary: &RunSummary) {
        self.title("Invocations");
        let rows = run_summary.invocations.iter().map(|outcome| {
            vec![
                attempt(outcome),
                outcome.outcome.clone(),
                outcome.init_ms.map_or_else(|| "-".to_owned(), milliseconds),
                milliseconds(outcome.answered_ms),
                milliseconds(outcome.duration_ms),
                format!("{} ms", outcome.billed_ms),
                format!("{} MB", outcome.max_memory_mb),
                match &outcome.response {
                    Value::String(text) => one_line(text),
                    other => other.to_string(),
                },
            ]
        });
        let header = ["request", "outcome", "init", "answered", "total", "billed", "memory", "response"];
        self.table(&header, &rows.collect::<Vec<_>>());
    }

    fn gates(&mut self, run_summary: &RunSummary) {
        if run_summary.gates.is_empty() {
            return;
        }
        self.title("Cold start, from the start of each extension");
        let time = |ms: Option<f64>| ms.map_or_else(|| "never".to_owned(), milliseconds);
        let rows = run_summary
            .gates
            .iter()
            .map(|gate| vec![gate.extension.clone(), time(gate.registered_ms), time(gate.ready_ms)]);
        self.table(&["extension", "registered", "ready"], &rows.collect::<Vec<_>>());
    }

    fn exits(&mut self, run_summary: &RunSummary) {
        if run_summary.exits.is_empty() {
            return;
        }
        self.title("Shutdown");
        let rows = run_summary.exits.iter().map(|exit| {
            let how = if exit.killed { format!("killed, {}", exit.status) } else { exit.status.clone() };
            vec![exit.extension.clone(), milliseconds(exit.took_ms), how]
        });
        self.table(&["extension", "took", "end"], &rows.collect::<Vec<_>>());
    }

    fn notes(&mut self, run_summary: &RunSummary) {
        for note in &run_summary.notes {
            self.line("");
            self.line(&self.paint(Style::new().yellow(), note));
        }
    }

    fn routes(&mut self, run_summary: &RunSummary) {
        self.title("Requests at the intake");
        let rows = run_summary.routes.iter().map(|route| {
            vec![
                route.path.clone(),
                route.requests.to_string(),
                route.accepted.to_string(),
                route.wire_bytes.to_string(),
                route.body_bytes.to_string(),
                route.problems.values().sum::<usize>().to_string(),
            ]
        });
        self.table(
            &["path", "requests", "accepted", "bytes sent", "uncompressed", "problems"],
            &rows.collect::<Vec<_>>(),
        );
        for route in &run_summary.routes {
            for (problem, count) in &route.problems {
                let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
                self.line(&self.paint(Style::new().yellow(), &format!("  {}: {problem}{times}", route.path)));
            }
        }
    }

    fn metrics(&mut self, run_summary: &RunSummary) {
        self.title("Metrics");
        let shown = self.shown_metrics(run_summary);
        let rows = shown.iter().map(|metric| {
            vec![
                text::escaped(&metric.name),
                metric.kind.to_owned(),
                metric.count.to_string(),
                number(metric.sum),
                number(metric.min),
                number(metric.max),
                metric.tags.len().to_string(),
            ]
        });
        self.table(&["name", "type", "count", "sum", "min", "max", "tags"], &rows.collect::<Vec<_>>());
        if self.page.tags {
            for metric in self.shown_metrics(run_summary) {
                let tags = metric.tags.iter().map(|tag| text::escaped(tag)).collect::<Vec<_>>().join(", ");
                self.line(&format!("  {} ({}): {tags}", text::escaped(&metric.name), metric.kind));
            }
        }
    }

    fn shown_metrics<'a>(&self, run_summary: &'a RunSummary) -> Vec<&'a Metric> {
        let is_shown = |metric: &&Metric| self.page.enhanced || !metric.name.starts_with(ENHANCED);
        run_summary.metrics.iter().filter(is_shown).collect()
    }

    fn traces(&mut self, run_summary: &RunSummary) {
        if run_summary.traces.is_empty() {
            return;
        }
        self.title("Traces");
        let spans = run_summary.traces.iter().flat_map(|trace| trace.spans.iter().map(move |span| (trace, span)));
        let rows = spans.flat_map(|(trace, span)| {
            let indent = "  ".repeat(span.depth);
            let row = vec![
                format!("{indent}{}", one_line(&span.name)),
                one_line(&span.service),
                // Relative to the invocation, where it is known.
                milliseconds(trace.starts_ms.unwrap_or_default() + span.starts_ms),
                milliseconds(span.duration_ms),
                if span.error { "error" } else { "-" }.to_owned(),
                one_line(&span.resource),
            ];
            let events = span.security_events.iter().map(|event| event_row(&indent, event)).collect::<Vec<_>>();
            let logs = span.logs.iter().map(move |log| log_row(&indent, log));
            [row].into_iter().chain(events).chain(logs)
        });
        self.table(&["span", "service", "starts", "took", "error", "resource"], &rows.collect::<Vec<_>>());
    }

    fn operations(&mut self, run_summary: &RunSummary) {
        if run_summary.operations.is_empty() {
            return;
        }
        self.title("Trace statistics");
        let rows = run_summary.operations.iter().map(|operation| {
            vec![
                one_line(&operation.name),
                one_line(&operation.service),
                operation.hits.to_string(),
                operation.errors.to_string(),
                operation.top_level_hits.to_string(),
                milliseconds(operation.duration_ms),
                one_line(&operation.resource),
            ]
        });
        let header = ["operation", "service", "hits", "errors", "top level", "took", "resource"];
        self.table(&header, &rows.collect::<Vec<_>>());
    }

    fn missing(&mut self, missing: &MissingDeliveries) {
        if missing.is_empty() {
            return;
        }
        self.title("Missing");
        let mut say =
            |sentence: String| self.line(&self.paint(Style::new().red(), &self.cut(&format!("  {sentence}"))));
        for line in &missing.lines {
            say(format!("no log arrived for the line: {}", one_line(line)));
        }
        if let Some(uncounted) = missing.invocations {
            let (invoked, counted) = (uncounted.invoked, number(uncounted.counted));
            say(format!("{invoked} invocations, but aws.lambda.enhanced.invocations adds up to {counted}"));
        }
        for loss in &missing.custom_metrics {
            let (sent, arrived) = (number(loss.sent), number(loss.arrived));
            say(format!("custom metric {}: {sent} sent to DogStatsD, {arrived} arrived", loss.name));
        }
        for line in &missing.drops {
            say(format!("the extension dropped data: {}", one_line(line)));
        }
        for port in &missing.taken_ports {
            say(format!(
                "another process of this machine has {port}, and gets what the function sends there; end it, or run without --network host and --allow-network"
            ));
        }
        for failure in &missing.assertions {
            say(one_line(failure));
        }
        for refused in &missing.refused {
            let answer = match refused.answer {
                RequestOutcome::Status { code, .. } => format!("refused with {code}"),
                RequestOutcome::Reset => "reset".to_owned(),
                RequestOutcome::Silence | RequestOutcome::Pending => "left without an answer".to_owned(),
                RequestOutcome::Aborted => "aborted before its answer was written".to_owned(),
            };
            let problems = refused.problems.join("; ");
            say(format!("request {} to {} was {answer}: {problems}", refused.number, refused.path));
        }
    }

    fn verdict(&mut self, run_summary: &RunSummary) {
        let good = Style::new().green().bold();
        let bad = Style::new().red().bold();
        let (style, sentence) = match run_summary.verdict {
            Verdict::Delivered => (good, delivered(run_summary.extensions).to_owned()),
            Verdict::NotIsolated => {
                (bad, "The network is the machine's, although --network isolated was given.".to_owned())
            }
            Verdict::PayloadLost => (bad, "Something is missing at the intake.".to_owned()),
            Verdict::FunctionFailed if self.page.brief => {
                let failed = run_summary.invocations.iter().filter(|outcome| !outcome.succeeded);
                let failed: BTreeSet<String> = failed.map(|outcome| one_line(&outcome.outcome)).collect();
                let failed = failed.into_iter().collect::<Vec<_>>().join(", ");
                (bad, format!("The function failed: {failed}. Without --quiet, its lines say why."))
            }
            Verdict::FunctionFailed => {
                (bad, "The function failed; its outcome and its lines above say why.".to_owned())
            }
            Verdict::ExtensionCrashed => {
                let how = run_summary.crash.as_deref().unwrap_or("unknown");
                (
                    bad,
                    format!(
                        "The extension failed: {how}. Its own lines above may say why; --env DD_LOG_LEVEL=debug makes bottlecap say more."
                    ),
                )
            }
            Verdict::Interrupted => {
                (bad, "Interrupted; this is what had arrived. Whether anything is missing was not checked.".to_owned())
            }
        };
        self.line("");
        self.line(&self.paint(style, &(sentence + &not_isolated(run_summary))));
    }

    fn title(&mut self, title: &str) {
        self.line("");
        self.line(&self.paint(Style::new().bold(), title));
    }

    /// Writes a table with columns as wide as their widest cell; numbers are aligned to the right.
    fn table(&mut self, header: &[&str], rows: &[Vec<String>]) {
        if rows.is_empty() {
            self.line("  none");
            return;
        }
        // What a function says of itself must be no command to the terminal in any cell.
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| escaped(cell)).collect()).collect();
        let rows = rows.as_slice();
        let widths: Vec<usize> = header
            .iter()
            .enumerate()
            .map(|(column, title)| {
                let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| measure_text_width(cell));
                cells.chain([measure_text_width(title)]).max().unwrap_or_default().min(CELL)
            })
            .collect();
        let header = self.row(header, &widths, rows);
        self.line(&self.paint(Style::new().dim(), &header));
        for row in rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            let row = self.row(&cells, &widths, rows);
            self.line(&row);
        }
    }

    fn row(&self, cells: &[&str], widths: &[usize], rows: &[Vec<String>]) -> String {
        let mut row = String::new();
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            row.push_str(GAP);
            let last = column + 1 == widths.len();
            let numeric = rows.iter().filter_map(|row| row.get(column)).all(|cell| is_number(cell));
            if numeric {
                row.push_str(&pad_str(cell, *width, console::Alignment::Right, Some("…")));
            } else if last {
                row.push_str(cell);
            } else {
                row.push_str(&pad_str(cell, *width, console::Alignment::Left, Some("…")));
            }
        }
        self.cut(row.trim_end())
    }

    fn cut(&self, line: &str) -> String {
        truncate_str(line, self.page.width, "…").into_owned()
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.page.colours { style.force_styling(true).apply_to(text).to_string() } else { text.to_owned() }
    }

    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }
}

/// A log below the span that wrote it.
fn log_row(indent: &str, log: &Log) -> Vec<String> {
    let empty = || "-".to_owned();
    vec![format!("{indent}  log"), empty(), empty(), empty(), log.status.clone(), one_line(&log.message)]
}

/// A security event below the span whose request it is about.
fn event_row(indent: &str, event: &SecurityEvent) -> Vec<String> {
    let empty = || "-".to_owned();
    vec![format!("{indent}  attack"), empty(), empty(), empty(), one_line(&event.kind), one_line(&event.describe())]
}

/// The verdict of a run in which nothing that was expected is missing.
pub(super) fn delivered(extensions: Extensions) -> &'static str {
    match extensions {
        Extensions::Agent => "Everything that was expected has arrived.",
        Extensions::Unknown => {
            "The function succeeded. What this extension has to send is not known, so that nothing was checked."
        }
        Extensions::None => "The function succeeded. No extension ran, so that nothing was expected at the intake.",
    }
}

/// What the processes saw of the machine, as a sentence after another one; nothing if they saw none of it.
pub(super) fn not_isolated(run_summary: &RunSummary) -> String {
    match run_summary.not_isolated.as_slice() {
        [] => String::new(),
        shared => format!(" Not isolated from this machine: {}.", shared.join(", ")),
    }
}

fn is_number(cell: &str) -> bool {
    let cell = cell.strip_suffix(" ms").or_else(|| cell.strip_suffix(" MB")).unwrap_or(cell);
    matches!(cell, "-" | "never") || cell.parse::<f64>().is_ok()
}

/// A prefix of a request id that distinguishes it from its neighbours.
fn short(request_id: &str) -> String {
    request_id.chars().take(8).collect()
}

/// The request id, with the number of the attempt if there are several.
fn attempt(outcome: &Outcome) -> String {
    let request = short(&outcome.request_id);
    if outcome.attempt > 1 { format!("{request} attempt {}", outcome.attempt) } else { request }
}

/// One line without control characters, which would move the cursor.
fn one_line(text: &str) -> String {
    let text: String = text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    escaped(&text)
}

fn milliseconds(value: f64) -> String {
    // Rounded, a small negative number is a negative zero.
    let value = if value.abs() < 0.05 { 0.0 } else { value };
    format!("{value:.1} ms")
}

/// Whole numbers without decimals, others with six significant digits.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    if value.fract().abs() < f64::EPSILON {
        // The sum of nothing may be a negative zero.
        return format!("{:.0}", value + 0.0);
    }
    if value.abs() < 1e-3 {
        return format!("{value:.5e}");
    }
    let digits = if value.abs() >= 1000.0 { 1 } else { 4 };
    format!("{value:.digits$}")
}

/// The time of day in UTC.
fn clock(milliseconds: i64) -> String {
    let format = format_description!("[hour]:[minute]:[second].[subsecond digits:3]");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .ok()
        .and_then(|at| at.format(format).ok())
        .unwrap_or_else(|| milliseconds.to_string())
}

#[cfg(test)]
mod tests;
