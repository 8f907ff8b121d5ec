//! Kinesis Data Streams.
//!
//! Source: Lambda developer guide, "Using Lambda to process records from Amazon Kinesis Data Streams".

use super::{
    Kind, Trigger, arn, attribute,
    checkpoints::{Checkpoints, Source},
    inferred::Synchronicity,
    json::Fields,
    settings::ServiceNames,
    trigger_data::{Input, TriggerData, from_seconds, set},
};
use crate::process::propagation::Carrier;

pub(super) const ROW: Trigger = Trigger { kind: Kind::Kinesis, matches, read, checkpoints };

const KINESIS: &[&str] = &["approximateArrivalTimestamp", "data", "partitionKey"];

fn matches(input: &Input) -> bool {
    input.record.has("kinesis")
}

fn read(input: &mut Input) -> TriggerData {
    let kinesis = input.record.object("kinesis", KINESIS);
    let arn = input.record.text("eventSourceARN").unwrap_or_default();
    let stream = arn::second_segment(&arn);
    let names = ServiceNames { specific: stream, generic: "lambda_kinesis", instance: stream, fallback: "kinesis" };
    let start = from_seconds(kinesis.number("approximateArrivalTimestamp"));
    let mut span = input.span("aws.kinesis", "web", start, &names);
    let (record, tags) = (&input.record, &mut span.meta);
    let id = record.text("eventID");
    set(tags, "operation_name", Some("aws.kinesis"));
    set(tags, "stream_name", Some(stream).filter(|stream| !stream.is_empty()));
    // As in `shardId-000000000006:4959…`.
    set(tags, "shard_id", id.as_deref().and_then(|id| id.split(':').next()));
    set(tags, "event_source_arn", Some(&arn).filter(|arn| !arn.is_empty()));
    set(tags, "event_id", id);
    set(tags, "event_name", record.text("eventName"));
    set(tags, "event_version", record.text("eventVersion"));
    set(tags, "partition_key", kinesis.text("partitionKey"));
    let mut data = TriggerData::of("kinesis", &arn).with_span(span, Synchronicity::Async);
    data.name_resource(Some(stream));
    data.carrier = kinesis.string("data").map(|data| carrier(&data)).unwrap_or_default();
    data
}

/// The carrier in a record's data, which is base64.
fn carrier(data: &str) -> Carrier {
    let data = attribute::decode(data);
    let document = data.as_deref().and_then(|data| Fields::pick(data, &[attribute::NAME]));
    attribute::of_field(document.and_then(|document| document.raw(attribute::NAME)))
}

fn checkpoints(input: &Input, checkpoints: &mut Checkpoints) {
    checkpoints.each(input.top.raw("Records"), &["kinesis", "eventSourceARN"], |checkpoints, record| {
        let arn = record.text("eventSourceARN").unwrap_or_default();
        let data = record.object("kinesis", KINESIS).string("data").unwrap_or_default();
        let source = Source { kind: "kinesis", topic: arn::second_segment(&arn), exchange: None, group: None };
        checkpoints.push(&source, attribute::decoded_bytes(&data), &carrier(&data));
    });
}
