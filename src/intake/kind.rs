//! Which kinds of payloads there are, and what is known of each: one descriptor, which stands in the kind's own file.

use std::fmt;

use super::{logs, metrics, proxied, stats, traces};
use crate::process::proxied::Product;

/// What a payload holds, which decides which intake it goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `/api/v2/logs`.
    Logs,
    /// `/api/beta/sketches`.
    Sketches,
    /// `/api/v2/series`.
    Series,
    /// `/api/v0.2/traces`.
    Traces,
    /// `/api/v0.2/stats`.
    Stats,
    /// A request of a tracer's that is passed on.
    Proxied(Product),
}

/// What is known of a kind.
#[derive(Debug)]
pub struct Descriptor {
    /// How our log lines begin that are about it.
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
    /// Which answers say that it was accepted.
    pub success: Success,
}

/// How bodies are compressed.
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

impl Kind {
    /// Whether it is of what tracers send, which may be far more than there is memory for.
    pub fn is_of_tracers(self) -> bool {
        match self {
            Self::Traces | Self::Stats | Self::Proxied(_) => true,
            Self::Logs | Self::Sketches | Self::Series => false,
        }
    }

    /// What is known of it.
    pub fn descriptor(self) -> &'static Descriptor {
        match self {
            Self::Logs => &logs::DESCRIPTOR,
            Self::Sketches => &metrics::SKETCHES,
            Self::Series => &metrics::SERIES,
            Self::Traces => &traces::DESCRIPTOR,
            Self::Stats => &stats::DESCRIPTOR,
            Self::Proxied(_) => &proxied::DESCRIPTOR,
        }
    }
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
    /// Whether this 2xx is one of them.
    pub fn includes(self, status: u16) -> bool {
        self == Self::Any || status == 202
    }
}

impl fmt::Display for Kind {
    /// As our log lines name it.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.descriptor().name)
    }
}
