//! The data of one request: gathered as an [`UnsealedPayload`], compressed in the background, and sent as a [`Payload`] to each of its destinations.

use std::sync::{Arc, atomic::AtomicBool};

use bytes::Bytes;
use reqwest::header::HeaderMap;

use super::{
    Body, Kind, MemoryBudget,
    compression::{compress, gzip},
    descriptor::Encoding,
};
use crate::config::Endpoint;

/// Whose intake it goes to.
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

/// What a request says beside what its kind says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// Path and query in the place of the kind's path.
    pub path: Option<String>,
    /// Headers in the place of the kind's headers of the same names, and beside the others.
    pub headers: HeaderMap,
}

/// A batch as it was gathered, not compressed yet.
#[derive(Debug)]
pub struct UnsealedPayload {
    /// The kind of intake.
    pub kind: Kind,
    /// What the request says beside what the kind says.
    pub head: Option<Arc<RequestHead>>,
    /// The body, encoded.
    pub body: Body,
    /// The level of compression; None sends the body as it is.
    pub level: Option<i32>,
    /// How many logs, distributions, series, spans, statistics or requests it holds.
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
    /// What the request says beside what the kind says.
    pub head: Option<Arc<RequestHead>>,
    /// What is sent; shared, so that neither another attempt nor another destination copies anything.
    pub body: Bytes,
    /// Whether the body is compressed.
    pub compressed: bool,
    /// How many logs, distributions, series, spans, statistics or requests are lost if it is.
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
        let compressed = level.and_then(|level| match self.kind.descriptor().encoding {
            Encoding::Zstd => compress(&self.body, level, urgent).ok(),
            Encoding::Gzip => gzip(&self.body).ok(),
        });
        let sealed_bytes = compressed.as_ref().map_or(self.body.len(), Vec::len);
        let is_too_large = self.kind.descriptor().max_sealed_bytes.is_some_and(|most| sealed_bytes > most);
        if is_too_large && self.items > 1 {
            return self.split().into_iter().flat_map(|half| half.compress(budget, urgent)).collect();
        }
        let Self { kind, head, body, items, to, plain_to, .. } = self;
        let payload = |to, body: &Bytes, compressed| {
            let (head, body) = (head.clone(), body.clone());
            Payload { kind, to, head, body, compressed, items: items as u64 }
        };
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
        let Self { kind, head, body, level, items, to, plain_to } = self;
        let first_items = items / 2;
        let mut rest = &body[..];
        for _ in 0..first_items {
            rest = without_entry(rest);
        }
        let at = body.len() - rest.len();
        let [first, second] = body.split_off(at);
        let second = Self {
            kind,
            head: head.clone(),
            body: second,
            level,
            items: items - first_items,
            to: to.clone(),
            plain_to: plain_to.clone(),
        };
        [Self { kind, head, body: first, level, items: first_items, to, plain_to }, second]
    }
}

/// The body after its first entry, which is a byte for the field number, a length, and that many bytes.
fn without_entry(body: &[u8]) -> &[u8] {
    let mut rest = body.get(1..).unwrap_or_default();
    let length = prost::decode_length_delimiter(&mut rest).unwrap_or(rest.len());
    rest.get(length..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    fn unsealed(body: Vec<u8>, level: Option<i32>) -> UnsealedPayload {
        let (to, plain_to) = (Target::all(&[]), Vec::new());
        UnsealedPayload { kind: Kind::Logs, head: None, body: body.into(), level, items: 1, to, plain_to }
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
        assert!(payload.compressed);
        assert!(payload.body.len() < 1000);
        assert_eq!(zstd::bulk::decompress(&payload.body, 10_000).unwrap(), vec![b'x'; 10_000]);
    }

    #[test]
    fn without_a_level_the_body_is_sent_as_it_is() {
        let payload = compress(unsealed(b"[]".to_vec(), None)).remove(0);
        assert!(!payload.compressed);
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
        assert!(first.compressed && first.body.as_ptr() == second.body.as_ptr());
        assert_eq!((plain.compressed, plain.body.len(), &plain.to), (false, 100_000, &Target::Primary));
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
            assert!(payloads.iter().all(|payload| payload.body.len() <= 512_000));
            assert_eq!(payloads.iter().map(|payload| payload.items).collect::<Vec<_>>(), [450, 450, 450, 451]);
            let unzipped = |payload: &Payload| zstd::bulk::decompress(&payload.body, 1 << 20).unwrap();
            let plain = |payload: &Payload| if payload.compressed { unzipped(payload) } else { payload.body.to_vec() };
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
