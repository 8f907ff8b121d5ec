//! Reads a string out of a JSON object without allocating.

use crate::ascii;

/// The string under this name in a JSON object; None where the text is not an object, or the field is absent or something else. Of a name that comes twice the
/// last one counts. A string with an escape or
/// a character beyond ASCII counts as absent: ids and event types have none.
#[must_use]
pub fn string_field<'t>(text: &'t [u8], name: &str) -> Option<&'t str> {
    let mut scanner = JsonScanner(text);
    scanner.token(b'{')?;
    let mut found = None;
    if scanner.peek() == Some(b'}') {
        return None;
    }
    loop {
        scanner.skip_blanks();
        let key = scanner.string()?;
        scanner.token(b':')?;
        let is_it = key == name.as_bytes();
        if scanner.peek() == Some(b'"') {
            let value = scanner.string()?;
            if is_it {
                #[expect(
                    clippy::manual_contains,
                    reason = "`contains` is made for long texts, and a hundred bytes larger"
                )]
                let is_plain = !value.iter().any(|byte| *byte == b'\\');
                found = ascii::text(value).filter(|_| is_plain);
            }
        } else {
            scanner.skip_value()?;
            if is_it {
                found = None;
            }
        }
        match scanner.peek() {
            Some(b',') => scanner.token(b',')?,
            Some(b'}') => return found,
            _ => return None,
        }
    }
}

/// A scanner over the part of a JSON text that has not been read yet.
struct JsonScanner<'t>(&'t [u8]);

impl<'t> JsonScanner<'t> {
    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    /// The next byte that is not a blank; it is not taken.
    fn peek(&mut self) -> Option<u8> {
        self.skip_blanks();
        self.0.first().copied()
    }

    fn token(&mut self, expected: u8) -> Option<()> {
        self.skip_blanks();
        self.0 = self.0.strip_prefix(&[expected])?;
        Some(())
    }

    /// What stands between two quotes, with its escapes.
    fn string(&mut self) -> Option<&'t [u8]> {
        let inner = self.0.strip_prefix(b"\"")?;
        let mut is_escaped = false;
        let end = inner.iter().position(|byte| {
            let ends = *byte == b'"' && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            ends
        })?;
        let (string, rest) = inner.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        Some(string)
    }

    /// A value that is not a string: a number, a word, an array or an object. What is inside of it is not checked.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        let before = self.0.len();
        loop {
            match *self.0.first()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth = depth.checked_add(1)?,
                b'}' | b']' | b',' if depth == 0 => return (self.0.len() < before).then_some(()),
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.0 = self.0.get(1..)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_string_is_found_among_values_of_all_types() {
        let object = json!({
            "nested": {"eventType": "no", "list": [1, {"a": "]}"}]}, "number": -1.5e3, "quote\"d": "a\\\"", "null": null,
            "eventType": "SHUTDOWN", "empty": "", "true": true, "list": ["eventType", "x"], "é": "ü"
        });
        for text in [object.to_string(), serde_json::to_string_pretty(&object).unwrap()] {
            let field = |name| string_field(text.as_bytes(), name);
            assert_eq!((field("eventType"), field("empty")), (Some("SHUTDOWN"), Some("")));
            for name in ["number", "null", "true", "list", "nested", "absent", "a", "é", "quote\"d"] {
                assert_eq!(field(name), None, "{name}");
            }
        }
    }

    #[test]
    fn of_a_name_that_comes_twice_the_last_one_counts() {
        assert_eq!(string_field(br#"{"a":"1","a":"2"}"#, "a"), Some("2"));
        assert_eq!(string_field(br#"{"a":"1","a":2}"#, "a"), None);
    }

    #[test]
    fn only_a_whole_object_has_fields() {
        for text in [
            "",
            "null",
            "[]",
            "{",
            "{}",
            "{\"a\":\"1\"",
            "{\"a\":\"1",
            "{\"a\" \"1\"}",
            "{\"a\":}",
            "{\"b\":1 \"a\":\"1\"}",
            "{\"b\":[}",
        ] {
            assert_eq!(string_field(text.as_bytes(), "a"), None, "{text}");
        }
        assert_eq!(string_field(b"{\"a\":\"\xff\"}", "a"), None, "not UTF-8");
    }

    #[test]
    fn every_cut_off_object_has_no_fields() {
        let text = br#" { "a" : "1" , "b" : [ { "c" : "}" } ] } "#;
        assert_eq!(string_field(text, "a"), Some("1"));
        let end = text.len() - 2;
        assert!((0..end).all(|end| string_field(&text[..end], "a").is_none()));
    }
}
