//! The way of a message through services and topics, as a hash that each of them extends.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Checkpoint, Origin};
use crate::process::propagation::Carrier;

const NANOS_PER_MILLI: i64 = 1_000_000;

/// A pathway: hash and start times of a message's way to its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pathway {
    pub hash: u64,
    /// When the first message of the way was sent, in milliseconds since the epoch.
    pub start: i64,
    /// When this message was sent, in milliseconds since the epoch.
    pub edge_start: i64,
}

impl Pathway {
    /// What a carrier says; None if it says nothing that can be read.
    pub fn extract(carrier: &Carrier) -> Option<Self> {
        let text = carrier.get("dd-pathway-ctx-base64").or_else(|| carrier.get("dd-pathway-ctx"))?;
        Self::decode(&STANDARD.decode(text).ok()?)
    }

    /// Eight bytes of hash, and two variable-length integers.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (hash, rest) = bytes.split_first_chunk()?;
        let (start, rest) = zigzag(rest)?;
        let (edge_start, _) = zigzag(rest)?;
        Some(Self { hash: u64::from_le_bytes(*hash), start, edge_start })
    }
}

/// A signed integer in groups of seven bits, the lowest first; and the bytes after it.
fn zigzag(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let length = bytes.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at_checked(length).filter(|_| length <= 10)?;
    let value = number.iter().rev().fold(0_u64, |value, byte| value << 7 | u64::from(byte & 0x7f));
    let magnitude = i64::try_from(value >> 1).ok()?;
    Some((if value & 1 == 0 { magnitude } else { !magnitude }, rest))
}

/// A checkpoint with its place in the map of pathways.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// When the record was received, in nanoseconds since the epoch.
    pub time: i64,
    pub hash: u64,
    /// The hash of the way up to the topic; 0 if the sender did not say.
    pub parent: u64,
    pub tags: std::sync::Arc<[String]>,
    /// Seconds since the message was sent.
    pub edge_latency: f64,
    /// Seconds since the first message of the way was sent.
    pub pathway_latency: f64,
    pub bytes: u64,
}

impl Point {
    /// Extends the way of a checkpoint by the function. None without SHA-256.
    pub fn new(checkpoint: &Checkpoint, origin: &Origin, now: i64) -> Option<Self> {
        let Checkpoint { tags, bytes, pathway } = checkpoint;
        let parent = pathway.map(|pathway| pathway.hash).unwrap_or_default();
        // Without a sender's word the way begins here and now.
        let seconds = |since: Option<i64>| {
            let nanos = since.map_or(0, |since| now.saturating_sub(since.saturating_mul(NANOS_PER_MILLI)).max(0));
            to_seconds(nanos)
        };
        Some(Self {
            time: now,
            hash: hash(origin, tags, parent)?,
            parent,
            tags: std::sync::Arc::clone(tags),
            edge_latency: seconds(pathway.map(|pathway| pathway.edge_start)),
            pathway_latency: seconds(pathway.map(|pathway| pathway.start)),
            bytes: *bytes,
        })
    }
}

#[allow(clippy::cast_precision_loss, reason = "a latency is told in seconds with a hundredth's accuracy")]
fn to_seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

/// The hash of a node and of the way up to it: the first eight bytes of SHA-256, twice. The second is computed of text, in which bytes that are none are replaced, as the
/// tracers do.
fn hash(origin: &Origin, tags: &[String], parent: u64) -> Option<u64> {
    let tags = tags.iter().filter(|tag| *tag != "manual_checkpoint:true").map(String::as_str);
    let node: String = [&*origin.service, &*origin.env].into_iter().chain(tags).collect();
    let node = first_bytes((origin.sha256)(node.as_bytes())?)?;
    let both = [node, parent.to_le_bytes()].concat();
    first_bytes((origin.sha256)(String::from_utf8_lossy(&both).as_bytes())?).map(u64::from_le_bytes)
}

fn first_bytes(digest: [u8; 32]) -> Option<[u8; 8]> {
    digest.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::tls::sha256;

    /// Source: the test vector of Datadog's tracers.
    const CONTEXT: &str = "Z7CzXmXArPrE58Cfj2LI2cOfj2I=";
    const HASH: [u8; 8] = [0x67, 0xb0, 0xb3, 0x5e, 0x65, 0xc0, 0xac, 0xfa];

    fn checkpoint(pathway: Option<Pathway>) -> Checkpoint {
        let tags = ["direction:in", "group:group1", "topic:topic1", "type:kafka"].map(str::to_owned);
        Checkpoint { tags: tags.into(), bytes: 7, pathway }
    }

    fn origin() -> Origin {
        Origin { service: "test-service".to_owned(), env: "test-env".to_owned(), version: String::new(), sha256 }
    }

    #[test]
    fn a_context_is_read_by_either_name() {
        let expected =
            Pathway { hash: u64::from_le_bytes(HASH), start: 1_685_673_482_722, edge_start: 1_685_673_506_404 };
        for name in ["dd-pathway-ctx-base64", "DD-Pathway-Ctx"] {
            assert_eq!(Pathway::extract(&Carrier::collect([(name, CONTEXT)])), Some(expected));
        }
        let whole = STANDARD.decode(CONTEXT).unwrap();
        for length in 0..whole.len() {
            assert_eq!(Pathway::decode(&whole[..length]), None, "cut off after {length}");
        }
        assert_eq!(Pathway::decode(&[0xff; 40]), None);
        assert_eq!(Pathway::extract(&Carrier::collect([("dd-pathway-ctx", "%")])), None);
    }

    #[test]
    fn the_hash_is_what_every_tracer_computes() {
        let point = Point::new(&checkpoint(None), &origin(), 5).unwrap();
        assert_eq!((point.hash.to_le_bytes(), point.parent), (HASH, 0));
        assert_eq!((point.edge_latency, point.pathway_latency, point.bytes), (0.0, 0.0, 7));
        let none = Origin { sha256: |_| None, ..origin() };
        assert_eq!(Point::new(&checkpoint(None), &none, 5), None);
    }

    #[test]
    fn latencies_are_counted_from_the_senders_times_and_never_negative() {
        let pathway = Pathway { hash: 9, start: 1_000, edge_start: 2_500 };
        let point = Point::new(&checkpoint(Some(pathway)), &origin(), 3_000_000_000).unwrap();
        assert_eq!((point.parent, point.edge_latency, point.pathway_latency), (9, 0.5, 2.0));
        assert_ne!(point.hash.to_le_bytes(), HASH, "another way");
        let late = Pathway { start: i64::MIN, edge_start: i64::MAX, ..pathway };
        let point = Point::new(&checkpoint(Some(late)), &origin(), 3_000_000_000).unwrap();
        assert!(point.edge_latency == 0.0 && point.pathway_latency > 0.0);
    }
}
