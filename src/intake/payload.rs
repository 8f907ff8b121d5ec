//! One request's worth of data: drafted where it is gathered, sealed where time does not matter, sent as often as it takes.

use std::{fmt, sync::Arc};

use bytes::Bytes;

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
pub enum To {
    /// The one that everything goes to.
    Primary,
    /// One that the same data goes to besides.
    Additional(Arc<Endpoint>),
}

impl To {
    /// Everybody.
    pub fn all(additional: &[Arc<Endpoint>]) -> Vec<Self> {
        std::iter::once(Self::Primary).chain(Self::others(additional)).collect()
    }

    /// Everybody but the one that everything goes to.
    pub fn others(additional: &[Arc<Endpoint>]) -> impl Iterator<Item = Self> {
        additional.iter().cloned().map(Self::Additional)
    }
}

/// A body as it was gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Where it goes.
    pub kind: Kind,
    /// What is to be sent.
    pub body: Vec<u8>,
    /// The zstd level; None sends the body as it is.
    pub level: Option<i32>,
    /// How many logs, distributions or series it holds.
    pub items: usize,
    /// Whose intakes it goes to.
    pub to: Vec<To>,
}

/// A body with what must be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Where it goes.
    pub kind: Kind,
    /// Whose it goes to.
    pub to: To,
    /// What is sent; shared, so that another attempt copies nothing.
    pub body: Bytes,
    /// Whether the body is compressed.
    pub zstd: bool,
    /// How many logs, distributions or series are lost if it is.
    pub items: u64,
}

impl Draft {
    /// Compresses, which takes its time, and gives one payload for each destination. If compressing fails the body is sent as it is. What is
    /// still too large for the intake becomes several payloads.
    pub fn seal(self) -> Vec<Payload> {
        let compressed = self.level.and_then(|level| zstd::bulk::compress(&self.body, level).ok());
        let sealed_bytes = compressed.as_ref().unwrap_or(&self.body).len();
        if self.kind == Kind::Series && sealed_bytes > MAX_SERIES_BYTES && self.items > 1 {
            return self.halves().into_iter().flat_map(Self::seal).collect();
        }
        let (kind, zstd, items) = (self.kind, compressed.is_some(), self.items as u64);
        let body = Bytes::from(compressed.unwrap_or(self.body));
        self.to.into_iter().map(|to| Payload { kind, to, body: body.clone(), zstd, items }).collect()
    }

    /// Two drafts with half the entries each. The body is a protobuf message of nothing but entries.
    fn halves(mut self) -> [Self; 2] {
        let first = self.items / 2;
        let mut rest = &self.body[..];
        for _ in 0..first {
            rest = without_entry(rest);
        }
        let second_body = self.body.split_off(self.body.len() - rest.len());
        let second = Self { body: second_body, items: self.items - first, to: self.to.clone(), ..self };
        [Self { items: first, ..self }, second]
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

    fn draft(body: Vec<u8>, level: Option<i32>) -> Draft {
        Draft { kind: Kind::Logs, body, level, items: 1, to: To::all(&[]) }
    }

    #[test]
    fn a_compressed_body_can_be_read_back_and_says_so() {
        let payload = draft(vec![b'x'; 10_000], Some(3)).seal().remove(0);
        assert!(payload.zstd);
        assert!(payload.body.len() < 1000);
        assert_eq!(zstd::bulk::decompress(&payload.body, 10_000).unwrap(), vec![b'x'; 10_000]);
    }

    #[test]
    fn without_a_level_the_body_is_sent_as_it_is() {
        let payload = draft(b"[]".to_vec(), None).seal().remove(0);
        assert!(!payload.zstd);
        assert_eq!(&payload.body[..], b"[]");
    }

    #[test]
    fn every_destination_gets_the_same_body() {
        let endpoint = |url: &str| {
            let api_key = crate::config::ApiKey::clean("key").unwrap();
            Arc::new(Endpoint { url: url.to_owned(), api_key })
        };
        let also_to = ["https://a.example", "https://b.example"].map(endpoint);
        let payloads: Vec<_> = Draft { to: To::all(&also_to), ..draft(vec![b'x'; 100], Some(3)) }.seal();
        let [first, second, third] = &payloads[..] else { panic!("{payloads:?}") };
        assert_eq!(first.to, To::Primary);
        assert_eq!(vec![second.to.clone(), third.to.clone()], also_to.map(To::Additional));
        assert!(first.body == second.body && second.body.as_ptr() == third.body.as_ptr(), "and shares it");
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
            let whole = Draft { kind: Kind::Series, items: 1801, ..draft(entries.concat(), level) };
            let payloads = whole.clone().seal();
            assert_eq!(payloads.len(), 4);
            assert!(payloads.iter().all(|payload| payload.body.len() <= MAX_SERIES_BYTES));
            assert_eq!(payloads.iter().map(|payload| payload.items).collect::<Vec<_>>(), [450, 450, 450, 451]);
            let unzipped = |payload: &Payload| zstd::bulk::decompress(&payload.body, 1 << 20).unwrap();
            let plain = |payload: &Payload| if payload.zstd { unzipped(payload) } else { payload.body.to_vec() };
            assert!(payloads.iter().map(plain).collect::<Vec<_>>().concat() == whole.body);
        }
        let sketches = Draft { kind: Kind::Sketches, items: 1801, ..draft(entries.concat(), None) };
        assert_eq!(sketches.seal().len(), 1, "their intake takes far more");
    }

    #[test]
    fn one_entry_that_is_too_large_is_sent_as_it_is() {
        let body = entries(600).concat();
        assert_eq!(Draft { kind: Kind::Series, ..draft(body, None) }.seal().len(), 1);
    }
}
