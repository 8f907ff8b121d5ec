//! A line becomes a log: its text, status, request id and tags.

mod durable;
pub mod element;
mod json;
mod platform_line;
pub mod rules;
mod status;

use serde::Deserialize;
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

/// What a line that is a JSON object says of itself.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    level: Option<Value>,
    status: Option<Value>,
    request_id: Option<Value>,
    #[serde(rename = "AWSRequestId")]
    aws_request_id: Option<Value>,
    execution_arn: Option<Value>,
}

/// Reads a line that the function or an extension wrote. A line that is a JSON object may name its severity, its request id and tags of its own; its text is
/// kept byte for byte unless something is taken out of it.
pub fn read(text: Text, time: Timestamp) -> Log {
    let (Text::Plain(message) | Text::Object(message)) = text;
    // Most lines are not JSON, and the attempt costs.
    if !looks_like_object(&message) {
        return Log { message, status: Status::Info, time, request_id: None, tags: None, execution: None };
    }
    let (message, tags) = match take_tags(&message) {
        Some(Tagged { rest, tags }) => (rest, Some(tags)),
        None => (message, None),
    };
    let said = said(&message).unwrap_or_default();
    let text = |value: &Option<Value>| {
        value.as_ref().and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    Log {
        message,
        status: status::of([&said.level, &said.status].into_iter().flatten()),
        time,
        request_id: text(&said.request_id)
            .or_else(|| text(&said.aws_request_id))
            .map(|id| RequestId::from(id.as_str())),
        tags,
        execution: said.execution_arn.as_ref().and_then(Value::as_str).and_then(durable::of),
    }
}

fn looks_like_object(message: &str) -> bool {
    let candidate = message.trim_ascii();
    candidate.starts_with('{') && candidate.ends_with('}')
}

/// None if the line is no JSON object.
fn said(message: &str) -> Option<Said> {
    serde_json::from_str(message).ok().or_else(|| {
        // Of a key that comes twice the last one counts.
        let object: Map<String, Value> = serde_json::from_str(message).ok()?;
        serde_json::from_value(Value::Object(object)).ok()
    })
}

/// A JSON object of which something was taken.
struct Tagged {
    rest: String,
    tags: String,
}

/// Takes `ddtags` out of the object, or out of the object under `message`; what is around it stays, in its order.
fn take_tags(message: &str) -> Option<Tagged> {
    fn take(object: &mut Map<String, Value>) -> Option<String> {
        object.get("ddtags")?.as_str()?;
        match object.shift_remove("ddtags") {
            Some(Value::String(tags)) => Some(tags),
            _ => None,
        }
    }
    if !message.contains("\"ddtags\"") {
        return None;
    }
    let mut object: Map<String, Value> = serde_json::from_str(message).ok()?;
    let tags = take(&mut object).or_else(|| take(object.get_mut("message")?.as_object_mut()?))?;
    (!tags.is_empty()).then(|| Tagged { rest: Value::Object(object).to_string(), tags })
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
    fn an_object_from_lambda_keeps_its_text_too() {
        let text = r#"{"z":{"b":12345678901234567890123},"a":"x","level":"debug"}"#;
        let log = read(Text::Object(text.to_owned()), 1);
        assert_eq!((log.message.as_str(), log.status), (text, Status::Debug));
    }

    #[test]
    fn of_a_key_that_comes_twice_the_last_one_counts() {
        assert_eq!(plain(r#"{"level":"warn","level":"error"}"#).status, Status::Error);
    }
}
