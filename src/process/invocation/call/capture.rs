//! A payload as tags: one for each value, under the path that leads to it.

use serde::{
    Deserialize as _, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, value::RawValue};

use super::{
    Tag,
    redaction::{REDACTED, compact, cut, is_secret},
};

/// Maximum size in bytes of the tags that one payload becomes, their memory included; what is beyond is left out.
pub const MAX_CAPTURED_BYTES: usize = 1 << 20;

/// Maximum depth whatever is configured: below it values are parsed by calls within calls.
const MAX_DEPTH: u32 = 64;

/// The memory of a tag: two strings, each with an allocation of its own.
pub(super) fn tag_bytes(key: &str, value: &str) -> usize {
    size_of::<Tag>() + 32 + key.len() + value.len()
}

/// The tags of a payload; none if it is no JSON. Values below `depth` levels are JSON texts.
pub(super) fn tags(prefix: &str, payload: &str, depth: u32) -> Vec<Tag> {
    let mut buffer = CaptureBuffer { path: prefix.to_owned(), tags: Vec::new(), bytes: 0, is_full: false };
    let result = buffer.walk(payload, 0, depth.min(MAX_DEPTH));
    if result.is_err() && !buffer.is_full {
        buffer.tags.clear();
    }
    buffer.tags
}

struct CaptureBuffer {
    /// The path to the value at hand.
    path: String,
    tags: Vec<Tag>,
    bytes: usize,
    /// Nothing more is added; the rest of the payload is not read.
    is_full: bool,
}

impl CaptureBuffer {
    /// Walks through a JSON document.
    fn walk(&mut self, json: &str, depth: u32, max_depth: u32) -> Result<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        ValueSeed { buffer: self, depth, max_depth }.deserialize(&mut deserializer)?;
        deserializer.end()
    }

    /// Adds a tag under the path. An error says that there is no room for it.
    fn add<E: de::Error>(&mut self, value: String) -> Result<(), E> {
        let bytes = tag_bytes(&self.path, &value);
        if self.bytes + bytes > MAX_CAPTURED_BYTES {
            self.is_full = true;
            return Err(E::custom("the payload has too many values"));
        }
        self.bytes += bytes;
        self.tags.push((self.path.clone(), value));
        Ok(())
    }

    /// Does something below a name.
    fn below<T, E>(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let length = self.path.len();
        self.path.push('.');
        self.path.push_str(name);
        let result = work(self);
        self.path.truncate(length);
        result
    }

    /// Adds a text, or what is in it if it is a JSON document itself.
    fn text<E: de::Error>(&mut self, text: &str, depth: u32, max_depth: u32) -> Result<(), E> {
        let (count, bytes) = (self.tags.len(), self.bytes);
        match self.walk(text, depth + 1, max_depth) {
            Ok(()) => Ok(()),
            Err(error) if self.is_full => Err(E::custom(error)),
            Err(_) => {
                self.tags.truncate(count);
                self.bytes = bytes;
                self.add(cut(text).to_owned())
            }
        }
    }
}

/// One value on the way through the document.
struct ValueSeed<'c> {
    buffer: &'c mut CaptureBuffer,
    depth: u32,
    max_depth: u32,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.depth >= self.max_depth {
            let value = <&RawValue>::deserialize(deserializer)?;
            return self.buffer.add(compact(value.get()));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.buffer.add("null".to_owned())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.buffer.add(value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.buffer.add(value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.buffer.add(value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.buffer.add(Number::from_f64(value).map_or_else(|| value.to_string(), |number| number.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.buffer.text(value, self.depth, self.max_depth)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { buffer, depth, max_depth } = self;
        let mut index = 0_usize;
        while buffer
            .below(&index.to_string(), |buffer| {
                items.next_element_seed(ValueSeed { buffer, depth: depth + 1, max_depth })
            })?
            .is_some()
        {
            index += 1;
        }
        if index == 0 { buffer.add("[]".to_owned()) } else { Ok(()) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let Self { buffer, depth, max_depth } = self;
        while let Some(name) = fields.next_key::<String>()? {
            buffer.below(&name, |buffer| {
                if is_secret(&name) {
                    // Before it is parsed: a secret may be a number or a document, and everything in it is one.
                    fields.next_value::<IgnoredAny>()?;
                    return buffer.add(REDACTED.to_owned());
                }
                fields.next_value_seed(ValueSeed { buffer, depth: depth + 1, max_depth })
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::redaction::MAX_VALUE_CHARS, *};

    fn captured(payload: &str, depth: u32) -> Vec<String> {
        tags("p", payload, depth).into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    #[test]
    fn every_value_becomes_a_tag_under_its_path() {
        let payload = r#"{"a":{"b":[1,"x",null,true,1.5,[],{}]},"text":"5","json":"{\"in\":[-2]}","e":""}"#;
        let expected = [
            "p.a.b.0=1",
            "p.a.b.1=x",
            "p.a.b.2=null",
            "p.a.b.3=true",
            "p.a.b.4=1.5",
            "p.a.b.5=[]",
            "p.text=5",
            "p.json.in.0=-2",
            "p.e=",
        ];
        assert_eq!(captured(payload, 10), expected);
        assert_eq!(captured("7", 10), ["p=7"]);
        assert_eq!(captured("\"plain\"", 10), ["p=plain"]);
    }

    #[test]
    fn below_the_configured_depth_values_are_texts() {
        assert_eq!(captured(r#"{"a" : {"b": [1, "x y"]}}"#, 1), [r#"p.a={"b":[1,"x y"]}"#]);
        assert_eq!(captured(r#"{ "a": " \" b" }"#, 0), [r#"p={"a":" \" b"}"#]);
        assert_eq!(
            captured(r#"{"a":"{\"b\":{\"c\":1}}"}"#, 3),
            [r#"p.a.b={"c":1}"#],
            "a document in a text is a level"
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        for (payload, expected) in [
            (r#"{"password":"123456"}"#, "p.password=redacted"),
            (r#"{"secret":5}"#, "p.secret=redacted"),
            (r#"{"api_key":"{\"k\":\"v\"}"}"#, "p.api_key=redacted"),
            (r#"{"a":{"Token":"t"}}"#, "p.a.Token=redacted"),
            (r#"{"user.password":"p"}"#, "p.user.password=redacted"),
            (r#"{"token":{"a":["t",{"b":null}]}}"#, "p.token=redacted"),
            (r#"{"multiValueHeaders":{"authorization":["Bearer x"]}}"#, "p.multiValueHeaders.authorization=redacted"),
            (r#"{"headers":{"Authorization":"Bearer x"}}"#, "p.headers.Authorization=redacted"),
            (r#"{"body":"{\"pwd\":[1,2]}"}"#, "p.body.pwd=redacted"),
            (r#"["password"]"#, "p.0=password"),
        ] {
            assert_eq!(captured(payload, 10), [expected]);
        }
    }

    #[test]
    fn secrets_below_the_configured_depth_are_not_shown_either() {
        for (payload, depth, expected) in [
            (r#"{"a":{"password":"p","b":1}}"#, 1, r#"p.a={"password":"redacted","b":1}"#),
            (r#"{"password":"p"}"#, 1, "p.password=redacted"),
            (r#"{"password":"p"}"#, 0, r#"p={"password":"redacted"}"#),
            (r#"{"body":"{\"TOKEN\":{\"a\":\"t\"}}"}"#, 1, r#"p.body="{\"TOKEN\":\"redacted\"}""#),
        ] {
            assert_eq!(captured(payload, depth), [expected]);
        }
    }

    #[test]
    fn what_is_no_json_has_no_tags() {
        for payload in ["", "{", "text", "{\"a\":1,}", "{\"a\":1} x", "{\"a\":\"\\ud800\"}"] {
            assert_eq!(captured(payload, 10), [""; 0], "{payload}");
        }
    }

    #[test]
    fn size_and_nesting_of_a_payload_are_bounded() {
        let long = format!("{{\"a\":\"{}\"}}", "é".repeat(MAX_VALUE_CHARS + 1));
        assert_eq!(tags("p", &long, 10)[0].1.chars().count(), MAX_VALUE_CHARS);
        let wide = format!("[{}1]", "1,".repeat(3_000_000));
        let tags_of_wide = tags("p", &wide, 10);
        let bytes: usize = tags_of_wide.iter().map(|(key, value)| tag_bytes(key, value)).sum();
        assert!(bytes <= MAX_CAPTURED_BYTES && bytes > MAX_CAPTURED_BYTES / 2, "{bytes}");
        for depth in [0, 10, u32::MAX] {
            let nested = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
            let tags = tags("p", &nested, depth);
            assert!(tags.len() <= 1 && tags.iter().all(|(_, value)| value.len() <= MAX_VALUE_CHARS), "{depth}");
        }
        let mut text = "1".to_owned();
        for _ in 0..12 {
            text = serde_json::to_string(&text).unwrap();
        }
        assert_eq!(tags("p", &text, 20), [("p".to_owned(), "1".to_owned())]);
    }
}
