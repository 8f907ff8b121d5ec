//! The severity of a log, from what a JSON line says of itself.

use serde_json::Value;

/// Datadog's severities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Status {
    /// As the intake writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The first that is understood of what a line says of its severity; `info` where none is.
pub fn of<'a>(said: impl IntoIterator<Item = &'a Value>) -> Status {
    said.into_iter().find_map(understand).unwrap_or(Status::Info)
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
    use serde_json::json;

    use super::*;

    fn status(said: &Value) -> Status {
        of(said.as_array().unwrap())
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
            assert_eq!(status(&json!([name])), expected, "{name}");
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
            assert_eq!(status(&json!([number])), expected, "{number}");
        }
    }

    #[test]
    fn a_level_that_says_nothing_leaves_the_word_to_the_status() {
        assert_eq!(status(&json!([null, "error"])), Status::Error);
        assert_eq!(status(&json!(["warn", "error"])), Status::Warn);
        assert_eq!(status(&json!([])), Status::Info);
    }
}
