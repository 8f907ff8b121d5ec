//! EventBridge: rules that invoke a function, and what rules deliver to queues and topics.
//!
//! Source: EventBridge user guide, "Events in Amazon EventBridge".

use super::{
    Kind, Trigger, attribute,
    checkpoints::{Checkpoints, Source},
    inferred::Synchronicity,
    json::{Fields, items, string},
    settings::ServiceNames,
    trigger_data::{Input, TriggerData, from_millis, from_rfc3339, set},
};

pub(super) const ROW: Trigger = Trigger { kind: Kind::EventBridge, matches, read, checkpoints };

const FIELDS: &[&str] = &["detail", "detail-type", "source", "time"];

fn matches(input: &Input) -> bool {
    // Schedules have no message and no sender.
    input.top.has("detail-type") && input.top.string("source").is_some_and(|source| source != "aws.events")
}

fn read(input: &mut Input) -> TriggerData {
    let fields = input.top.again(FIELDS);
    event(input, &fields)
}

/// An event that a rule delivered to a queue or a topic, if that is what the message is.
pub(super) fn delivered(input: &mut Input, message: &str) -> Option<TriggerData> {
    let fields = Fields::pick(message, FIELDS)?;
    let is_event = fields.string("detail-type").is_some() && fields.string("source").is_some() && fields.has("detail");
    is_event.then(|| event(input, &fields))
}

fn event(input: &mut Input, fields: &Fields) -> TriggerData {
    let source = fields.text("source").unwrap_or_default();
    let carrier = attribute::of_field(fields.object("detail", &[attribute::NAME]).raw(attribute::NAME));
    let resource = carrier.get("x-datadog-resource-name").filter(|name| !name.is_empty()).unwrap_or(&source);
    let sent = carrier.get("x-datadog-start-time").and_then(|text| text.parse().ok()).filter(|millis| *millis > 0.0);
    let start = if sent.is_some() { from_millis(sent) } else { from_rfc3339(fields.text("time")) };
    let names =
        ServiceNames { specific: resource, generic: "lambda_eventbridge", instance: resource, fallback: "eventbridge" };
    let mut span = input.span("aws.eventbridge", "web", start, &names);
    set(&mut span.meta, "operation_name", Some("aws.eventbridge"));
    set(&mut span.meta, "detail_type", fields.text("detail-type"));
    let mut data = TriggerData::of("eventbridge", &source).with_span(span, Synchronicity::Async);
    data.name_resource(Some(resource));
    data.carrier = carrier;
    data
}

fn checkpoints(input: &Input, checkpoints: &mut Checkpoints) {
    let detail = input.top.raw("detail").unwrap_or_default();
    let carrier = attribute::of_field(input.top.object("detail", &[attribute::NAME]).raw(attribute::NAME));
    let topic = input.top.text("detail-type").unwrap_or_default();
    let configured = checkpoints.settings.data_streams.exchange.clone();
    let exchange = configured.or_else(|| bus(input)).unwrap_or_else(|| "default".to_owned());
    let source = Source { kind: "eventbridge", topic: &topic, exchange: Some(&exchange), group: None };
    checkpoints.push(&source, detail.len(), &carrier);
}

/// The bus in the ARN of the rule, `…:rule/{bus}/{rule}`. A rule of the default bus has none.
fn bus(input: &Input) -> Option<String> {
    let mut bus = None;
    items(input.top.raw("resources")?, |resource| {
        let arn = string(resource).unwrap_or_default();
        let rule = arn.split_once(":rule/").and_then(|(_, rule)| rule.split_once('/'));
        bus = bus.take().or_else(|| rule.map(|(bus, _)| bus.to_owned()));
    });
    bus
}
