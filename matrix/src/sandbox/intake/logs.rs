//! Log payloads: a JSON array of objects.

use serde_json::Value;

/// Datadog's documented limits of the logs intake ("Send logs", HTTP API reference).
const ENTRIES: usize = 1000;
const ENTRY_BYTES: usize = 1024 * 1024;

/// Decodes a body and adds entries that exceed a limit to `problems`.
pub(super) fn decode(body: &[u8], problems: &mut Vec<String>) -> Result<Vec<Value>, String> {
    let entries: Vec<Value> =
        serde_json::from_slice(body).map_err(|error| format!("the body is not a JSON array: {error}"))?;
    if entries.len() > ENTRIES {
        problems.push(format!("{} log entries in one request, {ENTRIES} are allowed", entries.len()));
    }
    for (position, entry) in entries.iter().enumerate() {
        if !entry.is_object() {
            problems.push(format!("log entry {position} is not an object"));
        }
        // The size of its compact form, which the extension should send.
        let bytes = entry.to_string().len();
        if bytes > ENTRY_BYTES {
            problems.push(format!("log entry {position} has {bytes} bytes, Datadog cuts it at {ENTRY_BYTES}"));
        }
    }
    Ok(entries)
}
