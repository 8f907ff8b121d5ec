//! Invocations as the Runtime API shows them, for functions behind the Lambda Web Adapter: nothing in them calls the lifecycle port.

use std::borrow::Cow;

use super::{CallError, Decoder, EndCall, StartCall, end::HEADERS};
use crate::{
    platform::ids::RequestId,
    process::{event::Timestamp, propagation::Carrier, trigger},
};

impl Decoder {
    /// An event that Lambda has sent to the runtime.
    pub fn event(&self, id: RequestId, event: &[u8], time: Timestamp) -> StartCall {
        let start = self.start(|_| None, &Carrier::default(), event, time);
        StartCall { request_id: Some(id), span_id: Some((self.random)()), ..start }
    }

    /// The response of the runtime. What a tracer would say in the headers of its call, it may say in those of the HTTP response.
    pub fn response(&self, id: RequestId, response: &[u8], time: Timestamp) -> EndCall {
        let headers = headers(str::from_utf8(response).unwrap_or_default());
        let header =
            |name: &str| headers.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_ref());
        let end = self.end(header, response, time);
        EndCall { request_id: Some(id), ..end }
    }

    /// An error that the runtime reports in place of a response. `error_type` is that of the header, for a body that has none.
    ///
    /// Source: AWS Lambda developer guide, "Using the Lambda runtime API for custom runtimes", invocation error.
    pub fn error(&self, id: RequestId, error_type: Option<&str>, error: &[u8], time: Timestamp) -> EndCall {
        let error = str::from_utf8(error).unwrap_or_default();
        let text = |name| trigger::field(error, name).and_then(trigger::string).map(Cow::into_owned);
        let error = CallError {
            message: text("errorMessage"),
            kind: text("errorType").or_else(|| error_type.map(str::to_owned)),
            stack: trigger::field(error, "stackTrace").and_then(lines),
        };
        EndCall { request_id: Some(id), time, error: Some(error), ..EndCall::default() }
    }
}

/// Those headers of a response that a tracer would set, each if it is a string. Nothing is kept of the others, however many they are.
fn headers(response: &str) -> Vec<(&'static str, Cow<'_, str>)> {
    let mut found: Vec<(&'static str, Cow<'_, str>)> = Vec::new();
    let see = |name: &str, value| {
        let known = HEADERS.into_iter().find(|known| known.eq_ignore_ascii_case(name));
        if let Some((known, text)) = known.and_then(|known| Some((known, trigger::string(value)?))) {
            found.retain(|(name, _)| *name != known);
            found.push((known, text));
        }
    };
    let _ = trigger::field(response, "headers").and_then(|headers| trigger::entries(headers, see));
    found
}

/// The strings of an array, one a line; None if there are none, or anything else is among them.
fn lines(array: &str) -> Option<String> {
    let mut lines = array.starts_with('[').then(String::new);
    trigger::items(array, |item| {
        lines = lines.take().and_then(|mut lines| {
            lines.push_str(&trigger::string(item)?);
            lines.push('\n');
            Some(lines)
        });
    });
    let mut lines = lines?;
    lines.pop().map(|_| lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{os::allocator::counting::allocations, process::invocation::call::test_decoder::decoder};

    #[test]
    fn an_event_starts_its_invocation_with_a_span_of_ours() {
        let event =
            br#"{"headers":{"x-datadog-trace-id":"7","x-datadog-parent-id":"8","x-datadog-sampling-priority":"1"}}"#;
        let start = decoder(None).event("r".into(), event, 9);
        assert_eq!((start.request_id, start.span_id, start.time), (Some("r".into()), Some(30), 9));
        let context = start.context.unwrap();
        assert_eq!((context.trace_id, context.span_id), (7, 8));
    }

    #[test]
    fn a_response_has_its_status_and_what_its_headers_say() {
        let response = br#"{"statusCode":503,"headers":{"X-Datadog-Sampling-Priority":"2","lambda-runtime-aws-request-id":"other"},"body":"{\"statusCode\":200}"}"#;
        let end = decoder(None).response("r".into(), response, 9);
        assert_eq!((end.status_code, end.priority, end.time), (Some(503), Some(2.0), 9));
        assert_eq!(end.request_id, Some("r".into()));
        for response in ["", "[]", r#"{"statusCode":200,"headers":{"a":1}}"#] {
            let end = decoder(None).response("r".into(), response.as_bytes(), 9);
            assert_eq!((end.request_id, end.error, end.priority), (Some("r".into()), None, None), "{response}");
        }
    }

    #[test]
    fn non_string_header_is_skipped() {
        let decoder = decoder(None);
        let many = r#""x":"y","z":1,"#.replace('\\', "").repeat(100_000);
        let body = format!(r#"{{{many}"headers":{{{many}"X-Datadog-Sampling-Priority":"2","x-datadog-trace-id":7}}}}"#);
        let mut priority = None;
        let count = allocations(|| priority = decoder.response("r".into(), body.as_bytes(), 9).priority);
        assert_eq!(priority, Some(2.0));
        assert!(count <= 4, "{count}");
        let mut message = None;
        let body = format!(r#"{{{many}"errorMessage":"boom"}}"#);
        let count = allocations(|| message = decoder.error("r".into(), None, body.as_bytes(), 9).error);
        assert_eq!(message.unwrap().message.as_deref(), Some("boom"));
        assert!(count <= 4, "{count}");
    }

    #[test]
    fn an_error_has_its_message_type_and_stack_as_far_as_they_are_there() {
        let of = |body: &str| decoder(None).error("r".into(), Some("Header.Type"), body.as_bytes(), 9).error.unwrap();
        let text = |text: &str| Some(text.to_owned());
        let body = r#"{"errorMessage":"boom","errorType":"ValueError","stackTrace":["a","b"]}"#;
        assert_eq!(of(body), CallError { message: text("boom"), kind: text("ValueError"), stack: text("a\nb") });
        let bare = CallError { message: None, kind: text("Header.Type"), stack: None };
        for body in ["", "null", r#"{"stackTrace":[]}"#, r#"{"stackTrace":7}"#] {
            assert_eq!(of(body), bare, "{body}");
        }
    }
}
