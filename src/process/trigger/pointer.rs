//! Span pointers: links from a span to the object or item that it is about, which other traces point at too.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Digest, Tags};

/// The tag with the links of a span, a JSON array.
const LINKS: &str = "_dd.span_links";

/// A link to an object or item, by a hash that everybody computes alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanPointer {
    /// `aws.s3.object` or `aws.dynamodb.item`.
    pub kind: &'static str,
    /// 32 hexadecimal digits.
    pub hash: String,
}

impl SpanPointer {
    /// The hash is the first half of the SHA-256 of the parts, joined by `|`.
    pub(super) fn new(kind: &'static str, parts: &[&str], sha256: Digest) -> Option<Self> {
        let digest = sha256(parts.join("|").as_bytes())?;
        let half = digest.first_chunk().copied()?;
        Some(Self { kind, hash: format!("{:032x}", u128::from_be_bytes(half)) })
    }
}

#[derive(Serialize)]
struct Link<'a> {
    trace_id: u64,
    trace_id_high: u64,
    span_id: u64,
    attributes: Attributes<'a>,
    tracestate: &'a str,
    flags: u32,
}

#[derive(Serialize)]
struct Attributes<'a> {
    #[serde(rename = "link.kind")]
    link_kind: &'a str,
    /// `u`: the object was there before the span.
    #[serde(rename = "ptr.dir")]
    direction: &'a str,
    #[serde(rename = "ptr.hash")]
    hash: &'a str,
    #[serde(rename = "ptr.kind")]
    kind: &'a str,
}

/// Appends pointers to the links that the tags have already.
pub(super) fn attach(tags: &mut Tags, pointers: &[SpanPointer]) {
    if pointers.is_empty() {
        return;
    }
    let present = tags.get(LINKS).and_then(|text| serde_json::from_str::<Vec<Box<RawValue>>>(text).ok());
    let links = pointers.iter().filter_map(|pointer| {
        let attributes =
            Attributes { link_kind: "span-pointer", direction: "u", hash: &pointer.hash, kind: pointer.kind };
        let link = Link { trace_id: 0, trace_id_high: 0, span_id: 0, attributes, tracestate: "", flags: 0 };
        serde_json::value::to_raw_value(&link).ok()
    });
    let links: Vec<_> = present.into_iter().flatten().chain(links).collect();
    if let Ok(text) = serde_json::to_string(&links) {
        tags.set(LINKS, text.into());
    }
}
