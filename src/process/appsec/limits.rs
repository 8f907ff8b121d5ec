//! JSON as the WAF takes it, within the limits that its users agree on.
//!
//! Source: documentation of libddwaf, "limits": strings of 4,096 bytes, containers of 256 entries, 20 levels.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use waf_protocol::Value;

/// Maximum length of a text in bytes; what follows is cut off.
pub const MAX_TEXT_BYTES: usize = 4096;
/// Maximum number of entries of an array or a map; what follows is left out.
pub const MAX_ENTRIES: usize = 256;
/// Maximum depth; what is deeper is left out.
pub const MAX_DEPTH: usize = 20;

/// Maximum number of values in a body.
pub const MAX_VALUES: usize = 64 << 10;
/// Maximum length in bytes of all texts in a body together, names among them.
const MAX_BODY_TEXT_BYTES: usize = 1 << 20;

/// What may still be kept of a body; beyond it nothing is.
#[derive(Debug)]
pub struct Budget {
    values: usize,
    text_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { values: MAX_VALUES, text_bytes: MAX_BODY_TEXT_BYTES }
    }
}

impl Budget {
    /// How many values may still be kept.
    pub fn values(&self) -> usize {
        self.values
    }

    /// The part of a text that may still be kept.
    pub fn cut<'t>(&mut self, text: &'t [u8]) -> &'t [u8] {
        let text = cut(text);
        let text = text.get(..self.text_bytes).unwrap_or(text);
        self.text_bytes = self.text_bytes.saturating_sub(text.len());
        text
    }

    /// A text, which counts as a value.
    pub fn text(&mut self, text: &[u8]) -> Value {
        self.values = self.values.saturating_sub(1);
        Value::Text(self.cut(text).to_vec())
    }
}

/// Parses a JSON document. One that cannot be parsed is a text, so that a single odd element hides nothing; None if it is empty.
pub fn json_or_text(text: &[u8], budget: &mut Budget) -> Option<Value> {
    json(text, budget).or_else(|| (!text.is_empty()).then(|| budget.text(text)))
}

/// Parses a JSON document; None if it is none, for which nothing of the budget is used up.
fn json(text: &[u8], budget: &mut Budget) -> Option<Value> {
    let mut left = Budget { ..*budget };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = BoundedValueSeed { depth: MAX_DEPTH, budget: &mut left }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    *budget = left;
    Some(value)
}

/// The beginning of a text.
pub fn cut(text: &[u8]) -> &[u8] {
    text.get(..MAX_TEXT_BYTES).unwrap_or(text)
}

/// A text, cut.
pub fn text(text: &[u8]) -> Value {
    Value::Text(cut(text).to_vec())
}

/// A value that may have so many levels, and as much in it as the budget has.
struct BoundedValueSeed<'b> {
    depth: usize,
    budget: &'b mut Budget,
}

impl<'de> DeserializeSeed<'de> for BoundedValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.budget.values = self.budget.values.saturating_sub(1);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BoundedValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Signed(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Unsigned(number), Value::Signed))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(self.budget.cut(text.as_bytes()).to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(below) = self.below(values.len()) {
            let Some(value) = list.next_element_seed(below)? else { return Ok(Value::Array(values)) };
            values.push(value);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(below) = self.below(values.len()) {
            let Some(name) = map.next_key_seed(Name(&mut *below.budget))? else { return Ok(Value::Map(values)) };
            values.push((name, map.next_value_seed(below)?));
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Map(values))
    }
}

impl BoundedValueSeed<'_> {
    /// An entry of this value, which has so many; None if there may be no other.
    fn below(&mut self, entries: usize) -> Option<BoundedValueSeed<'_>> {
        let depth = self.depth.checked_sub(1).filter(|_| entries < MAX_ENTRIES && self.budget.values > 0)?;
        Some(BoundedValueSeed { depth, budget: self.budget })
    }
}

/// The name of a field, cut.
struct Name<'b>(&'b mut Budget);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Vec<u8>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E>(self, text: &str) -> Result<Vec<u8>, E> {
        Ok(self.0.cut(text.as_bytes()).to_vec())
    }
}

/// How many values there are in a value, itself among them.
#[cfg(test)]
pub fn count(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(count).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|(_, value)| count(value)).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &[u8]) -> Option<Value> {
        super::json(text, &mut Budget::default())
    }

    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(values) => 1 + values.first().map_or(0, depth),
            Value::Map(values) => 1 + values.first().map_or(0, |(_, value)| depth(value)),
            _ => 0,
        }
    }

    #[test]
    fn what_is_too_long_too_many_or_too_deep_is_left_out() {
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        let document = format!("{{\"{long}\": \"{long}\"}}");
        assert_eq!(
            json(document.as_bytes()),
            Some(Value::Map(vec![(long.as_bytes()[1..].to_vec(), Value::Text(long.as_bytes()[1..].to_vec()))]))
        );
        let many = format!("[{}0]", "0,".repeat(1000));
        assert!(matches!(json(many.as_bytes()), Some(Value::Array(values)) if values.len() == MAX_ENTRIES));
        let fields: Vec<String> = (0..1000).map(|at| format!("\"{at}\":{at}")).collect();
        let many = format!("{{{}}}", fields.join(","));
        assert!(matches!(json(many.as_bytes()), Some(Value::Map(values)) if values.len() == MAX_ENTRIES));
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(60), close.repeat(60));
            assert_eq!(json(deep.as_bytes()).as_ref().map(depth), Some(MAX_DEPTH + 1), "{open}");
        }
    }

    #[test]
    fn numbers_keep_their_kind_and_no_json_is_none() {
        let numbers = json(b"[1, -1, 18446744073709551615, 0.5, null, true]");
        let expected = [
            Value::Signed(1),
            Value::Signed(-1),
            Value::Unsigned(u64::MAX),
            Value::Float(0.5),
            Value::Null,
            Value::Bool(true),
        ];
        assert_eq!(numbers, Some(Value::Array(expected.to_vec())));
        for text in ["", "{", "[1] 2", "{\"a\"}", "nul"] {
            assert_eq!(json(text.as_bytes()), None, "{text}");
        }
        let deeper_than_the_parser = "[".repeat(100_000);
        assert_eq!(json(deeper_than_the_parser.as_bytes()), None);
    }

    #[test]
    fn texts_and_names_of_a_body_have_a_common_bound() {
        let entry = format!("\"{0}\":\"{0}\"", "x".repeat(MAX_TEXT_BYTES));
        let document = format!("{{{}}}", vec![entry; MAX_ENTRIES].join(","));
        let Some(Value::Map(entries)) = json(document.as_bytes()) else { panic!("no map") };
        let bytes = |(name, value): &(Vec<u8>, Value)| match value {
            Value::Text(text) => name.len() + text.len(),
            _ => name.len(),
        };
        assert_eq!(entries.iter().map(bytes).sum::<usize>(), MAX_BODY_TEXT_BYTES);
    }
}
