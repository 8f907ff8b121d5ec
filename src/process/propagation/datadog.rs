//! Datadog's own headers.

use super::{Carrier, DECISION, HIGH_HALF, TraceContext};
use crate::process::trace::{map::Map, span::Text};

const TRACE_ID: &str = "x-datadog-trace-id";
const PARENT_ID: &str = "x-datadog-parent-id";
const PRIORITY: &str = "x-datadog-sampling-priority";
const ORIGIN: &str = "x-datadog-origin";
const TAGS: &str = "x-datadog-tags";

/// Bytes of `x-datadog-tags` beyond which tracers neither send nor read it.
const MAX_TAGS_BYTES: usize = 512;

/// The tag that says why tags of a trace were lost.
const ERROR: &str = "_dd.propagation_error";

/// The prefix of tags that travel with a trace.
const PROPAGATED: &str = "_dd.p.";

pub(super) fn extract(carrier: &Carrier) -> Option<TraceContext> {
    let id = |name: &str| carrier.get(name)?.parse::<u64>().ok();
    Some(TraceContext {
        trace_id: id(TRACE_ID).filter(|id| *id != 0)?,
        span_id: id(PARENT_ID).unwrap_or_default(),
        priority: carrier.get(PRIORITY).and_then(priority),
        origin: carrier.get(ORIGIN).filter(|origin| !origin.is_empty()).map(str::to_owned),
        tags: carrier.get(TAGS).map(propagation_tags).unwrap_or_default(),
    })
}

/// A sampling priority. JSON carriers may have it as a fraction such as `1.0`.
pub(super) fn priority(text: &str) -> Option<i8> {
    text.trim().trim_end_matches(".0").parse().ok()
}

/// The tags of a header `x-datadog-tags` that travel with the trace: `_dd.p.{key}={value}`, separated by commas. Tags that are not usable are left out; the tag
/// `_dd.propagation_error` gives the reason for a header that is too long and for a malformed `_dd.p.tid`.
pub fn propagation_tags(header: &str) -> Map<'static, Text<'static>> {
    let mut tags = Map::default();
    if header.len() > MAX_TAGS_BYTES {
        tags.set(ERROR, "extract_max_size".into());
        return tags;
    }
    for (key, value) in header.split(',').filter_map(|pair| pair.split_once('=')) {
        let (key, value) = (key.trim(), value.trim());
        if key.len() == PROPAGATED.len() || !key.starts_with(PROPAGATED) {
            continue;
        }
        match key {
            HIGH_HALF if !is_high_half(value) => tags.set(ERROR, format!("malformed_tid {value}").into()),
            DECISION if !is_decision(value) => {}
            _ => tags.set(key.to_owned(), value.to_owned().into()),
        }
    }
    tags
}

fn is_high_half(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Mechanisms of decisions are written as `-{number}`.
pub(super) fn is_decision(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(if text == "0" { text } else { "" });
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The headers of the reply to start-invocation, from which the tracer continues the trace. Without a parent: the tracer's span is replaced by one of the extension's.
pub fn reply_headers(context: &TraceContext) -> Vec<(&'static str, String)> {
    let mut headers = vec![(TRACE_ID, context.trace_id.to_string())];
    headers.extend(context.priority.map(|priority| (PRIORITY, priority.to_string())));
    headers.extend(context.tags.get(HIGH_HALF).map(|high| (TAGS, format!("{HIGH_HALF}={high}"))));
    headers
}
