//! API Gateway's REST APIs, and HTTP APIs with payload format 1.0.
//!
//! Source: API Gateway developer guide, "Input format of a Lambda function for proxy integration".

use super::{
    Kind, Trigger,
    http::{self, Request, synchronicity},
    path::parameterize,
    settings::ServiceNames,
    trigger_data::{Input, TriggerData, from_millis, set},
};

pub(super) const ROW: Trigger = Trigger { kind: Kind::RestApi, matches, read, checkpoints: |_, _| {} };

const CONTEXT: &[&str] = &[
    "apiId",
    "domainName",
    "httpMethod",
    "identity",
    "path",
    "protocol",
    "requestId",
    "requestTimeEpoch",
    "resourcePath",
    "stage",
];

fn matches(input: &Input) -> bool {
    input.request.has("stage") && input.top.has("httpMethod") && input.top.has("resource")
}

fn read(input: &mut Input) -> TriggerData {
    let context = input.top.object("requestContext", CONTEXT);
    let identity = context.object("identity", &["sourceIp", "userAgent"]);
    let request = Request {
        method: context.text("httpMethod").or_else(|| input.top.text("httpMethod")),
        path: context.text("path").or_else(|| input.top.text("path")),
        domain: context.text("domainName"),
        protocol: context.text("protocol"),
        source_ip: identity.text("sourceIp"),
        user_agent: identity.text("userAgent"),
        id: context.text("requestId"),
        route: context.text("resourcePath").or_else(|| input.top.text("resource")),
    };
    let (api, stage) = (context.text("apiId").unwrap_or_default(), context.text("stage").unwrap_or_default());
    let domain = request.domain.clone().unwrap_or_default();
    let names = ServiceNames { specific: &api, generic: "lambda_api_gateway", instance: &domain, fallback: &domain };
    let mut span = input.span("aws.apigateway", "web", from_millis(context.number("requestTimeEpoch")), &names);
    span.resource = request.resource(parameterize).into();
    request.describe(&mut span);
    let apis = input.settings.api_gateway();
    set(&mut span.meta, "dd_resource_key", Some(format!("{apis}/restapis/{api}")));

    let headers = input.top.raw("headers").or_else(|| input.top.raw("multiValueHeaders"));
    let mut data = TriggerData::of("api-gateway", &format!("{apis}/restapis/{api}/stages/{stage}"));
    request.describe_trigger(headers, &mut data.tags);
    data.carrier = http::carrier(headers);
    data.with_span(span, synchronicity(headers))
}
