//! A function for untimed starts that gives an extension every kind of payload to deliver.

use std::net::UdpSocket;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::expected::ExpectedMetric;
use crate::sample_events;
use crate::sandbox::function::{Call, Handler, HandlerOutcome, InitError};
use crate::sandbox::intake::{ClientStats, Span, StatsBucket, StatsGroup};
use crate::sandbox::{Invocation, Outcome, tracer};

/// The DogStatsD address of an extension.
const DOGSTATSD: &str = "127.0.0.1:8125";
/// The timeout of the function; one of the invocations exceeds it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
/// How long the function sleeps in that invocation.
const TOO_LONG: Duration = TIMEOUT.saturating_mul(2);
/// The log levels of Lambda's runtimes.
const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
/// The type of the error that one invocation reports.
const ERROR: &str = "PlannedError";

/// What the invocations do, in this order. After the timeout the environment is a new one, whose init prints again.
pub(super) const INVOCATIONS: [Action; 5] =
    [Action::Answer, Action::Fail, Action::Answer, Action::TimeOut, Action::Answer];

/// How an invocation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Answer,
    Fail,
    TimeOut,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Fail => "fail",
            Self::TimeOut => "time out",
        }
    }

    /// The event that requests this action.
    pub(super) fn event(self, number: usize) -> Vec<u8> {
        json!({"invocation": number, "action": self.name()}).to_string().into_bytes()
    }

    /// Returns an error if the invocation did not end as its action requires.
    pub(super) fn judge(self, number: usize, invocation: &Invocation) -> Result<(), String> {
        let is_expected = match (self, &invocation.outcome) {
            (Self::Answer, Outcome::Success) | (Self::TimeOut, Outcome::Timeout) => true,
            (Self::Fail, Outcome::FunctionError { error_type }) => error_type == ERROR,
            _ => false,
        };
        let name = self.name();
        let ended = || format!("invocation {number} was to {name} and ended otherwise: {:?}", invocation.outcome);
        if is_expected { Ok(()) } else { Err(ended()) }
    }
}

/// Prints plain, JSON and multi-line records at every level in its init and in each invocation. Sends DogStatsD of every kind, spans, statistics and a profile in each
/// invocation, and reports the start and, but for the one that times out, the end of each, with an event of a queue.
#[derive(Debug)]
pub(super) struct Exercise;

impl Handler for Exercise {
    fn init(&self, init: &Call<'_>) -> Result<(), InitError> {
        print(init, "the init");
        Ok(())
    }

    fn handle(&self, call: &Call<'_>) -> HandlerOutcome {
        let event: Value = serde_json::from_slice(call.event).unwrap_or_default();
        let number = event.get("invocation").and_then(Value::as_u64).unwrap_or_default();
        let action = event.get("action").and_then(Value::as_str).unwrap_or_default();
        print(call, &format!("invocation {number}"));
        let is_started = start_is_reported(call);
        send(number);
        trace(call, number);
        let times_out = action == Action::TimeOut.name();
        if is_started && (times_out || end_is_reported(call, number)) {
            call.print(format!("{ACCEPTED_SPANS}{SPANS_OF_INVOCATION}, of the invocation"));
        }
        match action {
            name if name == Action::Fail.name() => {
                HandlerOutcome::Error { error_type: ERROR.to_owned(), message: "as planned".to_owned() }
            }
            name if name == Action::TimeOut.name() => {
                std::thread::sleep(TOO_LONG);
                HandlerOutcome::Response(b"too late".to_vec())
            }
            _ => HandlerOutcome::Response(b"null".to_vec()),
        }
    }
}

fn print(call: &Call<'_>, place: &str) {
    for level in LEVELS {
        call.print(format!("{level} a plain record of {place}"));
        call.print(json!({"level": level, "message": format!("a JSON record of {place}"), "answer": 42}).to_string());
        call.print(format!("{level} the first line of {place}\n  the second line\n  the third line"));
    }
    call.print_error(format!("a record of {place} for standard error"));
}

/// The datagrams of an invocation. Gauges and sets have a different name in each, because the number of their points depends on when they are flushed.
fn datagrams(number: u64) -> [String; 6] {
    [
        "delivery.count:2|c|#kind:count".to_owned(),
        format!("delivery.gauge.{number}:7.5|g|#kind:gauge"),
        format!("delivery.set.{number}:member|s|#kind:set"),
        "delivery.histogram:3.5|h|#kind:histogram".to_owned(),
        "delivery.timing:12|ms|#kind:timing".to_owned(),
        "delivery.distribution:1.25:2.25|d|#kind:distribution".to_owned(),
    ]
}

fn send(number: u64) {
    // A datagram that cannot be sent is reported as missing by the check of what arrived.
    let Ok(socket) = UdpSocket::bind("127.0.0.1:0") else { return };
    for datagram in datagrams(number) {
        let _ = socket.send_to(datagram.as_bytes(), DOGSTATSD);
    }
}

/// How the line begins that says how many spans the trace agent has accepted.
pub(super) const ACCEPTED_SPANS: &str = "spans accepted by the trace agent: ";

/// Sends what tracers send. Nothing has to arrive of what was not accepted: the function says what was.
fn trace(call: &Call<'_>, number: u64) {
    let is_accepted = |path: &str, body: &[u8]| {
        let headers = [("content-type", "application/msgpack"), ("datadog-meta-lang", "rust")];
        let reply = tracer::Request { method: "POST", path, headers: &headers, body }.send();
        reply.is_ok_and(|reply| matches!(reply.status, 200 | 202))
    };
    let [first, second] = traces(number);
    let requests = [
        ("/v0.4/traces", tracer::v04(&[first.clone(), vec![placeholder(call, number)]]), first),
        ("/v0.5/traces", tracer::v05(std::slice::from_ref(&second)), second),
    ];
    let accepted = requests.iter().filter(|(path, body, _)| is_accepted(path, body));
    let spans: usize = accepted.map(|(_, _, spans)| spans.len()).sum();
    let stats = is_accepted("/v0.6/stats", &tracer::stats(&statistics(number)));
    let profile = is_accepted("/profiling/v1/input", format!("profile {number}").as_bytes());
    call.print(format!("{ACCEPTED_SPANS}{spans}, statistics: {stats}, profile: {profile}"));
}

/// The span of an invocation and that of its queue.
const SPANS_OF_INVOCATION: usize = 2;

/// Calls the lifecycle listener, and returns whether the extension has accepted the call.
fn report(call: &Call<'_>, path: &str, headers: &[(&str, &str)], body: &[u8]) -> bool {
    let id = [("lambda-runtime-aws-request-id", call.request_id), ("datadog-meta-lang", "rust")];
    let headers = [&id[..], headers].concat();
    let request = tracer::Request { method: "POST", path, headers: &headers, body };
    request.send_to(tracer::LIFECYCLE_ADDRESS).is_ok_and(|reply| reply.status == 200)
}

fn start_is_reported(call: &Call<'_>) -> bool {
    report(call, "/lambda/start-invocation", &[], sample_events::SQS.text.as_bytes())
}

fn end_is_reported(call: &Call<'_>, number: u64) -> bool {
    let span_id = (100 * number + INVOCATION).to_string();
    report(call, "/lambda/end-invocation", &[("x-datadog-span-id", &span_id)], br#"{"statusCode":200}"#)
}

/// The id of an invocation's span, beside 100 times its number.
const INVOCATION: u64 = 31;

/// What a tracer sends in place of the span of the invocation, which the extension builds.
fn placeholder(call: &Call<'_>, number: u64) -> Span {
    Span {
        service: "delivery".to_owned(),
        name: "dd-tracer-serverless-span".to_owned(),
        resource: "dd-tracer-serverless-span".to_owned(),
        trace_id: 100 * number + INVOCATION,
        span_id: 100 * number + INVOCATION,
        start: 1_700_000_000_000_000_000,
        duration: 1,
        meta: [("request_id".to_owned(), call.request_id.to_owned()), ("kept".to_owned(), "yes".to_owned())].into(),
        metrics: [("_sampling_priority_v1".to_owned(), 1.0)].into(),
        ..Span::default()
    }
}

/// A trace with a failed child for one format, and one of a single span for the other.
fn traces(number: u64) -> [Vec<Span>; 2] {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let span = |trace: u64, id: u64, parent: u64, name: &str| Span {
        service: "delivery".to_owned(),
        name: name.to_owned(),
        resource: format!("/{name}"),
        kind: "web".to_owned(),
        trace_id: 100 * number + trace,
        span_id: 100 * number + id,
        parent_id: if parent == 0 { 0 } else { 100 * number + parent },
        start: i64::try_from(now.as_nanos()).unwrap_or(i64::MAX),
        duration: 1_000_000,
        meta: [("span.kind".to_owned(), "server".to_owned()), ("number".to_owned(), number.to_string())].into(),
        metrics: [("_sampling_priority_v1".to_owned(), 1.0), ("rows".to_owned(), 7.5)].into(),
        ..Span::default()
    };
    let failed = Span { error: 1, ..span(10, 12, 11, "child") };
    [vec![span(10, 11, 0, "root"), failed], vec![span(20, 21, 0, "single")]]
}

fn statistics(number: u64) -> ClientStats {
    let group = StatsGroup {
        service: "delivery".to_owned(),
        name: "query".to_owned(),
        resource: format!("statement {number}"),
        kind: "sql".to_owned(),
        hits: 3,
        errors: 1,
        top_level_hits: 2,
        duration: 42,
        ..StatsGroup::default()
    };
    let buckets = vec![StatsBucket { start: 1, duration: 10_000_000_000, groups: vec![group] }];
    ClientStats { env: "delivery".to_owned(), lang: "rust".to_owned(), buckets, ..ClientStats::default() }
}

/// What the invocations send, all together.
pub(super) fn sent() -> Vec<ExpectedMetric> {
    let count = INVOCATIONS.len();
    let times = |points: i64, sum: f64| (points * i64::try_from(count).unwrap_or(0), sum * number(count));
    let total = |name: &str, (points, sum): (i64, f64)| ExpectedMetric { name: name.to_owned(), points, sum };
    let mut sent = vec![
        // Points of a count may be aggregated before delivery.
        ExpectedMetric { points: 1, ..total("delivery.count", times(1, 2.0)) },
        total("delivery.histogram", times(1, 3.5)),
        total("delivery.timing", times(1, 12.0)),
        total("delivery.distribution", times(2, 3.5)),
    ];
    for invocation in 0..count {
        sent.push(total(&format!("delivery.gauge.{invocation}"), (1, 7.5)));
        sent.push(total(&format!("delivery.set.{invocation}"), (1, 1.0)));
    }
    sent
}

#[expect(clippy::cast_precision_loss, reason = "a handful of invocations")]
fn number(count: usize) -> f64 {
    count as f64
}
