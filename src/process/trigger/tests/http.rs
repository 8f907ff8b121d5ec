use super::*;

const HTTP_URL: &str = "https://shop1api23.execute-api.eu-west-1.amazonaws.com/orders/4711";

#[test]
fn http_api_as_documented() {
    let event = parse(&documented(Kind::HttpApi));
    let domain = "shop1api23.execute-api.eu-west-1.amazonaws.com";
    assert_eq!(event.kind, Some(Kind::HttpApi));
    assert_eq!(labels(&event), ["aws.httpapi", domain, "GET /orders/{order_id}", "web"]);
    assert_start(&event, 1_717_236_000_000);
    assert_span_tags(
        &event,
        Synchronicity::Sync,
        &[
            ("endpoint", "/orders/4711"),
            ("http.url", HTTP_URL),
            ("http.method", "GET"),
            ("http.protocol", "HTTP/1.1"),
            ("http.source_ip", "203.0.113.7"),
            ("http.user_agent", "shop-app/3.1"),
            ("request_id", "JKJaXmPLvHcESHA="),
            ("dd_resource_key", "arn:aws:apigateway:eu-west-1::/apis/shop1api23"),
        ],
    );
    assert_trigger_tags(
        &event,
        "api-gateway",
        "arn:aws:apigateway:eu-west-1::/restapis/shop1api23/stages/$default",
        &[
            ("http.url", HTTP_URL),
            ("http.url_details.path", "/orders/4711"),
            ("http.method", "GET"),
            ("http.route", "/orders/{order}"),
            ("http.referer", "https://shop.example/cart"),
            ("http.user_agent", "shop-app/3.1"),
        ],
    );
    let context = context(&event).unwrap();
    assert_eq!((context.trace_id, context.span_id, context.priority), (TRACE_ID, PARENT_ID, Some(1)));
    assert_eq!(sorted(&context.tags), [("_dd.p.dm", "-4"), ("_dd.p.tid", "66f1a2b300000000")].into());
}

#[test]
fn http_api_without_headers_and_route_and_with_an_asynchronous_caller() {
    let mut event = documented(Kind::HttpApi);
    event["headers"] = Value::Null;
    event["routeKey"] = Value::Null;
    event["requestContext"]["http"] = json!({"method": "get", "path": 7});
    let read = parse(&event);
    assert_eq!(labels(&read)[2], "get /{id}", "a number is read as text");
    assert_eq!(ids(&read), None);
    assert!(read.tags.get("http.route").is_none() && read.tags.get("http.user_agent").is_none());
    event["headers"] = json!({"X-AMZ-Invocation-Type": "Event", "User-Agent": null, "Referer": ["a", "b"]});
    let read = parse(&event);
    assert_eq!(read.inferred.as_ref().unwrap().synchronicity, Synchronicity::Async);
    assert_eq!(read.tags.get("http.referer").map(|text| &**text), Some("a"));
}

#[test]
fn rest_api_as_documented() {
    let event = parse(&documented(Kind::RestApi));
    let domain = "bill9api87.execute-api.eu-west-1.amazonaws.com";
    let url = format!("https://{domain}/live/customers/88/invoices");
    assert_eq!(event.kind, Some(Kind::RestApi));
    let resource = "POST /live/customers/{customer_id}/invoices";
    assert_eq!(labels(&event), ["aws.apigateway", domain, resource, "web"]);
    assert_start(&event, 1_717_236_000_250);
    assert_span_tags(
        &event,
        Synchronicity::Sync,
        &[
            ("endpoint", "/live/customers/88/invoices"),
            ("http.url", &url),
            ("http.method", "POST"),
            ("http.protocol", "HTTP/1.1"),
            ("http.source_ip", "198.51.100.4"),
            ("http.user_agent", "billing/1.0"),
            ("http.route", "/customers/{customer}/invoices"),
            ("request_id", "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"),
            ("dd_resource_key", "arn:aws:apigateway:eu-west-1::/restapis/bill9api87"),
        ],
    );
    assert_trigger_tags(
        &event,
        "api-gateway",
        "arn:aws:apigateway:eu-west-1::/restapis/bill9api87/stages/live",
        &[
            ("http.url", &url),
            ("http.url_details.path", "/live/customers/88/invoices"),
            ("http.method", "POST"),
            ("http.route", "/customers/{customer}/invoices"),
            ("http.user_agent", "billing/1.0"),
            ("http.referer", "https://billing.example/"),
        ],
    );
    assert_eq!(ids(&event), Some((TRACE_ID, PARENT_ID)));
}

#[test]
fn rest_api_of_a_test_in_the_console() {
    let mut event = documented(Kind::RestApi);
    event["headers"] = Value::Null;
    event["multiValueHeaders"] = Value::Null;
    event["requestContext"] = json!({"stage": "test-invoke-stage", "path": "/customers/{customer}/invoices"});
    let read = parse(&event);
    assert_eq!(labels(&read), ["aws.apigateway", "", "POST /customers/{customer}/invoices", "web"]);
    assert_eq!((start(&read), read.tags.get("http.url"), ids(&read)), (0, None, None));
    event["multiValueHeaders"] = json!({"X-Datadog-Trace-Id": ["12", "13"], "x-datadog-parent-id": ["14"]});
    assert_eq!(ids(&parse(&event)), Some((12, 14)), "the first of several values");
}

#[test]
fn websocket_as_documented() {
    let event = parse(&documented(Kind::WebSocket));
    let domain = "chat4api56.execute-api.eu-west-1.amazonaws.com";
    let url = format!("https://{domain}sendMessage");
    assert_eq!(event.kind, Some(Kind::WebSocket));
    assert_eq!(labels(&event), ["aws.apigateway", domain, "sendMessage", "web"]);
    assert_start(&event, 1_717_236_000_500);
    assert_span_tags(
        &event,
        Synchronicity::Async,
        &[
            ("endpoint", "sendMessage"),
            ("resource_names", "sendMessage"),
            ("http.url", &url),
            ("request_id", "fZJmHGY8joEFbvQ="),
            ("apiid", "chat4api56"),
            ("stage", "production"),
            ("connection_id", "fZJlEcK2joECJjw="),
            ("event_type", "MESSAGE"),
            ("message_direction", "IN"),
        ],
    );
    let arn = "arn:aws:apigateway:eu-west-1::/apis/chat4api56/stages/production";
    let tags = [("http.url", &*url), ("http.url_details.path", "sendMessage")];
    assert_trigger_tags(&event, "api-gateway", arn, &tags);
    assert_eq!(ids(&event), None);
}

#[test]
fn websocket_of_a_connection_with_headers() {
    let mut event = documented(Kind::WebSocket);
    event["requestContext"]["eventType"] = json!("CONNECT");
    event["requestContext"]["routeKey"] = json!("$connect");
    event["headers"] =
        json!({"Referer": "https://chat.example/", "X-Datadog-Trace-Id": "21", "x-datadog-parent-id": 22});
    event["multiValueHeaders"] = Value::Null;
    let event = parse(&event);
    assert_eq!(labels(&event)[2], "$connect");
    assert_eq!(event.tags.get("http.referer").map(|text| &**text), Some("https://chat.example/"));
    assert_eq!(ids(&event), Some((21, 22)));
}

#[test]
fn load_balancer_as_documented() {
    let event = parse(&documented(Kind::LoadBalancer));
    let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/catalogue/73e2d6bc24d8a067";
    assert_eq!((event.kind, &event.inferred), (Some(Kind::LoadBalancer), &None));
    assert_trigger_tags(&event, "application-load-balancer", arn, &[("http.method", "GET")]);
    assert_eq!(ids(&event), Some((TRACE_ID, PARENT_ID)));
}

#[test]
fn load_balancer_with_several_values_of_headers() {
    let mut event = documented(Kind::LoadBalancer);
    event["headers"] = Value::Null;
    event["multiValueHeaders"] = json!({"X-Datadog-Trace-ID": ["31"], "X-Datadog-Parent-ID": ["32", "33"], "odd": []});
    event["httpMethod"] = Value::Null;
    let event = parse(&event);
    assert_eq!((event.kind, ids(&event)), (Some(Kind::LoadBalancer), Some((31, 32))));
    assert!(event.tags.get("http.method").is_none());
}

#[test]
fn function_url_as_documented() {
    let event = parse(&documented(Kind::FunctionUrl));
    let domain = "url7id89xyz.lambda-url.eu-west-1.on.aws";
    let url = format!("https://{domain}/status/17");
    assert_eq!(event.kind, Some(Kind::FunctionUrl));
    assert_eq!(labels(&event), ["aws.lambda.url", domain, "POST /status/17", "http"]);
    assert_start(&event, 1_717_236_000_750);
    assert_span_tags(
        &event,
        Synchronicity::Sync,
        &[
            ("endpoint", "/status/17"),
            ("http.url", &url),
            ("http.method", "POST"),
            ("http.protocol", "HTTP/1.1"),
            ("http.source_ip", "203.0.113.21"),
            ("http.user_agent", "curl/8.5.0"),
            ("request_id", "e1506fd5-9e7b-434f-bd42-4f8fa224b599"),
            ("operation_name", "aws.lambda.url"),
        ],
    );
    let tags = [
        ("http.url", &*url),
        ("http.url_details.path", "/status/17"),
        ("http.method", "POST"),
        ("http.user_agent", "curl/8.5.0"),
        ("http.referer", "https://status.example/"),
    ];
    assert_trigger_tags(&event, "lambda-function-url", "arn:aws:lambda:eu-west-1:123456789012:url:fulfil", &tags);
    let context = context(&event).unwrap();
    assert_eq!((context.trace_id, context.span_id), (TRACE_ID, 0x208b_2f3a_4c5d_6e7f));
    assert_eq!((context.high_half(), context.priority), (0x66f1_a2b3_0000_0000, Some(2)));
}

#[test]
fn function_url_of_an_emulator_with_hardly_anything() {
    let event = parse(&json!({"requestContext": {"domainName": "x.lambda-url.eu-west-1.on.aws"}, "headers": null}));
    assert_eq!(event.kind, Some(Kind::FunctionUrl));
    assert_eq!(labels(&event), ["aws.lambda.url", "x.lambda-url.eu-west-1.on.aws", "", "http"]);
    assert_eq!(start(&event), 0);
}
