//! The severity of a log, from the status attributes of a JSON line.
//!
//! Source: Datadog documentation, "Pipelines", "Preprocessing for JSON logs": `status`, `severity`, `level` and `syslog.severity` are status attributes.

use serde_json::Value;

/// Datadog's severities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The process cannot continue.
    Critical,
    /// Something failed.
    Error,
    /// Something looks wrong.
    Warn,
    /// Normal operation, and every line without a severity.
    Info,
    /// Debugging information.
    Debug,
    /// Detailed debugging information.
    Trace,
}

impl Status {
    /// The name that the intake uses.
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

/// Severity of a line with these attributes: the first level that is a known word or number, else the word in `status`, else `info`. A number in
/// `status` is not a severity, because HTTP libraries, job runners and shells write their own codes there.
pub fn of<'a>(levels: impl IntoIterator<Item = &'a Value>, status: Option<&Value>) -> Status {
    let by_status = || by_name(status?.as_str()?);
    levels.into_iter().find_map(by_level).or_else(by_status).unwrap_or(Status::Info)
}

fn by_level(level: &Value) -> Option<Status> {
    match level {
        Value::String(name) => by_name(name),
        Value::Number(number) => by_number(number.as_u64()?),
        // Some formatters write the level as an object with its name and number.
        Value::Object(level) => by_name(level.get("name")?.as_str()?),
        _ => None,
    }
}

fn by_name(name: &str) -> Option<Status> {
    const NAMES: &[(&str, Status)] = &[
        ("emerg", Status::Critical),
        ("emergency", Status::Critical),
        ("alert", Status::Critical),
        ("fatal", Status::Critical),
        ("critical", Status::Critical),
        ("crit", Status::Critical),
        ("error", Status::Error),
        ("err", Status::Error),
        ("warn", Status::Warn),
        ("warning", Status::Warn),
        ("notice", Status::Info),
        ("info", Status::Info),
        ("information", Status::Info),
        ("debug", Status::Debug),
        ("trace", Status::Trace),
    ];
    NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, status)| *status)
}

/// Maps a numeric level. Three schemes with disjoint ranges are in use: syslog's 0 to 7, Bunyan's and Pino's 10 to 60, Monolog's 100 to 600.
fn by_number(number: u64) -> Option<Status> {
    Some(match number {
        0..=2 | 60 | 500..=600 => Status::Critical,
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

    fn status(levels: &Value) -> Status {
        of(levels.as_array().unwrap(), None)
    }

    #[test]
    fn names_are_understood_in_any_case() {
        for (name, expected) in [
            ("FATAL", Status::Critical),
            ("Critical", Status::Critical),
            ("EMERGENCY", Status::Critical),
            ("alert", Status::Critical),
            ("err", Status::Error),
            ("WARNING", Status::Warn),
            ("Information", Status::Info),
            ("notice", Status::Info),
            ("debug", Status::Debug),
            ("TRACE", Status::Trace),
            ("loud", Status::Info),
        ] {
            assert_eq!(status(&json!([name])), expected, "{name}");
            assert_eq!(of([], Some(&json!(name))), expected, "{name}");
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
        ] {
            assert_eq!(status(&json!([number])), expected, "{number}");
        }
    }

    #[test]
    fn numbers_between_the_numberings_are_no_severity() {
        for number in [json!(8), json!(9), json!(61), json!(99), json!(601), json!(9999), json!(-1), json!(3.5)] {
            assert_eq!(status(&json!([number, "error"])), Status::Error, "{number}");
        }
    }

    #[test]
    fn a_number_in_status_is_no_severity() {
        for code in [0, 4, 50, 100, 200, 301, 404, 500] {
            assert_eq!(of([], Some(&json!(code))), Status::Info, "{code}");
            assert_eq!(of([&json!("warn")], Some(&json!(code))), Status::Warn, "{code}");
        }
    }

    #[test]
    fn an_object_gives_its_name() {
        assert_eq!(status(&json!([{"name": "error", "value": 3}])), Status::Error);
        for nameless in [json!({}), json!({"name": 50}), json!({"name": {"name": "error"}}), json!(["error"])] {
            assert_eq!(status(&json!([nameless])), Status::Info, "{nameless}");
        }
    }

    #[test]
    fn unknown_level_falls_back_to_status() {
        let status = |level: Value, status: Value| of([&level], Some(&status));
        assert_eq!(status(json!(null), json!("error")), Status::Error);
        assert_eq!(status(json!(9999), json!("error")), Status::Error);
        assert_eq!(status(json!("warn"), json!("error")), Status::Warn);
        assert_eq!(of([], None), Status::Info);
    }
}
