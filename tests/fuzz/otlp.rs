//! Requests of OpenTelemetry SDKs, in both encodings.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bottlecap::process::otlp::{
    Encoding, decode,
    message::{Attribute, Event, Kind, Link, Request, ResourceSpans, ScopeSpans, Span, Status, Value},
};
use serde_json::{Value as Json, json};

use crate::{checks, fuzz};

/// A request with a span, an event, a link and attributes of every type; and one with several resources and traces.
const PROTOBUF: [&[u8]; 3] = [
    b"\x0a\xdf\x01\x0a\x16\x0a\x14\x0a\x0cservice.name\x12\x04\x0a\x02ab\x12\xc4\x01\x0a\x08\x0a\x03lib\x12\x011\x12\xb7\x01\x0a\x10\x01\x01\x01\x01\x01\x01\x01\x01\x02\x02\x02\x02\x02\x02\x02\x02\x12\x08\x03\x03\x03\x03\x03\x03\x03\x03*\x03get0\x029\x01\0\0\0\0\0\0\x17A\x09\0\0\0\0\0\0\x17J\x08\x0a\x01t\x12\x03\x0a\x01vJ\x07\x0a\x01b\x12\x02\x10\x01J\x07\x0a\x01i\x12\x02\x18\x05J\x0e\x0a\x01d\x12\x09!\0\0\0\0\0\0\xf8?J\x0b\x0a\x01a\x12\x06*\x04\x0a\x02\x18\x01J\x11\x0a\x01m\x12\x0c2\x0a\x0a\x08\x0a\x01k\x12\x03\x0a\x01vJ\x08\x0a\x01y\x12\x03:\x01\xffZ\x15\x12\x09exception\x1a\x08\x0a\x01e\x12\x03\x0a\x01vj\x0a\x12\x08\x04\x04\x04\x04\x04\x04\x04\x04z\x07\x12\x03bad\x18\x02",
    b"\x0a\x1a\x12\x18\x12\x16\x0a\x10\x01\x01\x01\x01\x01\x01\x01\x01\x02\x02\x02\x02\x02\x02\x02\x02*\x02op\x0a\x1a\x12\x18\x12\x16\x0a\x10\x01\x01\x01\x01\x01\x01\x01\x01\x02\x02\x02\x02\x02\x02\x02\x03*\x02op",
    b"\x0a\x0a\x12\x08\x12\x06*\x04namez\x01x",
];

const JSON: [&[u8]; 3] = [
    br#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a\u00e9"}}]},"scopeSpans":[{"scope":{"name":"lib"},"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"op","kind":2,"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":{"low":5,"high":400000000},"attributes":[{"key":"i","value":{"intValue":"3"}},{"key":"l","value":{"arrayValue":{"values":[{"doubleValue":1.5},{"boolValue":true}]}}}],"events":[{"name":"exception"}],"links":[{"spanId":"eee19b7ec3c1b173"}],"status":{"code":2,"message":"bad"}}]}]}]}"#,
    br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","kind":"SPAN_KIND_CLIENT","attributes":[{"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"bytesValue":"AP8="}}]}}}]},{}]}]}]}"#,
    b"{}",
];

#[test]
fn every_span_of_an_otlp_request_is_sent_or_counted() {
    let pipeline = checks::pipeline();
    for (encoding, corpus) in [(Encoding::Protobuf, &PROTOBUF), (Encoding::Json, &JSON)] {
        for body in corpus.iter().take(2) {
            let request = decode::request(encoding, body).unwrap();
            assert!(!request.resource_spans.is_empty(), "{request:?}");
        }
        fuzz(corpus, |input, _| checks::otlp(encoding, &pipeline, input));
    }
}

#[test]
fn what_is_decoded_from_protobuf_is_the_same_when_it_comes_as_json() {
    fuzz(&PROTOBUF, |input, _| {
        let Ok(request) = decode::request(Encoding::Protobuf, input) else { return };
        let json = serde_json::to_vec(&in_json(&request)).unwrap();
        // JSON nests more levels for the same messages, and its reader allows fewer.
        let Ok(again) = decode::request(Encoding::Json, &json) else {
            assert!(String::from_utf8_lossy(&json).matches("Value\":{\"values\"").count() > 10);
            return;
        };
        // Doubles that are no numbers equal nothing.
        assert_eq!(format!("{request:?}"), format!("{again:?}"));
    });
}

fn in_json(request: &Request<'_>) -> Json {
    json!({"resourceSpans": request.resource_spans.iter().map(resource_spans).collect::<Vec<_>>()})
}

fn resource_spans(of: &ResourceSpans<'_>) -> Json {
    json!({
        "resource": {"attributes": attributes(&of.resource.attributes)},
        "scopeSpans": of.scope_spans.iter().map(scope_spans).collect::<Vec<_>>(),
    })
}

fn scope_spans(of: &ScopeSpans<'_>) -> Json {
    let scope = &of.scope;
    json!({
        "scope": {"name": scope.name, "version": scope.version, "attributes": attributes(&scope.attributes)},
        "spans": of.spans.iter().map(span).collect::<Vec<_>>(),
    })
}

fn span(span: &Span<'_>) -> Json {
    let kinds = [Kind::Unspecified, Kind::Internal, Kind::Server, Kind::Client, Kind::Producer, Kind::Consumer];
    json!({
        "traceId": span.trace_id.map_or_else(String::new, |id| format!("{id:032x}")),
        "spanId": format!("{:016X}", span.span_id),
        "parentSpanId": format!("{:016x}", span.parent_span_id),
        "traceState": span.trace_state,
        "name": span.name,
        "kind": kinds.iter().position(|kind| *kind == span.kind),
        "startTimeUnixNano": span.start.to_string(),
        "endTimeUnixNano": {"low": span.end & 0xffff_ffff, "high": span.end >> 32},
        "attributes": attributes(&span.attributes),
        "events": span.events.iter().map(event).collect::<Vec<_>>(),
        "links": span.links.iter().map(link).collect::<Vec<_>>(),
        "status": span.status.as_ref().map(|Status { message, code }| json!({"message": message, "code": code})),
    })
}

fn event(event: &Event<'_>) -> Json {
    json!({
        "timeUnixNano": event.time,
        "name": event.name,
        "attributes": attributes(&event.attributes),
        "droppedAttributesCount": event.dropped_attributes,
    })
}

fn link(link: &Link<'_>) -> Json {
    json!({
        "traceId": link.trace_id.map_or_else(String::new, |id| format!("{id:032x}")),
        "spanId": format!("{:016x}", link.span_id),
        "traceState": link.trace_state,
        "attributes": attributes(&link.attributes),
        "droppedAttributesCount": link.dropped_attributes,
    })
}

fn attributes(all: &[Attribute<'_>]) -> Json {
    all.iter().map(|attribute| json!({"key": attribute.key, "value": value(&attribute.value)})).collect()
}

fn value(of: &Value<'_>) -> Json {
    match of {
        Value::Unset => json!({}),
        Value::Text(text) => json!({"stringValue": text}),
        Value::Bool(value) => json!({"boolValue": value}),
        Value::Int(value) => json!({"intValue": value.to_string()}),
        Value::Double(value) if value.is_infinite() => {
            json!({"doubleValue": if *value > 0.0 { "Infinity" } else { "-Infinity" }})
        }
        // As a text, which is read to the last digit.
        Value::Double(value) => json!({"doubleValue": value.to_string()}),
        Value::Array(values) => json!({"arrayValue": {"values": values.iter().map(value).collect::<Vec<_>>()}}),
        Value::Map(values) => json!({"kvlistValue": {"values": attributes(values)}}),
        Value::Bytes(bytes) => json!({"bytesValue": BASE64_STANDARD.encode(bytes)}),
    }
}
