//! A line becomes a log: its text, status, request id and tags.

mod durable;
pub mod element;
mod platform_line;
pub mod rules;
mod status;

use serde_json::{Map, Value};

pub use durable::Execution;
pub use element::Origin;
pub use platform_line::{init_start, report, runtime_done, start};
pub use rules::Rules;
pub use status::Status;

use super::event::{Text, Timestamp};
use crate::platform::ids::RequestId;

/// One log, ready to be encoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// The text, after tags were taken out of it.
    pub message: String,
    /// Its severity.
    pub status: Status,
    /// When it was written.
    pub time: Timestamp,
    /// Which invocation it belongs to, where that is known.
    pub request_id: Option<RequestId>,
    /// `ddtags` that the line itself carried.
    pub tags: Option<String>,
    /// The durable execution that the line itself named.
    pub execution: Option<Box<Execution>>,
}

/// Reads a line that the function or an extension wrote. A line that is a JSON object may name its severity, its request id and tags of its own.
pub fn read(text: Text, time: Timestamp) -> Log {
    let plain = |message| Log { message, status: Status::Info, time, request_id: None, tags: None, execution: None };
    match text {
        Text::Plain(message) => match object(&message) {
            Some(object) => read_object(object, Some(message), time),
            None => plain(message),
        },
        Text::Object(object) => read_object(object, None, time),
    }
}

/// Parses only what looks like an object, because most lines are not JSON and the attempt costs.
fn object(message: &str) -> Option<Map<String, Value>> {
    let candidate = message.trim_ascii();
    (candidate.starts_with('{') && candidate.ends_with('}')).then(|| serde_json::from_str(candidate).ok()).flatten()
}

/// `original` is the text that the object was read from: kept byte for byte unless something is taken out of it.
fn read_object(mut object: Map<String, Value>, original: Option<String>, time: Timestamp) -> Log {
    let tags = take_tags(&mut object);
    let status = status::of(&object);
    let request_id = ["requestId", "AWSRequestId"]
        .iter()
        .find_map(|key| object.get(*key).and_then(Value::as_str))
        .filter(|id| !id.is_empty())
        .map(RequestId::from);
    let execution = durable::of(&object);
    let message = match original {
        Some(original) if tags.is_none() => original,
        _ => Value::Object(object).to_string(),
    };
    Log { message, status, time, request_id, tags, execution }
}

/// Takes `ddtags` out of the object, or out of the object under `message`; what is around it stays.
fn take_tags(object: &mut Map<String, Value>) -> Option<String> {
    fn take(object: &mut Map<String, Value>) -> Option<String> {
        object.get("ddtags")?.as_str()?;
        match object.shift_remove("ddtags") {
            Some(Value::String(tags)) => Some(tags),
            _ => None,
        }
    }
    take(object).or_else(|| take(object.get_mut("message")?.as_object_mut()?)).filter(|tags| !tags.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Log {
        read(Text::Plain(text.to_owned()), 1)
    }

    #[test]
    fn plain_text_is_kept_to_the_byte() {
        for text in ["", " {not json} ", "a\tb", "[1]", "{\"a\":", "{} trailing"] {
            let log = plain(text);
            assert_eq!((log.message.as_str(), log.status, log.tags), (text, Status::Info, None));
        }
    }

    #[test]
    fn a_json_line_keeps_its_text_and_gives_its_severity_and_request_id() {
        let text = r#"{ "level" : "ERROR", "AWSRequestId":"r-1", "b":1.50 }"#;
        let log = plain(text);
        assert_eq!(log.message, text);
        assert_eq!(log.status, Status::Error);
        assert_eq!(log.request_id, Some("r-1".into()));
        assert_eq!(plain(r#"{"requestId":"a","AWSRequestId":"b"}"#).request_id, Some("a".into()));
    }

    #[test]
    fn tags_are_taken_out_and_the_rest_keeps_its_order() {
        let log = plain(r#"{"z":1,"ddtags":"a:b,c","y":2}"#);
        assert_eq!(log.tags.as_deref(), Some("a:b,c"));
        assert_eq!(log.message, r#"{"z":1,"y":2}"#);
    }

    #[test]
    fn nested_tags_are_taken_out_without_losing_the_outer_fields() {
        let log = plain(r#"{"level":"warn","message":{"ddtags":"a:b","text":"hi"},"user":7}"#);
        assert_eq!(log.tags.as_deref(), Some("a:b"));
        assert_eq!(log.message, r#"{"level":"warn","message":{"text":"hi"},"user":7}"#);
        assert_eq!(log.status, Status::Warn);
    }

    #[test]
    fn tags_that_are_no_text_stay_where_they_are() {
        let text = r#"{"ddtags":["a"],"message":"ddtags"}"#;
        assert_eq!(plain(text).message, text);
    }

    #[test]
    fn an_object_from_lambda_is_written_compactly_in_its_order() {
        let Value::Object(object) = serde_json::json!({"z": {"b": 1}, "a": "x"}) else { panic!() };
        assert_eq!(read(Text::Object(object), 1).message, r#"{"z":{"b":1},"a":"x"}"#);
    }
}
