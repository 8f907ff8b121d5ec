//! How values of a payload are shown: cut to the room of a tag, and nothing of what is below the name of a secret.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// Maximum length of a value in characters.
pub(super) const MAX_VALUE_CHARS: usize = 4096;

/// Replacement of a redacted value.
pub(super) const REDACTED: &str = "redacted";

/// Names whose values are not shown, in any case.
const SECRET: [&str; 8] =
    ["password", "passwd", "pwd", "secret", "token", "authorization", "x-authorization", "api_key"];

/// How many JSON documents within texts are looked through one below the other; of one that is deeper nothing is shown. Each takes its own length in memory while
/// those in it are read, and a quote in it can be written so that it grows by the same few bytes with each level.
const MAX_DOCUMENTS: u32 = 4;

/// Bytes that certainly have as many characters as a tag has room for.
const ENOUGH_BYTES: usize = 4 * MAX_VALUE_CHARS;

/// Whether a name, or a part of it between dots, is that of a secret.
pub(super) fn is_secret(name: &str) -> bool {
    name.split('.').any(|part| SECRET.iter().any(|secret| part.eq_ignore_ascii_case(secret)))
}

/// A text as far as a tag has room for it.
pub(super) fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_VALUE_CHARS).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default()
}

/// JSON without space between its parts and without secrets, as far as a tag has room for it. The JSON is valid.
pub(super) fn compact(json: &str) -> String {
    cut(&Compact::of(json, MAX_DOCUMENTS).text).to_owned()
}

struct Compact {
    text: String,
    has_secrets: bool,
    /// How many documents within texts may still be below each other.
    documents: u32,
}

impl Compact {
    fn of(json: &str, documents: u32) -> Self {
        let mut compact = Self { text: String::new(), has_secrets: false, documents };
        let mut rest = json;
        while compact.text.len() < ENOUGH_BYTES
            && let Some((token, behind)) = split_token(rest)
        {
            rest = if let Some(value) = value_of(token, behind) {
                compact.add_field(token, value)
            } else {
                compact.add(token);
                behind
            };
        }
        compact
    }

    /// Adds a name, and its value if that is secret. Gives what is behind.
    fn add_field<'j>(&mut self, name: &str, value: &'j str) -> &'j str {
        self.text.push_str(cut(name));
        self.text.push(':');
        if !is_secret(&decoded(name)) {
            return value;
        }
        self.has_secrets = true;
        self.text.push_str(&redacted());
        behind_value(value)
    }

    /// Adds anything but a name. A text may be a document itself.
    fn add(&mut self, token: &str) {
        let document = token.starts_with('"').then(|| without_secrets(&decoded(token), self.documents)).flatten();
        self.has_secrets |= document.is_some();
        self.text.push_str(cut(document.as_deref().unwrap_or(token)));
    }
}

/// What stands for a value that is not shown, as JSON.
fn redacted() -> String {
    format!("\"{REDACTED}\"")
}

/// A JSON document with secrets as a JSON text without them, or without anything if so many documents must not be below each other; None of any other text.
fn without_secrets(text: &str, documents: u32) -> Option<String> {
    let may_have_names = text.trim_start().starts_with(['{', '[', '"']);
    if !may_have_names || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return None;
    }
    let Some(documents) = documents.checked_sub(1) else { return Some(redacted()) };
    let compact = Compact::of(text, documents);
    compact.has_secrets.then(|| serde_json::to_string(&compact.text).ok()).flatten()
}

/// The text that a JSON text stands for; one that stands for none, as it is.
fn decoded(token: &str) -> Cow<'_, str> {
    serde_json::from_str::<String>(token).map_or(Cow::Borrowed(token), Cow::Owned)
}

/// The first token of JSON, and what is behind it.
fn split_token(json: &str) -> Option<(&str, &str)> {
    let json = json.trim_ascii_start();
    let length = match json.bytes().next()? {
        b'"' => text_length(json),
        b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
        _ => json.find(|next: char| next.is_ascii_whitespace() || ",]}".contains(next)).unwrap_or(json.len()),
    };
    json.split_at_checked(length).filter(|(token, _)| !token.is_empty())
}

/// How many bytes the text takes that JSON begins with.
fn text_length(json: &str) -> usize {
    let mut is_escaped = false;
    let mut behind = json.bytes().enumerate().skip(1);
    let end = behind.find(|(_, byte)| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(json.len(), |(at, _)| at + 1)
}

/// The value of a name, with all that is behind it; None if the token is no name.
fn value_of<'j>(token: &str, behind: &'j str) -> Option<&'j str> {
    let next = token.starts_with('"').then(|| split_token(behind)).flatten();
    next.filter(|(next, _)| *next == ":").map(|(_, value)| value)
}

/// What is behind the value that JSON begins with.
fn behind_value(json: &str) -> &str {
    let (mut rest, mut depth) = (json, 0_usize);
    while let Some((token, behind)) = split_token(rest) {
        rest = behind;
        match token {
            "{" | "[" => depth += 1,
            "}" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_without_space_and_as_it_was_otherwise() {
        for (json, expected) in [
            (
                r#" { "a" : [ 1.50 , -2e9 , true , null , " \" b " , {} , [] ] } "#,
                r#"{"a":[1.50,-2e9,true,null," \" b ",{},[]]}"#,
            ),
            (r#""\\""#, r#""\\""#),
            (" 7 ", "7"),
            (r#"{"é":"\u00e9: {"}"#, r#"{"é":"\u00e9: {"}"#),
        ] {
            assert_eq!(compact(json), expected);
        }
    }

    #[test]
    fn secrets_are_left_out_at_every_depth_and_in_documents_within_texts() {
        for (json, expected) in [
            (r#"{"Password":"p","b":1}"#, r#"{"Password":"redacted","b":1}"#),
            (
                r#"{"token": {"a":["s",{"b":"s"}]}, "b":[{"pwd":5}]}"#,
                r#"{"token":"redacted","b":[{"pwd":"redacted"}]}"#,
            ),
            (r#"{"pass\u0077ord":"s"}"#, r#"{"pass\u0077ord":"redacted"}"#),
            (r#"{"a":"{\"api_key\": \"s\"}"}"#, r#"{"a":"{\"api_key\":\"redacted\"}"}"#),
            (r#"["[\"{\\\"secret\\\":1}\"]"]"#, r#"["[\"{\\\"secret\\\":\\\"redacted\\\"}\"]"]"#),
            (r#"{"a":"{\"token\" "}"#, r#"{"a":"{\"token\" "}"#),
            (r#"["token","password"]"#, r#"["token","password"]"#),
        ] {
            assert_eq!(compact(json), expected);
        }
    }

    /// A document within a text within a text, so many times, each quote and backslash of which takes six bytes, which grow by the same five with each level.
    fn documents_within_texts(levels: usize) -> String {
        let escaped = |text: String| format!("\"{}\"", text.replace('\\', "\\u005c").replace('"', "\\u0022"));
        (0..levels).fold(r#"{"a":1}"#.to_owned(), |text, _| escaped(text))
    }

    #[test]
    fn documents_within_texts_are_read_to_a_few_levels_and_not_shown_below() {
        let levels = |count: usize| compact(&documents_within_texts(count));
        assert_eq!(levels(4), documents_within_texts(4), "nothing in it is secret");
        for count in [5, 300] {
            let shown = levels(count);
            assert!(shown.contains(REDACTED) && shown.len() < 1000, "{count}: {shown}");
        }
    }

    #[test]
    fn a_secret_is_one_by_any_part_of_its_name_in_any_case() {
        for (name, expected) in [
            ("password", true),
            ("X-Authorization", true),
            ("user.token", true),
            ("token.0", true),
            ("tokens", false),
            ("", false),
            ("0", false),
        ] {
            assert_eq!(is_secret(name), expected, "{name}");
        }
    }

    #[test]
    fn no_more_is_written_than_a_tag_has_room_for() {
        let wide = format!("[{}1]", "1,".repeat(3_000_000));
        assert!(Compact::of(&wide, 0).text.len() <= ENOUGH_BYTES + 1);
        let long = format!(r#"{{"a":"{}","b":1}}"#, "é".repeat(MAX_VALUE_CHARS));
        assert_eq!(compact(&long).chars().count(), MAX_VALUE_CHARS);
        let deep = format!(r#"{{"a":{}{{"token":"s"}}{}}}"#, "[".repeat(1000), "]".repeat(1000));
        assert!(!compact(&deep).contains("\"s\""));
        let document =
            serde_json::to_string(&format!(r#"{{"a":"{}","token":"s"}}"#, "x".repeat(MAX_VALUE_CHARS))).unwrap();
        assert!(!compact(&document).contains(":\\\"s"));
    }
}
