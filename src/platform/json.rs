//! A JSON object from Lambda, read field by field: a field of an unexpected type counts as absent and costs no other field.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The fields of a JSON object, whose values are parsed when they are asked for. Of a name that comes twice the last one counts.
#[derive(Debug, Default)]
pub struct Object<'a> {
    fields: Vec<Field<'a>>,
}

#[derive(Debug)]
struct Field<'a> {
    name: Cow<'a, str>,
    value: &'a RawValue,
}

impl<'a> Object<'a> {
    /// None if the text is no JSON object.
    pub fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().rev().find(|field| field.name == name).map(|field| field.value.get())
    }

    /// A field of any type that can be read; None for one that is absent or of another type.
    pub fn value<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// A string.
    pub fn text(&self, name: &str) -> Option<String> {
        self.value(name)
    }

    /// A finite number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.value(name)
    }

    /// A number of something that cannot be negative: milliseconds, bytes, events.
    pub fn amount(&self, name: &str) -> Option<f64> {
        self.number(name).filter(|number| *number >= 0.0)
    }

    /// An object; an empty one in place of anything else.
    #[must_use]
    pub fn object(&self, name: &str) -> Self {
        self.raw(name).and_then(Self::parse).unwrap_or_default()
    }

    /// The objects of an array; its other elements are left out.
    pub fn objects(&self, name: &str) -> Vec<Self> {
        let elements: Vec<&'a RawValue> = self.value(name).unwrap_or_default();
        elements.into_iter().filter_map(|element| Self::parse(element.get())).collect()
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

/// Borrows a name that has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Object<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            fields.push(Field { name, value });
        }
        Ok(Object { fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_of_wrong_type_is_absent_and_leaves_others_intact() {
        let object = Object::parse(
            r#"{"null":null,"text":"t","number":3,"huge":1e999,"negative":-1,"surrogate":"\ud800","list":[1,{"a":2},null],"map":{"a":1.5}}"#,
        )
        .unwrap();
        for name in ["null", "huge", "surrogate", "absent"] {
            assert!(object.text(name).is_none() && object.number(name).is_none(), "{name}");
            assert!(object.objects(name).is_empty() && object.object(name).fields.is_empty(), "{name}");
        }
        assert_eq!(object.text("text").as_deref(), Some("t"));
        assert_eq!((object.number("text"), object.text("number"), object.number("number")), (None, None, Some(3.0)));
        assert_eq!((object.number("negative"), object.amount("negative")), (Some(-1.0), None));
        assert_eq!(object.objects("list").iter().map(|it| it.number("a")).collect::<Vec<_>>(), [Some(2.0)]);
        assert_eq!(object.object("map").number("a"), Some(1.5));
    }

    #[test]
    fn of_a_name_that_comes_twice_the_last_one_counts() {
        assert_eq!(Object::parse(r#"{"a":1,"\u0061":2}"#).unwrap().number("a"), Some(2.0));
    }

    #[test]
    fn only_an_object_is_one() {
        for text in ["", "null", "[]", "1", "\"{}\"", "{", "{\"a\":}"] {
            assert!(Object::parse(text).is_none(), "{text}");
        }
    }
}
