//! W3C Trace Context.
//!
//! Source: W3C recommendation "Trace Context", and the member `dd` of `tracestate` as Datadog's tracers write it.

use super::{Carrier, DECISION, LAST_PARENT, TraceContext, datadog};

const PARENT: &str = "traceparent";
pub(super) const STATE: &str = "tracestate";

/// Members of `tracestate` that a vendor has to pass on.
const MAX_MEMBERS: usize = 32;

pub(super) fn extract(carrier: &Carrier) -> Option<TraceContext> {
    let header = carrier.get(PARENT)?;
    let parent = Parent::parse(header)?;
    let mut context = TraceContext {
        trace_id: u64::try_from(parent.trace_id & u128::from(u64::MAX)).ok().filter(|id| *id != 0)?,
        span_id: parent.span_id,
        ..TraceContext::default()
    };
    context.tags.set(PARENT, header.to_owned().into());
    let state = carrier.get(STATE).filter(|state| is_state(state));
    let mut priority = None;
    if let Some(state) = state {
        context.tags.set(STATE, state.to_owned().into());
        priority = read_own_member(&mut context, state);
    }
    context.priority = Some(match (parent.is_sampled, priority) {
        (true, Some(priority)) if priority > 0 => priority,
        (false, Some(priority)) if priority <= 0 => priority,
        (true, _) => {
            context.tags.set(DECISION, "-0".into());
            1
        }
        (false, _) => {
            context.tags.remove(DECISION);
            0
        }
    });
    context.set_high_half(u64::try_from(parent.trace_id >> 64).unwrap_or_default());
    Some(context)
}

struct Parent {
    /// Not 0.
    trace_id: u128,
    /// Not 0.
    span_id: u64,
    is_sampled: bool,
}

impl Parent {
    /// Reads `{version}-{trace id}-{span id}-{flags}` in lower-case hexadecimal. Versions after the first may add to it.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let mut part = |digits: usize| parts.next().filter(|part| part.len() == digits && is_hex(part));
        let (version, trace_id) = (part(2)?, part(32)?);
        let (span_id, flags) = (part(16)?, part(2)?);
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        Some(Self {
            trace_id: u128::from_str_radix(trace_id, 16).ok().filter(|id| *id != 0)?,
            span_id: u64::from_str_radix(span_id, 16).ok().filter(|id| *id != 0)?,
            is_sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        })
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_state(text: &str) -> bool {
    !text.is_empty() && text.split(',').count() <= MAX_MEMBERS
}

/// Reads the member `dd` of `tracestate` into the context, and returns its sampling priority.
fn read_own_member(context: &mut TraceContext, state: &str) -> Option<i8> {
    let member = state.split(',').find_map(|member| member.trim().strip_prefix("dd="))?;
    let mut priority = None;
    for (key, value) in member.split(';').filter_map(|field| field.split_once(':')) {
        // An equals sign is not allowed in members.
        let plain = || value.replace('~', "=");
        match key.trim() {
            "s" => priority = datadog::priority(value),
            "o" => context.origin = Some(plain()),
            "p" if value.len() == 16 && is_hex(value) => context.tags.set(LAST_PARENT, value.to_owned().into()),
            "t.dm" if !datadog::is_decision(value) => {}
            // The high half is that of `traceparent`.
            "t.tid" | "p" => {}
            key => {
                if let Some(key) = key.strip_prefix("t.").filter(|key| !key.is_empty()) {
                    context.tags.set(format!("_dd.p.{key}"), plain().into());
                }
            }
        }
    }
    priority
}
