//! What the rest of the extension sees of the settings about App & API Protection.

use std::path::PathBuf;
use std::time::Duration;

/// Whether requests are evaluated for attacks, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSec {
    pub enabled: bool,
    /// A ruleset in place of the one that comes with the extension.
    pub rules: Option<PathBuf>,
    /// What all evaluations of one request may take together.
    pub budget: Duration,
    /// Whether schemas of requests and responses are reported.
    pub schemas: bool,
    /// For how long no further schema of the same route is reported.
    pub schema_interval: Duration,
    /// Whether it is used without APM: only traces with security events are kept.
    pub standalone: bool,
}

impl Default for AppSec {
    fn default() -> Self {
        Self {
            enabled: false,
            rules: None,
            budget: Duration::from_millis(5),
            schemas: true,
            schema_interval: Duration::from_secs(30),
            standalone: false,
        }
    }
}
