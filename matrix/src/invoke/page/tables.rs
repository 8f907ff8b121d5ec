//! The tables of the page.

use time::OffsetDateTime;
use time::macros::format_description;

use super::{count, milliseconds, section};
use crate::invoke::run_summary::{MissingDeliveries, RunSummary};
use crate::markup::{Element, table};

pub fn invocations(run_summary: &RunSummary) -> Element {
    let rows = run_summary.invocations.iter().map(|outcome| {
        let attempt = if outcome.attempt > 1 { format!(" attempt {}", outcome.attempt) } else { String::new() };
        vec![
            format!("{}{attempt}", outcome.request_id),
            outcome.outcome.clone(),
            outcome.init_ms.map_or_else(|| "–".to_owned(), milliseconds),
            milliseconds(outcome.answered_ms),
            milliseconds(outcome.duration_ms),
            format!("{} ms", outcome.billed_ms),
            format!("{} MB", outcome.max_memory_mb),
            outcome.response.to_string(),
        ]
    });
    let head = ["request", "outcome", "init", "answered", "total", "billed", "memory", "response"];
    table(&head, &rows.collect::<Vec<_>>())
}

pub fn logs(run_summary: &RunSummary) -> Element {
    let rows = run_summary.logs.iter().map(|log| {
        vec![
            log.timestamp.map_or_else(|| "?".to_owned(), clock),
            log.status.clone(),
            log.request_id.as_deref().unwrap_or("–").chars().take(8).collect(),
            log.message.trim_end().to_owned(),
        ]
    });
    table(&["time (UTC)", "status", "request", "message"], &rows.collect::<Vec<_>>())
}

pub fn metrics(run_summary: &RunSummary) -> Element {
    let rows = run_summary.metrics.iter().map(|metric| {
        vec![
            metric.name.clone(),
            metric.kind.to_owned(),
            metric.count.to_string(),
            number(metric.sum),
            number(metric.min),
            number(metric.max),
            metric.tags.iter().cloned().collect::<Vec<_>>().join(" "),
        ]
    });
    table(&["name", "type", "count", "sum", "min", "max", "tags"], &rows.collect::<Vec<_>>())
}

pub fn operations(run_summary: &RunSummary) -> Element {
    let rows = run_summary.operations.iter().map(|operation| {
        vec![
            operation.name.clone(),
            operation.service.clone(),
            operation.resource.clone(),
            operation.hits.to_string(),
            operation.errors.to_string(),
            operation.top_level_hits.to_string(),
            milliseconds(operation.duration_ms),
        ]
    });
    let head = ["operation", "service", "resource", "hits", "errors", "top level", "took"];
    table(&head, &rows.collect::<Vec<_>>())
}

pub fn routes(run_summary: &RunSummary) -> Element {
    let rows = run_summary.routes.iter().map(|route| {
        let problems = route.problems.iter().map(|(problem, count)| format!("{problem} ({count})"));
        vec![
            route.path.clone(),
            route.requests.to_string(),
            route.accepted.to_string(),
            route.wire_bytes.to_string(),
            route.body_bytes.to_string(),
            problems.collect::<Vec<_>>().join("; "),
        ]
    });
    let head = ["path", "requests", "accepted", "bytes sent", "uncompressed", "problems"];
    table(&head, &rows.collect::<Vec<_>>())
}

/// What should have arrived and did not.
pub fn missing(missing: &MissingDeliveries) -> Option<Element> {
    let lines = missing.lines.iter().map(|line| format!("no log arrived for the line: {line}"));
    let counts = missing.invocations.iter().map(|counts| {
        format!(
            "{}, but aws.lambda.enhanced.invocations adds up to {}",
            count(counts.invoked, "invocation"),
            counts.counted
        )
    });
    let refused = missing.refused.iter().map(|refused| {
        format!("request {} to {} was not accepted: {}", refused.number, refused.path, refused.problems.join("; "))
    });
    let losses = missing.custom_metrics.iter().map(|loss| {
        let (sent, arrived) = (number(loss.sent), number(loss.arrived));
        format!("custom metric {}: {sent} sent to DogStatsD, {arrived} arrived", loss.name)
    });
    let drops = missing.drops.iter().map(|line| format!("the extension dropped data: {line}"));
    let ports = missing.taken_ports.iter().map(|port| format!("another process of this machine has {port}"));
    let others = losses.chain(drops).chain(ports).chain(missing.assertions.iter().cloned());
    let items = lines.chain(counts).chain(refused).chain(others).map(|text| Element::new("li").text(text));
    (!missing.is_empty()).then(|| section("Missing").class("missing").child(Element::new("ul").children(items)))
}

fn number(value: f64) -> String {
    if value.fract().abs() < f64::EPSILON { format!("{value:.0}") } else { format!("{value:.4}") }
}

/// The time of day in UTC.
fn clock(milliseconds: i64) -> String {
    let format = format_description!("[hour]:[minute]:[second].[subsecond digits:3]");
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok();
    at.and_then(|at| at.format(format).ok()).unwrap_or_else(|| milliseconds.to_string())
}
