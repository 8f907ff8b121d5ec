//! SQS, and what SNS or EventBridge deliver through it.
//!
//! Source: Lambda developer guide, "Using Lambda with Amazon SQS".

use super::{
    Kind, Trigger, arn, attribute,
    checkpoints::{Checkpoints, Source},
    eventbridge,
    inferred::Synchronicity,
    json::Fields,
    settings::ServiceNames,
    sns,
    trigger_data::{Input, TriggerData, from_millis, set},
};
use crate::process::propagation::xray_context;

pub(super) const ROW: Trigger = Trigger { kind: Kind::Sqs, matches, read, checkpoints };

const ATTRIBUTES: &[&str] = &["ApproximateReceiveCount", "AWSTraceHeader", "SenderId", "SentTimestamp"];

fn matches(input: &Input) -> bool {
    input.record.string("eventSource").as_deref() == Some("aws:sqs")
}

fn read(input: &mut Input) -> TriggerData {
    let attributes = input.record.object("attributes", ATTRIBUTES);
    let arn = input.record.text("eventSourceARN").unwrap_or_default();
    let queue = arn::name(&arn);
    let names = ServiceNames { specific: queue, generic: "lambda_sqs", instance: queue, fallback: "sqs" };
    let mut span = input.span("aws.sqs", "web", from_millis(attributes.number("SentTimestamp")), &names);
    set(&mut span.meta, "operation_name", Some("aws.sqs"));
    set(&mut span.meta, "receipt_handle", input.record.text("receiptHandle"));

    let mut data = TriggerData::of("sqs", &arn_of_function(input, &arn));
    for tags in [&mut data.tags, &mut span.meta] {
        set(tags, "retry_count", attributes.text("ApproximateReceiveCount"));
        set(tags, "sender_id", attributes.text("SenderId"));
        set(tags, "source_arn", Some(&arn).filter(|arn| !arn.is_empty()));
        set(tags, "aws_region", input.record.text("awsRegion"));
    }
    data.carrier = attribute::carrier(&input.record.object("messageAttributes", &[attribute::NAME]));
    let header = attributes.string("AWSTraceHeader");
    data.generated = header.and_then(|header| xray_context(&header, input.settings.merge_xray_traces));
    let mut data = data.with_span(span, Synchronicity::Async);
    data.name_resource(Some(queue));
    if let Some(body) = input.record.string("body") {
        data.wrap(delivered(input, &body));
    }
    data
}

/// The queue's ARN as the tag has it: with the partition and the region of the function.
fn arn_of_function(input: &Input, arn: &str) -> String {
    if arn.is_empty() {
        return String::new();
    }
    let (partition, region) = (input.settings.partition(), &input.settings.region);
    format!("arn:{partition}:sqs:{region}:{}:{}", arn::account(arn), arn::name(arn))
}

/// What another service delivered to the queue, if that is what the message is.
fn delivered(input: &mut Input, body: &str) -> Option<TriggerData> {
    let fields = Fields::pick(body, sns::NOTIFICATION).filter(sns::is_notification);
    if let Some(fields) = fields {
        return Some(sns::notification(input, &fields));
    }
    eventbridge::delivered(input, body)
}

fn checkpoints(input: &Input, checkpoints: &mut Checkpoints) {
    let records = input.top.raw("Records");
    checkpoints.each(records, &["body", "eventSourceARN", "messageAttributes"], |checkpoints, record| {
        let arn = record.text("eventSourceARN").unwrap_or_default();
        let body = record.string("body").unwrap_or_default();
        let mut carrier = attribute::carrier(&record.object("messageAttributes", &[attribute::NAME]));
        if carrier.is_empty() {
            let notification = Fields::pick(&body, sns::NOTIFICATION).filter(sns::is_notification);
            carrier = notification.map(|fields| sns::carrier(&fields)).unwrap_or_default();
        }
        let source = Source { kind: "sqs", topic: arn::name(&arn), exchange: None, group: None };
        checkpoints.push(&source, body.len(), &carrier);
    });
}
