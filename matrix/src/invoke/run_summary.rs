//! What a run amounts to: what happened, what reached the intake, and what should have and did not. Pure: values in, values out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::sandbox::intake::{Answered, Kind, Payload, Request};

/// The metric with which an extension counts the invocations it has seen.
const INVOCATIONS: &str = "aws.lambda.enhanced.invocations";

/// What was seen of a run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub invocations: Vec<Outcome>,
    pub gates: Vec<Gate>,
    /// The lines that the function has printed.
    pub printed: Vec<String>,
    pub requests: Vec<Request>,
    /// How many events Lambda has handed to the function.
    pub invoked: usize,
    /// How an extension failed, if one did.
    pub crash: Option<String>,
    pub exits: Vec<Exit>,
    /// What the reader should know of the run itself.
    pub notes: Vec<String>,
    pub interrupted: bool,
    pub expected: Expected,
}

/// What the extension is configured to send.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    pub logs: bool,
    pub enhanced_metrics: bool,
}

/// One invocation as its caller saw it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub request_id: String,
    /// 1, or more for a retry of an asynchronous event.
    pub attempt: u32,
    pub succeeded: bool,
    /// `success`, or what went wrong.
    pub outcome: String,
    /// The answer of the function: JSON, or text if it is none.
    pub response: Value,
    /// From the event to the function's answer, milliseconds.
    pub answered_ms: f64,
    /// From the event until the last extension was ready again, milliseconds.
    pub duration_ms: f64,
    /// The init phase before it, milliseconds.
    pub init_ms: Option<f64>,
    pub billed_ms: u64,
    pub max_memory_mb: u32,
}

/// How an extension left at the shutdown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exit {
    pub extension: String,
    /// Such as `exit status: 0`.
    pub status: String,
    pub killed: bool,
    /// Milliseconds from the beginning of the shutdown.
    pub took_ms: f64,
}

/// When an extension passed the two gates of the init phase, milliseconds from its start. `None` is never.
#[derive(Clone, Debug, Serialize)]
pub struct Gate {
    pub extension: String,
    pub registered_ms: Option<f64>,
    pub ready_ms: Option<f64>,
}

/// What a run amounts to.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    pub verdict: Verdict,
    pub invocations: Vec<Outcome>,
    pub gates: Vec<Gate>,
    pub routes: Vec<RouteStats>,
    pub logs: Vec<Log>,
    pub metrics: Vec<Metric>,
    pub missing: Missing,
    pub crash: Option<String>,
    pub exits: Vec<Exit>,
    pub notes: Vec<String>,
}

/// The worst that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Delivered,
    PayloadLost,
    FunctionFailed,
    ExtensionCrashed,
    Interrupted,
}

/// All requests to one path of the intake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteStats {
    pub path: String,
    pub requests: usize,
    pub accepted: usize,
    /// As sent.
    pub wire_bytes: usize,
    /// After decompression.
    pub body_bytes: usize,
    /// Each sentence once, with how often it was said.
    pub problems: BTreeMap<String, usize>,
}

/// A log line that was delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    pub status: String,
    pub request_id: Option<String>,
    pub message: String,
}

/// A metric that was delivered, all of its points together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    pub name: String,
    /// `distribution`, `count`, `rate`, `gauge` or `unspecified`.
    pub kind: &'static str,
    pub count: i64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    /// Different tags on its points.
    pub tags: BTreeSet<String>,
}

/// What should have arrived.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Missing {
    /// Lines of the function without a delivered log.
    pub lines: Vec<String>,
    pub invocations: Option<InvocationCountMismatch>,
    pub refused: Vec<RejectedPayload>,
}

/// Lambda and the extension disagree on the number of invocations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct InvocationCountMismatch {
    pub invoked: usize,
    pub counted: f64,
}

/// A payload that the intake did not accept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectedPayload {
    pub number: usize,
    pub path: String,
    pub answer: Answered,
    pub problems: Vec<String>,
}

impl RunSummary {
    pub fn of(run: &Run) -> Self {
        let delivered: Vec<&Request> = run.requests.iter().filter(|request| request.delivered()).collect();
        let logs = logs(&delivered);
        let metrics = metrics(&delivered);
        let missing = Missing {
            lines: if run.expected.logs { unmatched(&run.printed, &logs) } else { Vec::new() },
            invocations: run.expected.enhanced_metrics.then(|| uncounted(run.invoked, &metrics)).flatten(),
            refused: refused(&run.requests),
        };
        Self {
            verdict: verdict(run, &missing),
            invocations: run.invocations.clone(),
            gates: run.gates.clone(),
            routes: traffic(&run.requests),
            logs,
            metrics,
            missing,
            crash: run.crash.clone(),
            exits: run.exits.clone(),
            notes: run.notes.clone(),
        }
    }
}

impl Missing {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.invocations.is_none() && self.refused.is_empty()
    }
}

/// A crash explains a failure and a failure explains a loss, so the cause is named first.
fn verdict(run: &Run, missing: &Missing) -> Verdict {
    if run.interrupted {
        Verdict::Interrupted
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

/// Whether there was a later attempt at the same event, which counts in the place of this one.
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

/// What the intake knows how to read and did not accept. A path that it does not serve is traffic that nobody can judge here.
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

impl Log {
    /// The text is one level down in what extensions send; the agent itself has it at the top.
    fn of(element: &Value) -> Self {
        let content = element.get("message").filter(|message| message.is_object()).unwrap_or(element);
        let text = |key: &str| content.get(key).and_then(Value::as_str);
        let message = match content.get("message") {
            Some(Value::String(message)) => message.clone(),
            Some(other) => other.to_string(),
            None => element.to_string(),
        };
        let request_id = content.pointer("/lambda/request_id").and_then(Value::as_str);
        Self {
            timestamp: content.get("timestamp").and_then(Value::as_i64),
            status: text("status").unwrap_or("info").to_owned(),
            request_id: request_id.filter(|id| !id.is_empty()).map(str::to_owned),
            message,
        }
    }
}

fn metrics(delivered: &[&Request]) -> Vec<Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
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
            Payload::Logs(_) | Payload::Unknown { .. } | Payload::Undecodable { .. } => {}
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

fn add(metrics: &mut BTreeMap<String, Metric>, one: Metric) {
    let Some(all) = metrics.get_mut(&one.name) else {
        metrics.insert(one.name.clone(), one);
        return;
    };
    all.count += one.count;
    all.sum += one.sum;
    all.min = all.min.min(one.min);
    all.max = all.max.max(one.max);
    all.tags.extend(one.tags);
}

/// Lines without a log of the same text. Each log accounts for one line, so a line printed twice has to arrive twice.
fn unmatched(printed: &[String], logs: &[Log]) -> Vec<String> {
    let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
    for log in logs {
        *arrived.entry(canonical_text(&log.message)).or_default() += 1;
    }
    let mut missing = Vec::new();
    for line in printed.iter().filter(|line| !line.trim().is_empty()) {
        match arrived.get_mut(&canonical_text(line)) {
            Some(count) if *count > 0 => *count -= 1,
            _ => missing.push(line.clone()),
        }
    }
    missing
}

/// What has to survive on the way: an extension may write JSON more compactly, and it moves `ddtags` to where Datadog wants them.
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
