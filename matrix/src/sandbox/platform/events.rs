//! The events of the Telemetry API, as in "Lambda Telemetry API Event schema reference".

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::sandbox::invocation::Status;
use crate::sandbox::journal::Journal;
use crate::sandbox::setup::{Initialization, Setup};

/// The event types that a subscriber can select.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Category {
    Platform,
    Function,
    Extension,
}

impl Category {
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "platform" => Some(Self::Platform),
            "function" => Some(Self::Function),
            "extension" => Some(Self::Extension),
            _ => None,
        }
    }

    /// The category of an event type.
    pub(crate) fn of_event(kind: &str) -> Self {
        match kind {
            "function" => Self::Function,
            "extension" => Self::Extension,
            _ => Self::Platform,
        }
    }
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn timestamp(moment: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    moment.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default()
}

/// Milliseconds with three decimals, as Lambda writes durations.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    let microseconds = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    f64::from(microseconds) / 1000.0
}

pub(crate) fn envelope(time: &str, kind: &str, record: Value) -> Value {
    let mut event = Map::new();
    event.insert("time".to_owned(), Value::from(time));
    event.insert("type".to_owned(), Value::from(kind));
    event.insert("record".to_owned(), record);
    Value::Object(event)
}

pub(crate) fn init_start(setup: &Setup, phase: &str) -> Value {
    let mut record = json!({
        "initializationType": setup.initialization.name(),
        "phase": phase,
        "functionName": setup.function_name,
        "functionVersion": "$LATEST",
        "instanceId": "$LATEST",
        "instanceMaxMemory": u64::from(setup.memory_mb) * 1024 * 1024,
    });
    if let Some(runtime) = setup.runtime_version.as_deref().or(setup.function.runtime_version())
        && let Some(record) = record.as_object_mut()
    {
        record.insert("runtimeVersion".to_owned(), json!(runtime));
        let arn = format!("arn:aws:lambda:{}::runtime:sandbox", setup.region);
        record.insert("runtimeVersionArn".to_owned(), json!(arn));
    }
    record
}

/// The end of a phase, as several events report it.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub status: Status,
    pub error_type: Option<String>,
}

impl End {
    pub(crate) fn success() -> Self {
        Self { status: Status::Success, error_type: None }
    }

    fn record(&self) -> Map<String, Value> {
        let mut record = Map::new();
        record.insert("status".to_owned(), json!(self.status.name()));
        if let Some(error_type) = &self.error_type {
            record.insert("errorType".to_owned(), json!(error_type));
        }
        record
    }
}

pub(crate) fn init_runtime_done(initialization: Initialization, phase: &str, end: &End) -> Value {
    let mut record = end.record();
    record.insert("initializationType".to_owned(), json!(initialization.name()));
    record.insert("phase".to_owned(), json!(phase));
    Value::Object(record)
}

pub(crate) fn init_report(initialization: Initialization, phase: &str, end: &End, took: Duration) -> Value {
    let mut record = end.record();
    record.insert("initializationType".to_owned(), json!(initialization.name()));
    record.insert("phase".to_owned(), json!(phase));
    record.insert("metrics".to_owned(), json!({"durationMs": milliseconds(took)}));
    Value::Object(record)
}

pub(crate) fn restore_start(setup: &Setup) -> Value {
    json!({
        "functionName": setup.function_name,
        "functionVersion": "$LATEST",
        "instanceId": "$LATEST",
        "instanceMaxMemory": u64::from(setup.memory_mb) * 1024 * 1024,
    })
}

pub(crate) fn restore_runtime_done(end: &End) -> Value {
    Value::Object(end.record())
}

pub(crate) fn restore_report(end: &End, took: Duration) -> Value {
    let mut record = end.record();
    record.insert("metrics".to_owned(), json!({"durationMs": milliseconds(took)}));
    Value::Object(record)
}

pub(crate) fn extension(name: &str, state: &str, wants: &[&str], error_type: Option<&str>) -> Value {
    let mut record = json!({"name": name, "state": state, "events": wants});
    if let (Some(error_type), Some(record)) = (error_type, record.as_object_mut()) {
        record.insert("errorType".to_owned(), json!(error_type));
    }
    record
}

pub(crate) fn telemetry_subscription(name: &str, types: &[String]) -> Value {
    json!({"name": name, "state": "Subscribed", "types": types})
}

pub(crate) fn logs_dropped(events: usize, bytes: usize) -> Value {
    json!({
        "reason": "Consumer seems to have fallen behind as it has not acknowledged receipt of logs.",
        "droppedRecords": events,
        "droppedBytes": bytes,
    })
}

pub(crate) fn start(setup: &Setup, request_id: &str, trace: &str) -> Value {
    let mut record = json!({"requestId": request_id, "version": "$LATEST"});
    if let Some(record) = record.as_object_mut() {
        if setup.initialization == Initialization::ManagedInstances {
            record.insert("functionArn".to_owned(), json!(setup.function_arn()));
        } else {
            record.insert("tracing".to_owned(), tracing(trace));
        }
    }
    record
}

fn tracing(trace: &str) -> Value {
    json!({"type": "X-Amzn-Trace-Id", "value": trace})
}

/// A part of an invocation with its duration.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub name: &'static str,
    pub start: Instant,
    pub duration: Duration,
}

pub(crate) fn spans(journal: &Journal, spans: &[Span]) -> Value {
    let span = |span: &Span| {
        let start = timestamp(journal.wall(span.start));
        json!({"name": span.name, "start": start, "durationMs": milliseconds(span.duration)})
    };
    Value::Array(spans.iter().map(span).collect())
}

/// The `platform.runtimeDone` record; without metrics if the runtime never finished.
pub(crate) fn runtime_done(
    request_id: &str,
    end: &End,
    metrics: Option<(Duration, usize)>,
    spans: Value,
    trace: &str,
) -> Value {
    let mut record = end.record();
    record.insert("requestId".to_owned(), json!(request_id));
    if let Some((took, produced)) = metrics {
        record.insert("metrics".to_owned(), json!({"durationMs": milliseconds(took), "producedBytes": produced}));
    }
    record.insert("spans".to_owned(), spans);
    record.insert("tracing".to_owned(), tracing(trace));
    Value::Object(record)
}

/// The billing data of an invocation.
#[derive(Clone, Debug)]
pub(crate) struct BilledDuration {
    pub duration: Duration,
    pub billed_ms: u64,
    pub memory_mb: u32,
    pub max_memory_mb: u32,
    pub init: Option<Duration>,
}

pub(crate) fn report(request_id: &str, end: &End, bill: &BilledDuration, spans: Value, trace: &str) -> Value {
    let mut record = end.record();
    let mut metrics = json!({
        "durationMs": milliseconds(bill.duration),
        "billedDurationMs": bill.billed_ms,
        "memorySizeMB": bill.memory_mb,
        "maxMemoryUsedMB": bill.max_memory_mb,
    });
    if let (Some(init), Some(metrics)) = (bill.init, metrics.as_object_mut()) {
        metrics.insert("initDurationMs".to_owned(), json!(milliseconds(init)));
    }
    record.insert("requestId".to_owned(), json!(request_id));
    record.insert("metrics".to_owned(), metrics);
    record.insert("spans".to_owned(), spans);
    record.insert("tracing".to_owned(), tracing(trace));
    Value::Object(record)
}

/// The shorter `platform.report` record of managed instances.
pub(crate) fn managed_report(request_id: &str, end: &End, took: Duration, spans: Value) -> Value {
    let mut record = end.record();
    record.insert("requestId".to_owned(), json!(request_id));
    record.insert("metrics".to_owned(), json!({"durationMs": milliseconds(took)}));
    record.insert("spans".to_owned(), spans);
    Value::Object(record)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_are_utc_with_three_digits() {
        assert_eq!(timestamp(datetime!(2026-11-23 09:45:46.2219 +2)), "2026-11-23T07:45:46.221Z");
    }

    #[test]
    fn durations_have_three_decimals() {
        assert!((milliseconds(Duration::from_nanos(1_398_765)) - 1.398).abs() < f64::EPSILON);
    }
}
