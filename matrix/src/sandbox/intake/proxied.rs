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
    /// Of a form, such as a profile.
    pub parts: Vec<FormPart>,
}

/// A part of a `multipart/form-data` body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FormPart {
    pub name: String,
    /// Empty if it is not a file.
    pub file_name: String,
    pub bytes: usize,
    /// The content, if it is JSON.
    pub json: Option<serde_json::Value>,
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
            parts: form_parts(content_type, body),
        }
    }
}

/// The parts of a form; none of any other body.
///
/// Source: RFC 7578, and RFC 2046 §5.1.1 for what separates them.
fn form_parts(content_type: &str, body: &[u8]) -> Vec<FormPart> {
    let boundary = content_type.split_once("boundary=").map(|(_, boundary)| boundary.trim_matches(['"', ' ']));
    let Some(boundary) = boundary.filter(|_| content_type.starts_with("multipart/form-data")) else {
        return Vec::new();
    };
    let separator = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut rest = split(body, separator.as_bytes()).map(|(_, rest)| rest);
    while let Some((part, next)) = rest.and_then(|rest| split(rest, separator.as_bytes())) {
        parts.extend(form_part(part));
        rest = Some(next);
    }
    parts
}

fn form_part(part: &[u8]) -> Option<FormPart> {
    let (head, content) = split(part, b"\r\n\r\n")?;
    let content = content.strip_suffix(b"\r\n").unwrap_or(content);
    let head = String::from_utf8_lossy(head);
    let value = |key: &str| {
        let (_, rest) = head.split_once(&format!("{key}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    Some(FormPart {
        name: value(" name").unwrap_or_default(),
        file_name: value("filename").unwrap_or_default(),
        bytes: content.len(),
        json: serde_json::from_slice(content).ok(),
    })
}

/// What is before and after the first occurrence of a separator.
fn split<'b>(bytes: &'b [u8], separator: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + separator.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_its_parts() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"event\"; filename=\"event.json\"\r\nContent-Type: \
            application/json\r\n\r\n{\"family\":\"python\"}\r\n--x\r\nContent-Disposition: form-data; name=\"auto\"\r\n\r\n\x00\r\n--x--\r\n";
        let body = ProxiedBody::of("multipart/form-data; boundary=x", body);
        let parts: Vec<_> =
            body.parts.iter().map(|part| (part.name.as_str(), part.file_name.as_str(), part.bytes)).collect();
        assert_eq!(parts, [("event", "event.json", 19), ("auto", "", 1)]);
        assert_eq!(body.parts[0].json, Some(serde_json::json!({"family": "python"})));
        assert!(ProxiedBody::of("application/json", b"--x\r\n\r\n--x").parts.is_empty());
        assert!(ProxiedBody::of("multipart/form-data; boundary=y", b"--x\r\n\r\n--x").parts.is_empty());
    }
}
