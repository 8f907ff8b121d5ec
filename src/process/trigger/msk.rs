//! Managed Streaming for Kafka.
//!
//! Source: Lambda developer guide, "Using Lambda with Amazon MSK". Lists are arrays as Lambda sends them, and objects with the index of each item as its name as Java's
//! events are written.

use super::{
    Kind, Trigger, arn, attribute,
    checkpoints::{Checkpoints, MAX_RECORDS, Source},
    inferred::Synchronicity,
    json::{Fields, entries, items, scalar},
    settings::ServiceNames,
    trigger_data::{Input, TriggerData, from_millis, set},
};
use crate::process::propagation::Carrier;

pub(super) const ROW: Trigger = Trigger { kind: Kind::Msk, matches, read, checkpoints };

const RECORD: &[&str] = &["headers", "partition", "timestamp", "topic"];

/// Bytes of a header's value that are read.
const MAX_HEADER_BYTES: usize = 8 << 10;

fn matches(input: &Input) -> bool {
    input.top.raw("records").and_then(first_record).is_some_and(|record| record.has("topic"))
}

fn read(input: &mut Input) -> TriggerData {
    let records = input.top.raw("records");
    let (record, carrier) = match records.and_then(record_with_context) {
        Some((record, carrier)) => (record, carrier),
        None => (records.and_then(first_record).unwrap_or_default(), Carrier::default()),
    };
    let arn = input.top.text("eventSourceArn").unwrap_or_default();
    let cluster = arn::second_segment(&arn);
    let names = ServiceNames { specific: cluster, generic: "lambda_msk", instance: cluster, fallback: "msk" };
    let mut span = input.span("aws.msk", "web", from_millis(record.number("timestamp")), &names);
    let tags = &mut span.meta;
    let topic = record.text("topic");
    set(tags, "operation_name", Some("aws.msk"));
    set(tags, "topic", topic.as_deref());
    set(tags, "partition", record.text("partition"));
    set(tags, "event_source", input.top.text("eventSource"));
    set(tags, "event_source_arn", Some(&arn).filter(|arn| !arn.is_empty()));
    let mut data = TriggerData::of("msk", &arn).with_span(span, Synchronicity::Async);
    data.name_resource(topic);
    data.carrier = carrier;
    data
}

/// The first record of the first topic and partition that have one.
fn first_record(records: &str) -> Option<Fields<'_>> {
    let mut first = None;
    entries(records, |_, group| items(group, |record| first = first.or(Some(record))))?;
    Fields::pick(first?, RECORD)
}

/// The first record with the header of a trace context, among as many as a batch has.
fn record_with_context(records: &str) -> Option<(Fields<'_>, Carrier)> {
    let (mut found, mut seen) = (None, 0);
    entries(records, |_, group| {
        items(group, |record| {
            if found.is_none() && seen < MAX_RECORDS {
                seen += 1;
                let record = Fields::pick(record, RECORD);
                let carrier = record.as_ref().map(|record| carrier(record)).unwrap_or_default();
                let is_context = ["x-datadog-trace-id", "traceparent"].iter().any(|name| carrier.get(name).is_some());
                found = record.filter(|_| is_context).map(|record| (record, carrier));
            }
        });
    })?;
    found
}

/// The headers of a record: a list of objects, each with the name of one header and its value in bytes.
fn carrier(record: &Fields) -> Carrier {
    let mut carrier = Carrier::default();
    let Some(headers) = record.raw("headers") else { return carrier };
    items(headers, |header| {
        // None if it is no object: then it is no header.
        let _ = entries(header, |name, bytes| {
            if Carrier::keeps(name) {
                carrier.add(name, &text(bytes));
            }
        });
    });
    carrier
}

/// The text of bytes that are listed as numbers, or as numbers in text.
fn text(list: &str) -> String {
    let mut bytes = Vec::new();
    items(list, |byte| {
        let byte = scalar(byte).and_then(|text| text.trim().parse::<i16>().ok());
        // Java's bytes have a sign.
        bytes.extend(byte.filter(|_| bytes.len() < MAX_HEADER_BYTES).and_then(|byte| u8::try_from(byte & 0xff).ok()));
    });
    String::from_utf8_lossy(&bytes).into_owned()
}

fn checkpoints(input: &Input, checkpoints: &mut Checkpoints) {
    let group = checkpoints.settings.data_streams.kafka_group.as_deref();
    items(input.top.raw("records").unwrap_or_default(), |records| {
        checkpoints.each(Some(records), &["headers", "topic", "value"], |checkpoints, record| {
            let topic = record.text("topic").unwrap_or_default();
            let source = Source { kind: "kafka", topic: &topic, exchange: None, group };
            let bytes = attribute::decoded_bytes(&record.string("value").unwrap_or_default());
            checkpoints.push(&source, bytes, &carrier(record));
        });
    });
}
