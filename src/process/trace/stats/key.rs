//! Keys of stats: spans with equal keys are one group.

use std::borrow::Cow;

use super::peer::{self, PEER_TAGS};
use crate::process::{
    msgpack::{DecodeError, Reader, Writer},
    trace::{span::Span, tags::CommonTags},
};

/// Maximum number of additional tags, each of which multiplies the groups.
const MAX_ADDITIONAL_TAGS: usize = 16;

/// Which tags tell groups apart, besides those that always do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys {
    /// `DD_TRACE_STATS_ADDITIONAL_TAGS`: keys of text tags.
    additional: Vec<String>,
}

impl Keys {
    /// At most sixteen keys are used, and none of them twice.
    pub fn new(additional: &[String]) -> Self {
        let mut keys: Vec<String> = Vec::new();
        for key in additional.iter().filter(|key| !key.is_empty()) {
            if keys.len() < MAX_ADDITIONAL_TAGS && !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        Self { additional: keys }
    }

    /// Whether a tag of every span takes part in a key.
    pub(in crate::process::trace) fn uses(&self, tag: &str) -> bool {
        KeyTags::default().slot(tag).is_some() || is_peer(tag) || self.additional.iter().any(|key| key == tag)
    }
}

fn is_peer(tag: &str) -> bool {
    PEER_TAGS.binary_search(&tag).is_ok()
}

/// A group's identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Key<'k> {
    pub(super) service: Cow<'k, str>,
    pub(super) name: Cow<'k, str>,
    pub(super) resource: Cow<'k, str>,
    pub(super) kind: Cow<'k, str>,
    pub(super) span_kind: Cow<'k, str>,
    pub(super) http_method: Cow<'k, str>,
    pub(super) http_endpoint: Cow<'k, str>,
    pub(super) service_source: Cow<'k, str>,
    /// 0 for none.
    pub(super) http_status: u32,
    pub(super) grpc_status: Option<u8>,
    pub(super) is_root: IsRoot,
    /// Each `key:value`.
    pub(super) peer_tags: Vec<Cow<'k, str>>,
    /// Each `key:value`.
    pub(super) additional_tags: Vec<Cow<'k, str>>,
}

/// Whether a group's spans begin a trace; its numbers are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum IsRoot {
    #[default]
    Unset = 0,
    Yes = 1,
    No = 2,
}

/// The tags of a span that matter, found in one pass.
#[derive(Debug, Default)]
pub(super) struct KeyTags<'s> {
    pub(super) span_kind: Option<&'s str>,
    http_method: Option<&'s str>,
    http_endpoint: Option<&'s str>,
    http_route: Option<&'s str>,
    http_status: Option<&'s str>,
    service_source: Option<&'s str>,
    base_service: Option<&'s str>,
    grpc: [Option<&'s str>; 4],
}

/// Where a gRPC status may be, in order.
const GRPC_STATUS: [&str; 4] = ["rpc.grpc.status_code", "grpc.code", "rpc.grpc.status.code", "grpc.status.code"];

impl<'s> KeyTags<'s> {
    pub(super) fn of(span: &'s Span<'_>, common: &'s CommonTags) -> Self {
        let mut found = Self::default();
        for (key, value) in tags(span, common) {
            if let Some(slot) = found.slot(key) {
                *slot = Some(value);
            }
        }
        found
    }

    fn slot(&mut self, key: &str) -> Option<&mut Option<&'s str>> {
        let [grpc0, grpc1, grpc2, grpc3] = &mut self.grpc;
        Some(match key {
            "span.kind" => &mut self.span_kind,
            "http.method" => &mut self.http_method,
            "http.endpoint" => &mut self.http_endpoint,
            "http.route" => &mut self.http_route,
            "http.status_code" => &mut self.http_status,
            "_dd.svc_src" => &mut self.service_source,
            "_dd.base_service" => &mut self.base_service,
            "rpc.grpc.status_code" => grpc0,
            "grpc.code" => grpc1,
            "rpc.grpc.status.code" => grpc2,
            "grpc.status.code" => grpc3,
            _ => return None,
        })
    }
}

/// A span's own tags and those common tags that take part in keys.
fn tags<'s>(span: &'s Span<'_>, common: &'s CommonTags) -> impl Iterator<Item = (&'s str, &'s str)> {
    span.meta.iter().map(|(key, value)| (key, &**value)).chain(common.of_stats())
}

impl<'s> Key<'s> {
    /// The key of an eligible span.
    pub(super) fn of(span: &'s Span<'_>, found: &KeyTags<'s>, common: &'s CommonTags, keys: &Keys) -> Self {
        let status = span.metrics.get("http.status_code").map(|status| as_status(*status));
        let text = |text: Option<&'s str>| Cow::Borrowed(text.unwrap_or_default());
        Self {
            service: Cow::Borrowed(&span.service),
            name: Cow::Borrowed(&span.name),
            resource: Cow::Borrowed(&span.resource),
            kind: Cow::Borrowed(&span.kind),
            span_kind: text(found.span_kind),
            http_method: text(found.http_method),
            http_endpoint: text(found.http_endpoint.or(found.http_route)),
            service_source: text(found.service_source),
            http_status: status.or_else(|| found.http_status?.parse().ok()).unwrap_or_default(),
            grpc_status: grpc_status(span, found),
            is_root: if span.parent_id == 0 { IsRoot::Yes } else { IsRoot::No },
            peer_tags: peer_tags(span, found, common),
            additional_tags: additional_tags(span, common, keys),
        }
    }

    /// Appends the key, so that equal keys have equal bytes.
    pub(super) fn write(&self, bytes: &mut Writer) {
        for text in [
            &self.service,
            &self.name,
            &self.resource,
            &self.kind,
            &self.span_kind,
            &self.http_method,
            &self.http_endpoint,
            &self.service_source,
        ] {
            bytes.text(text);
        }
        bytes.unsigned(self.http_status.into());
        bytes.unsigned(self.grpc_status.map_or(NO_STATUS, u64::from));
        bytes.unsigned(self.is_root as u64);
        for tags in [&self.peer_tags, &self.additional_tags] {
            bytes.array(tags.len());
            for tag in tags {
                bytes.text(tag);
            }
        }
    }

    /// Reads what [`Key::write`] has written.
    pub(super) fn read(bytes: &'s [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, usize::MAX);
        let list = |reader: &mut Reader<'s>| -> Result<Vec<_>, _> {
            (0..reader.array_or_nil()?).map(|_| reader.text()).collect()
        };
        Ok(Self {
            service: reader.text()?,
            name: reader.text()?,
            resource: reader.text()?,
            kind: reader.text()?,
            span_kind: reader.text()?,
            http_method: reader.text()?,
            http_endpoint: reader.text()?,
            service_source: reader.text()?,
            http_status: reader.integer()?,
            grpc_status: u8::try_from(reader.integer::<u64>()?).ok(),
            is_root: match reader.integer::<u64>()? {
                1 => IsRoot::Yes,
                2 => IsRoot::No,
                _ => IsRoot::Unset,
            },
            peer_tags: list(&mut reader)?,
            additional_tags: list(&mut reader)?,
        })
    }
}

/// Beyond every status of eight bits.
const NO_STATUS: u64 = 256;

fn peer_tags<'s>(span: &'s Span<'_>, found: &KeyTags<'s>, common: &'s CommonTags) -> Vec<Cow<'s, str>> {
    let kind = found.span_kind.unwrap_or_default();
    if !["client", "producer", "consumer"].iter().any(|peer| kind.eq_ignore_ascii_case(peer)) {
        let base = found.base_service.map(|service| Cow::Owned(format!("_dd.base_service:{service}")));
        return base.into_iter().collect();
    }
    let mut tags: Vec<_> = tags(span, common).filter(|(key, _)| is_peer(key)).collect();
    tags.sort_unstable();
    tags.into_iter().map(|(key, value)| Cow::Owned(format!("{key}:{}", peer::value(value)))).collect()
}

fn additional_tags<'s>(span: &'s Span<'_>, common: &'s CommonTags, keys: &Keys) -> Vec<Cow<'s, str>> {
    let value = |key: &str| span.meta.get(key).map(|value| &**value).or_else(|| common.get(key));
    keys.additional.iter().filter_map(|key| Some(Cow::Owned(format!("{key}:{}", value(key)?)))).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "statuses are small; whatever comes saturates"
)]
fn as_status(status: f64) -> u32 {
    status as u32
}

/// The first text that names a status, else the first number that is one.
fn grpc_status(span: &Span<'_>, found: &KeyTags<'_>) -> Option<u8> {
    let of_text = found.grpc.iter().flatten().find_map(|text| grpc_status_of(text));
    of_text.or_else(|| {
        let numbers = GRPC_STATUS.iter().filter_map(|key| span.metrics.get(key));
        numbers
            .copied()
            .find_map(|number| (0..=u8::MAX).find(|status| f64::from(*status).to_bits() == number.to_bits()))
    })
}

fn grpc_status_of(text: &str) -> Option<u8> {
    if let Ok(status) = text.parse() {
        return Some(status);
    }
    let name = text.trim_start_matches("StatusCode.").to_ascii_uppercase().replace('_', "");
    Some(match &*name {
        "OK" => 0,
        "CANCELLED" | "CANCELED" => 1,
        "UNKNOWN" => 2,
        "INVALIDARGUMENT" => 3,
        "DEADLINEEXCEEDED" => 4,
        "NOTFOUND" => 5,
        "ALREADYEXISTS" => 6,
        "PERMISSIONDENIED" => 7,
        "RESOURCEEXHAUSTED" => 8,
        "FAILEDPRECONDITION" => 9,
        "ABORTED" => 10,
        "OUTOFRANGE" => 11,
        "UNIMPLEMENTED" => 12,
        "INTERNAL" => 13,
        "UNAVAILABLE" => 14,
        "DATALOSS" => 15,
        "UNAUTHENTICATED" => 16,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
