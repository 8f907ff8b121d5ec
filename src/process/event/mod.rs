//! What the Telemetry API delivers, as types.
//!
//! Source: AWS Lambda developer guide, "Lambda Telemetry API Event schema reference". Only fields that somebody reads are kept; everything
//! else is ignored, so that a field that Lambda adds tomorrow changes nothing. An event needs its type and, where it is about an invocation, its request id;
//! every other field may be missing or of another type, which counts as missing.

mod parse;
mod platform;

pub use parse::{Batch, parse};

use crate::platform::ids::RequestId;

/// Milliseconds since the Unix epoch.
pub type Timestamp = i64;

/// One telemetry event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When it happened; the time of arrival where Lambda's text could not be read.
    pub time: Timestamp,
    /// What happened.
    pub record: Record,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The function wrote a line.
    Function(Text),
    /// An extension (we, or another one) wrote a line.
    Extension(Text),
    /// The platform speaks.
    Platform(Platform),
}

impl Record {
    /// Whether an invocation has begun, or has ended.
    pub fn is_of_invocation(&self) -> bool {
        matches!(self, Self::Platform(Platform::Start(_) | Platform::RuntimeDone(_) | Platform::Report(_)))
    }
}

/// A line as Lambda hands it over.
#[derive(Debug, Clone, PartialEq)]
pub enum Text {
    /// Plain text; may itself be JSON that Lambda did not parse.
    Plain(String),
    /// A JSON object, as Lambda wrote it.
    Object(String),
}

/// The platform's own events.
#[derive(Debug, Clone, PartialEq)]
pub enum Platform {
    /// Initialization begins.
    InitStart(InitStart),
    /// The runtime is ready.
    InitRuntimeDone,
    /// Initialization is over.
    InitReport(InitReport),
    /// A snapshot is being restored.
    RestoreStart,
    /// The runtime is ready after a restore.
    RestoreRuntimeDone,
    /// The restore is over.
    RestoreReport(RestoreReport),
    /// An invocation begins.
    Start(InvocationStart),
    /// The runtime has answered, failed, or run out of time.
    RuntimeDone(RuntimeDone),
    /// The invocation is over for everybody.
    Report(Report),
    /// An extension has registered.
    Extension,
    /// An extension has subscribed.
    TelemetrySubscription,
    /// Lambda could not deliver.
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
    /// Whether the function is a durable one: its runtime's version says so.
    pub fn is_durable(&self) -> bool {
        self.runtime_version.as_deref().is_some_and(|version| version.contains("DurableFunction"))
    }
}

/// `platform.initReport`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InitReport {
    /// How the sandbox came to be, for example `on-demand`.
    pub initialization_type: Option<String>,
    /// Milliseconds of initialization.
    pub duration_ms: Option<f64>,
}

/// `platform.restoreReport`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RestoreReport {
    /// Milliseconds of the restore; absent when it did not live to be measured.
    pub duration_ms: Option<f64>,
}

/// `platform.start`.
#[derive(Debug, Clone, PartialEq)]
pub struct InvocationStart {
    /// Which invocation.
    pub request_id: RequestId,
    /// The function's version.
    pub version: Option<String>,
}

/// How an invocation ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    /// Well.
    Success,
    /// The function failed.
    Error,
    /// The runtime or an extension failed.
    Failure,
    /// Time ran out.
    Timeout,
    /// The event has no status, or one that this version does not know.
    #[default]
    Unknown,
}

/// `platform.runtimeDone`.
#[derive(Debug, Clone, PartialEq)]
pub struct RuntimeDone {
    /// Which invocation.
    pub request_id: RequestId,
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    pub error_type: Option<String>,
    /// Nothing is measured when the runtime did not live to be.
    pub metrics: RuntimeMetrics,
    /// `responseLatency`, `responseDuration`, `runtimeOverhead`.
    pub spans: Vec<PhaseSpan>,
}

/// What `platform.runtimeDone` measures.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RuntimeMetrics {
    /// Milliseconds in the runtime.
    pub duration_ms: Option<f64>,
    /// Bytes of the response.
    pub produced_bytes: Option<f64>,
}

/// A named phase of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseSpan {
    /// For example `responseLatency`.
    pub name: String,
    /// Milliseconds.
    pub duration_ms: f64,
}

/// `platform.report`.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Which invocation.
    pub request_id: RequestId,
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    pub error_type: Option<String>,
    /// The bill.
    pub metrics: ReportMetrics,
    /// On managed instances, `responseLatency` stands here because there is no `platform.runtimeDone`.
    pub spans: Vec<PhaseSpan>,
}

/// What `platform.report` measures; managed instances report the duration only.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ReportMetrics {
    /// Milliseconds from the invocation to the end of everybody's work.
    pub duration_ms: Option<f64>,
    /// Billed milliseconds; on-demand only.
    pub billed_duration_ms: Option<f64>,
    /// Configured memory, MB; on-demand only.
    pub memory_size_mb: Option<f64>,
    /// The most memory that was in use, MB; on-demand only.
    pub max_memory_used_mb: Option<f64>,
    /// Milliseconds of initialization, in the report of a cold start.
    pub init_duration_ms: Option<f64>,
}

impl ReportMetrics {
    /// Whether all of the configured memory was in use.
    pub fn memory_is_exhausted(&self) -> bool {
        self.max_memory_used_mb.zip(self.memory_size_mb).is_some_and(|(used, size)| used >= size)
    }
}

/// `platform.logsDropped`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogsDropped {
    /// Why.
    pub reason: Option<String>,
    /// How many events.
    pub dropped_records: Option<f64>,
    /// How many bytes.
    pub dropped_bytes: Option<f64>,
}
