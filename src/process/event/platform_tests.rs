use serde_json::{Value, json};

use super::*;
use crate::process::event::{Record, Text, parse};

/// One event of each type, with every field that is parsed and some that are ignored.
fn events() -> Vec<Value> {
    let event = |kind: &str, record: Value| json!({"time": "2026-11-23T09:45:46.221Z", "type": kind, "record": record});
    let tracing = json!({"type": "X-Amzn-Trace-Id", "value": "Root=1"});
    let spans = json!([{"name": "responseLatency", "start": "2026-11-23T09:45:46.221Z", "durationMs": 2.5}]);
    vec![
        event("function", json!("line")),
        event("extension", json!({"message": "line"})),
        event(
            "platform.initStart",
            json!({"runtimeVersion": "python:3.13", "runtimeVersionArn": "arn", "phase": "init"}),
        ),
        event("platform.initRuntimeDone", json!({"initializationType": "on-demand", "status": "success"})),
        event("platform.initReport", json!({"initializationType": "on-demand", "metrics": {"durationMs": 5.5}})),
        event("platform.restoreStart", json!({"functionName": "f"})),
        event("platform.restoreRuntimeDone", json!({"status": "success"})),
        event("platform.restoreReport", json!({"status": "success", "metrics": {"durationMs": 5.5}})),
        event("platform.start", json!({"requestId": "r", "version": "$LATEST", "tracing": tracing})),
        event(
            "platform.runtimeDone",
            json!({"requestId": "r", "status": "error", "errorType": "E", "metrics": {"durationMs": 5.5, "producedBytes": 3},
                "spans": spans, "tracing": tracing}),
        ),
        event(
            "platform.report",
            json!({"requestId": "r", "status": "error", "errorType": "E", "spans": spans, "metrics": {"durationMs": 5.5,
                "billedDurationMs": 6, "memorySizeMB": 128, "maxMemoryUsedMB": 90, "initDurationMs": 7.25}}),
        ),
        event("platform.extension", json!({"name": "x", "state": "Ready", "events": ["INVOKE"]})),
        event("platform.telemetrySubscription", json!({"name": "x", "types": ["platform"]})),
        event("platform.logsDropped", json!({"reason": "slow", "droppedRecords": 3, "droppedBytes": 99})),
    ]
}

/// The JSON pointers of every field, at any depth.
fn fields(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(name, value)| (format!("{at}/{name}"), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(index, value)| (format!("{at}/{index}"), value)).collect(),
        _ => Vec::new(),
    };
    for (pointer, child) in children {
        found.push(pointer.clone());
        fields(child, &pointer, found);
    }
}

fn removed(event: &Value, pointer: &str) -> Value {
    let mut event = event.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match event.pointer_mut(parent).unwrap() {
        Value::Object(map) => drop(map.shift_remove(name)),
        Value::Array(list) => drop(list.remove(name.parse().unwrap())),
        _ => unreachable!(),
    }
    event
}

fn replaced(event: &Value, pointer: &str, value: Value) -> Value {
    let mut event = event.clone();
    *event.pointer_mut(pointer).unwrap() = value;
    event
}

/// The record parsed from an event, or why there is none.
fn read_one(event: &Value) -> Result<Record, &'static str> {
    let batch = parse(format!("[{event}]").as_bytes(), 5);
    match (batch.events.into_iter().next(), batch.unknown, batch.malformed) {
        (Some(event), 0, 0) => Ok(event.record),
        (None, 1, 0) => Err("unknown"),
        (None, 0, 1) => Err("malformed"),
        other => panic!("{other:?}"),
    }
}

/// Whether an event cannot be parsed if this field is missing or of another type.
fn is_mandatory(pointer: &str, kind: &str) -> bool {
    let of_invocation = matches!(kind, "platform.start" | "platform.runtimeDone" | "platform.report");
    match pointer {
        "/type" => true,
        "/record" | "/record/requestId" => of_invocation,
        _ => false,
    }
}

#[test]
fn malformed_field_drops_only_that_field() {
    let odd = [
        json!(null),
        json!("odd"),
        json!(-1),
        json!(3.5),
        json!(true),
        json!([]),
        json!([null]),
        json!({}),
        json!({"a": 1}),
    ];
    for event in events() {
        let kind = event["type"].as_str().unwrap();
        let whole = read_one(&event).unwrap();
        let mut pointers = Vec::new();
        fields(&event, "", &mut pointers);
        for pointer in &pointers {
            let original = event.pointer(pointer).unwrap();
            let changed = odd.iter().filter(|odd| is_of_another_type(odd, original));
            let changed = changed.map(|odd| replaced(&event, pointer, odd.clone()));
            for changed in changed.chain([removed(&event, pointer)]) {
                match read_one(&changed) {
                    Ok(record) => {
                        assert!(!is_mandatory(pointer, kind), "{changed}");
                        assert_eq!(record, expected(&whole, pointer, &changed), "{changed}");
                    }
                    Err(_) if kind == "function" || kind == "extension" => {
                        let record = changed.get("record");
                        assert!(pointer == "/type" || record.is_none_or(Value::is_null), "{changed}");
                    }
                    Err(_) => assert!(is_mandatory(pointer, kind), "{changed}"),
                }
            }
        }
    }
}

/// The expected record of an event whose field at `pointer` was removed or changed: as before, but without that field.
fn expected(whole: &Record, pointer: &str, changed: &Value) -> Record {
    let Some(field) = pointer.strip_prefix("/record") else { return whole.clone() };
    let record = &changed["record"];
    let line = || match record {
        Value::Object(_) => Text::Object(record.to_string()),
        Value::String(text) => Text::Plain(text.clone()),
        other => Text::Plain(other.to_string()),
    };
    match whole.clone() {
        Record::Function(_) => Record::Function(line()),
        Record::Extension(_) => Record::Extension(line()),
        Record::Platform(platform) => Record::Platform(without(platform, field, record)),
    }
}

/// The event without the values that are parsed from a field or from its children.
fn without(platform: Platform, field: &str, record: &Value) -> Platform {
    let is_lost = |name: &str| name.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let are_spans_lost = is_lost("/spans/0/name") || is_lost("/spans/0/durationMs");
    match platform {
        Platform::InitStart(mut start) => {
            lose(is_lost("/runtimeVersion"), &mut start.runtime_version);
            lose(is_lost("/runtimeVersionArn"), &mut start.runtime_version_arn);
            Platform::InitStart(start)
        }
        Platform::InitReport(mut report) => {
            lose(is_lost("/initializationType"), &mut report.initialization_type);
            lose(is_lost("/metrics/durationMs"), &mut report.duration_ms);
            Platform::InitReport(report)
        }
        Platform::RestoreReport(mut report) => {
            lose(is_lost("/metrics/durationMs"), &mut report.duration_ms);
            Platform::RestoreReport(report)
        }
        Platform::Start(mut start) => {
            lose(is_lost("/version"), &mut start.version);
            let number = record["version"].as_number().map(ToString::to_string);
            start.version = start.version.or(number);
            Platform::Start(start)
        }
        Platform::RuntimeDone(mut done) => {
            lose(is_lost("/status"), &mut done.status);
            lose(is_lost("/errorType"), &mut done.error_type);
            lose(is_lost("/metrics/durationMs"), &mut done.metrics.duration_ms);
            lose(is_lost("/metrics/producedBytes"), &mut done.metrics.produced_bytes);
            lose(are_spans_lost, &mut done.spans);
            Platform::RuntimeDone(done)
        }
        Platform::Report(mut report) => {
            lose(is_lost("/status"), &mut report.status);
            lose(is_lost("/errorType"), &mut report.error_type);
            lose(is_lost("/metrics/durationMs"), &mut report.metrics.duration_ms);
            lose(is_lost("/metrics/billedDurationMs"), &mut report.metrics.billed_duration_ms);
            lose(is_lost("/metrics/memorySizeMB"), &mut report.metrics.memory_size_mb);
            lose(is_lost("/metrics/maxMemoryUsedMB"), &mut report.metrics.max_memory_used_mb);
            lose(is_lost("/metrics/initDurationMs"), &mut report.metrics.init_duration_ms);
            lose(are_spans_lost, &mut report.spans);
            Platform::Report(report)
        }
        Platform::LogsDropped(mut dropped) => {
            lose(is_lost("/reason"), &mut dropped.reason);
            lose(is_lost("/droppedRecords"), &mut dropped.dropped_records);
            lose(is_lost("/droppedBytes"), &mut dropped.dropped_bytes);
            Platform::LogsDropped(dropped)
        }
        nothing_is_read => nothing_is_read,
    }
}

fn lose<T: Default + PartialEq>(is_lost: bool, value: &mut T) {
    if is_lost {
        assert!(*value != T::default(), "it was never read");
        *value = T::default();
    }
}

fn is_of_another_type(odd: &Value, original: &Value) -> bool {
    // Milliseconds, bytes and megabytes cannot be negative.
    std::mem::discriminant(odd) != std::mem::discriminant(original) || *odd == json!(-1)
}

fn read_runtime_done(change: &Value) -> RuntimeDone {
    let mut record = json!({"requestId": "r", "status": "success", "errorType": "E", "metrics": {"durationMs": 5, "producedBytes": 3}});
    record.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let Ok(Some(Platform::RuntimeDone(done))) = read("platform.runtimeDone", &record.to_string()) else {
        panic!("{record}")
    };
    done
}

#[test]
fn an_odd_value_counts_as_absent_and_its_neighbours_stay() {
    assert_eq!(read_runtime_done(&json!({"status": "interrupted"})).status, Status::Unknown);
    let odd =
        read_runtime_done(&json!({"spans": [null, {"name": "a"}, {"name": "b", "durationMs": 1}], "errorType": 7}));
    assert_eq!(odd.spans, [PhaseSpan { name: "b".to_owned(), duration_ms: 1.0 }]);
    assert_eq!((odd.error_type, odd.metrics.duration_ms), (None, Some(5.0)));
    for (bytes, expected) in
        [(json!(3.0), Some(3.0)), (json!(-1), None), (json!("3"), None), (json!(1e300), Some(1e300))]
    {
        let metrics = read_runtime_done(&json!({"metrics": {"durationMs": 5, "producedBytes": bytes}})).metrics;
        assert_eq!(metrics, RuntimeMetrics { duration_ms: Some(5.0), produced_bytes: expected });
    }
    let Ok(Some(Platform::Start(start))) = read("platform.start", r#"{"requestId":"r","version":7}"#) else { panic!() };
    assert_eq!(start.version.as_deref(), Some("7"));
}
