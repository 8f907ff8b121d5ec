//! `end-invocation`: the response, the ids of the trace, and the error if there was one.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{CallError, Decoder, EndCall, REQUEST_ID, request_id};
use crate::process::{event::Timestamp, propagation::propagation_tags, trigger};

/// Headers that say something of the invocation, without its request id.
pub(super) const HEADERS: [&str; 9] = [
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-span-id",
    "x-datadog-sampling-priority",
    "x-datadog-tags",
    "x-datadog-invocation-error",
    "x-datadog-invocation-error-msg",
    "x-datadog-invocation-error-type",
    "x-datadog-invocation-error-stack",
];

pub(super) fn decode<'h>(
    decoder: &Decoder,
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    time: Timestamp,
) -> EndCall {
    let response = str::from_utf8(body).unwrap_or_default();
    let id = |name| header(name).and_then(|id| id.trim().parse().ok()).filter(|id| *id != 0);
    EndCall {
        request_id: request_id(header(REQUEST_ID)),
        time,
        trace_id: id("x-datadog-trace-id"),
        parent_id: id("x-datadog-parent-id"),
        span_id: id("x-datadog-span-id"),
        priority: header("x-datadog-sampling-priority").and_then(priority),
        trace_tags: header("x-datadog-tags").map(propagation_tags).unwrap_or_default(),
        error: error(&header),
        status_code: trigger::field(response, "statusCode").and_then(|code| code.parse().ok()),
        captured: decoder.capture("function.response", response),
        evaluation: None,
    }
}

fn priority(value: &str) -> Option<f64> {
    value.trim().parse().ok().filter(|priority: &f64| priority.is_finite())
}

/// Tracers say that there was an error, or only what it was.
fn error<'h>(header: &impl Fn(&str) -> Option<&'h str>) -> Option<CallError> {
    let text = |name| header(name).map(text);
    let error = CallError {
        message: text("x-datadog-invocation-error-msg"),
        kind: text("x-datadog-invocation-error-type"),
        stack: text("x-datadog-invocation-error-stack"),
    };
    let is_error = header("x-datadog-invocation-error").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    (is_error || error != CallError::default()).then_some(error)
}

/// Tracers encode these headers with base64, because a stack has many lines; some do not.
fn text(value: &str) -> String {
    BASE64_STANDARD
        .decode(value)
        .map_or_else(|_| value.to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{os::allocator::counting::allocations, process::invocation::call::test_decoder::decoder};

    fn end(headers: &[(&str, &str)], body: &str) -> EndCall {
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        decode(&decoder(None), header, body.as_bytes(), 7)
    }

    #[test]
    fn ids_priority_and_trace_tags_come_from_headers() {
        let call = end(
            &[
                ("lambda-runtime-aws-request-id", " r-1 "),
                ("x-datadog-trace-id", "18446744073709551615"),
                ("x-datadog-parent-id", "3"),
                ("x-datadog-span-id", "4"),
                ("x-datadog-sampling-priority", "-1"),
                ("x-datadog-tags", "_dd.p.tid=1914fe7789eb32be, _dd.p.dm=-0,other=1,_dd.p.x"),
            ],
            "null",
        );
        let expected = EndCall {
            request_id: Some("r-1".into()),
            time: 7,
            trace_id: Some(u64::MAX),
            parent_id: Some(3),
            span_id: Some(4),
            priority: Some(-1.0),
            trace_tags: [("_dd.p.tid", "1914fe7789eb32be".into()), ("_dd.p.dm", "-0".into())].into_iter().collect(),
            ..EndCall::default()
        };
        assert_eq!(call, expected);
    }

    #[test]
    fn headers_that_make_no_sense_count_as_missing() {
        let call = end(
            &[
                ("lambda-runtime-aws-request-id", ""),
                ("x-datadog-trace-id", "0"),
                ("x-datadog-parent-id", "-3"),
                ("x-datadog-span-id", "x"),
                ("x-datadog-sampling-priority", "inf"),
                ("x-datadog-tags", ",,="),
                ("x-datadog-invocation-error", "false"),
            ],
            "{",
        );
        assert_eq!(call, EndCall { time: 7, ..EndCall::default() });
    }

    #[test]
    fn the_status_code_is_an_integer_of_the_response() {
        for (body, expected) in [
            (r#"{"statusCode":503}"#, Some(503)),
            (r#"{"statusCode":"503"}"#, None),
            (r#"{"statusCode":1.5}"#, None),
            (r#"{"statusCode":null}"#, None),
            (r#"{"statusCode":404,"statusCode":503}"#, Some(503)),
            ("[503]", None),
            ("", None),
        ] {
            assert_eq!(end(&[], body).status_code, expected, "{body}");
        }
    }

    #[test]
    fn the_fields_of_a_response_take_no_memory_however_many_and_deep_they_are() {
        let decoder = decoder(None);
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        // The parser keeps a byte for each level of nesting.
        for (other, most) in [(r#""":0,"#.repeat(1_000_000), 0), (format!("\"deep\":{deep},"), 16)] {
            let body = format!(r#"{{{other}"statusCode":503}}"#);
            let mut code = None;
            let count = allocations(|| code = decode(&decoder, |_| None, body.as_bytes(), 7).status_code);
            assert!(count <= most, "{count}");
            assert_eq!(code, Some(503));
        }
    }

    #[test]
    fn errors_are_decoded_from_base64_or_taken_as_they_are() {
        let call = end(
            &[
                ("x-datadog-invocation-error-msg", "Ym9vbQ=="),
                ("x-datadog-invocation-error-type", "java.lang.Boom"),
                ("x-datadog-invocation-error-stack", "gA=="),
            ],
            "",
        );
        let error = call.error.unwrap();
        assert_eq!(error.message.as_deref(), Some("boom"));
        assert_eq!(error.kind.as_deref(), Some("java.lang.Boom"));
        assert_eq!(error.stack.as_deref(), Some("\u{fffd}"), "bytes that are no text");
        assert_eq!(end(&[("x-datadog-invocation-error", "TRUE")], "").error, Some(CallError::default()));
    }
}
