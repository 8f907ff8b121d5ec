//! API Gateway's WebSocket APIs: connections, messages and disconnections.
//!
//! Source: API Gateway developer guide, "WebSocket API mapping template reference".

use super::{
    Kind, Trigger, http,
    inferred::Synchronicity,
    settings::ServiceNames,
    trigger_data::{Input, TriggerData, from_millis, set},
};

pub(super) const ROW: Trigger = Trigger { kind: Kind::WebSocket, matches, read, checkpoints: |_, _| {} };

const CONTEXT: &[&str] = &[
    "apiId",
    "connectionId",
    "domainName",
    "eventType",
    "messageDirection",
    "requestId",
    "requestTimeEpoch",
    "routeKey",
    "stage",
];

fn matches(input: &Input) -> bool {
    input.request.has("messageDirection")
}

fn read(input: &mut Input) -> TriggerData {
    let context = input.top.object("requestContext", CONTEXT);
    let route = context.text("routeKey");
    let api = context.text("apiId").unwrap_or_default();
    let domain = context.text("domainName").unwrap_or_default();
    let url = format!("https://{domain}{}", route.as_deref().unwrap_or_default());
    let names = ServiceNames {
        specific: &api,
        generic: "lambda_api_gateway",
        instance: &domain,
        fallback: "api_gateway_websocket",
    };
    let mut span = input.span("aws.apigateway", "web", from_millis(context.number("requestTimeEpoch")), &names);
    set(&mut span.meta, "endpoint", route.as_deref());
    set(&mut span.meta, "resource_names", route.as_deref());
    set(&mut span.meta, "http.url", Some(&url));
    for (tag, field) in [
        ("request_id", "requestId"),
        ("apiid", "apiId"),
        ("stage", "stage"),
        ("connection_id", "connectionId"),
        ("event_type", "eventType"),
        ("message_direction", "messageDirection"),
    ] {
        set(&mut span.meta, tag, context.text(field));
    }
    let apis = input.settings.api_gateway();
    let stage = context.text("stage").unwrap_or_default();
    let headers = input.top.raw("headers").or_else(|| input.top.raw("multiValueHeaders"));
    let mut data = TriggerData::of("api-gateway", &format!("{apis}/apis/{api}/stages/{stage}"));
    set(&mut data.tags, "http.url", Some(&url));
    set(&mut data.tags, "http.url_details.path", route.as_deref());
    set(&mut data.tags, "http.referer", http::header(headers, "referer"));
    data.carrier = http::carrier(headers);
    let mut data = data.with_span(span, Synchronicity::Async);
    data.name_resource(route);
    data
}
