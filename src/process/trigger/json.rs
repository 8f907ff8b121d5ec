//! JSON of an event, read where it is: objects are scanned for the fields that somebody asks for, and the rest is skipped.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Bytes of a text that are kept: the length to which Datadog's intake cuts values of tags.
pub const MAX_TEXT_BYTES: usize = 25_000;

/// Named fields of a JSON object, not parsed yet. Of a name that comes twice the last one counts, and null counts as absent.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(Vec<(&'static str, &'a str)>);

impl<'a> Fields<'a> {
    /// Scans an object for fields of these names; None if the text is no JSON object.
    pub(super) fn pick(text: &'a str, names: &'static [&'static str]) -> Option<Self> {
        let mut fields = Self::default();
        entries(text, |name, value| {
            let Some(name) = names.iter().copied().find(|known| *known == name) else { return };
            fields.0.retain(|(known, _)| *known != name);
            if value != "null" {
                fields.0.push((name, value));
            }
        })?;
        Some(fields)
    }

    /// The same fields, as far as they have one of these names.
    pub(super) fn again(&self, names: &'static [&'static str]) -> Self {
        Self(self.0.iter().copied().filter(|(name, _)| names.contains(name)).collect())
    }

    /// A field's JSON.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// A string; None for every other type.
    pub(super) fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        string(self.raw(name)?)
    }

    /// A string, or the text of a number or a boolean.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        scalar(self.raw(name)?)
    }

    /// A finite number, which may be written as a string.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Fields of an object; none in place of anything else.
    pub(super) fn object(&self, name: &str, names: &'static [&'static str]) -> Self {
        self.raw(name).and_then(|text| Self::pick(text, names)).unwrap_or_default()
    }

    /// The JSON of an array's first element.
    pub(super) fn first(&self, name: &str) -> Option<&'a str> {
        first(self.raw(name)?)
    }
}

/// The JSON of one field of an object, which is not null. Needs no memory for the other fields, however many they are.
pub fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut found = None;
    entries(text, |known, value| {
        if known == name {
            found = Some(value).filter(|value| *value != "null");
        }
    })?;
    found
}

/// A JSON string. Halves of surrogate pairs, which are no text, become replacement characters.
pub fn string(json: &str) -> Option<Cow<'_, str>> {
    if !json.starts_with('"') {
        return None;
    }
    let text: JsonText = serde_json::from_str(json).ok()?;
    Some(text.0)
}

/// A JSON string, or the text of a number or a boolean; None for null, objects and arrays.
pub(super) fn scalar(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' => string(json),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(json)),
    }
}

/// The JSON of the first element of an array. The others are not read.
pub(super) fn first(json: &str) -> Option<&str> {
    let inner = json.strip_prefix('[')?;
    let mut elements = serde_json::Deserializer::from_str(inner).into_iter::<&RawValue>();
    elements.next()?.ok().map(RawValue::get)
}

/// Shows each entry of an object, in order, as a name and a value in JSON; None if the text is no JSON object.
pub fn entries<'a>(json: &'a str, see: impl FnMut(&str, &'a str)) -> Option<()> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Entries(see).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()
}

/// Shows the JSON of each element of an array, or of each value of an object; nothing of what is neither.
pub fn items<'a>(json: &'a str, mut see: impl FnMut(&'a str)) {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    // An error ends it: then what was seen is all that there is.
    let _ = if json.starts_with('[') {
        Items(see).deserialize(&mut deserializer)
    } else {
        Entries(|_: &str, value| see(value)).deserialize(&mut deserializer)
    };
}

/// The beginning of a text, at most [`MAX_TEXT_BYTES`].
pub(super) fn bounded(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or(text)
}

struct Entries<F>(F);

impl<'de, F: FnMut(&str, &'de str)> DeserializeSeed<'de> for Entries<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&str, &'de str)> Visitor<'de> for Entries<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((JsonText(name), value)) = map.next_entry::<_, &RawValue>()? {
            (self.0)(&name, value.get());
        }
        Ok(())
    }
}

struct Items<F>(F);

impl<'de, F: FnMut(&'de str)> DeserializeSeed<'de> for Items<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(&'de str)> Visitor<'de> for Items<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element::<&RawValue>()? {
            (self.0)(item.get());
        }
        Ok(())
    }
}

/// A string or the name of a field, borrowed if it has no escapes.
struct JsonText<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for JsonText<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As text, half of a surrogate pair would be an error.
        deserializer.deserialize_bytes(Bytes)
    }
}

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = JsonText<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<JsonText<'de>, E> {
        Ok(JsonText(String::from_utf8_lossy(bytes)))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<JsonText<'de>, E> {
        Ok(JsonText(String::from_utf8_lossy(bytes).into_owned().into()))
    }
}
