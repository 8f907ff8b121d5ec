//! Tests of the conversion of spans.

use serde_json::json;

use super::{
    convert::{ConversionBudget, invalid_spans},
    *,
};
use crate::{
    config::Config,
    platform::environment::Environment,
    process::{
        tags::FunctionTags,
        trace::{
            Pipeline, Source, Span, TraceSettings, TracerHeaders, TracerPayload,
            stats::{ClientPayload, Concentrator, Flush, Keys, Origin},
        },
    },
};

const TRACE_ID: &str = "5b8efff798038103d269b633813fc60c";

/// Attributes from an object: texts, numbers and booleans as they are, and any other value as OTLP's.
fn attributes(pairs: &serde_json::Value) -> serde_json::Value {
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::String(_) => json!({"stringValue": value}),
        serde_json::Value::Bool(_) => json!({"boolValue": value}),
        serde_json::Value::Number(number) if number.is_f64() => json!({"doubleValue": value}),
        serde_json::Value::Number(_) => json!({"intValue": value}),
        other => other.clone(),
    };
    let pairs = pairs.as_object().unwrap();
    pairs.iter().map(|(key, it)| json!({"key": key, "value": value(it)})).collect()
}

/// A span of that kind with these attributes and further fields.
fn span(kind: i64, own: &serde_json::Value, more: &serde_json::Value) -> serde_json::Value {
    let mut span = json!({"traceId": TRACE_ID, "spanId": "00000000000000aa", "name": "span name", "kind": kind,
        "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000000000500",
        "attributes": attributes(own)});
    span.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    span
}

fn request(resource: &serde_json::Value, scope: &serde_json::Value, spans: &[serde_json::Value]) -> Vec<u8> {
    let body = json!({"resourceSpans": [{"resource": {"attributes": attributes(resource)},
        "scopeSpans": [{"scope": scope, "spans": spans}]}]});
    serde_json::to_vec(&body).unwrap()
}

fn traces(body: &[u8], settings: &Settings) -> Result<Vec<Vec<Span<'static>>>, TooLarge> {
    let request = decode::request(Encoding::Json, body).unwrap();
    let owned = |trace: Vec<Span<'_>>| trace.into_iter().map(Span::into_owned).collect();
    Traces::new(request, settings).map(|trace| trace.map(owned)).collect()
}

/// The only span of a request.
fn one(
    resource: &serde_json::Value,
    scope: &serde_json::Value,
    of: serde_json::Value,
    settings: &Settings,
) -> Span<'static> {
    let mut traces = traces(&request(resource, scope, &[of]), settings).unwrap();
    assert_eq!((traces.len(), traces[0].len()), (1, 1));
    traces.remove(0).remove(0)
}

fn plain(kind: i64, own: &serde_json::Value) -> Span<'static> {
    one(&json!({}), &json!({}), span(kind, own, &json!({})), &Settings::default())
}

fn meta<'s>(span: &'s Span<'_>, key: &str) -> Option<&'s str> {
    span.meta.get(key).map(|value| &**value)
}

const INTERNAL: i64 = 1;
const SERVER: i64 = 2;
const CLIENT: i64 = 3;
const PRODUCER: i64 = 4;
const CONSUMER: i64 = 5;

#[test]
fn ids_and_times_are_those_of_the_span() {
    let more = json!({"parentSpanId": "00000000000000bb", "traceState": "dd=s:2"});
    let converted = one(&json!({}), &json!({}), span(0, &json!({}), &more), &Settings::default());
    assert_eq!((converted.trace_id, converted.span_id, converted.parent_id), (0xd269_b633_813f_c60c, 0xaa, 0xbb));
    assert_eq!((converted.start, converted.duration), (1_700_000_000_000_000_000, 500));
    assert_eq!(meta(&converted, "_dd.p.tid"), Some("5b8efff798038103"), "the high half as sixteen digits");
    assert_eq!(
        (meta(&converted, "otel.trace_id"), meta(&converted, "w3c.trace_state")),
        (Some(TRACE_ID), Some("dd=s:2"))
    );
    let backwards = json!({"endTimeUnixNano": "1", "traceId": "000000000000000000000000000000ff"});
    let converted = one(&json!({}), &json!({}), span(0, &json!({}), &backwards), &Settings::default());
    assert_eq!((converted.duration, meta(&converted, "_dd.p.tid")), (0, None));
}

#[test]
fn spans_without_a_trace_id_are_left_out_and_counted() {
    let spans = ["", "0102", &"00".repeat(16)].map(|id| span(0, &json!({}), &json!({"traceId": id})));
    let body = request(&json!({}), &json!({}), &[&spans[..], &[span(0, &json!({}), &json!({}))]].concat());
    assert_eq!(traces(&body, &Settings::default()).unwrap().concat().len(), 1);
    assert_eq!(invalid_spans(&decode::request(Encoding::Json, &body).unwrap()), 3);
}

#[test]
fn spans_of_one_trace_are_one_chunk_whichever_library_they_are_of() {
    let other = json!({"traceId": "00000000000000000000000000000001"});
    let scope = |spans: Vec<serde_json::Value>| json!({"scope": {}, "spans": spans});
    let plain = || span(0, &json!({}), &json!({}));
    let body = json!({"resourceSpans": [
        {"scopeSpans": [scope(vec![plain(), span(0, &json!({}), &other)]), scope(vec![plain()])]},
        {"resource": {}, "scopeSpans": [{"spans": [plain()]}]},
    ]});
    let traces = traces(&serde_json::to_vec(&body).unwrap(), &Settings::default()).unwrap();
    assert_eq!(traces.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
}

#[test]
fn operations_are_named_by_what_they_are_about() {
    let aws = json!({"rpc.system": "aws-api"});
    for (kind, own, expected) in [
        (SERVER, json!({"operation.name": "my op", "http.request.method": "GET"}), "my op"),
        (SERVER, json!({"http.request.method": "GET"}), "http.server.request"),
        (CLIENT, json!({"http.request.method": "GET"}), "http.client.request"),
        (INTERNAL, json!({"http.request.method": "GET"}), "SPAN_KIND_INTERNAL"),
        (CLIENT, json!({"db.query.summary": "SELECT t", "db.system.name": "mysql"}), "SELECT t"),
        (CLIENT, json!({"db.operation.name": "find", "db.collection.name": "users"}), "find users"),
        (CLIENT, json!({"db.stored_procedure.name": "p", "db.namespace": "n"}), "p"),
        (CLIENT, json!({"db.system.name": "mysql", "server.address": "h", "server.port": 3306}), "h:3306"),
        (CLIENT, json!({"db.system.name": "mysql"}), "mysql"),
        (CONSUMER, json!({"messaging.system": "AWS SQS", "messaging.operation.type": "receive"}), "aws_sqs.receive"),
        (INTERNAL, json!({"messaging.system": "sqs", "messaging.operation.type": "x"}), "SPAN_KIND_INTERNAL"),
        (CLIENT, json!({"rpc.system": "aws-api", "rpc.service": "S3"}), "aws.s3.request"),
        (CLIENT, aws.clone(), "aws.client.request"),
        (SERVER, aws, "aws-api.server.request"),
        (CLIENT, json!({"rpc.system": "grpc", "server.address": "h", "server.port": 1}), "grpc.client.request"),
        (CLIENT, json!({"faas.invoked_provider": "aws", "faas.invoked_name": "fn"}), "aws.fn.invoke"),
        (SERVER, json!({"faas.trigger": "timer"}), "timer.invoke"),
        (INTERNAL, json!({"graphql.operation.type": "query"}), "graphql.server.request"),
        (SERVER, json!({"network.protocol.name": "amqp"}), "amqp.server.request"),
        (SERVER, json!({}), "server.request"),
        (CLIENT, json!({"network.protocol.name": "amqp"}), "amqp.client.request"),
        (CLIENT, json!({"server.address": "h", "server.port": 1}), "client.request"),
        (PRODUCER, json!({}), "SPAN_KIND_PRODUCER"),
        (0, json!({}), "SPAN_KIND_INTERNAL"),
        (SERVER, json!({"datadog.name": "Own Name"}), "own_name"),
    ] {
        assert_eq!(plain(kind, &own).name, expected, "{kind} {own}");
    }
    let lambda = json!({"name": "opentelemetry.instrumentation.aws_lambda"});
    let handler = span(SERVER, &json!({"faas.trigger": "http"}), &json!({}));
    assert_eq!(one(&json!({}), &lambda, handler, &Settings::default()).name, "aws.lambda");
}

#[test]
fn the_first_rules_name_operations_by_library_and_kind() {
    let first = Settings { names: NameRules::First, ..Settings::default() };
    let of = |scope: &serde_json::Value, own: &serde_json::Value, settings: &Settings| {
        one(&json!({}), scope, span(CLIENT, own, &json!({})), settings).name.into_owned()
    };
    let library = json!({"name": "lib"});
    let http = json!({"http.request.method": "GET"});
    assert_eq!(of(&library, &http, &first), "lib.client");
    assert_eq!(of(&json!({}), &http, &first), "opentelemetry.client");
    assert_eq!(of(&library, &json!({"operation.name": "op"}), &first), "op");
    let by_span = Settings { span_name_as_resource_name: true, ..Settings::default() };
    assert_eq!(of(&library, &http, &by_span), "span name");
    let mapped = Settings {
        span_name_remappings: [("lib.client".to_owned(), "mapped".to_owned())].into(),
        ..Settings::default()
    };
    assert_eq!(
        (of(&library, &http, &mapped), of(&json!({}), &http, &mapped)),
        ("mapped".into(), "opentelemetry.client".into())
    );
}

#[test]
fn resources_and_types_follow_the_attributes() {
    for (kind, own, resource, kind_of_span) in [
        (SERVER, json!({"resource.name": "r", "http.request.method": "GET"}), "r", "web"),
        (SERVER, json!({"http.request.method": "GET", "http.route": "/u/{id}"}), "GET /u/{id}", "web"),
        (CLIENT, json!({"http.request.method": "_OTHER", "http.route": "/u"}), "HTTP", "http"),
        (PRODUCER, json!({"messaging.operation.type": "send", "messaging.destination.name": "q"}), "send q", "custom"),
        (PRODUCER, json!({"messaging.operation.type": "send"}), "send", "custom"),
        (CLIENT, json!({"rpc.service": "S3", "rpc.method": "Get"}), "S3 Get", "http"),
        (INTERNAL, json!({"graphql.operation.type": "query", "graphql.operation.name": "q"}), "query q", "custom"),
        (CLIENT, json!({"db.system.name": "mysql", "db.query.text": "SELECT 1"}), "SELECT 1", "db"),
        (CLIENT, json!({"db.system.name": "redis"}), "redis", "cache"),
        (CLIENT, json!({"span.type": "Queue"}), "span name", "queue"),
        (CLIENT, json!({"datadog.type": "own", "span.type": "x"}), "span name", "own"),
    ] {
        let converted = plain(kind, &own);
        assert_eq!((&*converted.resource, &*converted.kind), (resource, kind_of_span), "{kind} {own}");
    }
    let resource = json!({"datadog.resource": "Of Resource", "span.type": "of.resource"});
    let converted =
        one(&resource, &json!({}), span(CLIENT, &json!({"span.type": "own"}), &json!({})), &Settings::default());
    assert_eq!((&*converted.resource, &*converted.kind), ("of_resource", "of.resource"));
}

#[test]
fn the_service_comes_from_the_span_then_from_the_resource() {
    let of = |resource: serde_json::Value, own: serde_json::Value| {
        one(&resource, &json!({}), span(0, &own, &json!({})), &Settings::default()).service.into_owned()
    };
    let shop = json!({"service.name": "My Shop"});
    assert_eq!(of(shop.clone(), json!({"service.name": "no", "datadog.service": "Own"})), "own");
    assert_eq!(of(shop, json!({"service.name": "no"})), "my_shop");
    assert_eq!(of(json!({}), json!({})), "otlpresourcenoservicename");
    let twice = json!({"resourceSpans": [{"resource": {"attributes": [
        {"key": "z"}, {"key": "service.name", "value": {"stringValue": "first"}},
        {"key": "a"}, {"key": "service.name", "value": {"stringValue": "second"}},
    ]}, "scopeSpans": [{"spans": [span(0, &json!({}), &json!({}))]}]}]});
    let traces = traces(&serde_json::to_vec(&twice).unwrap(), &Settings::default()).unwrap();
    assert_eq!(traces[0][0].service, "first", "of several attributes with one key the first counts");
}

#[test]
fn attributes_of_resource_library_and_span_become_tags() {
    let resource = json!({"service.name": "s", "deployment.environment.name": "Prod", "service.version": "7", "host": "h",
        "empty": "", "datadog.x": "no", "shared": "resource"});
    let scope =
        json!({"name": "lib", "version": "1", "attributes": attributes(&json!({"scope.tag": "t", "shared": "scope"}))});
    let own = json!({"text": "v", "int": -3, "double": 0.5, "bool": true, "shared": "span", "analytics.event": true,
        "sampling.priority": 2, "http.response.status_code": 404, "http.request.header.x-a": "h", "resource.name": "r",
        "datadog.http_status_code": "201", "list": {"arrayValue": {"values": [{"stringValue": "a\""}, {"intValue": 2}, {}]}},
        "map": {"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": 1.5}}]}}, "bytes": {"bytesValue": "AP8="}});
    let converted = one(&resource, &scope, span(SERVER, &own, &json!({})), &Settings::default());
    for (key, value) in [
        ("env", Some("prod")),
        ("version", Some("7")),
        ("host", Some("h")),
        ("empty", None),
        ("datadog.x", None),
        ("service.name", None),
        ("resource.name", None),
        ("scope.tag", Some("t")),
        ("otel.scope.name", Some("lib")),
        ("otel.scope.version", Some("1")),
        ("shared", Some("span")),
        ("text", Some("v")),
        ("bool", Some("true")),
        ("list", Some(r#"["a\"","2"]"#)),
        ("map", Some(r#"{"k":"1.5"}"#)),
        ("bytes", Some("00ff")),
        ("http.status_code", Some("201")),
        ("http.request.headers.x-a", Some("h")),
        ("span.kind", Some("server")),
        ("span.type", Some("server")),
        ("otel.status_code", None),
    ] {
        assert_eq!(meta(&converted, key), value, "{key}");
    }
    for (key, value) in [
        ("int", Some(-3.0)),
        ("double", Some(0.5)),
        ("_dd1.sr.eausr", Some(1.0)),
        ("_sampling_priority_v1", Some(2.0)),
        ("http.status_code", Some(201.0)),
        ("http.response.status_code", Some(404.0)),
        ("_dd.measured", None),
    ] {
        assert_eq!(converted.metrics.get(key).copied(), value, "{key}");
    }
}

#[test]
fn only_datadog_attributes_count_where_missing_ones_are_ignored() {
    let settings = Settings { ignore_missing_datadog_fields: true, ..Settings::default() };
    let resource =
        json!({"service.name": "s", "service.version": "7", "deployment.environment.name": "prod", "env": "e"});
    let own = json!({"http.request.method": "GET", "http.response.status_code": 500, "error.type": "t"});
    let converted = one(&resource, &json!({}), span(SERVER, &own, &json!({})), &settings);
    let texts = [&converted.service, &converted.name, &converted.resource, &converted.kind];
    assert_eq!(texts.map(|text| &**text), ["", "", "", ""], "the pipeline fills them in");
    for key in ["env", "version", "span.kind", "span.type", "error.type"] {
        assert_eq!(meta(&converted, key), None, "{key}");
    }
    assert_eq!(converted.metrics.get("http.status_code"), None);
    let own = json!({"datadog.service": "s", "datadog.name": "n", "datadog.env": "e", "datadog.version": "v",
        "datadog.span.kind": "client", "datadog.error.type": "t", "datadog.http_status_code": 418,
        "http.response.status_code": 404});
    let converted = one(&resource, &json!({}), span(SERVER, &own, &json!({})), &settings);
    let tags = ["env", "version", "span.kind", "error.type"].map(|key| meta(&converted, key).unwrap());
    assert_eq!((&*converted.service, &*converted.name, tags), ("s", "n", ["e", "v", "client", "t"]));
    assert_eq!(converted.metrics.get("http.status_code"), Some(&418.0));
}

#[test]
fn client_producer_measured_and_entry_spans_get_stats() {
    let measured = |kind, own: &serde_json::Value| plain(kind, own).metrics.get("_dd.measured").copied();
    let asked = json!({"_dd.measured": "1"});
    assert_eq!([CLIENT, PRODUCER].map(|kind| measured(kind, &json!({}))), [Some(1.0); 2]);
    assert_eq!([SERVER, CONSUMER, INTERNAL].map(|kind| measured(kind, &json!({}))), [None; 3]);
    assert_eq!(measured(INTERNAL, &asked), Some(1.0));
    let settings = Settings { top_level_by_kind: true, ..Settings::default() };
    let top_level = |kind, parent: &str, settings: &Settings| {
        let more = json!({"parentSpanId": parent});
        one(&json!({}), &json!({}), span(kind, &json!({}), &more), settings).metrics.contains("_top_level")
    };
    let parent = "00000000000000bb";
    assert!(top_level(SERVER, parent, &settings) && top_level(CONSUMER, parent, &settings));
    assert!(top_level(INTERNAL, "", &settings) && !top_level(CLIENT, parent, &settings));
    assert!(!top_level(SERVER, parent, &Settings::default()), "the pipeline finds out");
}

#[test]
fn events_links_and_the_status_become_tags() {
    let more = json!({
        "events": [
            {"timeUnixNano": "5", "name": "exception", "attributes": attributes(&json!({"exception.type": "E", "n": 1}))},
            {"name": "plain", "droppedAttributesCount": 2},
            {},
        ],
        "links": [
            {"traceId": TRACE_ID, "spanId": "00000000000000cc", "traceState": "a=b", "droppedAttributesCount": 1,
                "attributes": attributes(&json!({"k": "v"}))},
            {"traceId": TRACE_ID, "spanId": "00000000000000cc"},
        ],
        "status": {"code": 1},
    });
    let converted = one(&json!({}), &json!({}), span(0, &json!({}), &more), &Settings::default());
    let events = r#"[{"time_unix_nano":5,"name":"exception","attributes":{"exception.type":"E","n":"1"}},{"name":"plain","dropped_attributes_count":2},{}]"#;
    assert_eq!(meta(&converted, "events"), Some(events));
    let link = format!(r#"{{"trace_id":"{TRACE_ID}","span_id":"00000000000000cc""#);
    let links =
        format!(r#"[{link},"tracestate":"a=b","attributes":{{"k":"v"}},"dropped_attributes_count":1}},{link}}}]"#);
    assert_eq!(meta(&converted, "_dd.span_links"), Some(&*links));
    assert_eq!(meta(&converted, "_dd.span_events.has_exception"), Some("true"));
    assert_eq!(
        (meta(&converted, "otel.status_code"), meta(&converted, "otel.status_description")),
        (Some("1"), Some(""))
    );
    assert_eq!((converted.error, meta(&converted, "error.type")), (0, None), "only an error has the tags of one");
}

#[test]
fn otlp_error_comes_from_events_or_status() {
    let exception = |kind: &str, message: &str| {
        let fields = json!({"exception.type": kind, "exception.message": message, "exception.stacktrace": "at x"});
        json!({"name": "exception", "attributes": attributes(&fields)})
    };
    let failed = |own: &serde_json::Value, events: &[serde_json::Value], message: &str| {
        let more = json!({"status": {"code": 2, "message": message}, "events": events});
        one(&json!({}), &json!({}), span(0, own, &more), &Settings::default())
    };
    let tags =
        |span: &Span<'_>| ["error.msg", "error.type", "error.stack"].map(|key| meta(span, key).map(str::to_owned));
    let some = |texts: [&str; 3]| texts.map(|text| Some(text.to_owned()));
    let converted =
        failed(&json!({"error.type": "500"}), &[exception("First", "one"), exception("Last", "two")], "status");
    assert_eq!((converted.error, tags(&converted)), (1, some(["two", "Last", "at x"])));
    let own = json!({"datadog.error.msg": "own", "datadog.error.type": "Own"});
    assert_eq!(tags(&failed(&own, &[exception("Last", "two")], "status")), some(["own", "Own", "at x"]));
    assert_eq!(meta(&failed(&json!({}), &[], "status"), "error.msg"), Some("status"));
    assert_eq!(meta(&failed(&json!({"http.response.status_code": 503}), &[], ""), "error.msg"), Some("503"));
    for (value, expected) in [(json!(1), 1), (json!(0), 0), (json!(true), 1), (json!("1"), 1), (json!("no"), 0)] {
        assert_eq!(failed(&json!({"datadog.error": value}), &[], "").error, expected, "{value}");
    }
}

#[test]
fn error_tags_follow_datadog_error_before_the_status() {
    let fields = json!({"exception.type": "E", "exception.message": "m1"});
    let events = json!([{"name": "exception", "attributes": attributes(&fields)}]);
    for (value, status, expected) in [
        (json!(1), 0, (1, Some("m1"))),
        (json!(1.0), 0, (1, Some("m1"))),
        (json!(true), 1, (1, Some("m1"))),
        (json!(0), 2, (0, None)),
        (json!(0.0), 2, (0, None)),
        (json!(false), 2, (0, None)),
    ] {
        let more = json!({"status": {"code": status, "message": "status"}, "events": events});
        let own = json!({"datadog.error": value, "http.response.status_code": 500});
        let converted = one(&json!({}), &json!({}), span(0, &own, &more), &Settings::default());
        assert_eq!((converted.error, meta(&converted, "error.msg")), expected, "{value}");
    }
}

#[test]
fn otlp_query_literals_are_in_no_payload_and_no_statistics() {
    const NOW: i64 = 1_700_000_000_000_000_000;
    let function = FunctionTags::collect(&Environment::read(|_| None), None, &Config::default());
    let settings = TraceSettings { compute_stats: true, ..TraceSettings::default() };
    let (pipeline, _) = Pipeline::new(settings, &function, Keys::default());
    let secret = "123-45-6789";
    let (sql, redis) = (format!("SELECT * FROM users WHERE ssn='{secret}'"), format!("SET session:1 {secret}"));
    for (kind, own, kept) in [
        (CLIENT, json!({"db.system.name": "postgresql", "db.query.text": sql}), "SELECT * FROM users WHERE ssn = ?"),
        (INTERNAL, json!({"db.system.name": "mysql", "db.query.text": sql}), "SELECT * FROM users WHERE ssn = ?"),
        (CLIENT, json!({"db.system.name": "redis", "db.query.text": redis}), "SET"),
        (CLIENT, json!({"db.system": "mysql", "db.statement": sql}), "SELECT * FROM users WHERE ssn = ?"),
        (CLIENT, json!({"db.system": "redis", "db.statement": redis}), "SET"),
        (
            CLIENT,
            json!({"span.type": "sql", "resource.name": sql, "db.statement": sql}),
            "SELECT * FROM users WHERE ssn = ?",
        ),
    ] {
        let body = request(&json!({}), &json!({}), &[span(kind, &own, &json!({"spanId": "00000000000000ab"}))]);
        let decoded = decode::request(Encoding::Json, &body).unwrap();
        let headers = TracerHeaders::default();
        let source = Source { headers: &headers, now: NOW, room: usize::MAX };
        let output = pipeline.run(source, Traces::new(decoded, &Settings::default())).unwrap();
        let mut concentrator = Concentrator::new(Origin::default(), NOW, None);
        concentrator.merge(output.stats, NOW);
        let stats = concentrator.flush(NOW, Flush::All);
        let payloads = output.payloads.iter().map(TracerPayload::bytes).chain(stats.iter().map(ClientPayload::bytes));
        let sent: Vec<_> = payloads.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        assert_eq!(sent.len(), 2, "a payload and its statistics: {own}");
        assert!(sent.iter().all(|sent| !sent.contains(secret)), "{own}: {sent:?}");
        assert!(sent[0].contains(kept), "{own}: {sent:?}");
    }
}

#[test]
fn what_would_become_many_times_as_long_is_refused() {
    const MIB: usize = 1 << 20;
    let within = |budget, body: &[u8]| -> Result<usize, TooLarge> {
        let request = decode::request(Encoding::Json, body).unwrap();
        Traces::within(budget, request, &Settings::default()).map(|trace| trace.map(|spans| spans.len())).sum()
    };
    let resource: serde_json::Map<String, serde_json::Value> =
        (0..500).map(|index| (format!("key{index}"), json!("value"))).collect();
    let resource = serde_json::Value::Object(resource);
    let of_trace = |trace: usize| span(0, &json!({}), &json!({"traceId": format!("{trace:032x}")}));
    let one_trace = request(&resource, &json!({}), &vec![of_trace(1); 100]);
    let many_traces = request(&resource, &json!({}), &(1..=100).map(of_trace).collect::<Vec<_>>());
    assert!(one_trace.len() < MIB / 10);
    assert_eq!(within(ConversionBudget::new(MIB, 8 * MIB), &one_trace), Err(TooLarge));
    assert_eq!(within(ConversionBudget::new(8 * MIB, 8 * MIB), &one_trace), Ok(100));
    assert_eq!(within(ConversionBudget::new(MIB, 8 * MIB), &many_traces), Ok(100));
    assert_eq!(within(ConversionBudget::new(MIB, MIB), &many_traces), Err(TooLarge));
    // Each level doubles the backslashes of the levels inside of it.
    let levels = 30;
    let (open, close) = ("{\"arrayValue\":{\"values\":[", "]}}");
    let value = format!("{}{{\"stringValue\":\"\\\"\"}}{}", open.repeat(levels), close.repeat(levels));
    let bomb = json!({"bomb": serde_json::from_str::<serde_json::Value>(&value).unwrap()});
    let body = request(&json!({}), &json!({}), &[span(0, &bomb, &json!({}))]);
    assert_eq!(within(ConversionBudget::new(MIB, MIB), &body), Err(TooLarge));
}
