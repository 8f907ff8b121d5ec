//! API Gateway's HTTP APIs, payload format 2.0.
//!
//! Source: API Gateway developer guide, "Create AWS Lambda proxy integrations for HTTP APIs".

use super::{
    Kind, Trigger,
    http::{self, FUNCTION_URL, Request, header, synchronicity},
    path::parameterize,
    settings::ServiceNames,
    trigger_data::{Input, TriggerData, from_millis, set},
};

pub(super) const ROW: Trigger = Trigger { kind: Kind::HttpApi, matches, read, checkpoints: |_, _| {} };

fn matches(input: &Input) -> bool {
    let is_domain = |domain: &str| !domain.contains(FUNCTION_URL);
    input.top.string("version").as_deref() == Some("2.0")
        && input.top.has("rawQueryString")
        && input.request.text("domainName").as_deref().is_some_and(is_domain)
}

fn read(input: &mut Input) -> TriggerData {
    let (mut request, context) = Request::of_format_2(input);
    let (api, stage) = (context.text("apiId").unwrap_or_default(), context.text("stage").unwrap_or_default());
    let headers = input.top.raw("headers");
    let domain = request.domain.clone().unwrap_or_default();
    let names = ServiceNames { specific: &api, generic: "lambda_api_gateway", instance: &domain, fallback: &domain };
    let mut span = input.span("aws.httpapi", "web", from_millis(context.number("timeEpoch")), &names);
    span.resource = request.resource(parameterize).into();
    request.describe(&mut span);
    let apis = input.settings.api_gateway();
    set(&mut span.meta, "dd_resource_key", Some(format!("{apis}/apis/{api}")));

    let mut data = TriggerData::of("api-gateway", &format!("{apis}/restapis/{api}/stages/{stage}"));
    // As in `GET /users/{id}`.
    let route = input.top.text("routeKey");
    request.route = route.as_deref().and_then(|key| key.split_whitespace().last()).map(|last| last.to_owned().into());
    request.user_agent = header(headers, "user-agent").map(Into::into);
    request.describe_trigger(headers, &mut data.tags);
    data.carrier = http::carrier(headers);
    data.with_span(span, synchronicity(headers))
}
