//! One request's worth of data, ready to be sent as often as it takes.

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

impl Payload {
    /// Compresses at the level; a level of None, or a failure to compress, sends the body as it is.
    pub fn new(kind: Kind, body: Vec<u8>, level: Option<i32>, items: usize) -> Self {
        let compressed = level.and_then(|level| zstd::bulk::compress(&body, level).ok());
        let zstd = compressed.is_some();
        Self { kind, body: compressed.unwrap_or(body).into(), zstd, items: items as u64 }
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
        let payload = Payload::new(Kind::Logs, vec![b'x'; 10_000], Some(3), 1);
        assert!(payload.zstd);
        assert!(payload.body.len() < 1000);
        assert_eq!(zstd::bulk::decompress(&payload.body, 10_000).unwrap(), vec![b'x'; 10_000]);
    }

    #[test]
    fn without_a_level_the_body_is_sent_as_it_is() {
        let payload = Payload::new(Kind::Logs, b"[]".to_vec(), None, 0);
        assert!(!payload.zstd);
        assert_eq!(&payload.body[..], b"[]");
    }
}
