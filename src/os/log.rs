//! The extension's own log lines: one JSON object per line on stdout, from where Lambda sends them to the extension log stream.
//!
//! The level is under `status`, not `level`, because Lambda filters JSON lines by `level`.

use std::fmt::Write as _;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::streams;

/// Makes the macros of the `log` crate write Datadog's extension format. A second call only changes the level.
pub fn start(level: LevelFilter) {
    // If another logger was installed first, it stays in place.
    let _ = log::set_logger(&Lines);
    log::set_max_level(level);
}

/// Maximum size of a line's text in bytes. Logged text often comes from outside: file names, responses, host names.
const MAX_TEXT: usize = 8 << 10;

/// External text made safe for a log line: control characters are escaped, and text after about `max_bytes` is replaced by its total size.
pub fn excerpt(text: &str, max_bytes: usize) -> String {
    let mut excerpt = String::with_capacity(text.len().min(max_bytes));
    for character in text.chars() {
        if excerpt.len() >= max_bytes {
            let _ = write!(excerpt, "... ({} bytes)", text.len());
            break;
        }
        if character.is_control() {
            excerpt.extend(character.escape_default());
        } else {
            excerpt.push(character);
        }
    }
    excerpt
}

/// Writes a line regardless of the level, for programs without a logger.
pub fn write(level: Level, text: &str) {
    streams::print(&line(level.as_str(), &excerpt(text, MAX_TEXT)));
}

struct Lines;

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // The HTTP and TLS crates also log through this facade; at debug level they would flood the customer's logs.
        metadata.target().starts_with("bottlecap")
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            write(record.level(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// A complete line without its line feed.
fn line(level: &str, text: &str) -> String {
    let message = serde_json::Value::from(format!("DD_EXTENSION | {level} | {text}"));
    format!("{{\"status\":\"{level}\",\"message\":{message}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_in_the_extension_format() {
        let line = line("WARN", "a \"b\"\\\n\tc \u{1} é");
        assert!(line.ends_with('}'));
        assert_eq!(line.matches('\n').count(), 0);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["status"], "WARN");
        assert_eq!(value["message"], "DD_EXTENSION | WARN | a \"b\"\\\n\tc \u{1} é");
    }

    #[test]
    fn an_excerpt_is_one_short_line_whatever_the_text_is() {
        assert_eq!(excerpt("a é \"b\"", 100), "a é \"b\"");
        assert_eq!(excerpt("a\nb\u{1b}[2K\u{85}", 100), "a\\nb\\u{1b}[2K\\u{85}");
        assert_eq!(excerpt("abcdef", 6), "abcdef");
        assert_eq!(excerpt("abcdefg", 6), "abcdef... (7 bytes)");
        assert_eq!(excerpt("ääää", 3), "ää... (8 bytes)");
        assert!(excerpt(&"\u{0}".repeat(1 << 20), MAX_TEXT).len() < MAX_TEXT + 100);
    }

    #[test]
    fn only_our_own_modules_speak() {
        let from = |target| Metadata::builder().target(target).level(log::Level::Error).build();
        assert!(Lines.enabled(&from("bottlecap::flush")));
        assert!(!Lines.enabled(&from("reqwest::connect")));
    }
}
