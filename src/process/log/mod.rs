//! Converts a log line to a log: message, status, request id and tags.

mod durable;
pub mod encoder;
pub(in crate::process) mod json;
mod line_tags;
mod platform_line;
pub mod rules;
mod status;

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value, value::RawValue};

pub use durable::Execution;
pub use encoder::LogEncoder;
pub use platform_line::{init_start, report, runtime_done, start};
pub use rules::Rules;
pub use status::Status;

use super::event::{Text, Timestamp};
use crate::platform::ids::RequestId;

/// One log, ready to be encoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// The message, without tags that were extracted from it.
    pub message: String,
    /// Its severity.
    pub status: Status,
    /// Timestamp of the line.
    pub time: Timestamp,
    /// Request id of the invocation that the log belongs to, if known.
    pub request_id: Option<RequestId>,
    /// The `ddtags` of the line itself.
    pub tags: Option<String>,
    /// The durable execution that the line itself names.
    pub execution: Option<Box<Execution>>,
}

impl Log {
    /// Whether the log has fields of its own whose length the line determines.
    fn has_own_fields(&self) -> bool {
        self.request_id.is_some() || self.tags.is_some() || self.execution.is_some()
    }

    /// Size in bytes of all text in the log.
    pub fn bytes(&self) -> usize {
        let request_id = self.request_id.as_ref().map_or(0, |id| id.as_str().len());
        let execution = self.execution.as_ref().map_or(0, |execution| {
            execution.id.len() + execution.name.len() + execution.status.as_ref().map_or(0, String::len)
        });
        self.message.len() + request_id + self.tags.as_ref().map_or(0, String::len) + execution
    }
}

/// A parsed line of the function or of an extension.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// The resulting log, without a request id.
    pub log: Log,
    /// The request ids that the line names: the text of `requestId`, then that of `AWSRequestId`. Either may be an id of the application's own.
    pub request_ids: Vec<RequestId>,
}

/// The fields of a JSON line that this extension reads.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonLogFields {
    level: Option<Value>,
    severity: Option<Value>,
    #[serde(rename = "syslog.severity")]
    syslog_severity: Option<Value>,
    syslog: Option<Value>,
    status: Option<Value>,
    request_id: Option<Value>,
    #[serde(rename = "AWSRequestId")]
    aws_request_id: Option<Value>,
    execution_arn: Option<Value>,
}

/// A line's fields, and whether there may be tags in it.
struct FieldsAndTags {
    fields: JsonLogFields,
    /// There is a `ddtags`, or a `message` that is an object. Either may come more than once.
    may_have_tags: bool,
}

impl<'de> Deserialize<'de> for FieldsAndTags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Line;
        impl<'de> Visitor<'de> for Line {
            type Value = FieldsAndTags;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let mut may_have_tags = false;
                let others = OtherFields { map, may_have_tags: &mut may_have_tags };
                let fields = JsonLogFields::deserialize(MapAccessDeserializer::new(others))?;
                Ok(FieldsAndTags { fields, may_have_tags })
            }
        }
        deserializer.deserialize_map(Line)
    }
}

/// An object without `ddtags` and `message`, of which it only notes whether they may have tags. They are read no further, so what is wrong inside of them is
/// no reason to refuse the line.
struct OtherFields<'s, A> {
    map: A,
    may_have_tags: &'s mut bool,
}

/// A name, borrowed unless it has escapes.
#[derive(Deserialize)]
struct FieldName<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for OtherFields<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(FieldName(name)) = self.map.next_key()? {
            match &*name {
                "ddtags" => *self.may_have_tags |= self.map.next_value::<Option<IgnoredAny>>()?.is_some(),
                "message" => *self.may_have_tags |= self.map.next_value::<&RawValue>()?.get().starts_with('{'),
                _ => return seed.deserialize(name.into_deserializer()).map(Some),
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl JsonLogFields {
    /// None if the line is no JSON object.
    fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok().or_else(|| {
            // With repeated keys, the last value wins.
            let object: Map<String, Value> = serde_json::from_str(line).ok()?;
            serde_json::from_value(Value::Object(object)).ok()
        })
    }

    fn severity(&self) -> Status {
        let syslog = self.syslog.as_ref().and_then(|syslog| syslog.get("severity"));
        let levels = [self.level.as_ref(), self.severity.as_ref(), self.syslog_severity.as_ref(), syslog];
        status::of(levels.into_iter().flatten(), self.status.as_ref())
    }
}

/// Parses a line of the function or of an extension. A JSON object may name its severity, its request id and tags of its own. The message keeps every
/// byte of the line except the extracted tags.
pub fn read(text: Text, time: Timestamp) -> LogLine {
    let (Text::Plain(message) | Text::Object(message)) = text;
    // Most lines are not JSON, and a failed parse is expensive.
    if !looks_like_object(&message) {
        let log = Log { message, status: Status::Info, time, request_id: None, tags: None, execution: None };
        return LogLine { log, request_ids: Vec::new() };
    }
    let parsed = serde_json::from_str::<FieldsAndTags>(&message).ok();
    // One pass over the line says of most that they have no tags.
    let may_have_tags = parsed.as_ref().is_none_or(|parsed| parsed.may_have_tags);
    let mut fields = parsed.map(|parsed| parsed.fields);
    let taken = if may_have_tags { line_tags::take(&message) } else { None };
    let (message, tags) = match taken {
        Some(line_tags::ExtractedTags { rest, tags }) => {
            fields = None;
            (rest, Some(tags))
        }
        None => (message, None),
    };
    let fields = fields.or_else(|| JsonLogFields::read(&message)).unwrap_or_default();
    let text = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(RequestId::from);
    let request_ids = [text(&fields.request_id), text(&fields.aws_request_id)];
    let log = Log {
        message,
        status: fields.severity(),
        time,
        request_id: None,
        tags,
        execution: fields.execution_arn.as_ref().and_then(Value::as_str).and_then(durable::of),
    };
    LogLine { log, request_ids: request_ids.into_iter().flatten().filter(|id| !id.as_str().is_empty()).collect() }
}

fn looks_like_object(message: &str) -> bool {
    let candidate = message.trim_ascii();
    candidate.starts_with('{') && candidate.ends_with('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LogLine {
        read(Text::Plain(text.to_owned()), 1)
    }

    fn plain(text: &str) -> Log {
        line(text).log
    }

    #[test]
    fn plain_text_is_kept_to_the_byte() {
        for text in ["", " {not json} ", "a\tb", "[1]", "{\"a\":", "{} trailing"] {
            let log = plain(text);
            assert_eq!((log.message.as_str(), log.status, log.tags), (text, Status::Info, None));
        }
    }

    #[test]
    fn a_json_line_keeps_its_text_and_gives_its_severity_and_request_ids() {
        let text = r#"{ "level" : "ERROR", "AWSRequestId":"r-1", "b":1.50 }"#;
        let LogLine { log, request_ids } = line(text);
        assert_eq!(log.message, text);
        assert_eq!(log.status, Status::Error);
        assert_eq!(request_ids, ["r-1".into()]);
        assert_eq!(line(r#"{"AWSRequestId":"b","requestId":"a"}"#).request_ids, ["a".into(), "b".into()]);
        assert_eq!(line(r#"{"requestId":"","AWSRequestId":7}"#).request_ids, []);
    }

    #[test]
    fn the_size_of_a_log_includes_every_text_that_it_holds() {
        let execution = Execution { id: "12345".to_owned(), name: "123456".to_owned(), ..Execution::default() };
        let log = Log {
            message: "1".to_owned(),
            request_id: Some("12".into()),
            tags: Some("123".to_owned()),
            execution: Some(Box::new(execution)),
            ..plain("")
        };
        assert_eq!((log.bytes(), plain("").bytes()), (1 + 2 + 3 + 5 + 6, 0));
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
    fn repeated_messages_leave_the_severity_and_lose_no_tags() {
        let log = plain(r#"{"message":"a","message":{"x":1},"level":"WARN"}"#);
        assert_eq!((log.status, log.tags), (Status::Warn, None));
        let log = plain(r#"{"message":"a","message":{"x":1,"ddtags":"a:b"},"level":"WARN"}"#);
        assert_eq!((log.status, log.tags.as_deref()), (Status::Warn, Some("a:b")));
        assert_eq!(log.message, r#"{"message":"a","message":{"x":1},"level":"WARN"}"#);
    }

    #[test]
    fn repeated_messages_with_invalid_escapes_keep_severity_and_request_id() {
        let text = r#"{"message":"a","message":"b \ud83d","level":"ERROR","requestId":"r-1"}"#;
        let LogLine { log, request_ids } = line(text);
        assert_eq!((log.status, log.message.as_str(), request_ids), (Status::Error, text, vec!["r-1".into()]));
        assert_eq!(plain(r#"{"message":1,"message":2,"x":1e999,"level":"WARN"}"#).status, Status::Warn);
        assert_eq!(plain(r#"{"ddtags":1,"ddtags":"\ud83d","level":"WARN"}"#).status, Status::Warn);
        let log = plain(r#"{"ddtags":"a:b","ddtags":null,"message":"\ud83d","level":"WARN"}"#);
        assert_eq!((log.status, log.tags.as_deref()), (Status::Warn, Some("a:b")));
    }

    #[test]
    fn tags_that_are_no_text_stay_where_they_are() {
        let text = r#"{"ddtags":["a"],"message":"ddtags"}"#;
        assert_eq!(plain(text).message, text);
    }

    #[test]
    fn an_object_from_lambda_keeps_its_text_too() {
        let text = r#"{"z":{"b":12345678901234567890123},"a":"x","level":"debug"}"#;
        let log = read(Text::Object(text.to_owned()), 1).log;
        assert_eq!((log.message.as_str(), log.status), (text, Status::Debug));
    }

    #[test]
    fn of_a_key_that_comes_twice_the_last_one_counts() {
        assert_eq!(plain(r#"{"level":"warn","level":"error"}"#).status, Status::Error);
    }

    #[test]
    fn every_status_attribute_gives_the_severity_in_its_order() {
        for (line, expected) in [
            (r#"{"level":"warn","severity":"error","status":"debug"}"#, Status::Warn),
            (r#"{"severity":"error","syslog.severity":7,"status":"debug"}"#, Status::Error),
            (r#"{"syslog.severity":4,"status":"debug"}"#, Status::Warn),
            (r#"{"syslog":{"severity":3,"hostname":"h"}}"#, Status::Error),
            (r#"{"status":"debug"}"#, Status::Debug),
            (r#"{"level":{"name":"error"}}"#, Status::Error),
            (r#"{"level":{"depth":3},"severity":"warning"}"#, Status::Warn),
        ] {
            assert_eq!(plain(line).status, expected, "{line}");
        }
    }

    #[test]
    fn codes_of_requests_and_jobs_are_no_severities() {
        for line in [
            r#"{"method":"GET","path":"/x","status":404}"#,
            r#"{"method":"GET","path":"/x","status":500}"#,
            r#"{"event":"job done","status":0}"#,
            r#"{"severity":404.5,"status":200}"#,
        ] {
            assert_eq!(plain(line).status, Status::Info, "{line}");
        }
    }

    #[test]
    fn taking_tags_out_leaves_all_other_bytes_as_they_are() {
        let log = plain(r#"{"id":12345678901234567890123, "price":1.50, "ddtags":"a:b", "x":1, "x":2}"#);
        assert_eq!(log.message, r#"{"id":12345678901234567890123, "price":1.50, "x":1, "x":2}"#);
        assert_eq!(log.tags.as_deref(), Some("a:b"));
    }
}
