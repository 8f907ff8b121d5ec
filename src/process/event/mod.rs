//! What the Telemetry API delivers, as types.
//!
//! Source: AWS Lambda developer guide, "Lambda Telemetry API Event schema reference". Only fields that somebody reads are kept; everything
//! else is ignored, so that a field that Lambda adds tomorrow changes nothing.

mod parse;

use serde::Deserialize;

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
    Start(Start),
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
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitReport {
    /// How the sandbox came to be, for example `on-demand`.
    pub initialization_type: Option<String>,
    /// The measurements.
    pub metrics: Duration,
}

/// `platform.restoreReport`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RestoreReport {
    /// The measurements; absent when the restore did not live to be measured.
    pub metrics: Option<Duration>,
}

/// A bare duration.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Duration {
    /// Milliseconds.
    pub duration_ms: f64,
}

/// `platform.start`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// Which invocation.
    pub request_id: RequestId,
    /// The function's version.
    pub version: Option<String>,
}

/// How an invocation or a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Well.
    Success,
    /// The function failed.
    Error,
    /// The runtime or an extension failed.
    Failure,
    /// Time ran out.
    Timeout,
}

/// `platform.runtimeDone`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeDone {
    /// Which invocation.
    pub request_id: RequestId,
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    pub error_type: Option<String>,
    /// Absent when the runtime did not live to be measured.
    pub metrics: Option<RuntimeMetrics>,
    /// `responseLatency`, `responseDuration`, `runtimeOverhead`.
    #[serde(default)]
    pub spans: Vec<Span>,
}

/// What `platform.runtimeDone` measures.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeMetrics {
    /// Milliseconds in the runtime.
    pub duration_ms: f64,
    /// Bytes of the response.
    pub produced_bytes: Option<u64>,
}

/// A named stretch of an invocation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// For example `responseLatency`.
    pub name: String,
    /// Milliseconds.
    pub duration_ms: f64,
}

/// `platform.report`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
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
    #[serde(default)]
    pub spans: Vec<Span>,
}

/// What `platform.report` measures; managed instances report the duration only.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportMetrics {
    /// Milliseconds from the invocation to the end of everybody's work.
    pub duration_ms: f64,
    /// What is paid for and how much memory it took; on-demand only.
    #[serde(flatten)]
    pub billed: Option<Billed>,
    /// Milliseconds of initialization, in the report of a cold start.
    pub init_duration_ms: Option<f64>,
}

/// The on-demand part of a report.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Billed {
    /// Billed milliseconds.
    #[serde(rename = "billedDurationMs")]
    pub duration_ms: f64,
    /// Configured memory, MB.
    #[serde(rename = "memorySizeMB")]
    pub memory_size_mb: f64,
    /// The most memory that was in use, MB.
    #[serde(rename = "maxMemoryUsedMB")]
    pub max_memory_used_mb: f64,
}

/// `platform.logsDropped`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogsDropped {
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// How many events.
    pub dropped_records: u64,
    /// How many bytes.
    #[serde(default)]
    pub dropped_bytes: u64,
}
