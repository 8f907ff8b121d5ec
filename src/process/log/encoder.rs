//! Encodes a log as an element of the JSON array that the logs intake accepts.
//!
//! Source: Datadog API reference, "Send logs". The nesting under `message` is what Datadog's Lambda pipelines expect.

use std::io::Write as _;

use super::{Execution, Log, json};
use crate::{config::Config, process::tags::FunctionTags};

/// Maximum size of an element in bytes. The intake truncates longer elements silently, so the encoder truncates them itself and marks them.
pub const MAX_ELEMENT_BYTES: usize = 1 << 20;

const CUT: &str = "...TRUNCATED...";

/// Typical size of an element besides its message and tags, in bytes; used to reserve memory.
const USUAL_BYTES: usize = 512;

/// Encodes logs. Holds the fields that all logs of this function share.
#[derive(Debug, Clone)]
pub struct LogEncoder {
    tags: FunctionTags,
    /// As JSON.
    arn: Vec<u8>,
    /// As JSON.
    service: Vec<u8>,
}

impl LogEncoder {
    /// Creates an encoder for the function that these tags describe.
    pub fn new(tags: FunctionTags, config: &Config) -> Self {
        let (mut arn, mut service) = (Vec::new(), Vec::new());
        json::quote(&mut arn, &tags.arn);
        json::quote(&mut service, &config.service.as_deref().unwrap_or_default().to_lowercase());
        Self { tags, arn, service }
    }

    /// The function's tags.
    pub fn tags(&self) -> &FunctionTags {
        &self.tags
    }

    /// Encodes a log in at most [`MAX_ELEMENT_BYTES`]. A longer message is truncated and marked. The log's own ids and tags are omitted if they alone
    /// exceed the limit.
    pub fn encode(&self, log: &Log) -> Vec<u8> {
        let json = self.element(log, &log.message);
        if json.len() <= MAX_ELEMENT_BYTES {
            return json;
        }
        let overhead = self.element(log, CUT).len();
        if overhead > MAX_ELEMENT_BYTES && log.has_own_fields() {
            return self.encode(&Log { request_id: None, tags: None, execution: None, ..log.clone() });
        }
        let kept = fitting(&log.message, MAX_ELEMENT_BYTES.saturating_sub(overhead));
        self.element(log, &format!("{kept}{CUT}"))
    }

    /// Writes the JSON by hand, because most of it is the same in every element.
    fn element(&self, log: &Log, message: &str) -> Vec<u8> {
        let tags = self.tags.joined();
        let mut out = Vec::with_capacity(message.len() + tags.len() + USUAL_BYTES);
        out.extend_from_slice(br#"{"message":{"message":"#);
        json::quote(&mut out, message);
        out.extend_from_slice(br#","lambda":{"arn":"#);
        out.extend_from_slice(&self.arn);
        out.extend_from_slice(br#","request_id":"#);
        match &log.request_id {
            Some(id) => json::quote(&mut out, id.as_str()),
            None => out.extend_from_slice(b"null"),
        }
        if let Some(Execution { id, name, is_first, status }) = log.execution.as_deref() {
            out.extend_from_slice(br#","durable_function.execution_id":"#);
            json::quote(&mut out, id);
            out.extend_from_slice(br#","durable_function.execution_name":"#);
            json::quote(&mut out, name);
            if let Some(is_first) = is_first {
                // Writing to memory cannot fail.
                let _ = write!(out, r#","durable_function.first_invocation":{is_first}"#);
            }
            if let Some(status) = status {
                out.extend_from_slice(br#","durable_function.execution_status":"#);
                json::quote(&mut out, status);
            }
        }
        out.extend_from_slice(br#"},"timestamp":"#);
        json::integer(&mut out, log.time);
        out.extend_from_slice(br#","status":""#);
        out.extend_from_slice(log.status.name().as_bytes());
        out.extend_from_slice(br#""},"hostname":"#);
        out.extend_from_slice(&self.arn);
        out.extend_from_slice(br#","service":"#);
        out.extend_from_slice(&self.service);
        out.extend_from_slice(br#","ddtags":""#);
        json::escape(&mut out, &tags);
        if let Some(own) = &log.tags {
            out.push(b',');
            json::escape(&mut out, own);
        }
        out.extend_from_slice(br#"","ddsource":"lambda"}"#);
        out
    }
}

/// The longest prefix of the text that takes at most `bytes` in JSON, where escaped characters take several bytes.
fn fitting(text: &str, bytes: usize) -> &str {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, character)| {
        taken += match character {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            control if *control < ' ' => 6,
            other => other.len_utf8(),
        };
        taken > bytes
    });
    end.and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Tag, platform::environment::Environment, process::log::Status};
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
    use serde_json::{Value, json};

    const ARN: &str = "arn:aws:lambda:us-east-1:none:function:f";

    fn origin() -> LogEncoder {
        let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
        let environment = Environment::read(|name| (name == "AWS_LAMBDA_FUNCTION_NAME").then(|| "f".to_owned()));
        let config = Config { service: Some("Shop".to_owned()), tags: vec![tag("a", "b")], ..Config::default() };
        LogEncoder::new(FunctionTags::collect(&environment, None, &config), &config)
    }

    fn log(message: String) -> Log {
        Log { message, status: Status::Warn, time: 7, request_id: Some("r".into()), tags: None, execution: None }
    }

    #[test]
    fn an_element_has_the_intakes_shape() {
        let json: Value = serde_json::from_slice(&origin().encode(&log("hi".to_owned()))).unwrap();
        assert_eq!(
            json,
            json!({
                "message": {"message": "hi", "lambda": {"arn": ARN, "request_id": "r"}, "timestamp": 7, "status": "warn"},
                "hostname": ARN, "service": "shop", "ddtags": origin().tags.joined(), "ddsource": "lambda",
            })
        );
    }

    #[test]
    fn an_unknown_request_id_is_null_and_own_tags_follow_the_functions() {
        let log = Log { request_id: None, tags: Some("c:d".to_owned()), ..log(String::new()) };
        let json: Value = serde_json::from_slice(&origin().encode(&log)).unwrap();
        assert_eq!(json["message"]["lambda"], json!({"arn": ARN, "request_id": null}));
        assert_eq!(json["ddtags"], format!("{},c:d", origin().tags.joined()));
    }

    #[test]
    fn a_durable_execution_stands_beside_the_request_id_under_flat_names() {
        let execution = Execution {
            id: "0b1c".to_owned(),
            name: "order-7".to_owned(),
            is_first: Some(true),
            status: Some("RUNNING".to_owned()),
        };
        let log = Log { execution: Some(Box::new(execution)), ..log(String::new()) };
        let json: Value = serde_json::from_slice(&origin().encode(&log)).unwrap();
        assert_eq!(
            json["message"]["lambda"],
            json!({
                "arn": ARN, "request_id": "r",
                "durable_function.execution_id": "0b1c", "durable_function.execution_name": "order-7",
                "durable_function.first_invocation": true, "durable_function.execution_status": "RUNNING",
            })
        );
    }

    #[test]
    fn long_message_is_truncated_and_marked() {
        for piece in ["x", " ", "é", "\u{1}", "\"", "𝄞"] {
            let encoded = origin().encode(&log(piece.repeat(MAX_ELEMENT_BYTES)));
            assert!(encoded.len() <= MAX_ELEMENT_BYTES, "{piece:?}: {}", encoded.len());
            assert!(encoded.len() > MAX_ELEMENT_BYTES - 6, "{piece:?}: {}", encoded.len());
            let json: Value = serde_json::from_slice(&encoded).unwrap();
            assert!(json["message"]["message"].as_str().unwrap().ends_with(CUT), "{piece:?}");
        }
    }

    #[test]
    fn elements_of_mixed_sizes_stay_within_their_bound() {
        let mut random = StdRng::seed_from_u64(12);
        let mut text = |longest: usize| {
            let length = random.random_range(0..longest);
            random.random::<bool>().then(|| ["t", "\"", "é"][random.random_range(0..3)].repeat(length))
        };
        for _ in 0..8 {
            let execution =
                text(700_000).map(|id| Box::new(Execution { id, name: "order".to_owned(), ..Execution::default() }));
            let log = Log {
                tags: text(1_500_000),
                request_id: text(300_000).map(|id| id.as_str().into()),
                execution,
                ..log(text(2_000_000).unwrap_or_default())
            };
            let encoded = origin().encode(&log);
            assert!(encoded.len() <= MAX_ELEMENT_BYTES, "{}", encoded.len());
            let json: Value = serde_json::from_slice(&encoded).unwrap();
            let message = json["message"]["message"].as_str().unwrap();
            assert!(message == log.message || message.ends_with(CUT));
        }
    }

    #[test]
    fn a_field_of_its_own_that_is_longer_than_an_element_is_left_out() {
        let long = || "x".repeat(MAX_ELEMENT_BYTES);
        let execution = Execution { id: long(), ..Execution::default() };
        for log in [
            Log { request_id: Some(long().as_str().into()), ..log(String::new()) },
            Log { tags: Some(long()), ..log(String::new()) },
            Log { execution: Some(Box::new(execution)), ..log(String::new()) },
        ] {
            assert!(origin().encode(&log).len() < 1000);
        }
    }

    #[test]
    fn tags_of_the_function_that_are_longer_than_an_element_leave_room_for_no_message() {
        let tag = Tag { key: "a".to_owned(), value: "b".repeat(MAX_ELEMENT_BYTES) };
        let config = Config { tags: vec![tag], ..Config::default() };
        let origin = LogEncoder::new(FunctionTags::collect(&Environment::read(|_| None), None, &config), &config);
        let json: Value = serde_json::from_slice(&origin.encode(&log("x".repeat(9)))).unwrap();
        assert_eq!(json["message"]["message"], CUT);
    }

    #[test]
    fn a_message_that_just_fits_is_left_alone() {
        let overhead = origin().encode(&log(String::new())).len();
        let fits = origin().encode(&log("x".repeat(MAX_ELEMENT_BYTES - overhead)));
        assert_eq!(fits.len(), MAX_ELEMENT_BYTES);
        assert!(!fits.windows(CUT.len()).any(|window| window == CUT.as_bytes()));
    }
}
