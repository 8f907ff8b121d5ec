//! Checks that everything of a start arrived: what the function printed and sent, and what the platform reported about its invocations.

use std::collections::BTreeMap;

use serde_json::Value;

use super::exercise::ACCEPTED_SPANS;
use crate::sandbox::SandboxRecord;
use crate::sandbox::intake::{Kind, Payload, Request};
use crate::sandbox::journal::JournalEvent;
use crate::sandbox::setup::Origin;

/// The metric that counts invocations, in any extension that speaks Datadog's protocols.
const INVOCATIONS: &str = "aws.lambda.enhanced.invocations";
/// Maximum number of missing items that are named.
const NAMED: usize = 3;

/// A metric with all that the function sent of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ExpectedMetric {
    pub name: String,
    /// Number of points; 0 if they may be aggregated before delivery.
    pub points: i64,
    /// The sum of the points.
    pub sum: f64,
}

/// A description of what is missing; `None` if everything arrived. Surplus payload shows in the digest.
pub(super) fn undelivered(record: &SandboxRecord, sent: &[ExpectedMetric]) -> Option<String> {
    let delivered: Vec<&Request> = record.requests.iter().filter(|request| request.delivered()).collect();
    let mut missing = Vec::new();
    if delivered.is_empty() {
        missing.push("nothing arrived".to_owned());
    }
    let texts = texts(&delivered);
    missing.extend(lines(record, &texts));
    let invoked = record.journal.iter().filter_map(|entry| match &entry.what {
        JournalEvent::Invoked { request_id } => Some(request_id.as_str()),
        _ => None,
    });
    let ids: Vec<&str> = invoked.collect();
    let unseen = ids.iter().filter(|id| !texts.keys().any(|text| text.starts_with("REPORT ") && text.contains(*id)));
    missing.extend(unseen.map(|id| format!("the report of the request {id}")));
    let totals = totals(&delivered);
    let invocations = ExpectedMetric { name: INVOCATIONS.to_owned(), points: 0, sum: float(ids.len()) };
    missing.extend(spans(record, &delivered));
    missing.extend(std::iter::once(&invocations).chain(sent).filter_map(|sent| lacks(&totals, sent)));
    missing_text(&missing)
}

/// The number of times each log text arrived.
fn texts<'a>(delivered: &[&'a Request]) -> BTreeMap<&'a str, usize> {
    let mut texts: BTreeMap<&str, usize> = BTreeMap::new();
    let logs = delivered.iter().filter_map(|request| match &request.payload {
        Payload::Logs(elements) => Some(elements),
        _ => None,
    });
    for element in logs.flatten() {
        let text = element.pointer("/message/message").or_else(|| element.get("message")).and_then(Value::as_str);
        *texts.entry(text.unwrap_or_default()).or_default() += 1;
    }
    texts
}

/// Records of the function that arrived less often than they were printed.
fn lines(record: &SandboxRecord, texts: &BTreeMap<&str, usize>) -> Vec<String> {
    let mut printed: BTreeMap<String, usize> = BTreeMap::new();
    for line in record.output.iter().filter(|line| line.origin == Origin::Function) {
        *printed.entry(String::from_utf8_lossy(&line.bytes).into_owned()).or_default() += 1;
    }
    let missing = printed.iter().filter_map(|(text, count)| {
        let arrived = texts.get(text.as_str()).copied().unwrap_or_default();
        (arrived < *count).then(|| format!("{} of {count} lines {text:?}", count - arrived))
    });
    missing.collect()
}

/// Spans that the extension has accepted and that did not arrive.
fn spans(record: &SandboxRecord, delivered: &[&Request]) -> Option<String> {
    let accepted = |line: &crate::sandbox::OutputLine| {
        let text = String::from_utf8_lossy(&line.bytes).into_owned();
        let count: String = text.strip_prefix(ACCEPTED_SPANS)?.chars().take_while(char::is_ascii_digit).collect();
        count.parse::<usize>().ok()
    };
    let of_function = record.output.iter().filter(|line| line.origin == Origin::Function);
    let accepted: usize = of_function.filter_map(accepted).sum();
    let payloads = delivered.iter().filter_map(|request| match &request.payload {
        Payload::Traces(payload) => Some(&payload.tracer_payloads),
        _ => None,
    });
    let arrived: usize = payloads.flatten().flat_map(|tracer| &tracer.chunks).map(|chunk| chunk.spans.len()).sum();
    (arrived < accepted).then(|| format!("{} of {accepted} spans", accepted - arrived))
}

/// Points and sums by metric.
fn totals<'a>(delivered: &[&'a Request]) -> BTreeMap<&'a str, (i64, f64)> {
    let mut totals: BTreeMap<&str, (i64, f64)> = BTreeMap::new();
    let mut add = |metric: &'a str, points: i64, sum: f64| {
        let total = totals.entry(metric).or_default();
        *total = (total.0 + points, total.1 + sum);
    };
    for request in delivered {
        match &request.payload {
            Payload::Series(all) => all.iter().for_each(|series| {
                // A rate is per second; the count is the rate times the interval.
                let factor =
                    if series.kind == Kind::Rate { float(usize::try_from(series.interval).unwrap_or(1)) } else { 1.0 };
                series.points.iter().for_each(|point| add(&series.metric, 1, point.value * factor));
            }),
            Payload::Sketches(all) => all.iter().for_each(|sketch| {
                sketch.distributions.iter().for_each(|points| add(&sketch.metric, points.cnt, points.sum));
            }),
            _ => {}
        }
    }
    totals
}

fn lacks(totals: &BTreeMap<&str, (i64, f64)>, sent: &ExpectedMetric) -> Option<String> {
    let (points, sum) = totals.get(sent.name.as_str()).copied().unwrap_or_default();
    let is_whole = points >= sent.points && sum >= sent.sum - 1e-6 * sent.sum.abs();
    (!is_whole).then(|| format!("{}: {sum} of {} in {points} points", sent.name, sent.sum))
}

fn missing_text(missing: &[String]) -> Option<String> {
    let named = missing.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
    let more = match missing.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    (!missing.is_empty()).then(|| format!("missing: {named}{more}"))
}

#[expect(clippy::cast_precision_loss, reason = "a handful of invocations")]
fn float(count: usize) -> f64 {
    count as f64
}
