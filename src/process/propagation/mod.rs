//! Trace context propagation: from the headers of a request or a message to the trace that the invocation continues.
//!
//! ```text
//! headers, message attributes ──▶ Carrier ──▶ Propagator::extract ──▶ TraceContext ──▶ reply_headers
//!                                             datadog, tracecontext, b3, b3multi
//! ```
//!
//! Only the low half of a 128-bit trace id is a field; the high half is the tag `_dd.p.tid`, as everywhere else in a trace.

mod b3;
mod carrier;
mod datadog;
mod tracecontext;
mod xray;

#[cfg(test)]
mod tests;

pub use carrier::Carrier;
pub use datadog::{propagation_tags, reply_headers};
pub use xray::xray_context;

use super::trace::{map::Map, span::Text};
use crate::config::{self, PropagationStyle};

/// The tag of the high half of a 128-bit trace id, 16 hexadecimal digits.
pub const HIGH_HALF: &str = "_dd.p.tid";

/// The tag of the last span that Datadog knows of a trace that others continued, 16 hexadecimal digits.
const LAST_PARENT: &str = "_dd.parent_id";

/// The tag of the mechanism that decided about sampling: `-0` is the default one.
const DECISION: &str = "_dd.p.dm";

/// The trace that an invocation continues.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceContext {
    /// The low half of the trace id, never 0.
    pub trace_id: u64,
    /// The span that caused the invocation; 0 if the caller did not say.
    pub span_id: u64,
    /// The caller's decision about the trace: -1 or 0 drop it, 1 or 2 keep it; None if there is none yet.
    pub priority: Option<i8>,
    /// The product that began the trace, such as `rum`.
    pub origin: Option<String>,
    /// Tags of the root-most span: those that travel with the trace (`_dd.p.*`), `_dd.parent_id`, `traceparent`, `tracestate`, `_dd.propagation_error`, and baggage.
    pub tags: Map<'static, Text<'static>>,
}

impl TraceContext {
    /// The high half of the trace id; 0 if the trace has 64 bits or the tag is not hexadecimal.
    pub fn high_half(&self) -> u64 {
        self.tags.get(HIGH_HALF).and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or_default()
    }

    fn set_high_half(&mut self, high: u64) {
        if high != 0 {
            self.tags.set(HIGH_HALF, format!("{high:016x}").into());
        }
    }

    fn is_of_same_trace(&self, other: &Self) -> bool {
        (self.trace_id, self.high_half()) == (other.trace_id, other.high_half())
    }
}

/// Finds trace contexts in carriers, in the configured styles.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Propagator {
    settings: config::Propagation,
}

impl Propagator {
    pub fn new(settings: config::Propagation) -> Self {
        Self { settings }
    }

    /// The context of a carrier; None if no configured style finds one.
    ///
    /// The first style with a context decides. Of the later ones only W3C's matters, if it is about the same trace: it adds `tracestate`, and if others were called
    /// in between, its span becomes the parent. With extract-first, later styles are not looked at.
    pub fn extract(&self, carrier: &Carrier) -> Option<TraceContext> {
        let mut found: Option<TraceContext> = None;
        for style in &self.settings.styles {
            let Some(other) = extract(*style, carrier) else { continue };
            match &mut found {
                None => found = Some(other),
                Some(primary) if *style == PropagationStyle::TraceContext => merge_w3c(primary, other, carrier),
                Some(_) => {}
            }
            if self.settings.extract_first {
                break;
            }
        }
        let mut found = found?;
        if self.settings.http_baggage {
            for (key, value) in carrier.baggage() {
                found.tags.set(key.to_owned(), value.to_owned().into());
            }
        }
        Some(found)
    }
}

fn extract(style: PropagationStyle, carrier: &Carrier) -> Option<TraceContext> {
    match style {
        PropagationStyle::Datadog => datadog::extract(carrier),
        PropagationStyle::TraceContext => tracecontext::extract(carrier),
        PropagationStyle::B3 => b3::extract_single(carrier),
        PropagationStyle::B3Multi => b3::extract_multi(carrier),
        PropagationStyle::Baggage | PropagationStyle::None => None,
    }
}

/// Adds W3C's view of the same trace: what other vendors wrote, and a span between the Datadog span that we know and us.
fn merge_w3c(primary: &mut TraceContext, mut other: TraceContext, carrier: &Carrier) {
    if !primary.is_of_same_trace(&other) {
        return;
    }
    if let Some(state) = other.tags.remove(tracecontext::STATE) {
        primary.tags.set(tracecontext::STATE, state);
    }
    if other.span_id == primary.span_id {
        return;
    }
    let known = other.tags.remove(LAST_PARENT).or_else(|| {
        let context = datadog::extract(carrier).filter(|context| context.span_id != 0)?;
        Some(format!("{:016x}", context.span_id).into())
    });
    if let Some(known) = known {
        primary.tags.set(LAST_PARENT, known);
    }
    primary.span_id = other.span_id;
}
