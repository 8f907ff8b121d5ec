//! One request's worth of data: drafted where it is gathered, sealed where time does not matter, sent as often as it takes.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::config::Endpoint;

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
    /// One that metrics go to besides.
    Additional(Arc<Endpoint>),
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
    /// Where it goes besides.
    pub also_to: Vec<Arc<Endpoint>>,
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
    /// Compresses, which takes its time, and gives one payload for each destination. If compressing fails the body is sent as it is.
    pub fn seal(self) -> impl Iterator<Item = Payload> {
        let compressed = self.level.and_then(|level| zstd::bulk::compress(&self.body, level).ok());
        let (kind, zstd, items) = (self.kind, compressed.is_some(), self.items as u64);
        let body = Bytes::from(compressed.unwrap_or(self.body));
        let destinations = std::iter::once(To::Primary).chain(self.also_to.into_iter().map(To::Additional));
        destinations.map(move |to| Payload { kind, to, body: body.clone(), zstd, items })
    }
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
    use super::*;

    fn draft(body: Vec<u8>, level: Option<i32>) -> Draft {
        Draft { kind: Kind::Logs, body, level, items: 1, also_to: Vec::new() }
    }

    #[test]
    fn a_compressed_body_can_be_read_back_and_says_so() {
        let payload = draft(vec![b'x'; 10_000], Some(3)).seal().next().unwrap();
        assert!(payload.zstd);
        assert!(payload.body.len() < 1000);
        assert_eq!(zstd::bulk::decompress(&payload.body, 10_000).unwrap(), vec![b'x'; 10_000]);
    }

    #[test]
    fn without_a_level_the_body_is_sent_as_it_is() {
        let payload = draft(b"[]".to_vec(), None).seal().next().unwrap();
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
        let payloads: Vec<_> = Draft { also_to: also_to.to_vec(), ..draft(vec![b'x'; 100], Some(3)) }.seal().collect();
        let [first, second, third] = &payloads[..] else { panic!("{payloads:?}") };
        assert_eq!(first.to, To::Primary);
        assert_eq!(vec![second.to.clone(), third.to.clone()], also_to.map(To::Additional));
        assert!(first.body == second.body && second.body.as_ptr() == third.body.as_ptr(), "and shares it");
    }
}
