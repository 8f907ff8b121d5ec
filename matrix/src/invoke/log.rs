//! A log as the intake got it.

use serde::Serialize;
use serde_json::Value;

use super::correlation;

/// A delivered log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    pub status: String,
    pub request_id: Option<String>,
    /// The span that wrote it, decimal.
    pub span_id: Option<String>,
    pub message: String,
}

impl Log {
    /// A log from its JSON element. Extensions nest the text one level down; the agent has it at the top.
    pub(super) fn of(element: &Value) -> Self {
        let content = element.get("message").filter(|message| message.is_object()).unwrap_or(element);
        let text = |key: &str| content.get(key).and_then(Value::as_str);
        let message = match content.get("message") {
            Some(Value::String(message)) => message.clone(),
            Some(other) => other.to_string(),
            None => element.to_string(),
        };
        let request_id = content.pointer("/lambda/request_id").and_then(Value::as_str);
        Self {
            timestamp: content.get("timestamp").and_then(Value::as_i64),
            status: text("status").unwrap_or("info").to_owned(),
            request_id: request_id.filter(|id| !id.is_empty()).map(str::to_owned),
            span_id: correlation::span_id(content, &message).map(|id| id.to_string()),
            message,
        }
    }
}
