//! The extension's log lines: one JSON object a line, which Lambda's extension log stream takes from stdout.
//!
//! The level stands under `status`, not `level`, because Lambda filters JSON lines of its own accord by `level`.

use crate::{Sink, decimal};

/// Maximum size of the text of one line in bytes. Much of what is logged comes from outside: file names, responses, names of hosts.
pub const MAX_TEXT_BYTES: usize = 8 << 10;

/// Writes one whole line without its line feed: `{"status":"ERROR","message":"DD_EXTENSION | ERROR | …"}`.
pub fn write(level: &str, text: &str, out: Sink<'_>) {
    out(r#"{"status":""#);
    out(level);
    out(r#"","message":"DD_EXTENSION | "#);
    out(level);
    out(" | ");
    write_excerpt(text, MAX_TEXT_BYTES, &mut |part| {
        // An excerpt comes character by character, or as an escape, which begins with a backslash and has no other.
        if matches!(part.as_bytes(), [b'"' | b'\\', ..]) {
            out("\\");
        }
        out(part);
    });
    out("\"}");
}

/// Writes text from outside as a log line can hold it: control characters are escaped, and after about `max_bytes` only the number of bytes is left.
pub fn write_excerpt(text: &str, max_bytes: usize, out: Sink<'_>) {
    let mut written = 0;
    let mut rest = text;
    while let Some((character, after)) = split_character(rest) {
        if written >= max_bytes {
            out("... (");
            decimal::write(text.len() as u64, out);
            return out(" bytes)");
        }
        let mut out = |part: &str| {
            written += part.len();
            out(part);
        };
        match *character.as_bytes() {
            [byte] if byte.is_ascii_control() => write_control(byte, &mut out),
            [0xc2, byte @ 0x80..=0x9f] => write_control(byte, &mut out),
            _ => out(character),
        }
        rest = after;
    }
}

/// The first character, as text, and what follows it.
fn split_character(text: &str) -> Option<(&str, &str)> {
    let is_next = |byte: &u8| byte & 0xc0 != 0x80;
    let others = text.as_bytes().get(1..)?;
    text.split_at_checked(1 + others.iter().position(is_next).unwrap_or(others.len()))
}

/// Writes a control character as Rust does: `\n`, `\u{1b}`.
fn write_control(character: u8, out: Sink<'_>) {
    const HEXADECIMAL: &str = "0123456789abcdef";
    let digit = |number: u8| HEXADECIMAL.get(usize::from(number)..=usize::from(number)).unwrap_or_default();
    match character {
        b'\t' => out("\\t"),
        b'\n' => out("\\n"),
        b'\r' => out("\\r"),
        _ => {
            out("\\u{");
            if character >= 0x10 {
                out(digit(character >> 4));
            }
            out(digit(character & 0xf));
            out("}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use serde_json::Value;

    use super::*;

    fn line(text: &str) -> String {
        let mut line = String::new();
        write("WARN", text, &mut |part| line.push_str(part));
        line
    }

    fn excerpt(text: &str, max_bytes: usize) -> String {
        let mut excerpt = String::new();
        write_excerpt(text, max_bytes, &mut |part| excerpt.push_str(part));
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
    fn excerpt_of_any_text_is_one_short_line() {
        assert_eq!(excerpt("a é \"b\"", 100), "a é \"b\"");
        assert_eq!(excerpt("a\nb\u{1b}[2K\u{85}", 100), "a\\nb\\u{1b}[2K\\u{85}");
        for control in (0..=u32::from('\u{9f}')).filter_map(char::from_u32).filter(|character| character.is_control()) {
            assert_eq!(excerpt(&String::from(control), 100), control.escape_default().collect::<String>());
        }
        assert_eq!(excerpt("abcdef", 6), "abcdef");
        assert_eq!(excerpt("abcdefg", 6), "abcdef... (7 bytes)");
        assert_eq!(excerpt("ääää", 3), "ää... (8 bytes)");
        assert!(line(&"\u{0}".repeat(1 << 20)).len() < 2 * MAX_TEXT_BYTES + 100);
    }
}
