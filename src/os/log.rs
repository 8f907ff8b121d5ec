//! Our own log lines: one JSON object a line on stdout, where Lambda's extension log stream picks them up.
//!
//! The level stands under `status`, not `level`, because Lambda filters JSON lines of its own accord by `level`.

use std::io::Write as _;

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Makes `log`'s macros write Datadog's extension format from now on. A second call only changes the level.
pub fn start(level: LevelFilter) {
    // Losing the race to another logger leaves that one in place: nothing to recover.
    let _ = log::set_logger(&Lines);
    log::set_max_level(level);
}

/// Writes one line whatever the level is, for programs that are too small to keep a logger.
pub fn write(level: Level, text: &str) {
    // One write a line, so that lines of several threads do not mix. A closed stdout is not our problem.
    let _ = std::io::stdout().lock().write_all(line(level.as_str(), text).as_bytes());
}

struct Lines;

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // The HTTP and TLS libraries speak to the same facade; at debug they would drown the customer's logs.
        metadata.target().starts_with("bottlecap")
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            write(record.level(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// One whole line with its line feed.
fn line(level: &str, text: &str) -> String {
    let message = serde_json::Value::from(format!("DD_EXTENSION | {level} | {text}"));
    format!("{{\"status\":\"{level}\",\"message\":{message}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_in_the_extension_format() {
        let line = line("WARN", "a \"b\"\\\n\tc \u{1} é");
        assert!(line.ends_with("}\n"));
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["status"], "WARN");
        assert_eq!(value["message"], "DD_EXTENSION | WARN | a \"b\"\\\n\tc \u{1} é");
    }

    #[test]
    fn only_our_own_modules_speak() {
        let from = |target| Metadata::builder().target(target).level(log::Level::Error).build();
        assert!(Lines.enabled(&from("bottlecap::flush")));
        assert!(!Lines.enabled(&from("reqwest::connect")));
    }
}
