//! AWS X-Ray's trace header, in which Datadog's libraries hide their ids where SQS delivers nothing else.

use super::TraceContext;

/// The context of a header `Root=1-{8}-{24};Parent={16};Sampled={0|1}` with hexadecimal ids; None if it is malformed or cut off, or an id is 0.
///
/// X-Ray's own decision not to sample is no reason to drop a trace of Datadog's. Not sampled counts only in a header that a Datadog library wrote, which begins
/// the 24 digits with eight zeros, or for customers who merge both traces (`DD_MERGE_XRAY_TRACES`).
pub fn xray_context(header: &str, is_merged: bool) -> Option<TraceContext> {
    let mut fields = header.strip_prefix("Root=")?.split(';');
    let root = fields.next()?;
    let field = |name: &str| header.split(';').find_map(|field| field.trim().strip_prefix(name));
    let unique = root.splitn(3, '-').nth(2).filter(|unique| unique.len() == 24)?;
    let (time, low) = (unique.get(..8)?, unique.get(8..)?);
    let priority = match field("Sampled=") {
        Some("1") => Some(1),
        _ if is_merged || time == "00000000" => Some(0),
        _ => None,
    };
    Some(TraceContext { trace_id: id(low)?, span_id: id(field("Parent=")?)?, priority, ..TraceContext::default() })
}

/// An id of 16 hexadecimal digits that is not 0.
fn id(text: &str) -> Option<u64> {
    let is_id = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|id| is_id && *id != 0)
}
