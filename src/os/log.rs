//! The extension's own log lines on stdout, from where Lambda sends them to the extension log stream. Their format is `extension_protocol::log_line`.

use extension_protocol::log_line;
use log::{LevelFilter, Log, Metadata, Record};

use super::streams;

/// Makes the macros of the `log` crate write Datadog's extension format. A second call only changes the level.
pub fn start(level: LevelFilter) {
    // If another logger was installed first, it stays in place.
    let _ = log::set_logger(&Lines);
    log::set_max_level(level);
}

/// External text made safe for a log line: control characters are escaped, and text after about `max_bytes` is replaced by its total size.
pub fn excerpt(text: &str, max_bytes: usize) -> String {
    let mut excerpt = String::with_capacity(text.len().min(max_bytes));
    log_line::write_excerpt(text, max_bytes, &mut |part| excerpt.push_str(part));
    excerpt
}

struct Lines;

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // The HTTP and TLS crates also log through this facade; at debug level they would flood the customer's logs.
        metadata.target().starts_with("bottlecap")
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            streams::print(&line(record.level().as_str(), &record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// A complete line without its line feed.
fn line(level: &str, text: &str) -> String {
    let mut line = String::new();
    log_line::write(level, text, &mut |part| line.push_str(part));
    line
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
        assert_eq!(value["message"], "DD_EXTENSION | WARN | a \"b\"\\\\n\\tc \\u{1} é");
    }

    #[test]
    fn only_our_own_modules_speak() {
        let from = |target| Metadata::builder().target(target).level(log::Level::Error).build();
        assert!(Lines.enabled(&from("bottlecap::flush")));
        assert!(!Lines.enabled(&from("reqwest::connect")));
    }
}
