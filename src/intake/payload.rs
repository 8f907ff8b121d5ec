//! One request's worth of data: gathered as an [`UnsealedPayload`], compressed where time does not matter, sent as a [`Payload`] to each of its destinations.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use bytes::Bytes;

use super::{Body, MemoryBudget, compression::compress};
use crate::config::Endpoint;

/// The series intake's limit on a body as it is sent.
///
/// Source: Datadog API reference, "Submit metrics": 500 kilobytes (512,000 bytes).
const MAX_SERIES_BYTES: usize = 512_000;

/// Which intake it goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `/api/v2/logs`.
    Logs,
    /// `/api/beta/sketches`.
    Sketches,
    /// `/api/v2/series`.
    Series,
}

/// Whose intake it goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// The one that everything goes to.
    Primary,
    /// One that the same data goes to besides.
    Additional(Arc<Endpoint>),
}

impl Target {
    /// Everybody.
    pub fn all(additional: &[Arc<Endpoint>]) -> Vec<Self> {
        std::iter::once(Self::Primary).chain(Self::others(additional)).collect()
    }

    /// Everybody but the one that everything goes to.
    pub fn others(additional: &[Arc<Endpoint>]) -> impl Iterator<Item = Self> {
        additional.iter().cloned().map(Self::Additional)
    }
}

/// A batch as it was gathered, not compressed yet.
#[derive(Debug)]
pub struct UnsealedPayload {
    /// Where it goes.
    pub kind: Kind,
    /// What is to be sent.
    pub body: Body,
    /// The zstd level; None sends the body as it is.
    pub level: Option<i32>,
    /// How many logs, distributions or series it holds.
    pub items: usize,
    /// Whose intakes it goes to.
    pub to: Vec<Target>,
    /// Whose intakes it goes to besides, uncompressed whatever the level is.
    pub plain_to: Vec<Target>,
}

/// A body with what must be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Where it goes.
    pub kind: Kind,
    /// Whose it goes to.
    pub to: Target,
    /// What is sent; shared, so that neither another attempt nor another destination copies anything.
    pub body: Bytes,
    /// Whether the body is compressed.
    pub zstd: bool,
    /// How many logs, distributions or series are lost if it is.
    pub items: u64,
}

impl UnsealedPayload {
    /// How many items are lost if it is: each counts for every destination.
    pub fn total_items(&self) -> u64 {
        (self.items * (self.to.len() + self.plain_to.len())) as u64
    }

    /// Whether there is anything to compress, which takes its time.
    pub fn is_compressed(&self) -> bool {
        self.level.is_some() && !self.to.is_empty()
    }

    /// Compresses, and gives one payload for each destination; their bodies count in the budget. If compressing fails the body is sent as it is. What is still
    /// too large for the intake becomes several payloads. Once it is `urgent`, a high level is given up for a fast one.
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

    /// Two batches with half the entries each. The body is a protobuf message of nothing but entries.
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

/// What follows the first entry: that has a byte for the field's number, then its length, then so many bytes.
fn without_entry(body: &[u8]) -> &[u8] {
    let mut rest = body.get(1..).unwrap_or_default();
    let length = prost::decode_length_delimiter(&mut rest).unwrap_or(rest.len());
    rest.get(length..).unwrap_or_default()
}

impl fmt::Display for Kind {
    /// As our log lines name it.
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

    /// Entries of a kilobyte that nothing can compress.
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
