//! The severity of a log, from what a JSON line says of itself.

use serde::Serialize;
use serde_json::{Map, Value};

/// Datadog's severities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The process cannot go on.
    Critical,
    /// Something failed.
    Error,
    /// Something looks wrong.
    Warn,
    /// Anything else, and every line that does not say.
    Info,
    /// For developers.
    Debug,
    /// For developers in trouble.
    Trace,
}

/// What the object says under `level`, else under `status`; `info` where neither is understood.
pub fn of(object: &Map<String, Value>) -> Status {
    ["level", "status"].iter().find_map(|key| object.get(*key).and_then(understand)).unwrap_or(Status::Info)
}

fn understand(value: &Value) -> Option<Status> {
    match value {
        Value::String(name) => by_name(name),
        Value::Number(number) => by_number(number.as_u64()?),
        _ => None,
    }
}

fn by_name(name: &str) -> Option<Status> {
    const NAMES: &[(&str, Status)] = &[
        ("fatal", Status::Critical),
        ("critical", Status::Critical),
        ("error", Status::Error),
        ("err", Status::Error),
        ("warn", Status::Warn),
        ("warning", Status::Warn),
        ("info", Status::Info),
        ("information", Status::Info),
        ("debug", Status::Debug),
        ("trace", Status::Trace),
    ];
    NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, status)| *status)
}

/// Three numberings are in use and their ranges do not meet: syslog's 0 to 7, Bunyan's and Pino's 10 to 60, Monolog's 100 to 600.
fn by_number(number: u64) -> Option<Status> {
    Some(match number {
        0..=2 | 60..70 | 500..=600 => Status::Critical,
        3 | 50..60 | 400..500 => Status::Error,
        4 | 40..50 | 300..400 => Status::Warn,
        5 | 6 | 30..40 | 200..300 => Status::Info,
        7 | 20..30 | 100..200 => Status::Debug,
        10..20 => Status::Trace,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(json: &str) -> Status {
        of(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn names_are_understood_in_any_case() {
        for (name, expected) in [
            ("FATAL", Status::Critical),
            ("Critical", Status::Critical),
            ("err", Status::Error),
            ("WARNING", Status::Warn),
            ("Information", Status::Info),
            ("debug", Status::Debug),
            ("TRACE", Status::Trace),
            ("loud", Status::Info),
        ] {
            assert_eq!(status(&format!(r#"{{"level":"{name}"}}"#)), expected, "{name}");
        }
    }

    #[test]
    fn numbers_of_the_three_numberings_are_understood() {
        for (number, expected) in [
            (0, Status::Critical),
            (3, Status::Error),
            (7, Status::Debug),
            (10, Status::Trace),
            (30, Status::Info),
            (50, Status::Error),
            (60, Status::Critical),
            (300, Status::Warn),
            (600, Status::Critical),
            (9999, Status::Info),
        ] {
            assert_eq!(status(&format!(r#"{{"level":{number}}}"#)), expected, "{number}");
        }
    }

    #[test]
    fn a_level_that_says_nothing_leaves_the_word_to_the_status() {
        assert_eq!(status(r#"{"level":null,"status":"error"}"#), Status::Error);
        assert_eq!(status(r#"{"level":"warn","status":"error"}"#), Status::Warn);
        assert_eq!(status("{}"), Status::Info);
    }
}
