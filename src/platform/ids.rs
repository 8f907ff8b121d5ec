//! Names that must not be mixed up: each has a type of its own.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Where the Runtime, Extensions and Telemetry APIs answer: `host:port`, from `AWS_LAMBDA_RUNTIME_API`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeApi(pub String);

/// What the platform calls this extension after it has registered (`Lambda-Extension-Identifier`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionId(pub String);

/// One invocation's id (`requestId`); cheap to clone because every log line carries one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id as the platform wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RequestId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for RuntimeApi {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ExtensionId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}
