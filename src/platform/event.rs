//! What `/event/next` answers.

use serde::Deserialize;

use super::ids::RequestId;

/// The next thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "eventType")]
pub enum Event {
    /// The function has been invoked.
    #[serde(rename = "INVOKE")]
    Invoke(Invoke),
    /// The sandbox ends.
    #[serde(rename = "SHUTDOWN")]
    Shutdown(Shutdown),
}

/// One invocation begins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoke {
    /// When the function times out, in milliseconds since the epoch. Our own work counts against it.
    pub deadline_ms: i64,
    /// The invocation's id.
    pub request_id: RequestId,
}

/// The sandbox ends; the process is killed at the deadline.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shutdown {
    /// `spindown`, `timeout` or `failure`; empty when the platform does not say.
    #[serde(default)]
    pub shutdown_reason: String,
    /// When the platform kills what still runs, in milliseconds since the epoch.
    pub deadline_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invoke_and_shutdown_are_told_apart_and_unknown_fields_ignored() {
        let invoke =
            r#"{"eventType":"INVOKE","deadlineMs":7,"requestId":"r","invokedFunctionArn":"a","tracing":{"type":"x"}}"#;
        let shutdown = r#"{"eventType":"SHUTDOWN","shutdownReason":"timeout","deadlineMs":8}"#;
        assert_eq!(
            serde_json::from_str::<Event>(invoke).unwrap(),
            Event::Invoke(Invoke { deadline_ms: 7, request_id: "r".into() })
        );
        assert_eq!(
            serde_json::from_str::<Event>(shutdown).unwrap(),
            Event::Shutdown(Shutdown { shutdown_reason: "timeout".to_owned(), deadline_ms: 8 })
        );
    }

    #[test]
    fn an_unknown_event_type_is_an_error_not_a_guess() {
        assert!(serde_json::from_str::<Event>(r#"{"eventType":"NAP","deadlineMs":8}"#).is_err());
    }
}
