//! Bodies, parsed as their content type says.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use waf_protocol::Value;

use super::{
    limits::{self, Budget},
    multipart,
};
use crate::process::form::percent_decode;

/// `Content-Type` of a body without one.
const DEFAULT_TYPE: &str = "application/json";

/// The bytes of a body in an event or a response; None if it is empty, or no base64 where it should be.
pub fn decode(text: String, is_base64: bool) -> Option<Vec<u8>> {
    let bytes = if is_base64 { BASE64_STANDARD.decode(text).ok()? } else { text.into_bytes() };
    (!bytes.is_empty()).then_some(bytes)
}

/// A body as a value; None of what is not analysed. What should be JSON and is none is a text.
pub fn parse(content_type: Option<&str>, body: &[u8]) -> Option<Value> {
    parse_part(content_type.unwrap_or(DEFAULT_TYPE), body, true, &mut Budget::default())
}

/// The same; a part of a multipart body has no parts of its own.
pub(super) fn parse_part(content_type: &str, body: &[u8], may_have_parts: bool, budget: &mut Budget) -> Option<Value> {
    let (media, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    match media.trim().to_ascii_lowercase().as_str() {
        "application/json" | "text/json" | "application/vnd.api+json" => limits::json_or_text(body, budget),
        "application/x-www-form-urlencoded" => Some(form(body, budget)),
        "multipart/form-data" if may_have_parts => {
            multipart::parse(multipart::boundary(parameters)?.as_bytes(), body, budget)
        }
        "text/plain" => Some(budget.text(body)),
        _ => None,
    }
}

/// Names and values; a name that is repeated has several entries.
fn form(body: &[u8], budget: &mut Budget) -> Value {
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).take(limits::MAX_ENTRIES);
    let pairs = pairs.take(budget.values());
    Value::Map(
        pairs
            .map(|pair| {
                let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
                let (name, value) = pair.split_at(at);
                let value = value.strip_prefix(b"=").unwrap_or_default();
                (budget.cut(&percent_decode(name)).to_vec(), budget.text(&percent_decode(value)))
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, Value)]) -> Value {
        Value::Map(entries.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.clone())).collect())
    }

    #[test]
    fn the_content_type_decides_how_a_body_is_parsed() {
        let json = Some(map(&[("a", Value::Signed(1))]));
        for content_type in [
            None,
            Some("application/json"),
            Some("Application/JSON; charset=utf-8"),
            Some("text/json"),
            Some("application/vnd.api+json"),
        ] {
            assert_eq!(parse(content_type, b"{\"a\":1}"), json, "{content_type:?}");
        }
        assert_eq!(parse(Some("text/plain"), b"{\xff"), Some(Value::Text(b"{\xff".to_vec())));
        for content_type in ["application/xml", "application/problem+json", "application/octet-stream", ""] {
            assert_eq!(parse(Some(content_type), b"{\"a\":1}"), None, "{content_type}");
        }
    }

    #[test]
    fn forms_are_decoded_and_keep_repeated_names() {
        let form = parse(Some("application/x-www-form-urlencoded"), b"a=1+%2b&a=%&b&=c&&%zz=%4");
        let expected =
            [("a", "1 +"), ("a", "%"), ("b", ""), ("", "c"), ("%zz", "%4")].map(|(name, value)| (name, value.into()));
        assert_eq!(form, Some(map(&expected)));
    }

    #[test]
    fn parts_are_parsed_by_their_own_types() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ntext\r\n--x\r\n\
            content-disposition: form-data; name=b; filename=\"f\"\r\nContent-Type: application/json\r\n\r\n[1]\r\n--x\r\n\
            Content-Disposition: form-data; name=\"c\"\r\nContent-Type: application/json\r\n\r\n[\r\n--x--\r\nrest";
        let expected = map(&[("a", "text".into()), ("b", Value::Array(vec![Value::Signed(1)])), ("c", "[".into())]);
        for content_type in ["multipart/form-data; boundary=x", "multipart/form-data; charset=y; BOUNDARY=\"x\""] {
            assert_eq!(parse(Some(content_type), body), Some(expected.clone()), "{content_type}");
        }
        for content_type in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=y"]
        {
            assert_eq!(parse(Some(content_type), body), None, "{content_type}");
        }
    }

    #[test]
    fn a_boundary_has_at_most_the_bytes_that_are_allowed() {
        for (bytes, is_parsed) in [(70, true), (71, false)] {
            let boundary = "b".repeat(bytes);
            let body = format!("--{boundary}\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--{boundary}--");
            let content_type = format!("multipart/form-data; boundary={boundary}");
            assert_eq!(parse(Some(&content_type), body.as_bytes()).is_some(), is_parsed, "{bytes}");
        }
    }

    #[test]
    fn what_should_be_json_and_is_none_is_a_text() {
        for body in ["{\"a\":1e999,\"b\":\"' OR 1=1\"}", "[\"\\ud800\",\"<script>\"]", "q=<script>"] {
            assert_eq!(parse(Some("application/json"), body.as_bytes()), Some(body.into()), "{body}");
        }
        let long = "x".repeat(limits::MAX_TEXT_BYTES + 1);
        assert_eq!(parse(None, long.as_bytes()), Some(long[1..].into()));
    }

    #[test]
    fn parts_share_what_a_body_may_have() {
        let list = format!("[{}0]", "0,".repeat(limits::MAX_ENTRIES - 1));
        let lists = format!("[{}0]", format!("{list},").repeat(limits::MAX_ENTRIES - 1));
        let part =
            format!("--x\r\nContent-Disposition: form-data; name=a\r\nContent-Type: text/json\r\n\r\n{lists}\r\n");
        let body = format!("{}--x--", part.repeat(3));
        let Some(Value::Map(parts)) = parse(Some("multipart/form-data; boundary=x"), body.as_bytes()) else {
            panic!("no parts")
        };
        let values = parts.iter().map(|(_, part)| limits::count(part)).sum::<usize>();
        // A part itself is there whatever is in it.
        assert!(values <= limits::MAX_VALUES + parts.len(), "{values}");
    }

    #[test]
    fn empty_or_malformed_base64_body_is_none() {
        assert_eq!(decode(String::new(), false), None);
        assert_eq!(decode("!".to_owned(), true), None);
        assert_eq!(decode("YQ==".to_owned(), true).as_deref(), Some(&b"a"[..]));
    }
}
