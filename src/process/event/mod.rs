//! Types of the events that the Telemetry API delivers.
//!
//! Source: AWS Lambda developer guide, "Lambda Telemetry API Event schema reference". The types keep only the fields that the extension reads. All
//! other fields are ignored, so a field that Lambda adds later changes nothing. An event needs its type and, if it is about an invocation, its
//! request id. Every other field may be missing; a field of another type counts as missing.

mod parse;
mod platform;

pub use parse::{Batch, parse};

use crate::platform::ids::RequestId;

/// Milliseconds since the Unix epoch.
pub type Timestamp = i64;

/// One telemetry event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Time of the event; the time of arrival if Lambda's timestamp cannot be parsed.
    pub time: Timestamp,
    /// Content of the event.
    pub record: Record,
}

/// Content of a telemetry event.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A log line of the function.
    Function(Text),
    /// A log line of an extension, this one included.
    Extension(Text),
    /// An event of the platform.
    Platform(Platform),
}

impl Record {
    /// Whether the event starts or ends an invocation.
    pub fn is_of_invocation(&self) -> bool {
        matches!(self, Self::Platform(Platform::Start(_) | Platform::RuntimeDone(_) | Platform::Report(_)))
    }
}

/// A log line as Lambda delivers it.
#[derive(Debug, Clone, PartialEq)]
pub enum Text {
    /// Plain text. It may be JSON that Lambda did not parse.
    Plain(String),
    /// A JSON object, byte for byte as Lambda sent it.
    Object(String),
}

/// The platform's own events.
#[derive(Debug, Clone, PartialEq)]
pub enum Platform {
    /// Init starts.
    InitStart(InitStart),
    /// The runtime has finished init.
    InitRuntimeDone,
    /// Init is complete.
    InitReport(InitReport),
    /// Restore from a snapshot starts.
    RestoreStart,
    /// The runtime has finished its restore.
    RestoreRuntimeDone,
    /// The restore is complete.
    RestoreReport(RestoreReport),
    /// An invocation starts.
    Start(InvocationStart),
    /// The runtime has responded, failed or timed out.
    RuntimeDone(RuntimeDone),
    /// The invocation is complete, the work of extensions included.
    Report(Report),
    /// An extension has registered.
    Extension,
    /// An extension has subscribed.
    TelemetrySubscription,
    /// Lambda dropped telemetry events.
    LogsDropped(LogsDropped),
}

/// `platform.initStart`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InitStart {
    /// For example `python:3.12.v10`.
    pub runtime_version: Option<String>,
    /// The runtime's ARN.
    pub runtime_version_arn: Option<String>,
}

impl InitStart {
    /// Whether the function is a durable function, according to its runtime version.
    pub fn is_durable(&self) -> bool {
        self.runtime_version.as_deref().is_some_and(|version| version.contains("DurableFunction"))
    }
}

/// `platform.initReport`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InitReport {
    /// Initialization type, for example `on-demand`.
    pub initialization_type: Option<String>,
    /// Duration of the init phase in milliseconds.
    pub duration_ms: Option<f64>,
}

/// `platform.restoreReport`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RestoreReport {
    /// Duration of the restore in milliseconds; absent if the restore ended before Lambda could measure it.
    pub duration_ms: Option<f64>,
}

/// `platform.start`.
#[derive(Debug, Clone, PartialEq)]
pub struct InvocationStart {
    /// Request id of the invocation.
    pub request_id: RequestId,
    /// The function's version.
    pub version: Option<String>,
}

/// Outcome of an invocation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    /// The invocation succeeded.
    Success,
    /// The function failed.
    Error,
    /// The runtime or an extension failed.
    Failure,
    /// The invocation timed out.
    Timeout,
    /// The event has no status, or a status that this version does not know.
    #[default]
    Unknown,
}

/// `platform.runtimeDone`.
#[derive(Debug, Clone, PartialEq)]
pub struct RuntimeDone {
    /// Request id of the invocation.
    pub request_id: RequestId,
    /// Outcome of the invocation.
    pub status: Status,
    /// The error type, if the invocation failed.
    pub error_type: Option<String>,
    /// Measurements; none if the runtime ended before Lambda could measure it.
    pub metrics: RuntimeMetrics,
    /// `responseLatency`, `responseDuration`, `runtimeOverhead`.
    pub spans: Vec<PhaseSpan>,
}

/// The measurements of `platform.runtimeDone`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RuntimeMetrics {
    /// Duration of the invocation in the runtime, in milliseconds.
    pub duration_ms: Option<f64>,
    /// Size of the response in bytes.
    pub produced_bytes: Option<f64>,
}

/// A named phase of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseSpan {
    /// For example `responseLatency`.
    pub name: String,
    /// Duration in milliseconds.
    pub duration_ms: f64,
}

/// `platform.report`.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Request id of the invocation.
    pub request_id: RequestId,
    /// Outcome of the invocation.
    pub status: Status,
    /// The error type, if the invocation failed.
    pub error_type: Option<String>,
    /// Durations and memory.
    pub metrics: ReportMetrics,
    /// `responseLatency` on managed instances, where Lambda sends no `platform.runtimeDone`; otherwise empty.
    pub spans: Vec<PhaseSpan>,
}

/// The measurements of `platform.report`. Managed instances report only the duration.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ReportMetrics {
    /// Milliseconds from the start of the invocation until the runtime and all extensions were done.
    pub duration_ms: Option<f64>,
    /// Billed duration in milliseconds; on-demand only.
    pub billed_duration_ms: Option<f64>,
    /// Configured memory in MB; on-demand only.
    pub memory_size_mb: Option<f64>,
    /// Maximum memory used in MB; on-demand only.
    pub max_memory_used_mb: Option<f64>,
    /// Duration of the init phase in milliseconds; only in the report of a cold start.
    pub init_duration_ms: Option<f64>,
}

impl ReportMetrics {
    /// Whether the function used all of its configured memory.
    pub fn memory_is_exhausted(&self) -> bool {
        self.max_memory_used_mb.zip(self.memory_size_mb).is_some_and(|(used, size)| used >= size)
    }
}

/// `platform.logsDropped`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogsDropped {
    /// The reason that Lambda gives.
    pub reason: Option<String>,
    /// Number of dropped events.
    pub dropped_records: Option<f64>,
    /// Size of the dropped events in bytes.
    pub dropped_bytes: Option<f64>,
}
