//! One request's worth of data: drafted where it is gathered, sealed where time does not matter, sent as often as it takes.

use std::fmt;

use bytes::Bytes;

/// Which intake it goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `/api/v2/logs`.
    Logs,
    /// `/api/beta/sketches`.
    Sketches,
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
    /// How many logs or distributions it holds.
    pub items: usize,
}

/// A body with what must be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Where it goes.
    pub kind: Kind,
    /// What is sent; shared, so that another attempt copies nothing.
    pub body: Bytes,
    /// Whether the body is compressed.
    pub zstd: bool,
    /// How many logs or distributions are lost if it is.
    pub items: u64,
}

impl Draft {
    /// Compresses, which takes its time. If that fails the body is sent as it is.
    pub fn seal(self) -> Payload {
        let compressed = self.level.and_then(|level| zstd::bulk::compress(&self.body, level).ok());
        let zstd = compressed.is_some();
        Payload { kind: self.kind, body: compressed.unwrap_or(self.body).into(), zstd, items: self.items as u64 }
    }
}

impl fmt::Display for Kind {
    /// As our log lines name it.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Logs => "LOGS",
            Self::Sketches => "METRICS",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_body_can_be_read_back_and_says_so() {
        let payload = Draft { kind: Kind::Logs, body: vec![b'x'; 10_000], level: Some(3), items: 1 }.seal();
        assert!(payload.zstd);
        assert!(payload.body.len() < 1000);
        assert_eq!(zstd::bulk::decompress(&payload.body, 10_000).unwrap(), vec![b'x'; 10_000]);
    }

    #[test]
    fn without_a_level_the_body_is_sent_as_it_is() {
        let payload = Draft { kind: Kind::Logs, body: b"[]".to_vec(), level: None, items: 0 }.seal();
        assert!(!payload.zstd);
        assert_eq!(&payload.body[..], b"[]");
    }
}
