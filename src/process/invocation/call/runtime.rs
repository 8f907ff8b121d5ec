//! Invocations as the Runtime API shows them, for functions behind the Lambda Web Adapter: nothing in them calls the lifecycle port.

use std::collections::HashMap;

use super::{CallError, Decoder, EndCall, REQUEST_ID, StartCall};
use crate::{
    platform::{ids::RequestId, json::Object},
    process::{event::Timestamp, propagation::Carrier},
};

impl Decoder {
    /// An event that Lambda has sent to the runtime.
    pub fn event(&self, id: RequestId, event: &[u8], time: Timestamp) -> StartCall {
        let start = self.start(|_| None, &Carrier::default(), event, time);
        StartCall { request_id: Some(id), span_id: Some((self.random)()), ..start }
    }

    /// The response of the runtime. What a tracer would say in the headers of its call, it may say in those of the HTTP response.
    pub fn response(&self, id: RequestId, response: &[u8], time: Timestamp) -> EndCall {
        let object = Object::parse(str::from_utf8(response).unwrap_or_default());
        let headers: Option<HashMap<String, String>> = object.and_then(|response| response.value("headers"));
        let headers = headers.unwrap_or_default();
        let header = |name: &str| {
            let found = headers.iter().find(|(known, _)| name != REQUEST_ID && known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_str())
        };
        let end = self.end(header, response, time);
        EndCall { request_id: Some(id), ..end }
    }

    /// An error that the runtime reports in place of a response. `error_type` is that of the header, for a body that has none.
    ///
    /// Source: AWS Lambda developer guide, "Using the Lambda runtime API for custom runtimes", invocation error.
    pub fn error(&self, id: RequestId, error_type: Option<&str>, error: &[u8], time: Timestamp) -> EndCall {
        let object = Object::parse(str::from_utf8(error).unwrap_or_default()).unwrap_or_default();
        let lines: Option<Vec<String>> = object.value("stackTrace");
        let error = CallError {
            message: object.text("errorMessage"),
            kind: object.text("errorType").or_else(|| error_type.map(str::to_owned)),
            stack: lines.filter(|lines| !lines.is_empty()).map(|lines| lines.join("\n")),
        };
        EndCall { request_id: Some(id), time, error: Some(error), ..EndCall::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::invocation::call::test_decoder::decoder;

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
