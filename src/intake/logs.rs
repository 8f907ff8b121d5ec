//! Payloads for the logs intake.

use super::{
    Kind, Target, UnsealedPayload,
    descriptor::{Descriptor, Encoding, Success},
};
use crate::{
    aggregate::encoded::{BatchFormat, EncodedBatch},
    config::Logs,
};

/// Descriptor of logs.
pub(super) const DESCRIPTOR: Descriptor = Descriptor {
    name: "LOGS",
    path: "/api/v2/logs",
    content_type: "application/json",
    headers: &[("dd-protocol", "agent-json")],
    encoding: Encoding::Zstd,
    max_sealed_bytes: None,
    success: Success::Any,
};

/// A JSON array.
///
/// Source: Datadog API reference, "Send logs": 1,000 entries and 5 MB uncompressed.
pub const FORMAT: BatchFormat =
    BatchFormat { max_entries: 1000, max_bytes: 5 << 20, start: b'[', separator: b',', end: Some(b']') };

/// One payload a batch, whatever its intakes are.
pub fn unsealed(batch: EncodedBatch, settings: &Logs) -> UnsealedPayload {
    let EncodedBatch { body, entries: items } = batch;
    let (level, others) = (settings.compression, &settings.additional_endpoints);
    // An Observability Pipelines Worker accepts plain JSON, regardless of the compression for Datadog's intakes.
    let (to, plain_to) = match settings.worker {
        Some(_) => (Target::others(others).collect(), vec![Target::Primary]),
        None => (Target::all(others), Vec::new()),
    };
    UnsealedPayload { kind: Kind::Logs, head: None, body: body.into(), level, items, to, plain_to }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{ApiKey, Config, Endpoint};

    fn settings(worker: Option<&str>, additional: &[&str]) -> Logs {
        let endpoint =
            |url: &&str| Arc::new(Endpoint { url: (*url).to_owned(), api_key: ApiKey::clean("key").unwrap() });
        Logs {
            worker: worker.map(str::to_owned),
            additional_endpoints: additional.iter().map(endpoint).collect(),
            ..Config::default().logs
        }
    }

    fn payload(settings: &Logs) -> UnsealedPayload {
        unsealed(EncodedBatch { body: b"[1,2]".to_vec(), entries: 2 }, settings)
    }

    #[test]
    fn all_destinations_get_the_same_compressed_body() {
        let settings = settings(None, &["https://a.example"]);
        let payload = payload(&settings);
        assert_eq!((payload.level, payload.items, &payload.body[..]), (Some(3), 2, &b"[1,2]"[..]));
        assert_eq!(payload.to, [Target::Primary, Target::Additional(settings.additional_endpoints[0].clone())]);
        assert_eq!(payload.plain_to, []);
    }

    #[test]
    fn a_worker_gets_plain_json_and_the_others_what_they_always_get() {
        let settings = settings(Some("http://worker"), &["https://a.example"]);
        let payload = payload(&settings);
        assert_eq!((payload.level, payload.items), (Some(3), 2));
        assert_eq!(payload.to, [Target::Additional(settings.additional_endpoints[0].clone())]);
        assert_eq!(payload.plain_to, [Target::Primary]);
    }

    #[test]
    fn single_worker_still_compresses() {
        let payload = payload(&settings(Some("http://worker"), &[]));
        assert!(!payload.is_compressed() && payload.total_items() == 2);
    }
}
