//! Extracts `ddtags` from a JSON log line without changing any other byte.

use std::ops::Range;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The tags of a line, and the line without them.
#[derive(Debug, PartialEq, Eq)]
pub struct ExtractedTags {
    /// The line without the extracted fields and one comma each.
    pub rest: String,
    /// Comma-separated tags.
    pub tags: String,
}

/// Extracts every non-empty `ddtags` string of the object or, if there is none, of the object under `message`. None if there is nothing to extract.
pub fn take(line: &str) -> Option<ExtractedTags> {
    if !line.contains("\"ddtags\"") {
        return None;
    }
    let object: Object = serde_json::from_str(line).ok()?;
    let of_line = object.tag_fields(line);
    let fields = if of_line.is_empty() { object.tag_fields_of_message(line) } else { of_line };
    let mut rest = String::with_capacity(line.len());
    let mut tags = String::new();
    let mut kept_from = 0;
    for field in &fields {
        rest.push_str(line.get(kept_from..field.range.start)?);
        kept_from = field.range.end;
        if !tags.is_empty() {
            tags.push(',');
        }
        tags.push_str(&field.tags);
    }
    rest.push_str(line.get(kept_from..)?);
    (!fields.is_empty()).then_some(ExtractedTags { rest, tags })
}

/// A `ddtags` field.
struct TagField {
    /// Its bytes in the line, including the comma before it or, for the first field, after it.
    range: Range<usize>,
    tags: String,
}

/// The fields of a JSON object in source order, repeated keys included.
struct Object<'a>(Vec<Field<'a>>);

struct Field<'a> {
    /// Including its quotes.
    key: &'a str,
    value: &'a str,
}

impl Object<'_> {
    /// The `ddtags` fields in source order; their ranges do not overlap.
    fn tag_fields(&self, line: &str) -> Vec<TagField> {
        let mut found = Vec::new();
        let mut after_kept_field = None;
        for (index, field) in self.0.iter().enumerate() {
            let (Some(key), Some(value)) = (range_in(line, field.key), range_in(line, field.value)) else { continue };
            if let Some(tags) = field.tags() {
                let next = self.0.get(index + 1).and_then(|next| range_in(line, next.key));
                let range = match after_kept_field {
                    Some(end) => end..value.end,
                    None => key.start..next.map_or(value.end, |next| next.start),
                };
                after_kept_field = after_kept_field.map(|_| value.end);
                found.push(TagField { range, tags });
            } else {
                after_kept_field = Some(value.end);
            }
        }
        found
    }

    fn tag_fields_of_message(&self, line: &str) -> Vec<TagField> {
        let messages = self.0.iter().filter(|field| field.key == "\"message\"");
        let objects = messages.filter_map(|field| serde_json::from_str::<Object>(field.value).ok());
        objects.flat_map(|object| object.tag_fields(line)).collect()
    }
}

impl Field<'_> {
    fn tags(&self) -> Option<String> {
        let tags = (self.key == "\"ddtags\"").then(|| serde_json::from_str::<String>(self.value).ok());
        tags.flatten().filter(|tags| !tags.is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    fields.push(Field { key: key.get(), value: value.get() });
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// The byte range of `part` in `whole`, of which it is a subslice.
fn range_in(whole: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    Some(start..start + part.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_taken(line: &str, tags: &str, rest: &str) {
        assert_eq!(take(line), Some(ExtractedTags { rest: rest.to_owned(), tags: tags.to_owned() }), "{line}");
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_taken(
            r#"{"ddtags":"a:b","id":12345678901234567890123,"price":1.50,"e":1E+2,"z":-0}"#,
            "a:b",
            r#"{"id":12345678901234567890123,"price":1.50,"e":1E+2,"z":-0}"#,
        );
    }

    #[test]
    fn repeated_keys_stay_as_often_as_they_are() {
        assert_taken(r#"{"a":1,"a":2,"ddtags":"t","a":3}"#, "t", r#"{"a":1,"a":2,"a":3}"#);
        let line = r#"{"message":{"b":1},"message":{"ddtags":"t","b":2,"b":3}}"#;
        assert_taken(line, "t", r#"{"message":{"b":1},"message":{"b":2,"b":3}}"#);
    }

    #[test]
    fn escapes_and_blanks_stay() {
        assert_taken(
            "\t{ \"a\" : \"\\u00e9\\/\" ,\n  \"ddtags\" : \"x:\\u0079\" ,\n  \"b\" : [ 1 , 2 ] }\n",
            "x:y",
            "\t{ \"a\" : \"\\u00e9\\/\" ,\n  \"b\" : [ 1 , 2 ] }\n",
        );
    }

    #[test]
    fn one_comma_goes_with_each_field_wherever_it_stands() {
        assert_taken(r#"{"ddtags":"t","a":1,"b":2}"#, "t", r#"{"a":1,"b":2}"#);
        assert_taken(r#"{"a":1,"ddtags":"t","b":2}"#, "t", r#"{"a":1,"b":2}"#);
        assert_taken(r#"{"a":1,"b":2,"ddtags":"t"}"#, "t", r#"{"a":1,"b":2}"#);
        assert_taken(r#"{ "ddtags":"t" }"#, "t", "{  }");
        assert_taken(r#"{"ddtags":"t","ddtags":"u"}"#, "t,u", "{}");
        assert_taken(r#"{"ddtags":"t","ddtags":"u","a":1,"ddtags":"v","ddtags":"w"}"#, "t,u,v,w", r#"{"a":1}"#);
    }

    #[test]
    fn only_a_text_is_taken_and_the_line_counts_before_its_message() {
        assert_taken(r#"{"ddtags":["t"],"ddtags":"u"}"#, "u", r#"{"ddtags":["t"]}"#);
        assert_taken(r#"{"message":{"ddtags":"t"},"ddtags":"u"}"#, "u", r#"{"message":{"ddtags":"t"}}"#);
        assert_taken(r#"{"message":{"ddtags":"t"},"ddtags":""}"#, "t", r#"{"message":{},"ddtags":""}"#);
        for untouched in [
            r#"{"ddtags":""}"#,
            r#"{"ddtags":7}"#,
            r#"{"other":{"ddtags":"t"}}"#,
            r#"{"message":"\"ddtags\""}"#,
            r#"{"message":["ddtags"]}"#,
            r#"{"ddtags":"t""#,
            r#"["ddtags"]"#,
        ] {
            assert_eq!(take(untouched), None, "{untouched}");
        }
    }
}
