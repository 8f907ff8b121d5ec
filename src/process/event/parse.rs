//! Bytes from Lambda to events, one element at a time: a neighbour that makes no sense costs nobody else anything.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Event, Platform, Record, Text, Timestamp};

/// What one delivery held.
#[derive(Debug, Default, PartialEq)]
pub struct Batch {
    /// What could be read, in the order of delivery.
    pub events: Vec<Event>,
    /// Elements of a type that this version does not know: ignored.
    pub unknown: usize,
    /// Elements of a known type that could not be read: ignored.
    pub malformed: usize,
}

/// Reads a delivery. `arrived` stands in for a time that cannot be read. Never fails: a body that is no JSON array counts as one malformed
/// element, and invalid UTF-8 is replaced, because one bad byte in a line must not cost the other lines.
pub fn parse(body: &[u8], arrived: Timestamp) -> Batch {
    let text = String::from_utf8_lossy(body);
    let mut batch = Batch::default();
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(&text) else {
        batch.malformed = 1;
        return batch;
    };
    batch.events.reserve(elements.len());
    for element in elements {
        match parse_element(element, arrived) {
            Element::Event(event) => batch.events.push(event),
            Element::Unknown => batch.unknown += 1,
            Element::Malformed => batch.malformed += 1,
        }
    }
    batch
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    time: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
}

enum Element {
    Event(Event),
    Unknown,
    Malformed,
}

fn parse_element(element: &RawValue, arrived: Timestamp) -> Element {
    let Ok(envelope) = serde_json::from_str::<Envelope>(element.get()) else { return Element::Malformed };
    let record = envelope.record.map_or("null", RawValue::get);
    let record = match envelope.kind.as_ref() {
        "function" => text(record).map(Record::Function),
        "extension" => text(record).map(Record::Extension),
        kind => match platform(kind, record) {
            Ok(platform) => platform.map(Record::Platform),
            Err(Unknown) => return Element::Unknown,
        },
    };
    let time = envelope.time.and_then(|time| epoch_ms(&time)).unwrap_or(arrived);
    record.map_or(Element::Malformed, |record| Element::Event(Event { time, record }))
}

/// A type that this version does not know.
struct Unknown;

/// None: a type that we know, in a shape that we cannot read.
fn platform(kind: &str, record: &str) -> Result<Option<Platform>, Unknown> {
    Ok(match kind {
        "platform.initStart" => read(record).map(Platform::InitStart),
        "platform.initRuntimeDone" => Some(Platform::InitRuntimeDone),
        "platform.initReport" => read(record).map(Platform::InitReport),
        "platform.restoreStart" => Some(Platform::RestoreStart),
        "platform.restoreRuntimeDone" => Some(Platform::RestoreRuntimeDone),
        "platform.restoreReport" => read(record).map(Platform::RestoreReport),
        "platform.start" => read(record).map(Platform::Start),
        "platform.runtimeDone" => read(record).map(Platform::RuntimeDone),
        "platform.report" => read(record).map(Platform::Report),
        "platform.extension" => Some(Platform::Extension),
        "platform.telemetrySubscription" => Some(Platform::TelemetrySubscription),
        "platform.logsDropped" => read(record).map(Platform::LogsDropped),
        _ => return Err(Unknown),
    })
}

fn read<T: DeserializeOwned>(record: &str) -> Option<T> {
    serde_json::from_str(record).ok()
}

fn text(record: &str) -> Option<Text> {
    match serde_json::from_str(record).ok()? {
        Value::String(text) => Some(Text::Plain(text)),
        Value::Object(object) => Some(Text::Object(object)),
        _ => None,
    }
}

fn epoch_ms(time: &str) -> Option<Timestamp> {
    let nanoseconds = OffsetDateTime::parse(time, &Rfc3339).ok()?.unix_timestamp_nanos();
    i64::try_from(nanoseconds.div_euclid(1_000_000)).ok()
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
