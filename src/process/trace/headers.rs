//! What a tracer says about itself in the headers of a request.

/// The tracer behind a request. Header names are compared without regard to case by who looks them up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TracerHeaders {
    /// `datadog-meta-lang`, such as `python`.
    pub language: String,
    /// `datadog-meta-lang-version`.
    pub language_version: String,
    /// `datadog-meta-tracer-version`.
    pub tracer_version: String,
    /// `datadog-container-id`.
    pub container_id: String,
    /// `datadog-client-computed-top-level`: the tracer has marked top-level spans itself.
    pub computed_top_level: bool,
    /// `datadog-client-computed-stats`: the tracer sends stats of its own.
    pub computed_stats: bool,
}

impl TracerHeaders {
    /// Reads the headers; `header` gives the value of one by its lower-case name, and nothing if it is missing or no text.
    pub fn read<'h>(header: impl Fn(&'static str) -> Option<&'h str>) -> Self {
        let text = |name| header(name).unwrap_or_default().to_owned();
        Self {
            language: text("datadog-meta-lang"),
            language_version: text("datadog-meta-lang-version"),
            tracer_version: text("datadog-meta-tracer-version"),
            container_id: text("datadog-container-id"),
            computed_top_level: is_true(header("datadog-client-computed-top-level")),
            computed_stats: is_true(header("datadog-client-computed-stats")),
        }
    }
}

/// Anything but nothing and the words for false, as the full agent has it.
fn is_true(value: Option<&str>) -> bool {
    !matches!(value.unwrap_or_default(), "" | "0" | "f" | "F" | "FALSE" | "False" | "false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_that_is_not_a_word_for_false_is_true() {
        for word in ["", "0", "f", "F", "FALSE", "False", "false"] {
            assert!(!is_true(Some(word)), "{word:?}");
        }
        for word in ["1", "t", "true", "yes", "no", "fALSE", " "] {
            assert!(is_true(Some(word)), "{word:?}");
        }
        assert!(!is_true(None));
    }

    #[test]
    fn each_header_fills_its_field() {
        let headers = TracerHeaders::read(|name| match name {
            "datadog-meta-lang" => Some("python"),
            "datadog-meta-lang-version" => Some("3.13"),
            "datadog-meta-tracer-version" => Some("4.1"),
            "datadog-container-id" => Some("c"),
            "datadog-client-computed-stats" => Some("yes"),
            _ => None,
        });
        let expected = TracerHeaders {
            language: "python".to_owned(),
            language_version: "3.13".to_owned(),
            tracer_version: "4.1".to_owned(),
            container_id: "c".to_owned(),
            computed_top_level: false,
            computed_stats: true,
        };
        assert_eq!(headers, expected);
    }
}
