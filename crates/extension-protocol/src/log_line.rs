//! The extension's log lines: one JSON object a line, which Lambda's extension log stream takes from stdout.
//!
//! The level stands under `status`, not `level`, because Lambda filters JSON lines of its own accord by `level`.

use core::fmt::{Result, Write};

use crate::decimal;

/// Maximum size of the text of one line in bytes. Much of what is logged comes from outside: file names, responses, names of hosts.
pub const MAX_TEXT_BYTES: usize = 8 << 10;

/// Writes one whole line without its line feed: `{"status":"ERROR","message":"DD_EXTENSION | ERROR | …"}`.
pub fn write(level: &str, text: &str, out: &mut impl Write) -> Result {
    for part in [r#"{"status":""#, level, r#"","message":"DD_EXTENSION | "#, level, " | "] {
        out.write_str(part)?;
    }
    write_excerpt(text, MAX_TEXT_BYTES, &mut JsonString(out))?;
    out.write_str("\"}")
}

/// Writes text from outside as a log line can hold it: control characters are escaped, and after about `max_bytes` only the number of bytes is left.
pub fn write_excerpt(text: &str, max_bytes: usize, out: &mut impl Write) -> Result {
    let mut written = 0;
    for character in text.chars() {
        if written >= max_bytes {
            out.write_str("... (")?;
            decimal::write(text.len() as u64, out)?;
            return out.write_str(" bytes)");
        }
        if character.is_control() {
            for escaped in character.escape_default() {
                out.write_char(escaped)?;
                written += escaped.len_utf8();
            }
        } else {
            out.write_char(character)?;
            written += character.len_utf8();
        }
    }
    Ok(())
}

/// Escapes what ends a JSON string. Control characters do not come here.
struct JsonString<'w, W>(&'w mut W);

impl<W: Write> Write for JsonString<'_, W> {
    fn write_str(&mut self, text: &str) -> Result {
        text.chars().try_for_each(|character| self.write_char(character))
    }

    fn write_char(&mut self, character: char) -> Result {
        if matches!(character, '"' | '\\') {
            self.0.write_char('\\')?;
        }
        self.0.write_char(character)
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use serde_json::Value;

    use super::*;

    fn line(text: &str) -> String {
        let mut line = String::new();
        write("WARN", text, &mut line).unwrap();
        line
    }

    fn excerpt(text: &str, max_bytes: usize) -> String {
        let mut excerpt = String::new();
        write_excerpt(text, max_bytes, &mut excerpt).unwrap();
        excerpt
    }

    #[test]
    fn a_line_is_json_in_the_extension_format() {
        let line = line("a \"b\"\\\n\tc \u{1} é");
        assert_eq!(line.matches('\n').count(), 0);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["status"], "WARN");
        assert_eq!(value["message"], "DD_EXTENSION | WARN | a \"b\"\\\\n\\tc \\u{1} é");
    }

    #[test]
    fn an_excerpt_is_one_short_line_whatever_the_text_is() {
        assert_eq!(excerpt("a é \"b\"", 100), "a é \"b\"");
        assert_eq!(excerpt("a\nb\u{1b}[2K\u{85}", 100), "a\\nb\\u{1b}[2K\\u{85}");
        assert_eq!(excerpt("abcdef", 6), "abcdef");
        assert_eq!(excerpt("abcdefg", 6), "abcdef... (7 bytes)");
        assert_eq!(excerpt("ääää", 3), "ää... (8 bytes)");
        assert!(line(&"\u{0}".repeat(1 << 20)).len() < 2 * MAX_TEXT_BYTES + 100);
    }
}
