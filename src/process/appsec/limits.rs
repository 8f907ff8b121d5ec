//! JSON as the WAF takes it, within the limits that its users agree on.
//!
//! Source: documentation of libddwaf, "limits": strings of 4,096 bytes, containers of 256 entries, 20 levels.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use waf_protocol::Value;

/// Maximum length of a text in bytes; what follows is cut off.
pub const MAX_TEXT_BYTES: usize = 4096;
/// Maximum number of entries of an array or a map; what follows is left out.
pub const MAX_ENTRIES: usize = 256;
/// Maximum depth; what is deeper is left out.
pub const MAX_DEPTH: usize = 20;

/// Parses a JSON document; None if it is none.
pub fn json(text: &[u8]) -> Option<Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Limited { depth: MAX_DEPTH }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
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

/// A value that may have so many levels.
#[derive(Clone, Copy)]
struct Limited {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Limited {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Limited {
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
        Ok(self::text(text.as_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        let Some(depth) = self.depth.checked_sub(1) else {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Array(values));
        };
        while values.len() < MAX_ENTRIES {
            let Some(value) = list.next_element_seed(Self { depth })? else { return Ok(Value::Array(values)) };
            values.push(value);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        let below = self.depth.checked_sub(1);
        while let Some(name) = map.next_key::<Name>()? {
            match below.filter(|_| values.len() < MAX_ENTRIES) {
                Some(depth) => values.push((name.0, map.next_value_seed(Self { depth })?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Map(values))
    }
}

/// The name of a field, cut.
struct Name(Vec<u8>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Self(Vec::new()))
    }
}

impl Visitor<'_> for Name {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self, E> {
        Ok(Self(cut(text.as_bytes()).to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
