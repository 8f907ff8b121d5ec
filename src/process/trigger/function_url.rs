//! Function URLs.
//!
//! Source: Lambda developer guide, "Invoking Lambda function URLs".

use super::{
    Kind, Trigger,
    http::{self, FUNCTION_URL, Request, synchronicity},
    settings::ServiceNames,
    trigger_data::{Input, TriggerData, from_millis, set},
};

pub(super) const ROW: Trigger = Trigger { kind: Kind::FunctionUrl, matches, read, checkpoints: |_, _| {} };

const NAME: &str = "aws.lambda.url";

fn matches(input: &Input) -> bool {
    input.request.text("domainName").as_deref().is_some_and(|domain| domain.contains(FUNCTION_URL))
}

fn read(input: &mut Input) -> TriggerData {
    let (request, context) = Request::of_format_2(input);
    let (api, account) = (context.text("apiId").unwrap_or_default(), context.text("accountId").unwrap_or_default());
    let domain = request.domain.clone().unwrap_or_default();
    let names = ServiceNames { specific: &api, generic: "lambda_url", instance: &domain, fallback: &domain };
    let mut span = input.span(NAME, "http", from_millis(context.number("timeEpoch")), &names);
    span.resource = request.resource(str::to_owned).into();
    request.describe(&mut span);
    set(&mut span.meta, "operation_name", Some(NAME));

    let headers = input.top.raw("headers");
    let (region, function) = (&input.settings.region, &input.settings.function_name);
    let mut data = TriggerData::of("lambda-function-url", &format!("arn:aws:lambda:{region}:{account}:url:{function}"));
    request.describe_trigger(headers, &mut data.tags);
    data.carrier = http::carrier(headers);
    data.with_span(span, synchronicity(headers))
}
