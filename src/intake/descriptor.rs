//! Descriptors: how each kind of payload is encoded, addressed and confirmed.

/// How one kind of payload is encoded, addressed and confirmed.
#[derive(Debug)]
pub struct Descriptor {
    /// Prefix of log lines about this kind.
    pub name: &'static str,
    /// Where its intake wants it, unless the payload says otherwise.
    pub path: &'static str,
    /// The type of the body, unless the payload says otherwise.
    pub content_type: &'static str,
    /// Further headers of each request.
    pub headers: &'static [(&'static str, &'static str)],
    /// How a body with a compression level is compressed.
    pub encoding: Encoding,
    /// Maximum of the body as it is sent, in bytes, where bodies can be split.
    pub max_sealed_bytes: Option<usize>,
    /// Statuses that confirm the payload.
    pub success: Success,
}

/// The `Content-Encoding` of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Zstandard, at a level.
    Zstd,
    /// Gzip at its fastest.
    Gzip,
}

/// Which statuses say that a payload was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Success {
    /// Every 2xx.
    Any,
    /// 202 alone.
    Accepted,
}

impl Encoding {
    /// The value of `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

impl Success {
    /// True if this 2xx status confirms the payload.
    pub fn includes(self, status: u16) -> bool {
        self == Self::Any || status == 202
    }
}
