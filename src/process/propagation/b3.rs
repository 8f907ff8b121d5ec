//! B3, which Zipkin's tracers write: in one header or in several.
//!
//! Source: the specification of B3 propagation.

use super::{Carrier, TraceContext};

/// Reads `x-b3-traceid`, `x-b3-spanid`, `x-b3-sampled` and `x-b3-flags`.
pub(super) fn extract_multi(carrier: &Carrier) -> Option<TraceContext> {
    let is_debug = carrier.get("x-b3-flags") == Some("1");
    let sampled = if is_debug { Some("d") } else { carrier.get("x-b3-sampled") };
    context(carrier.get("x-b3-traceid")?, carrier.get("x-b3-spanid"), sampled)
}

/// Reads `{trace id}-{span id}[-{sampled}[-{parent}]]`. A decision alone, `0`, `1` or `d`, continues no trace.
pub(super) fn extract_single(carrier: &Carrier) -> Option<TraceContext> {
    let mut parts = carrier.get("b3")?.split('-');
    let (trace_id, span_id) = (parts.next()?, parts.next()?);
    context(trace_id, Some(span_id), parts.next())
}

fn context(trace_id: &str, span_id: Option<&str>, sampled: Option<&str>) -> Option<TraceContext> {
    let trace_id = hex(trace_id, 32)?;
    let low = u64::try_from(trace_id & u128::from(u64::MAX)).ok().filter(|id| *id != 0)?;
    let span_id = match span_id {
        Some(text) => u64::try_from(hex(text, 16)?).ok()?,
        None => 0,
    };
    let priority = sampled.and_then(|text| match text {
        "1" | "true" => Some(1),
        "0" | "false" => Some(0),
        "d" => Some(2),
        _ => None,
    });
    let mut context = TraceContext { trace_id: low, span_id, priority, ..TraceContext::default() };
    context.set_high_half(u64::try_from(trace_id >> 64).unwrap_or_default());
    Some(context)
}

/// A number of up to so many hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = !text.is_empty() && text.len() <= digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(text, 16).ok().filter(|_| is_hex)
}
