//! Requests in both encodings.

use serde_json::json;

use super::*;
use crate::process::{
    otlp::message::{Attribute, Event, Kind, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, Status, Value},
    protobuf::{self, Sink as _},
};

/// A field with a length.
fn field(number: u64, content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    protobuf::begin(&mut out, number, content.as_ref().len());
    [&out, content.as_ref()].concat()
}

fn number(field: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    out.varint(field << 3);
    out.varint(value);
    out
}

fn fixed(field: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    out.varint(field << 3 | 1);
    [out, value.to_le_bytes().to_vec()].concat()
}

fn attribute(number: u64, key: &str, value: Vec<u8>) -> Vec<u8> {
    field(number, [field(1, key), field(2, value)].concat())
}

/// A request of one span with something in every field.
fn sample() -> Vec<u8> {
    let array = field(1, field(1, "a"));
    let map = attribute(1, "k", number(3, 7));
    let event = [fixed(1, 5), field(2, "exception"), attribute(3, "e", field(1, "v")), number(4, 2)].concat();
    let link = [field(1, [7; 16]), field(2, [8; 8]), field(3, "x=y"), attribute(4, "l", field(1, "v")), number(5, 3)];
    let span = [
        field(1, [1; 16]),
        field(2, [2; 8]),
        field(3, "dd=s:1"),
        field(4, [3; 8]),
        field(5, "GET /"),
        number(6, 2),
        fixed(7, 1_700_000_000_000_000_001),
        fixed(8, 1_700_000_000_000_000_009),
        attribute(9, "text", field(1, "é\"")),
        attribute(9, "bool", number(2, 1)),
        attribute(9, "int", number(3, (-5_i64).cast_unsigned())),
        attribute(9, "double", fixed(4, 1.5_f64.to_bits())),
        attribute(9, "array", field(5, array)),
        attribute(9, "map", field(6, map)),
        attribute(9, "bytes", field(7, [0, 255])),
        attribute(9, "unset", Vec::new()),
        number(10, 4),
        field(11, event),
        field(13, link.concat()),
        field(15, [field(2, "bad"), number(3, 2)].concat()),
        // Flags and a field of the future.
        [&[0x85, 0x01][..], &[1, 0, 0, 0]].concat(),
        field(99, "later"),
    ];
    let scope = [field(1, "lib"), field(2, "1.0"), attribute(3, "s", field(1, "v"))].concat();
    let scope_spans = [field(1, scope), field(2, span.concat()), field(3, "https://schema")].concat();
    let resource = attribute(1, "service.name", field(1, "shop"));
    field(1, [field(1, resource), field(2, scope_spans)].concat())
}

fn sample_in_json() -> serde_json::Value {
    let attribute = |key: &str, value: serde_json::Value| json!({"key": key, "value": value});
    json!({"resourceSpans": [{
        "resource": {"attributes": [attribute("service.name", json!({"stringValue": "shop"}))]},
        "scopeSpans": [{
            "scope": {"name": "lib", "version": "1.0", "attributes": [attribute("s", json!({"stringValue": "v"}))]},
            "schemaUrl": "https://schema",
            "spans": [{
                "traceId": "01".repeat(16), "spanId": "02".repeat(8), "parentSpanId": "03".repeat(8),
                "traceState": "dd=s:1", "name": "GET /", "kind": 2, "droppedAttributesCount": 4, "flags": 1, "later": [{}],
                "startTimeUnixNano": "1700000000000000001", "endTimeUnixNano": 1_700_000_000_000_000_009_u64,
                "attributes": [
                    attribute("text", json!({"stringValue": "é\""})),
                    attribute("bool", json!({"boolValue": true})),
                    attribute("int", json!({"intValue": "-5"})),
                    attribute("double", json!({"doubleValue": 1.5})),
                    attribute("array", json!({"arrayValue": {"values": [{"stringValue": "a"}]}})),
                    attribute("map", json!({"kvlistValue": {"values": [attribute("k", json!({"intValue": 7}))]}})),
                    attribute("bytes", json!({"bytesValue": "AP8="})),
                    attribute("unset", json!({})),
                ],
                "events": [{"timeUnixNano": "5", "name": "exception", "droppedAttributesCount": 2,
                    "attributes": [attribute("e", json!({"stringValue": "v"}))]}],
                "links": [{"traceId": "07".repeat(16), "spanId": "08".repeat(8), "traceState": "x=y",
                    "attributes": [attribute("l", json!({"stringValue": "v"}))], "droppedAttributesCount": 3}],
                "status": {"message": "bad", "code": 2},
            }],
        }],
    }]})
}

fn expected() -> Request<'static> {
    let text = |key: &'static str, value: &'static str| Attribute { key: key.into(), value: Value::Text(value.into()) };
    let of = |key: &'static str, value| Attribute { key: key.into(), value };
    let attributes = vec![
        text("text", "é\""),
        of("bool", Value::Bool(true)),
        of("int", Value::Int(-5)),
        of("double", Value::Double(1.5)),
        of("array", Value::Array(vec![Value::Text("a".into())])),
        of("map", Value::Map(vec![of("k", Value::Int(7))])),
        of("bytes", Value::Bytes(Cow::Borrowed(&[0, 255]))),
        of("unset", Value::Unset),
    ];
    let event = Event { time: 5, name: "exception".into(), attributes: vec![text("e", "v")], dropped_attributes: 2 };
    let link = Link {
        trace_id: Some(u128::from_be_bytes([7; 16])),
        span_id: u64::from_be_bytes([8; 8]),
        trace_state: "x=y".into(),
        attributes: vec![text("l", "v")],
        dropped_attributes: 3,
    };
    let span = Span {
        trace_id: Some(u128::from_be_bytes([1; 16])),
        span_id: u64::from_be_bytes([2; 8]),
        trace_state: "dd=s:1".into(),
        parent_span_id: u64::from_be_bytes([3; 8]),
        name: "GET /".into(),
        kind: Kind::Server,
        start: 1_700_000_000_000_000_001,
        end: 1_700_000_000_000_000_009,
        attributes,
        events: vec![event],
        links: vec![link],
        status: Some(Status { message: "bad".into(), code: 2 }),
    };
    let scope = Scope { name: "lib".into(), version: "1.0".into(), attributes: vec![text("s", "v")] };
    Request {
        resource_spans: vec![ResourceSpans {
            resource: Resource { attributes: vec![text("service.name", "shop")] },
            scope_spans: vec![ScopeSpans { scope, spans: vec![span] }],
        }],
    }
}

fn json(document: &serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(document).unwrap()
}

/// What a span in JSON is decoded to.
fn span(fields: &serde_json::Value) -> Result<String, DecodeError> {
    let body = json(&json!({"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}));
    request(Encoding::Json, &body).map(|request| format!("{:?}", request.resource_spans[0].scope_spans[0].spans[0]))
}

#[test]
fn both_encodings_of_a_request_are_the_same_request() {
    assert_eq!(request(Encoding::Protobuf, &sample()).unwrap(), expected());
    assert_eq!(request(Encoding::Json, &json(&sample_in_json())).unwrap(), expected());
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let empty: &[u8] = if encoding == Encoding::Json { b"{}" } else { b"" };
        assert_eq!(request(encoding, empty).unwrap(), Request::default());
    }
}

#[test]
fn texts_of_protobuf_are_slices_of_the_body() {
    let body = sample();
    let request = request(Encoding::Protobuf, &body).unwrap();
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert!(
        matches!(span.name, Text::Borrowed(_)) && matches!(span.attributes[0].value, Value::Text(Text::Borrowed(_)))
    );
}

#[test]
fn numbers_of_64_bits_in_json_are_text_or_numbers_or_halves() {
    let nanoseconds = 1_700_000_000_123_456_789_u64;
    let (high, low) = (nanoseconds >> 32, nanoseconds & 0xffff_ffff);
    let signed = i64::from(u32::try_from(low).unwrap().cast_signed());
    for time in [
        json!(nanoseconds),
        json!(nanoseconds.to_string()),
        json!({"low": low, "high": high}),
        json!({"high": high, "unsigned": true, "low": signed}),
    ] {
        let decoded = span(&json!({"startTimeUnixNano": time, "events": [{"timeUnixNano": time}]})).unwrap();
        assert_eq!(decoded.matches("1700000000123456789").count(), 2, "{time}: {decoded}");
    }
    assert!(span(&json!({"startTimeUnixNano": 1.7e18})).unwrap().contains("start: 1700000000000000000"));
    for bad in [json!("soon"), json!(-1), json!(1.5), json!(true), json!([]), json!({"low": "x"})] {
        assert!(matches!(span(&json!({"startTimeUnixNano": bad})), Err(DecodeError::Json(_))), "{bad}");
    }
}

#[test]
fn null_is_nothing_and_names_of_enumerations_are_understood() {
    let fields = json!({"traceId": null, "attributes": null, "status": null, "name": null, "kind": null});
    assert_eq!(span(&fields).unwrap(), span(&json!({})).unwrap());
    let named = json!({"kind": "SPAN_KIND_CLIENT", "status": {"code": "STATUS_CODE_ERROR"}});
    assert_eq!(span(&named).unwrap(), span(&json!({"kind": 3, "status": {"code": 2}})).unwrap());
    assert!(span(&json!({"kind": 77})).unwrap().contains("kind: Unspecified"));
    assert!(span(&json!({"kind": "SPAN_KIND_NOBODY"})).is_err());
}

#[test]
fn ids_of_another_length_are_none() {
    for id in ["", "01", "zz".repeat(16).as_str(), "+1".repeat(16).as_str(), "é".repeat(16).as_str()] {
        assert!(span(&json!({"traceId": id, "spanId": id})).unwrap().contains("trace_id: None, span_id: 0"), "{id}");
    }
    let upper = span(&json!({"spanId": "00000000000000FF"})).unwrap();
    assert!(upper.contains("span_id: 255"), "{upper}");
    let short = field(1, field(2, field(2, [field(1, [1; 15]), field(2, [1; 9])].concat())));
    let decoded = request(Encoding::Protobuf, &short).unwrap();
    let span = &decoded.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!((span.trace_id, span.span_id), (None, 0));
}

#[test]
fn every_wrong_type_is_an_error() {
    for bad in [
        json!({"name": 1}),
        json!({"name": ["a"]}),
        json!({"attributes": {}}),
        json!({"attributes": [null]}),
        json!({"attributes": [{"key": "a", "value": {"boolValue": 1}}]}),
        json!({"attributes": [{"key": "a", "value": {"intValue": "1.5"}}]}),
        json!({"attributes": [{"key": "a", "value": {"bytesValue": "?"}}]}),
        json!({"status": []}),
    ] {
        assert!(matches!(span(&bad), Err(DecodeError::Json(_))), "{bad}");
    }
    for body in [&b""[..], b"[]", b"null", b"{\"resourceSpans\":[]} x", b"{\"resourceSpans\":[{]}", b"\xff"] {
        assert!(matches!(request(Encoding::Json, body), Err(DecodeError::Json(_))), "{body:?}");
    }
    let of_span = |bytes: Vec<u8>| request(Encoding::Protobuf, &field(1, field(2, field(2, bytes)))).map(drop);
    assert!(matches!(of_span(number(5, 1)), Err(DecodeError::WrongType { expected: "text" })));
    assert!(matches!(of_span(field(7, "time")), Err(DecodeError::WrongType { expected: "a number" })));
    assert!(matches!(of_span(number(9, 1)), Err(DecodeError::WrongType { expected: "a message" })));
    assert!(matches!(of_span(field(5, [0xff])), Err(DecodeError::NotUtf8)));
    assert!(matches!(of_span(vec![0x0b]), Err(DecodeError::UnknownType(3))));
    assert!(matches!(of_span(number(0, 1)), Err(DecodeError::ZeroField)));
    assert!(matches!(of_span([&[0x30][..], &[0xff; 10]].concat()), Err(DecodeError::LongNumber)));
}

#[test]
fn every_cut_body_is_an_error_or_a_part_of_it() {
    let whole = sample();
    let cut = (0..whole.len()).filter(|end| request(Encoding::Protobuf, &whole[..*end]).is_ok()).count();
    assert_eq!(cut, 1, "nothing but the empty body is a request");
    let whole = json(&sample_in_json());
    assert!((0..whole.len()).all(|end| request(Encoding::Json, &whole[..end]).is_err()));
}

#[test]
fn lists_inside_of_lists_are_decoded_up_to_a_depth() {
    let nested = |levels: usize| {
        let list = (0..levels).fold(field(1, "x"), |value, _| field(5, field(1, value)));
        field(1, field(2, field(2, attribute(9, "deep", list))))
    };
    assert!(request(Encoding::Protobuf, &nested(40)).is_ok());
    assert!(matches!(request(Encoding::Protobuf, &nested(60)), Err(DecodeError::TooDeep)));
    assert!(matches!(request(Encoding::Protobuf, &nested(10_000)), Err(DecodeError::TooDeep)));
    let nested = |levels: usize| {
        let (open, close) = ("{\"arrayValue\":{\"values\":[", "]}}");
        let value = format!("{}{{}}{}", open.repeat(levels), close.repeat(levels));
        let span = format!("{{\"attributes\":[{{\"key\":\"deep\",\"value\":{value}}}]}}");
        format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{span}]}}]}}]}}").into_bytes()
    };
    assert!(request(Encoding::Json, &nested(30)).is_ok());
    assert!(matches!(request(Encoding::Json, &nested(10_000)), Err(DecodeError::Json(_))));
}

#[test]
fn a_body_of_empty_messages_takes_no_more_memory_than_there_is() {
    const MAX: usize = 1 << 20;
    let spans = MAX / size_of::<Span>() + 1;
    let within = |encoding, body: &[u8]| request_within(encoding, body, MAX).map(drop);
    let body = field(1, field(2, field(2, []).repeat(spans)));
    assert!(body.len() < 20_000);
    assert!(matches!(within(Encoding::Protobuf, &body), Err(DecodeError::TooLarge(_))));
    let in_json =
        |spans: &str| format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{spans}]}}]}}]}}").into_bytes();
    let empty = "{},".repeat(spans - 1) + "{}";
    assert!(matches!(within(Encoding::Json, &in_json(&empty)), Err(DecodeError::TooLarge(_))));
    let escaped = format!("{{\"name\":\"{}\"}}", "\\n".repeat(MAX + 1));
    assert!(matches!(within(Encoding::Json, &in_json(&escaped)), Err(DecodeError::TooLarge(_))));
}

/// What the lists of a request have reserved, in bytes.
fn reserved(request: &Request<'_>) -> usize {
    fn list<T>(list: &Vec<T>, of: impl Fn(&T) -> usize) -> usize {
        list.capacity() * size_of::<T>() + list.iter().map(of).sum::<usize>()
    }
    fn value(of: &Value<'_>) -> usize {
        match of {
            Value::Array(values) => list(values, value),
            Value::Map(of) => attributes(of),
            _ => 0,
        }
    }
    fn attributes(of: &Vec<Attribute<'_>>) -> usize {
        list(of, |attribute| value(&attribute.value))
    }
    let span = |span: &Span<'_>| {
        let events = list(&span.events, |event| attributes(&event.attributes));
        attributes(&span.attributes) + events + list(&span.links, |link| attributes(&link.attributes))
    };
    let scope = |scope: &ScopeSpans<'_>| attributes(&scope.scope.attributes) + list(&scope.spans, span);
    list(&request.resource_spans, |resource| {
        attributes(&resource.resource.attributes) + list(&resource.scope_spans, scope)
    })
}

#[test]
fn what_lists_reserve_is_what_is_counted() {
    const MAX: usize = 1 << 20;
    let body = sample();
    let budget = Budget::new(MAX);
    let decoded: Request<'_> = super::protobuf::message(&body, &budget).unwrap();
    assert_eq!(reserved(&decoded), MAX - budget.bytes.get());
    // Every list has one element; one that grew by itself would have room for four.
    let in_protobuf = |times: usize| field(1, field(2, field(2, []))).repeat(times);
    let resource = "{\"scopeSpans\":[{\"spans\":[{}]}]}";
    let in_json = |times: usize| format!("{{\"resourceSpans\":[{}]}}", vec![resource; times].join(",")).into_bytes();
    let times: Vec<usize> = (0..10_000).collect();
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let body = |times| if encoding == Encoding::Json { in_json(times) } else { in_protobuf(times) };
        let refused = times.partition_point(|times| request_within(encoding, &body(*times), MAX).is_ok());
        let most = body(refused - 1);
        let taken = reserved(&request_within(encoding, &most, MAX).unwrap());
        assert!((MAX / 2..=MAX).contains(&taken), "{encoding:?}: {taken} bytes of {MAX}");
    }
}
