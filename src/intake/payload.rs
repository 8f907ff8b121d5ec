//! The data of one request: gathered as an [`UnsealedPayload`], compressed in the background, and sent as a [`Payload`] to each of its destinations.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use bytes::Bytes;

use super::{Body, MemoryBudget, compression::compress};
use crate::config::Endpoint;

/// The series intake's limit on a compressed body in bytes.
///
/// Source: Datadog API reference, "Submit metrics": 500 kilobytes (512,000 bytes).
const MAX_SERIES_BYTES: usize = 512_000;

/// The kind of intake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `/api/v2/logs`.
    Logs,
    /// `/api/beta/sketches`.
    Sketches,
    /// `/api/v2/series`.
    Series,
}

/// The endpoint that a payload is sent to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// The primary endpoint.
    Primary,
    /// An additional endpoint that receives the same data.
    Additional(Arc<Endpoint>),
}

impl Target {
    /// The primary and all additional endpoints.
    pub fn all(additional: &[Arc<Endpoint>]) -> Vec<Self> {
        std::iter::once(Self::Primary).chain(Self::others(additional)).collect()
    }

    /// The additional endpoints.
    pub fn others(additional: &[Arc<Endpoint>]) -> impl Iterator<Item = Self> {
        additional.iter().cloned().map(Self::Additional)
    }
}

/// A batch of encoded data that is not compressed yet.
#[derive(Debug)]
pub struct UnsealedPayload {
    /// The kind of intake.
    pub kind: Kind,
    /// The encoded data.
    pub body: Body,
    /// The zstd level; None sends the body uncompressed.
    pub level: Option<i32>,
    /// Number of logs, distributions or series.
    pub items: usize,
    /// The endpoints.
    pub to: Vec<Target>,
    /// Further endpoints, which receive the body uncompressed regardless of the level.
    pub plain_to: Vec<Target>,
}

/// A body ready to be sent, with its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The kind of intake.
    pub kind: Kind,
    /// The endpoint.
    pub to: Target,
    /// The body; shared, so that retries and further destinations need no copy.
    pub body: Bytes,
    /// Whether the body is compressed.
    pub zstd: bool,
    /// Number of logs, distributions or series, which are lost with the payload.
    pub items: u64,
}

impl UnsealedPayload {
    /// Number of items lost with the batch; each counts once per destination.
    pub fn total_items(&self) -> u64 {
        (self.items * (self.to.len() + self.plain_to.len())) as u64
    }

    /// Whether the body has to be compressed, which takes time.
    pub fn is_compressed(&self) -> bool {
        self.level.is_some() && !self.to.is_empty()
    }

    /// Compresses the body, and returns one payload per destination, reserved in the budget. If compression fails, the body is sent uncompressed. A
    /// body that is still too large for the intake is split into several payloads. If `urgent` is set, a fast level replaces a high one.
    pub fn compress(self, budget: &MemoryBudget, urgent: &AtomicBool) -> Vec<Payload> {
        let level = self.level.filter(|_| self.is_compressed());
        let compressed = level.and_then(|level| compress(&self.body, level, urgent).ok());
        let sealed_bytes = compressed.as_ref().map_or(self.body.len(), Vec::len);
        if self.kind == Kind::Series && sealed_bytes > MAX_SERIES_BYTES && self.items > 1 {
            return self.split().into_iter().flat_map(|half| half.compress(budget, urgent)).collect();
        }
        let Self { kind, body, items, to, plain_to, .. } = self;
        let payload = |to, body: &Bytes, zstd| Payload { kind, to, body: body.clone(), zstd, items: items as u64 };
        let mut payloads = Vec::with_capacity(to.len() + plain_to.len());
        let (compressed_to, plain_to) = match &compressed {
            Some(_) => (to, plain_to),
            None => (Vec::new(), to.into_iter().chain(plain_to).collect()),
        };
        if let Some(compressed) = compressed {
            let body = Body::from(compressed).share(budget);
            payloads.extend(compressed_to.into_iter().map(|to| payload(to, &body, true)));
        }
        if !plain_to.is_empty() {
            let body = body.share(budget);
            payloads.extend(plain_to.into_iter().map(|to| payload(to, &body, false)));
        }
        payloads
    }

    /// Splits the batch into two, each with half of the entries. The body is a protobuf message that consists only of entries.
    fn split(self) -> [Self; 2] {
        let Self { kind, body, level, items, to, plain_to } = self;
        let first_items = items / 2;
        let mut rest = &body[..];
        for _ in 0..first_items {
            rest = without_entry(rest);
        }
        let at = body.len() - rest.len();
        let [first, second] = body.split_off(at);
        let (second_to, second_plain_to) = (to.clone(), plain_to.clone());
        [
            Self { kind, body: first, level, items: first_items, to, plain_to },
            Self { kind, body: second, level, items: items - first_items, to: second_to, plain_to: second_plain_to },
        ]
    }
}

/// The body after its first entry, which is a byte for the field number, a length, and that many bytes.
fn without_entry(body: &[u8]) -> &[u8] {
    let mut rest = body.get(1..).unwrap_or_default();
    let length = prost::decode_length_delimiter(&mut rest).unwrap_or(rest.len());
    rest.get(length..).unwrap_or_default()
}

impl fmt::Display for Kind {
    /// The name in the extension's log lines.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Logs => "LOGS",
            Self::Sketches | Self::Series => "METRICS",
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    fn unsealed(body: Vec<u8>, level: Option<i32>) -> UnsealedPayload {
        let (to, plain_to) = (Target::all(&[]), Vec::new());
        UnsealedPayload { kind: Kind::Logs, body: body.into(), level, items: 1, to, plain_to }
    }

    fn compress(payload: UnsealedPayload) -> Vec<Payload> {
        payload.compress(&MemoryBudget::default(), &AtomicBool::default())
    }

    fn endpoints() -> [Arc<Endpoint>; 2] {
        ["https://a.example", "https://b.example"].map(|url| {
            let api_key = crate::config::ApiKey::clean("key").unwrap();
            Arc::new(Endpoint { url: url.to_owned(), api_key })
        })
    }

    #[test]
    fn a_compressed_body_can_be_read_back_and_says_so() {
        let payload = compress(unsealed(vec![b'x'; 10_000], Some(3))).remove(0);
        assert!(payload.zstd);
        assert!(payload.body.len() < 1000);
        assert_eq!(zstd::bulk::decompress(&payload.body, 10_000).unwrap(), vec![b'x'; 10_000]);
    }

    #[test]
    fn without_a_level_the_body_is_sent_as_it_is() {
        let payload = compress(unsealed(b"[]".to_vec(), None)).remove(0);
        assert!(!payload.zstd);
        assert_eq!(&payload.body[..], b"[]");
    }

    #[test]
    fn every_destination_gets_the_same_body() {
        let also_to = endpoints();
        let payloads = compress(UnsealedPayload { to: Target::all(&also_to), ..unsealed(vec![b'x'; 100], Some(3)) });
        let [first, second, third] = &payloads[..] else { panic!("{payloads:?}") };
        assert_eq!(first.to, Target::Primary);
        assert_eq!(vec![second.to.clone(), third.to.clone()], also_to.map(Target::Additional));
        assert!(first.body == second.body && second.body.as_ptr() == third.body.as_ptr(), "and shares it");
    }

    #[test]
    fn bodies_count_once_however_many_destinations_share_them() {
        let budget = MemoryBudget::default();
        let (to, plain_to) = (Target::others(&endpoints()).collect(), vec![Target::Primary]);
        let mut whole = UnsealedPayload { to, plain_to, ..unsealed(vec![b'x'; 100_000], Some(3)) };
        whole.body.count_in(&budget);
        let payloads = whole.compress(&budget, &AtomicBool::default());
        let [first, second, plain] = &payloads[..] else { panic!("{payloads:?}") };
        assert!(first.zstd && first.body.as_ptr() == second.body.as_ptr());
        assert_eq!((plain.zstd, plain.body.len(), &plain.to), (false, 100_000, &Target::Primary));
        assert!((100_000..102_000).contains(&budget.used()), "{}", budget.used());
        drop(payloads);
        assert_eq!(budget.used(), 0);
    }

    /// Random entries of 1 KiB, which cannot be compressed.
    fn entries(count: usize) -> Vec<Vec<u8>> {
        let mut random = StdRng::seed_from_u64(512);
        let entry = |_| {
            let mut entry = vec![0x0a, 0x80, 0x08];
            entry.extend((0..1024).map(|_| random.random::<u8>()));
            entry
        };
        (0..count).map(entry).collect()
    }

    #[test]
    fn series_that_stay_too_large_are_split_between_entries() {
        let entries = entries(1801);
        for level in [Some(3), None] {
            let payloads =
                compress(UnsealedPayload { kind: Kind::Series, items: 1801, ..unsealed(entries.concat(), level) });
            assert_eq!(payloads.len(), 4);
            assert!(payloads.iter().all(|payload| payload.body.len() <= MAX_SERIES_BYTES));
            assert_eq!(payloads.iter().map(|payload| payload.items).collect::<Vec<_>>(), [450, 450, 450, 451]);
            let unzipped = |payload: &Payload| zstd::bulk::decompress(&payload.body, 1 << 20).unwrap();
            let plain = |payload: &Payload| if payload.zstd { unzipped(payload) } else { payload.body.to_vec() };
            assert!(payloads.iter().map(plain).collect::<Vec<_>>().concat() == entries.concat());
        }
        let sketches = UnsealedPayload { kind: Kind::Sketches, items: 1801, ..unsealed(entries.concat(), None) };
        assert_eq!(compress(sketches).len(), 1, "their intake takes far more");
    }

    #[test]
    fn one_entry_that_is_too_large_is_sent_as_it_is() {
        let body = entries(600).concat();
        assert_eq!(compress(UnsealedPayload { kind: Kind::Series, ..unsealed(body, None) }).len(), 1);
    }
}
