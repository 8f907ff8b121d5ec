//! Parser for the batches that the Telemetry API delivers. A malformed element does not affect the other elements.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use serde_json::value::RawValue;
use time::{Date, OffsetDateTime, Time, UtcDateTime, format_description::well_known::Rfc3339};

use super::{
    Event, Record, Text, Timestamp,
    platform::{self, UnknownType},
};
use crate::platform::json::Object;

/// A parsed batch.
#[derive(Debug, Default, PartialEq)]
pub struct Batch {
    /// The parsed events, in the order of delivery.
    pub events: Vec<Event>,
    /// Number of elements of a type that this version does not know; ignored.
    pub unknown: usize,
    /// Number of elements of a known type that could not be parsed; ignored.
    pub malformed: usize,
}

/// Parses a batch. `arrived` replaces a timestamp that cannot be parsed. Never fails: a body that is not a JSON array counts as one malformed
/// element, and invalid UTF-8 is replaced, because one bad byte in a line must not lose the other lines.
pub fn parse(body: &[u8], arrived: Timestamp) -> Batch {
    // `from_utf8` accepts valid text faster than `from_utf8_lossy`.
    let text = str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
    let mut batch = Batch::default();
    // Fast path: nearly always every element is well-formed, and parsing all of them at once passes over each byte once less.
    let envelopes = serde_json::from_str::<Vec<Envelope>>(&text).map(|all| all.into_iter().map(Some).collect());
    let envelopes = envelopes.or_else(|_| {
        let elements = serde_json::from_str::<Vec<&RawValue>>(&text)?;
        Ok::<Vec<_>, serde_json::Error>(elements.iter().map(|element| Envelope::read(element.get())).collect())
    });
    let Ok(envelopes) = envelopes else {
        batch.malformed = 1;
        return batch;
    };
    batch.events.reserve(envelopes.len());
    for envelope in envelopes {
        match envelope.map_or(Element::Malformed, |envelope| parse_element(&envelope, arrived)) {
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
    time: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    /// Parses an element that strict deserialization rejects.
    fn read(element: &'a str) -> Option<Self> {
        let element = Object::parse(element)?;
        let (time, kind, record) = (element.value("time"), element.text("type")?, element.value("record"));
        Some(Self { time, kind: kind.into(), record })
    }
}

enum Element {
    Event(Event),
    Unknown,
    Malformed,
}

fn parse_element(envelope: &Envelope, arrived: Timestamp) -> Element {
    let record = envelope.record.map_or("null", RawValue::get);
    let record = match envelope.kind.as_ref() {
        "function" => text(record).map(Record::Function),
        "extension" => text(record).map(Record::Extension),
        kind => match platform::read(kind, record) {
            Ok(platform) => platform.map(Record::Platform),
            Err(UnknownType) => return Element::Unknown,
        },
    };
    let time = envelope.time.and_then(|time| epoch_ms(time.get().trim_matches('"'))).unwrap_or(arrived);
    record.map_or(Element::Malformed, |record| Element::Event(Event { time, record }))
}

/// The text of a log line; None for null. A record that is neither a string nor an object yields its JSON text.
fn text(record: &str) -> Option<Text> {
    match record.as_bytes().first() {
        Some(b'{') => Some(Text::Object(record.to_owned())),
        Some(b'"') => {
            let plain = serde_json::from_str(record).ok();
            plain.or_else(|| serde_json::from_str(record).ok().map(|LenientText(text)| text)).map(Text::Plain)
        }
        _ => (record != "null").then(|| Text::Plain(record.to_owned())),
    }
}

/// A JSON string in which U+FFFD replaces unpaired surrogates. Languages that use UTF-16 may cut a line inside a surrogate pair.
struct LenientText(String);

impl<'de> Deserialize<'de> for LenientText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = LenientText;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                let mut text = String::with_capacity(bytes.len());
                for chunk in bytes.utf8_chunks() {
                    text.push_str(chunk.valid());
                    // `serde_json` encodes an unpaired surrogate in three bytes, and each is a chunk of its own; 0xED is the first.
                    if chunk.invalid().first() == Some(&0xed) {
                        text.push(char::REPLACEMENT_CHARACTER);
                    }
                }
                Ok(LenientText(text))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

fn epoch_ms(time: &str) -> Option<Timestamp> {
    usual_epoch_ms(time).or_else(|| {
        let nanoseconds = OffsetDateTime::parse(time, &Rfc3339).ok()?.unix_timestamp_nanos();
        i64::try_from(nanoseconds.div_euclid(1_000_000)).ok()
    })
}

/// Parses the one format that Lambda uses, for example `2022-10-12T00:00:25.513Z`. A fast path, because every line has a timestamp.
fn usual_epoch_ms(time: &str) -> Option<Timestamp> {
    let time: &[u8; 24] = time.as_bytes().try_into().ok()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2, b'.', t1, t2, t3, b'Z'] =
        *time
    else {
        return None;
    };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
    };
    let two = |first, second| u8::try_from(number(&[first, second])?).ok();
    let year = i32::try_from(number(&[y1, y2, y3, y4])?).ok()?;
    let date = Date::from_calendar_date(year, two(m1, m2)?.try_into().ok()?, two(d1, d2)?).ok()?;
    // A leap second is left to the general parser.
    let clock = Time::from_hms(two(h1, h2)?, two(i1, i2)?, two(s1, s2)?).ok()?;
    Some(UtcDateTime::new(date, clock).unix_timestamp() * 1000 + number(&[t1, t2, t3])?)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
