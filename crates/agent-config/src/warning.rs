//! Warnings about the configuration, kept until they can be logged.

use std::fmt;

/// A setting whose value could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The setting's name in the environment or its path in the file, for example `DD_FLUSH_TIMEOUT` or `logs_config.logs_dd_url`.
    pub key: String,
    pub source: Source,
    /// Why the value cannot be used. Never repeats the value, which may be a secret, unless it is a short word that was given for a switch.
    pub why: String,
    /// The value used instead.
    pub used: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}; using {}", self.key, self.source, self.why, self.used)
    }
}

/// The source of a setting.
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
