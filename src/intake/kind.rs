//! The kinds of payloads. Each has one descriptor, in the file of the kind.

use std::fmt;

use super::{descriptor::Descriptor, logs, metrics, proxied, stats, traces};
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

impl Kind {
    /// Whether it is of what tracers send, which may be far more than there is memory for.
    pub fn is_of_tracers(self) -> bool {
        match self {
            Self::Traces | Self::Stats | Self::Proxied(_) => true,
            Self::Logs | Self::Sketches | Self::Series => false,
        }
    }

    /// The descriptor of this kind.
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

impl fmt::Display for Kind {
    /// The prefix of log lines, such as `LOGS`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.descriptor().name)
    }
}
