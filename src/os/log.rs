//! The extension's own log lines on stdout, from where Lambda sends them to the extension log stream. Their format is `extension_protocol::log_line`.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use extension_protocol::log_line;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Level, Metadata, callsite, span};

use super::streams;

/// The most verbose level that is written, as its place in [`LEVELS`].
static MAX_LEVEL: AtomicUsize = AtomicUsize::new(0);

const LEVELS: [LevelFilter; 6] = [
    LevelFilter::OFF,
    LevelFilter::ERROR,
    LevelFilter::WARN,
    LevelFilter::INFO,
    LevelFilter::DEBUG,
    LevelFilter::TRACE,
];

/// Makes the macros of the `tracing` crate write Datadog's extension format, and those of the `log` crate, which some dependencies use. A second call only
/// changes the level.
pub fn start(level: LevelFilter) {
    MAX_LEVEL.store(LEVELS.iter().position(|known| *known == level).unwrap_or_default(), Ordering::Relaxed);
    // If another subscriber was installed first, it stays in place.
    if tracing::subscriber::set_global_default(ExtensionLog).is_err() {
        callsite::rebuild_interest_cache();
    }
    let _ = log::set_logger(&ExtensionLog);
    log::set_max_level(if level == LevelFilter::TRACE { log::LevelFilter::Trace } else { log::LevelFilter::Off });
}

/// Writes a line whatever the level is: for what a customer has to read even where the level hides warnings, as that data leaves without TLS in a FIPS build, or that a
/// build and `DD_LAMBDA_FIPS_MODE` disagree.
pub fn print_at_any_level(level: Level, text: &str) {
    streams::print(&line(level.as_str(), text));
}

/// External text made safe for a log line: control characters are escaped, and text after about `max_bytes` is replaced by its total size.
pub fn excerpt(text: &str, max_bytes: usize) -> String {
    let mut excerpt = String::with_capacity(text.len().min(max_bytes));
    log_line::write_excerpt(text, max_bytes, &mut |part| excerpt.push_str(part));
    excerpt
}

/// Writes events as lines and ignores spans, of which the extension has none.
struct ExtensionLog;

/// Dependencies write only at level trace: at debug level the HTTP and TLS crates would flood the customer's logs.
fn is_enabled(max_level: LevelFilter, level: Level, target: &str) -> bool {
    level <= max_level && (max_level == LevelFilter::TRACE || target.starts_with("bottlecap"))
}

fn max_level() -> LevelFilter {
    LEVELS.get(MAX_LEVEL.load(Ordering::Relaxed)).copied().unwrap_or(LevelFilter::OFF)
}

impl Subscriber for ExtensionLog {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && is_enabled(max_level(), *metadata.level(), metadata.target())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(max_level())
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = EventText::default();
        event.record(&mut text);
        streams::print(&line(event.metadata().level().as_str(), &text.into_string()));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl log::Log for ExtensionLog {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        let level = match metadata.level() {
            log::Level::Error => Level::ERROR,
            log::Level::Warn => Level::WARN,
            log::Level::Info => Level::INFO,
            log::Level::Debug => Level::DEBUG,
            log::Level::Trace => Level::TRACE,
        };
        is_enabled(max_level(), level, metadata.target())
    }

    fn log(&self, record: &log::Record) {
        if log::Log::enabled(self, record.metadata()) {
            streams::print(&line(record.level().as_str(), &record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// The message of an event, and its other fields as ` name=value`.
#[derive(Default)]
struct EventText {
    message: String,
    fields: String,
}

impl EventText {
    fn into_string(mut self) -> String {
        self.message.push_str(&self.fields);
        self.message
    }
}

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail; a value whose own formatting fails is cut off there.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
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
    fn dependencies_write_only_at_level_trace() {
        assert!(is_enabled(LevelFilter::DEBUG, Level::DEBUG, "bottlecap::flush"));
        assert!(!is_enabled(LevelFilter::INFO, Level::DEBUG, "bottlecap::flush"));
        assert!(!is_enabled(LevelFilter::DEBUG, Level::ERROR, "reqwest::connect"));
        assert!(is_enabled(LevelFilter::TRACE, Level::DEBUG, "reqwest::connect"));
        assert!(!is_enabled(LevelFilter::OFF, Level::ERROR, "bottlecap"));
    }

    #[test]
    fn the_message_comes_before_other_fields() {
        static TEXT: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());
        struct LastMessage;
        impl Subscriber for LastMessage {
            fn enabled(&self, _: &Metadata<'_>) -> bool {
                true
            }
            fn event(&self, event: &Event<'_>) {
                let mut text = EventText::default();
                event.record(&mut text);
                *TEXT.lock().unwrap() = text.into_string();
            }
            fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
                span::Id::from_u64(1)
            }
            fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
            fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
            fn enter(&self, _: &span::Id) {}
            fn exit(&self, _: &span::Id) {}
        }
        tracing::subscriber::with_default(LastMessage, || tracing::warn!(count = 3, "\"quoted\" {}", 1));
        assert_eq!(*TEXT.lock().unwrap(), "\"quoted\" 1 count=3");
    }
}
