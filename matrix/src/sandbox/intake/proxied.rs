//! What tracers send beside spans and an extension passes on: anything, at the paths of the products' intakes.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The paths, without that of the debugger's logs, which is the logs intake's.
pub(super) const PATHS: [&str; 7] = [
    "/api/v0.1/pipeline_stats",
    "/api/v2/profile",
    "/api/intake/llm-obs/v1/eval-metric",
    "/api/intake/llm-obs/v2/eval-metric",
    "/api/v2/llmobs",
    "/api/v2/debugger",
    "/api/v2/apmtelemetry",
];

/// How much of a body is kept as text.
const START_BYTES: usize = 256;

/// A body that nobody here can read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProxiedBody {
    pub content_type: String,
    /// As it was sent.
    pub bytes: usize,
    /// Of the whole body, in hexadecimal.
    pub sha256: String,
    /// Its first bytes as text.
    pub start: String,
}

/// Two digits a byte.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

impl ProxiedBody {
    pub(super) fn of(content_type: &str, body: &[u8]) -> Self {
        Self {
            content_type: content_type.to_owned(),
            bytes: body.len(),
            sha256: hexadecimal(&Sha256::digest(body)),
            start: String::from_utf8_lossy(body.get(..START_BYTES).unwrap_or(body)).into_owned(),
        }
    }
}
