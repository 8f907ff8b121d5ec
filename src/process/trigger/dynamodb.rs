//! DynamoDB Streams.
//!
//! Source: DynamoDB developer guide, "DynamoDB Streams and AWS Lambda triggers".

use super::{
    Digest, Kind, SpanPointer, Trigger, arn, attribute,
    inferred::Synchronicity,
    json::{Fields, entries},
    settings::ServiceNames,
    trigger_data::{Input, TriggerData, from_seconds, set},
};

pub(super) const ROW: Trigger = Trigger { kind: Kind::DynamoDb, matches, read, checkpoints: |_, _| {} };

const DYNAMODB: &[&str] = &["ApproximateCreationDateTime", "Keys", "SizeBytes", "StreamViewType"];

fn matches(input: &Input) -> bool {
    input.record.has("dynamodb")
}

fn read(input: &mut Input) -> TriggerData {
    let change = input.record.object("dynamodb", DYNAMODB);
    let arn = input.record.text("eventSourceARN").unwrap_or_default();
    let table = arn::second_segment(&arn);
    let names = ServiceNames { specific: table, generic: "lambda_dynamodb", instance: table, fallback: "dynamodb" };
    let start = from_seconds(change.number("ApproximateCreationDateTime"));
    let mut span = input.span("aws.dynamodb", "web", start, &names);
    let (record, tags) = (&input.record, &mut span.meta);
    let name = record.text("eventName");
    set(tags, "operation_name", Some("aws.dynamodb"));
    set(tags, "event_id", record.text("eventID"));
    set(tags, "event_name", name.as_deref());
    set(tags, "event_version", record.text("eventVersion"));
    set(tags, "event_source_arn", Some(&arn).filter(|arn| !arn.is_empty()));
    set(tags, "size_bytes", change.text("SizeBytes"));
    set(tags, "stream_view_type", change.text("StreamViewType"));
    set(tags, "table_name", Some(table).filter(|table| !table.is_empty()));
    let pointer = change.raw("Keys").and_then(|keys| pointer(table, keys, input.settings.sha256));
    let mut data = TriggerData::of("dynamodb", &arn).with_span(span, Synchronicity::Async);
    data.name_resource(Some(format!("{} {table}", name.unwrap_or_default()).trim()));
    data.with_pointers(pointer.into_iter().collect())
}

/// The pointer to an item by its primary key: a partition key and perhaps a sort key, in the order of their names.
fn pointer(table: &str, keys: &str, sha256: Digest) -> Option<SpanPointer> {
    let mut parts = Vec::new();
    entries(keys, |name, value| {
        // A third one shows that this is no primary key.
        if parts.len() <= 2 {
            parts.push((name.to_owned(), key_value(value)));
        }
    })?;
    parts.sort();
    let mut parts = parts.into_iter();
    let (first, second) = (parts.next()?, parts.next().unwrap_or_else(|| (String::new(), Some(String::new()))));
    if table.is_empty() || parts.next().is_some() {
        return None;
    }
    SpanPointer::new("aws.dynamodb.item", &[table, &first.0, &first.1?, &second.0, &second.1?], sha256)
}

/// The value of a key attribute: text, a number, or the text that bytes are.
fn key_value(value: &str) -> Option<String> {
    let value = Fields::pick(value, &["S", "N", "B"])?;
    let plain = value.text("S").or_else(|| value.text("N")).map(std::borrow::Cow::into_owned);
    plain.or_else(|| attribute::decode(&value.string("B")?))
}
