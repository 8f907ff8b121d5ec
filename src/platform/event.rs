//! What `/event/next` answers.
//!
//! Only what is needed is mandatory: the type, and the request id of an INVOKE. Anything else may be missing or of another type.

use super::{ids::RequestId, json::Object};

/// The time that Lambda gives external extensions for their shutdown, in milliseconds: the deadline of a SHUTDOWN that names none.
const SHUTDOWN_MS: i64 = 2000;
/// A function's default timeout, in milliseconds: the deadline of an INVOKE that names none. One that is too early costs nothing but a flush that is not
/// waited for.
pub const DEFAULT_TIMEOUT_MS: i64 = 3000;

/// The next thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The function has been invoked.
    Invoke(Invoke),
    /// The sandbox ends.
    Shutdown(Shutdown),
}

/// One invocation begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoke {
    /// When the function times out, in milliseconds since the epoch. Our own work counts against it.
    pub deadline_ms: i64,
    /// The invocation's id.
    pub request_id: RequestId,
}

/// The sandbox ends; the process is killed at the deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shutdown {
    /// `spindown`, `timeout` or `failure`; empty when the platform does not say.
    pub shutdown_reason: String,
    /// When the platform kills what still runs, in milliseconds since the epoch.
    pub deadline_ms: i64,
}

/// Why a response is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// It is no JSON object.
    #[error("the event is no JSON object")]
    NoObject,
    /// Its type is missing, or one that this version does not know.
    #[error("the event's type is neither INVOKE nor SHUTDOWN")]
    Type,
    /// It is an INVOKE without a request id.
    #[error("the INVOKE has no request id")]
    RequestId,
}

impl Event {
    /// Parses the body of a response that arrived at `now`, in milliseconds since the epoch.
    pub fn parse(body: &[u8], now: i64) -> Result<Self, EventError> {
        let body = String::from_utf8_lossy(body);
        let event = Object::parse(&body).ok_or(EventError::NoObject)?;
        #[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
        let deadline_ms = event.number("deadlineMs").map(|deadline| deadline as i64);
        match event.text("eventType").as_deref() {
            Some("INVOKE") => Ok(Self::Invoke(Invoke {
                deadline_ms: deadline_ms.unwrap_or_else(|| now.saturating_add(DEFAULT_TIMEOUT_MS)),
                request_id: event.text("requestId").ok_or(EventError::RequestId)?.as_str().into(),
            })),
            Some("SHUTDOWN") => Ok(Self::Shutdown(Shutdown {
                shutdown_reason: event.text("shutdownReason").unwrap_or_default(),
                deadline_ms: deadline_ms.unwrap_or_else(|| now.saturating_add(SHUTDOWN_MS)),
            })),
            _ => Err(EventError::Type),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(event: &Value) -> Result<Event, EventError> {
        Event::parse(event.to_string().as_bytes(), 1000)
    }

    fn invoke() -> Value {
        json!({
            "eventType": "INVOKE", "deadlineMs": 7, "requestId": "r", "invokedFunctionArn": "a", "tracing": {"type": "x", "value": "y"}
        })
    }

    fn shutdown() -> Value {
        json!({"eventType": "SHUTDOWN", "shutdownReason": "timeout", "deadlineMs": 8})
    }

    #[test]
    fn invoke_and_shutdown_are_parsed_and_unknown_fields_ignored() {
        assert_eq!(parse(&invoke()), Ok(Event::Invoke(Invoke { deadline_ms: 7, request_id: "r".into() })));
        let shutdown_reason = "timeout".to_owned();
        assert_eq!(parse(&shutdown()), Ok(Event::Shutdown(Shutdown { shutdown_reason, deadline_ms: 8 })));
    }

    #[test]
    fn an_unknown_event_type_is_an_error_not_a_guess() {
        assert_eq!(parse(&json!({"eventType": "NAP", "deadlineMs": 8})), Err(EventError::Type));
        assert_eq!(parse(&json!({"deadlineMs": 8})), Err(EventError::Type));
        assert_eq!(Event::parse(b"{\"eventType\":\"SHUTDOWN\"", 0), Err(EventError::NoObject));
    }

    #[test]
    fn a_deadline_is_any_number_and_the_default_where_there_is_none() {
        let deadline = |event: &Value| match parse(event) {
            Ok(Event::Invoke(Invoke { deadline_ms, .. }) | Event::Shutdown(Shutdown { deadline_ms, .. })) => {
                deadline_ms
            }
            Err(error) => panic!("{error}"),
        };
        for (value, of_invoke, of_shutdown) in [
            (json!(1.5e12), 1_500_000_000_000, 1_500_000_000_000),
            (json!(-1), -1, -1),
            (json!(1e300), i64::MAX, i64::MAX),
            (json!("soon"), 4000, 3000),
            (Value::Null, 4000, 3000),
        ] {
            let (mut invoke, mut shutdown) = (invoke(), shutdown());
            invoke["deadlineMs"] = value.clone();
            shutdown["deadlineMs"] = value;
            assert_eq!((deadline(&invoke), deadline(&shutdown)), (of_invoke, of_shutdown));
        }
    }

    /// Any single field replaced by null or another type, or removed: the event stays what it is, unless the field is its type or the request id.
    #[test]
    fn malformed_field_never_drops_the_event() {
        for event in [invoke(), shutdown()] {
            let kind = event["eventType"].as_str().unwrap();
            for name in event.as_object().unwrap().keys() {
                for odd in
                    [None, Some(json!(null)), Some(json!(-1.5)), Some(json!([])), Some(json!({})), Some(json!(true))]
                {
                    let mut changed = event.clone();
                    match odd {
                        None => drop(changed.as_object_mut().unwrap().remove(name)),
                        Some(odd) => changed[name] = odd,
                    }
                    let expected = match (name.as_str(), kind) {
                        ("eventType", _) | ("requestId", "INVOKE") => "an error",
                        _ => kind,
                    };
                    let parsed = match parse(&changed) {
                        Ok(Event::Invoke(_)) => "INVOKE",
                        Ok(Event::Shutdown(_)) => "SHUTDOWN",
                        Err(_) => "an error",
                    };
                    assert_eq!(parsed, expected, "{changed}");
                }
            }
        }
    }
}
