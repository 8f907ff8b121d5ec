//! The summary of a run: what happened, what reached the intake, and what should have and did not. Pure functions.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

mod assertions;
mod dogstatsd;

pub use super::expected::{ExpectedTelemetry, Extensions};
pub use super::log::Log;
pub use assertions::{Assertions, MetricAssertion};
pub use dogstatsd::CustomMetricLoss;

use super::expected::LogRule;
use super::traces::{InvocationStart, Operation, Trace, operations, traces};
use crate::sandbox::intake::{Kind, Payload, Request, RequestOutcome};

/// The end of a log whose text was longer than the intake accepts.
const SHORTENED: &str = "...TRUNCATED...";
/// A note about a run on a network whose datagrams the sandbox cannot see.
const UNCHECKED_METRICS: &str = "Custom metrics were not checked: what the function sends to DogStatsD can be seen in a network of the sandbox's own only.";
/// The enhanced metric that counts the invocations an extension has seen.
const INVOCATIONS: &str = "aws.lambda.enhanced.invocations";

/// The record of a run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub invocations: Vec<Outcome>,
    pub gates: Vec<Gate>,
    /// The lines that the function printed.
    pub printed: Vec<String>,
    pub requests: Vec<Request>,
    /// The beginnings of all invocations of the function.
    pub began: Vec<InvocationStart>,
    /// How an extension failed, if one did.
    pub crash: Option<String>,
    pub exits: Vec<Exit>,
    /// Notes about the run for the reader.
    pub notes: Vec<String>,
    /// What the function sent to DogStatsD; `None` if that could not be seen.
    pub datagrams: Option<Vec<Vec<u8>>>,
    /// What the extension said that it has dropped.
    pub drops: Vec<String>,
    /// Ports of the extension that another process had.
    pub taken_ports: Vec<String>,
    /// What of the machine the processes saw although they were to have their own.
    pub not_isolated: Vec<&'static str>,
    /// Why the network is the machine's although another one was requested.
    pub network_refusal: Option<String>,
    pub interrupted: bool,
    pub expected: ExpectedTelemetry,
    pub assertions: Assertions,
}

/// One invocation from its caller's view.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub request_id: String,
    /// 1 for the first attempt, more for retries of an asynchronous event.
    pub attempt: u32,
    pub succeeded: bool,
    /// `success`, or the error.
    pub outcome: String,
    /// The function's response: JSON, or text if it is not JSON.
    pub response: Value,
    /// Milliseconds from the event to the function's response.
    pub answered_ms: f64,
    /// Milliseconds from the event until the last extension was ready again.
    pub duration_ms: f64,
    /// Duration of the init phase before the invocation in milliseconds.
    pub init_ms: Option<f64>,
    pub billed_ms: u64,
    pub max_memory_mb: u32,
}

/// The exit of an extension during the shutdown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exit {
    pub extension: String,
    /// The exit status, such as `exit status: 0`.
    pub status: String,
    pub killed: bool,
    /// Milliseconds from the start of the shutdown.
    pub took_ms: f64,
}

/// The times at which an extension passed the two gates of the init phase, in milliseconds since its start. `None` if it did not.
#[derive(Clone, Debug, Serialize)]
pub struct Gate {
    pub extension: String,
    pub registered_ms: Option<f64>,
    pub ready_ms: Option<f64>,
}

/// The summary of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    pub verdict: Verdict,
    pub invocations: Vec<Outcome>,
    pub gates: Vec<Gate>,
    pub routes: Vec<RouteStats>,
    pub logs: Vec<Log>,
    pub metrics: Vec<Metric>,
    pub traces: Vec<Trace>,
    pub operations: Vec<Operation>,
    pub missing: MissingDeliveries,
    pub crash: Option<String>,
    pub exits: Vec<Exit>,
    pub notes: Vec<String>,
    pub extensions: Extensions,
    pub not_isolated: Vec<&'static str>,
}

/// The worst result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Delivered,
    PayloadLost,
    FunctionFailed,
    ExtensionCrashed,
    NotIsolated,
    Interrupted,
}

/// Statistics of all requests to one path of the intake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteStats {
    pub path: String,
    pub requests: usize,
    pub accepted: usize,
    /// Bytes as sent.
    pub wire_bytes: usize,
    /// Bytes after decompression.
    pub body_bytes: usize,
    /// The number of occurrences of each problem.
    pub problems: BTreeMap<String, usize>,
}

/// A delivered metric, with all of its points together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    pub name: String,
    /// `distribution`, `count`, `rate`, `gauge` or `unspecified`.
    pub kind: &'static str,
    pub count: i64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    /// The distinct tags of its points.
    pub tags: BTreeSet<String>,
}

/// What should have arrived and did not.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MissingDeliveries {
    /// Lines of the function without a delivered log.
    pub lines: Vec<String>,
    pub invocations: Option<InvocationCountMismatch>,
    pub refused: Vec<RejectedPayload>,
    /// Custom metrics that were sent to the extension and did not arrive whole.
    pub custom_metrics: Vec<CustomMetricLoss>,
    /// What the extension said that it has dropped.
    pub drops: Vec<String>,
    /// Ports of the extension that another process had.
    pub taken_ports: Vec<String>,
    /// Demands of the command line that are not met.
    pub assertions: Vec<String>,
}

/// The invocation counts of Lambda and of the extension, where they disagree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct InvocationCountMismatch {
    pub invoked: usize,
    pub counted: f64,
}

/// A payload that the intake rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectedPayload {
    pub number: usize,
    pub path: String,
    pub answer: RequestOutcome,
    pub problems: Vec<String>,
}

impl RunSummary {
    pub fn of(run: &Run) -> Self {
        let delivered: Vec<&Request> = run.requests.iter().filter(|request| request.delivered()).collect();
        let logs = logs(&delivered);
        let metrics = metrics(&delivered);
        // An interrupted run has not sent everything, so nothing is missing yet.
        let missing = if run.interrupted { MissingDeliveries::default() } else { missing(run, &logs, &metrics) };
        Self {
            verdict: verdict(run, &missing),
            invocations: run.invocations.clone(),
            gates: run.gates.clone(),
            routes: traffic(&run.requests),
            traces: traces(&delivered, &run.began, &logs),
            logs,
            metrics,
            operations: operations(&delivered),
            missing,
            crash: run.crash.clone(),
            exits: run.exits.clone(),
            notes: run.notes.iter().cloned().chain(unchecked(run).map(str::to_owned)).collect(),
            extensions: run.expected.extensions,
            not_isolated: run.not_isolated.clone(),
        }
    }
}

/// What could not be judged although something is expected.
fn unchecked(run: &Run) -> Option<&'static str> {
    (run.expected.dogstatsd.is_some() && run.datagrams.is_none()).then_some(UNCHECKED_METRICS)
}

fn missing(run: &Run, logs: &[Log], metrics: &[Metric]) -> MissingDeliveries {
    let expected = &run.expected;
    let printed = run.printed.iter().filter_map(|line| LogRule::apply(&expected.rules, line.trim_end()));
    MissingDeliveries {
        lines: if expected.logs { unmatched(&printed.collect::<Vec<_>>(), logs) } else { Vec::new() },
        invocations: expected.enhanced_metrics.then(|| uncounted(run.began.len(), metrics)).flatten(),
        refused: refused(&run.requests),
        custom_metrics: match (&expected.dogstatsd, &run.datagrams) {
            (Some(prefix), Some(datagrams)) => dogstatsd::lost(datagrams, prefix, metrics),
            _ => Vec::new(),
        },
        drops: run.drops.clone(),
        taken_ports: run.taken_ports.clone(),
        assertions: run.assertions.failures(logs, metrics, run.requests.len()),
    }
}

impl MissingDeliveries {
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

/// The verdict. A crash explains a failure and a failure explains a loss, so the cause takes precedence.
fn verdict(run: &Run, missing: &MissingDeliveries) -> Verdict {
    if run.interrupted {
        Verdict::Interrupted
    } else if run.network_refusal.is_some() {
        Verdict::NotIsolated
    } else if run.crash.is_some() {
        Verdict::ExtensionCrashed
    } else if run.invocations.iter().any(|outcome| !outcome.succeeded && !is_retried(run, outcome)) {
        Verdict::FunctionFailed
    } else if missing.is_empty() {
        Verdict::Delivered
    } else {
        Verdict::PayloadLost
    }
}

/// Whether the event was retried; the later attempt counts in place of this one.
fn is_retried(run: &Run, outcome: &Outcome) -> bool {
    let later = |other: &Outcome| other.request_id == outcome.request_id && other.attempt > outcome.attempt;
    run.invocations.iter().any(later)
}

fn traffic(requests: &[Request]) -> Vec<RouteStats> {
    let mut routes: Vec<RouteStats> = Vec::new();
    for request in requests {
        let position = routes.iter().position(|route| route.path == request.path).unwrap_or_else(|| {
            let path = request.path.clone();
            let problems = BTreeMap::new();
            routes.push(RouteStats { path, requests: 0, accepted: 0, wire_bytes: 0, body_bytes: 0, problems });
            routes.len() - 1
        });
        let Some(route) = routes.get_mut(position) else { continue };
        route.requests += 1;
        route.accepted += usize::from(request.delivered());
        route.wire_bytes += request.wire_bytes;
        route.body_bytes += request.body_bytes;
        for problem in &request.problems {
            *route.problems.entry(problem.clone()).or_default() += 1;
        }
    }
    routes
}

/// The rejected payloads. Requests to unknown paths are not judged.
fn refused(requests: &[Request]) -> Vec<RejectedPayload> {
    requests
        .iter()
        .filter(|request| !request.delivered() && request.route().is_some())
        .map(|request| RejectedPayload {
            number: request.number,
            path: request.path.clone(),
            answer: request.answer.clone(),
            problems: request.problems.clone(),
        })
        .collect()
}

fn logs(delivered: &[&Request]) -> Vec<Log> {
    let payloads = delivered.iter().filter_map(|request| match &request.payload {
        Payload::Logs(logs) => Some(logs),
        _ => None,
    });
    payloads.flatten().map(Log::of).collect()
}

fn metrics(delivered: &[&Request]) -> Vec<Metric> {
    let mut metrics: BTreeMap<(String, &'static str), Metric> = BTreeMap::new();
    for request in delivered {
        match &request.payload {
            Payload::Series(all) => {
                for series in all {
                    for point in &series.points {
                        let value = point.value;
                        let one =
                            Metric::of(&series.metric, name(series.kind), &series.tags).with(1, value, value, value);
                        add(&mut metrics, one);
                    }
                }
            }
            Payload::Sketches(all) => {
                for sketch in all {
                    for point in &sketch.distributions {
                        let empty = Metric::of(&sketch.metric, "distribution", &sketch.tags);
                        add(&mut metrics, empty.with(point.cnt, point.sum, point.min, point.max));
                    }
                }
            }
            _ => {}
        }
    }
    metrics.into_values().collect()
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Count => "count",
        Kind::Rate => "rate",
        Kind::Gauge => "gauge",
        Kind::Unspecified | Kind::Undefined(_) => "unspecified",
    }
}

impl Metric {
    fn of(name: &str, kind: &'static str, tags: &[String]) -> Self {
        let tags = tags.iter().cloned().collect();
        Self { name: name.to_owned(), kind, count: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, tags }
    }

    fn with(self, count: i64, sum: f64, min: f64, max: f64) -> Self {
        Self { count, sum, min, max, ..self }
    }
}

/// Metrics of one name and different types are different ones.
fn add(metrics: &mut BTreeMap<(String, &'static str), Metric>, one: Metric) {
    let Some(all) = metrics.get_mut(&(one.name.clone(), one.kind)) else {
        metrics.insert((one.name.clone(), one.kind), one);
        return;
    };
    all.count += one.count;
    all.sum += one.sum;
    all.min = all.min.min(one.min);
    all.max = all.max.max(one.max);
    all.tags.extend(one.tags);
}

/// The lines without a log of the same text. Each log accounts for one line, so a line that was printed twice has to arrive twice.
fn unmatched(printed: &[String], logs: &[Log]) -> Vec<String> {
    let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
    for log in logs {
        *arrived.entry(canonical_text(&log.message)).or_default() += 1;
    }
    let mut missing = Vec::new();
    let shortened = logs.iter().filter_map(|log| log.message.strip_suffix(SHORTENED));
    let mut shortened: Vec<&str> = shortened.filter(|start| !start.is_empty()).collect();
    // A line is more likely the one of which more has arrived.
    shortened.sort_by_key(|start| std::cmp::Reverse(start.len()));
    for line in printed.iter().filter(|line| !line.trim().is_empty()) {
        match arrived.get_mut(&canonical_text(line)) {
            Some(count) if *count > 0 => *count -= 1,
            _ => match shortened.iter().position(|start| line.len() > start.len() && line.starts_with(start)) {
                Some(position) => drop(shortened.remove(position)),
                None => missing.push(line.clone()),
            },
        }
    }
    missing
}

/// The text in a form that delivery preserves. An extension may compact JSON, and moves `ddtags` to the log's tags.
fn canonical_text(line: &str) -> String {
    let line = line.trim_end();
    match serde_json::from_str(line) {
        Ok(Value::Object(mut object)) => {
            object.shift_remove("ddtags");
            Value::Object(object).to_string()
        }
        _ => line.to_owned(),
    }
}

fn uncounted(invoked: usize, metrics: &[Metric]) -> Option<InvocationCountMismatch> {
    let counted: f64 = metrics.iter().filter(|metric| metric.name == INVOCATIONS).map(|metric| metric.sum).sum();
    #[expect(clippy::cast_precision_loss, reason = "nobody invokes a function 2^53 times")]
    let expected = invoked as f64;
    ((counted - expected).abs() > 0.5).then_some(InvocationCountMismatch { invoked, counted })
}

#[cfg(test)]
mod tests;
