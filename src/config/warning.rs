//! What was wrong with the configuration, for the log once there is one.

use std::fmt;

/// One setting that could not be used as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The setting as the customer knows it, for example `DD_FLUSH_TIMEOUT` or `logs_config.logs_dd_url`.
    pub key: String,
    pub source: Source,
    /// Why it can't be used. Never repeats the value, which may be a secret.
    pub why: String,
    /// What takes effect in its place.
    pub used: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}; using {}", self.key, self.source, self.why, self.used)
    }
}

/// Where a setting came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Environment,
    Yaml,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "environment",
            Self::Yaml => "datadog.yaml",
        })
    }
}
