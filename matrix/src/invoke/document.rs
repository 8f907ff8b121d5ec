//! The run as one JSON document.

use serde::Serialize;
use serde_json::Value;

use super::observe::RunRecord;
use super::run_summary::RunSummary;
use super::timeline::Timeline;
use crate::sandbox::intake::Request;

/// The schema version. It changes when a reader of an earlier document would misread a later one.
const SCHEMA: u32 = 1;

/// The whole run.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    schema: u32,
    function: &'a str,
    #[serde(flatten)]
    run_summary: &'a RunSummary,
    timeline: &'a Timeline,
    lines: Vec<Line<'a>>,
    /// Every request at the intake, with its decoded payload.
    requests: &'a [Request],
    /// Every event of the Telemetry API, delivered or not.
    telemetry: &'a [Value],
}

/// A line of the function or of an extension.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// Milliseconds since the start of the sandbox.
    at_ms: f64,
    origin: String,
    text: std::borrow::Cow<'a, str>,
}

impl<'a> Document<'a> {
    pub fn new(function: &'a str, run_summary: &'a RunSummary, timeline: &'a Timeline, seen: &'a RunRecord) -> Self {
        let lines = seen.record.output.iter().map(|line| Line {
            at_ms: line.at.as_secs_f64() * 1000.0,
            origin: line.origin.to_string(),
            text: String::from_utf8_lossy(&line.bytes),
        });
        Self {
            schema: SCHEMA,
            function,
            run_summary,
            timeline,
            lines: lines.collect(),
            requests: &seen.record.requests,
            telemetry: &seen.record.telemetry,
        }
    }
}
