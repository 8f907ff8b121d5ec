//! The attribute `_datadog` of a message, in which Datadog's libraries send the trace context: JSON text, or the same in base64.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::json::{Fields, entries, scalar, string};
use crate::process::propagation::Carrier;

/// The name of the attribute, and of the field in documents that have no attributes.
pub(super) const NAME: &str = "_datadog";

/// How SQS and SNS spell the fields of an attribute.
const FIELDS: &[&str] =
    &["stringValue", "StringValue", "binaryValue", "BinaryValue", "dataType", "DataType", "Type", "Value"];

/// The carrier in an attribute; an empty one if it has none. The attribute's type may be `String`, `Binary`, or a customer's own kind of these.
pub(super) fn carrier(attributes: &Fields) -> Carrier {
    let attribute = attributes.object(NAME, FIELDS);
    let of = |names: [&str; 2]| names.into_iter().find_map(|name| attribute.string(name));
    let kind = ["dataType", "DataType", "Type"].into_iter().find_map(|name| attribute.string(name));
    let is_binary = kind.as_deref().is_some_and(|kind| kind.starts_with("Binary"));
    let (text, binary) = match attribute.string("Value") {
        Some(value) if is_binary => (None, Some(value)),
        value => (value.or_else(|| of(["stringValue", "StringValue"])), of(["binaryValue", "BinaryValue"])),
    };
    if let Some(text) = text.filter(|_| !is_binary) {
        return of_json(&text);
    }
    binary.and_then(|text| decode(&text)).map(|json| of_json(&json)).unwrap_or_default()
}

/// The text that base64 stands for.
pub(super) fn decode(base64: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(base64.trim()).ok()?).ok()
}

/// How many bytes base64 stands for, without decoding it.
pub(super) fn decoded_bytes(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

/// The carrier that a flat JSON object is. Values that are no text are read as they are written.
pub(super) fn of_json(json: &str) -> Carrier {
    let mut carrier = Carrier::default();
    // None if it is no object: then it has no headers.
    let _ = entries(json.trim(), |name, value| {
        if let Some(value) = scalar(value) {
            carrier.add(name, &value);
        }
    });
    carrier
}

/// The carrier that is a field of a document, as an object or as the text of one.
pub(super) fn of_field(json: Option<&str>) -> Carrier {
    let Some(json) = json else { return Carrier::default() };
    string(json).map_or_else(|| of_json(json), |text| of_json(&text))
}
