//! Requests of every shape, as AWS sends them.

use std::collections::BTreeMap;

use serde_json::json;

use super::{request::Shape, *};

fn map(value: &Value) -> BTreeMap<String, Value> {
    let Value::Map(entries) = value else { panic!("{value:?}") };
    entries.iter().map(|(name, value)| (String::from_utf8(name.clone()).unwrap(), value.clone())).collect()
}

fn request(shape: Shape, event: &serde_json::Value) -> (HttpRequest, BTreeMap<String, Value>) {
    let request = HttpRequest::parse(shape, &event.to_string());
    let addresses = map(&Value::Map(request.addresses.clone()));
    (request, addresses)
}

fn lists(entries: &[(&str, &[&str])]) -> Value {
    let list = |values: &[&str]| Value::Array(values.iter().map(|value| (*value).into()).collect());
    Value::Map(entries.iter().map(|(name, values)| (name.as_bytes().to_vec(), list(values))).collect())
}

#[test]
fn an_http_api_gives_every_address() {
    let event = json!({
        "version": "2.0", "routeKey": "GET /users/{id}", "rawPath": "/users/7", "rawQueryString": "q=1,2",
        "cookies": ["a=1", "b=2", "a=3"], "headers": {"User-Agent": "Arachni/v1", "content-type": "text/plain"},
        "queryStringParameters": {"q": "1,2"}, "pathParameters": {"id": "7"}, "body": "aGk=", "isBase64Encoded": true,
        "requestContext": {"domainName": "x.example", "http": {"method": "GET", "path": "/users/7", "sourceIp": "203.0.113.1"}}
    });
    let (request, addresses) = request(Shape::HttpApi, &event);
    let expected = [
        ("server.request.method", "GET".into()),
        ("server.request.uri.raw", "x.example/users/7".into()),
        ("http.client_ip", "203.0.113.1".into()),
        (
            "server.request.headers.no_cookies",
            lists(&[("content-type", &["text/plain"]), ("user-agent", &["Arachni/v1"])]),
        ),
        ("server.request.cookies", lists(&[("a", &["1", "3"]), ("b", &["2"])])),
        ("server.request.query", lists(&[("q", &["1", "2"])])),
        ("server.request.path_params", Value::Map(vec![(b"id".to_vec(), "7".into())])),
        ("server.request.body", "hi".into()),
    ];
    for (name, value) in &expected {
        let (found, value) = (&addresses[*name], value);
        let same = match (found, value) {
            (Value::Map(_), Value::Map(_)) => map(found) == map(value),
            _ => found == value,
        };
        assert!(same, "{name}: {found:?}");
    }
    assert_eq!(addresses.len(), expected.len());
    assert_eq!((request.method.as_str(), request.route.as_str()), ("GET", "GET /users/{id}"));
}

#[test]
fn rest_apis_have_headers_and_queries_with_one_value_or_several() {
    let several = json!({
        "httpMethod": "POST", "resource": "/{proxy+}", "path": "/a", "multiValueHeaders": {"Cookie": ["a=1; b=2"], "X": ["1", "2"]},
        "headers": {"X": "2"}, "multiValueQueryStringParameters": {"foo": ["bar"]}, "body": "{\"test\":\"body\"}",
        "requestContext": {"stage": "p", "resourcePath": "/{proxy+}", "httpMethod": "POST", "path": "/p/a",
            "domainName": "d", "identity": {"sourceIp": "127.0.0.1"}}
    });
    let (request, addresses) = request(Shape::RestApi, &several);
    assert_eq!(addresses["server.request.headers.no_cookies"], lists(&[("x", &["1", "2"])]));
    assert_eq!(addresses["server.request.cookies"], lists(&[("a", &["1"]), ("b", &["2"])]));
    assert_eq!(addresses["server.request.query"], lists(&[("foo", &["bar"])]));
    assert_eq!(addresses["server.request.uri.raw"], "d/p/a".into());
    assert_eq!(addresses["http.client_ip"], "127.0.0.1".into());
    assert_eq!(addresses["server.request.body"], Value::Map(vec![(b"test".to_vec(), "body".into())]));
    assert_eq!(request.route, "POST /{proxy+}");
    let one = json!({"headers": {"X": "2"}, "queryStringParameters": {"q": "1,2"}, "multiValueHeaders": null});
    let (_, addresses) = self::request(Shape::RestApi, &one);
    assert_eq!(addresses["server.request.headers.no_cookies"], lists(&[("x", &["2"])]));
    assert_eq!(addresses["server.request.query"], lists(&[("q", &["1,2"])]));
}

#[test]
fn a_stage_of_a_websocket_api_is_in_its_address_unless_it_is_the_default() {
    for (stage, expected) in [("production", "d/production/c"), ("$default", "d/c"), ("", "d/c")] {
        let event =
            json!({"requestContext": {"stage": stage, "domainName": "d", "routeKey": "$connect", "path": "/c"}});
        let (request, addresses) = request(Shape::WebSocket, &event);
        assert_eq!(addresses["server.request.uri.raw"], expected.into());
        assert_eq!(request.route, "$connect");
    }
}

#[test]
fn queries_of_load_balancers_are_decoded_and_their_headers_are_in_lower_case() {
    let event = json!({
        "httpMethod": "GET", "path": "/a", "headers": {"User-Agent": "x", "cookie": "a=1"},
        "queryStringParameters": {"q%20": "%3Cscript%3E+1"}, "requestContext": {"elb": {"targetGroupArn": "arn"}}
    });
    let (request, addresses) = request(Shape::LoadBalancer, &event);
    assert_eq!(addresses["server.request.query"], lists(&[("q ", &["<script> 1"])]));
    assert_eq!(addresses["server.request.headers.no_cookies"], lists(&[("user-agent", &["x"])]));
    assert_eq!(addresses["server.request.cookies"], lists(&[("a", &["1"])]));
    assert!(!addresses.contains_key("server.request.uri.raw"));
    assert_eq!(request.route, "GET /a");
}

#[test]
fn events_of_any_other_form_give_less_and_never_fail() {
    for shape in [Shape::HttpApi, Shape::RestApi, Shape::WebSocket, Shape::LoadBalancer, Shape::FunctionUrl] {
        for text in [
            "",
            "null",
            "[]",
            "7",
            "{",
            "{\"headers\": 7, \"cookies\": {}, \"body\": [], \"requestContext\": \"x\"}",
            "{\"headers\": {\"a\": {\"b\": 1}, \"c\": null}, \"body\": \"%\", \"isBase64Encoded\": true}",
            "{\"headers\": {\"content-type\": \"multipart/form-data; boundary=x\"}, \"body\": \"--x\\r\\n--x\"}",
            "{\"pathParameters\": [1], \"queryStringParameters\": null, \"multiValueHeaders\": {\"a\": 1}}",
        ] {
            let request = HttpRequest::parse(shape, text);
            assert!(!request.addresses.iter().any(|(name, _)| name == b"server.request.body"), "{text}");
            assert!(request.client_ip.is_none());
            HttpResponse::parse(shape, text);
        }
    }
    assert_eq!(Shape::of(Some(crate::process::trigger::Kind::Sqs)), None);
    assert_eq!(Shape::of(None), None);
}

#[test]
fn a_body_of_too_many_values_hides_nothing_else_of_a_request() {
    let list = format!("[{}[]]", "[],".repeat(limits::MAX_ENTRIES - 1));
    let lists = format!("[{}[]]", format!("{list},").repeat(limits::MAX_ENTRIES - 1));
    let body = format!("[{}[]]", format!("{lists},").repeat(6));
    let event = json!({"headers": {"user-agent": "Arachni/v1"}, "body": body,
        "requestContext": {"domainName": "x.example", "http": {"path": "/a"}}});
    let (_, addresses) = request(Shape::HttpApi, &event);
    assert_eq!(addresses["server.request.headers.no_cookies"], self::lists(&[("user-agent", &["Arachni/v1"])]));
    assert_eq!(addresses["server.request.uri.raw"], "x.example/a".into());
    let values = limits::count(&addresses["server.request.body"]);
    assert_eq!(values, limits::MAX_VALUES);
}

#[test]
fn a_response_gives_status_headers_and_body() {
    let text = json!({
        "statusCode": "404", "headers": {"Set-Cookie": "a=1", "Content-Type": "application/json"}, "multiValueHeaders": null,
        "body": "{\"foo\": \"bar\"}"
    });
    let response = HttpResponse::parse(Shape::RestApi, &text.to_string());
    let addresses = map(&Value::Map(response.addresses.clone()));
    assert_eq!(addresses["server.response.status"], Value::Unsigned(404));
    assert_eq!(addresses["server.response.headers.no_cookies"], lists(&[("content-type", &["application/json"])]));
    assert_eq!(addresses["server.response.body"], Value::Map(vec![(b"foo".to_vec(), "bar".into())]));
    let websocket = HttpResponse::parse(Shape::WebSocket, "\"hello\"");
    assert_eq!(websocket.addresses, [(b"server.response.body".to_vec(), "hello".into())]);
    let nothing = HttpResponse::parse(Shape::HttpApi, "");
    assert_eq!(nothing.addresses, [(b"server.response.status".to_vec(), Value::Unsigned(0))]);
}

fn result(events: usize) -> Value {
    let event = Value::Map(vec![(b"rule".to_vec(), Value::Map(vec![(b"id".to_vec(), "ua0-600-12x".into())]))]);
    let field = |name: &str, value| (name.as_bytes().to_vec(), value);
    Value::Map(vec![
        field("events", Value::Array(vec![event; events])),
        field("duration", Value::Unsigned(1_500_999)),
        field("timeout", Value::Bool(false)),
        field("keep", Value::Bool(events > 0)),
        field(
            "attributes",
            Value::Map(vec![
                field("_dd.appsec.fp.http.header", "hdr-0".into()),
                field("_dd.appsec.s.req.body", Value::Array(vec![Value::Unsigned(8), Value::Null])),
            ]),
        ),
    ])
}

#[test]
fn results_become_tags_and_an_attack_adds_more() {
    let event = json!({"headers": {"user-agent": "x", "host": "h", "other": "o"},
        "requestContext": {"http": {"sourceIp": "203.0.113.1"}}});
    let (request, _) = request(Shape::FunctionUrl, &event);
    let response = HttpResponse::parse(Shape::FunctionUrl, r#"{"headers": {"content-type": "a", "x": "y"}}"#);
    let versions = Versions { waf: "2.1.0".to_owned(), rules: "1.18.2".to_owned() };
    let mut findings = Findings::default();
    findings.add(&result(0));
    findings.add_timeout();
    let tags = findings.tags(&request, Some(&response), &versions);
    let meta: BTreeMap<_, _> = tags.meta.iter().cloned().collect();
    assert_eq!(meta["_dd.appsec.waf.version"], "2.1.0");
    assert_eq!(meta["_dd.appsec.event_rules.version"], "1.18.2");
    assert_eq!(meta["_dd.appsec.fp.http.header"], "hdr-0");
    assert_eq!(meta["_dd.appsec.s.req.body"], "[8,null]");
    assert_eq!(
        (meta["http.request.headers.user-agent"].as_str(), meta["http.response.headers.content-type"].as_str()),
        ("x", "a")
    );
    for absent in [
        "appsec.event",
        "network.client.ip",
        "http.request.headers.host",
        "http.request.headers.other",
        "http.response.headers.x",
    ] {
        assert!(!meta.contains_key(absent), "{absent}");
    }
    let metrics = [("_dd.appsec.enabled", 1.0), ("_dd.appsec.waf.duration", 1500.0), ("_dd.appsec.waf.timeouts", 1.0)];
    assert_eq!((tags.metrics, tags.is_kept), (metrics.to_vec(), false));

    findings.add(&result(1));
    let tags = findings.tags(&request, None, &versions);
    let meta: BTreeMap<_, _> = tags.meta.iter().cloned().collect();
    assert!(tags.is_kept && findings.has_events());
    assert_eq!(meta["appsec.event"], "true");
    assert_eq!(meta["_dd.appsec.json"], r#"{"triggers":[{"rule":{"id":"ua0-600-12x"}}]}"#);
    assert_eq!((meta["network.client.ip"].as_str(), meta["http.request.headers.host"].as_str()), ("203.0.113.1", "h"));
}

#[test]
fn what_is_no_result_adds_nothing() {
    let mut findings = Findings::default();
    for value in
        [Value::Null, Value::Map(vec![(b"events".to_vec(), "x".into()), (b"duration".to_vec(), Value::Signed(-1))])]
    {
        findings.add(&value);
    }
    assert_eq!(findings, Findings::default());
}

#[test]
fn pending_request_keeps_truncated_headers() {
    let long = "ä".repeat(limits::MAX_TEXT_BYTES);
    let event = json!({"httpMethod": "GET", "path": long, "requestContext": {"identity": {"sourceIp": "203.0.113.1"}},
        "multiValueHeaders": {"other": [long], "host": [long, long], "cookie": [format!("a={long}; b=2")]}});
    let (request, addresses) = request(Shape::LoadBalancer, &event);
    assert_eq!(request.headers.len(), 1);
    assert!(request.kept_bytes() <= 2 * limits::MAX_TEXT_BYTES + 1024, "{}", request.kept_bytes());
    let host = request.tags(true).find(|(name, _)| name == "http.request.headers.host");
    assert_eq!(host.map(|(_, value)| value).as_deref(), long.get(..limits::MAX_TEXT_BYTES));
    let Value::Map(cookies) = &addresses["server.request.cookies"] else { panic!("no cookies") };
    assert_eq!(cookies.len(), 2, "the WAF sees what is not kept");
}
