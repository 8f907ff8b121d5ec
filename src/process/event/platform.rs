//! Parser for the records of platform events.

use super::{
    InitReport, InitStart, InvocationStart, LogsDropped, PhaseSpan, Platform, Report, ReportMetrics, RestoreReport,
    RuntimeDone, RuntimeMetrics, Status,
};
use crate::platform::{ids::RequestId, json::Object};

/// Parses an event of this type. None if the event is about an invocation and has no request id.
pub fn read(kind: &str, record: &str) -> Result<Option<Platform>, UnknownType> {
    // The record is parsed only for types that need it. A record that is not an object counts as empty; only missing mandatory fields make the event
    // malformed.
    let record = || Object::parse(record).unwrap_or_default();
    Ok(match kind {
        "platform.initStart" => Some(Platform::InitStart(init_start(&record()))),
        "platform.initRuntimeDone" => Some(Platform::InitRuntimeDone),
        "platform.initReport" => Some(Platform::InitReport(init_report(&record()))),
        "platform.restoreStart" => Some(Platform::RestoreStart),
        "platform.restoreRuntimeDone" => Some(Platform::RestoreRuntimeDone),
        "platform.restoreReport" => Some(Platform::RestoreReport(RestoreReport { duration_ms: duration(&record()) })),
        "platform.start" => start(&record()).map(Platform::Start),
        "platform.runtimeDone" => runtime_done(&record()).map(Platform::RuntimeDone),
        "platform.report" => report(&record()).map(Platform::Report),
        "platform.extension" => Some(Platform::Extension),
        "platform.telemetrySubscription" => Some(Platform::TelemetrySubscription),
        "platform.logsDropped" => Some(Platform::LogsDropped(logs_dropped(&record()))),
        _ => return Err(UnknownType),
    })
}

/// The event type is unknown to this version.
pub struct UnknownType;

fn init_start(record: &Object) -> InitStart {
    InitStart { runtime_version: record.text("runtimeVersion"), runtime_version_arn: record.text("runtimeVersionArn") }
}

fn init_report(record: &Object) -> InitReport {
    InitReport { initialization_type: record.text("initializationType"), duration_ms: duration(record) }
}

fn duration(record: &Object) -> Option<f64> {
    record.object("metrics").amount("durationMs")
}

fn start(record: &Object) -> Option<InvocationStart> {
    // Lambda sends the version as a string; a number is accepted too.
    let number = || record.number("version").map(|version| version.to_string());
    Some(InvocationStart { request_id: request_id(record)?, version: record.text("version").or_else(number) })
}

fn runtime_done(record: &Object) -> Option<RuntimeDone> {
    let metrics = record.object("metrics");
    Some(RuntimeDone {
        request_id: request_id(record)?,
        status: status(record),
        error_type: record.text("errorType"),
        metrics: RuntimeMetrics {
            duration_ms: metrics.amount("durationMs"),
            produced_bytes: metrics.amount("producedBytes"),
        },
        spans: spans(record),
    })
}

fn report(record: &Object) -> Option<Report> {
    let metrics = record.object("metrics");
    Some(Report {
        request_id: request_id(record)?,
        status: status(record),
        error_type: record.text("errorType"),
        metrics: ReportMetrics {
            duration_ms: metrics.amount("durationMs"),
            billed_duration_ms: metrics.amount("billedDurationMs"),
            memory_size_mb: metrics.amount("memorySizeMB"),
            max_memory_used_mb: metrics.amount("maxMemoryUsedMB"),
            init_duration_ms: metrics.amount("initDurationMs"),
        },
        spans: spans(record),
    })
}

fn logs_dropped(record: &Object) -> LogsDropped {
    LogsDropped {
        reason: record.text("reason"),
        dropped_records: record.amount("droppedRecords"),
        dropped_bytes: record.amount("droppedBytes"),
    }
}

fn request_id(record: &Object) -> Option<RequestId> {
    record.text("requestId").map(|id| RequestId::from(id.as_str()))
}

fn status(record: &Object) -> Status {
    match record.text("status").as_deref() {
        Some("success") => Status::Success,
        Some("error") => Status::Error,
        Some("failure") => Status::Failure,
        Some("timeout") => Status::Timeout,
        _ => Status::Unknown,
    }
}

fn spans(record: &Object) -> Vec<PhaseSpan> {
    let span = |span: &Object| Some(PhaseSpan { name: span.text("name")?, duration_ms: span.amount("durationMs")? });
    record.objects("spans").iter().filter_map(span).collect()
}

#[cfg(test)]
#[path = "platform_tests.rs"]
mod tests;
