//! Filter tags: which traces are kept at all, by the tags of their root span. Numeric tags are compared as decimal text,
//! except for those whose name begins with `_`.

use regex::Regex;

use super::{
    replace::{BadPattern, compile},
    settings::FilterTags,
    span::Span,
};

/// The filters, compiled.
#[derive(Debug, Clone, Default)]
pub(super) struct Filters {
    require: Vec<Item<String>>,
    regex_require: Vec<Item<Regex>>,
    reject: Vec<Item<String>>,
    regex_reject: Vec<Item<Regex>>,
}

/// `key:value` or `key`.
#[derive(Debug, Clone)]
struct Item<V> {
    key: String,
    value: Condition<V>,
}

#[derive(Debug, Clone)]
enum Condition<V> {
    /// The key must be there, with whatever value.
    Present,
    Matches(V),
    /// A pattern that is no regular expression matches nothing: what requires it keeps no trace, as with the public extension.
    Never,
}

impl Filters {
    /// Compiles the filters; patterns that do not compile are reported.
    pub(super) fn compile(settings: &FilterTags, bad: &mut Vec<BadPattern>) -> Self {
        let patterns = settings.regex_require.len() + settings.regex_reject.len();
        let mut regexes = |items: &[String], setting: &'static str| {
            let item = |text: &String| item(text, |pattern| compile(pattern, patterns));
            let items: Vec<_> = items.iter().map(item).collect();
            let broken = items.iter().filter(|item| matches!(item.value, Condition::Never));
            bad.extend(broken.map(|item| BadPattern { setting, name: item.key.clone() }));
            items
        };
        let texts = |items: &[String]| items.iter().map(|text| item(text, |value| Some(value.to_owned()))).collect();
        Self {
            require: texts(&settings.require),
            regex_require: regexes(&settings.regex_require, "DD_APM_FILTER_TAGS_REGEX_REQUIRE"),
            reject: texts(&settings.reject),
            regex_reject: regexes(&settings.regex_reject, "DD_APM_FILTER_TAGS_REGEX_REJECT"),
        }
    }

    /// Whether the trace of this root span is kept.
    pub(super) fn keep(&self, root: &Span<'_>) -> bool {
        let equals = |wanted: &String, value: &str| wanted == value;
        let matches = |regex: &Regex, value: &str| regex.is_match(value);
        self.require.iter().all(|item| item.is_in(root, equals))
            && self.regex_require.iter().all(|item| item.is_in(root, matches))
            && !self.reject.iter().any(|item| item.is_in(root, equals))
            && !self.regex_reject.iter().any(|item| item.is_in(root, matches))
    }
}

fn item<V>(text: &str, value: impl Fn(&str) -> Option<V>) -> Item<V> {
    match text.split_once(':') {
        Some((key, wanted)) => {
            let value = value(wanted.trim()).map_or(Condition::Never, Condition::Matches);
            Item { key: key.trim().to_owned(), value }
        }
        None => Item { key: text.trim().to_owned(), value: Condition::Present },
    }
}

impl<V> Item<V> {
    fn is_in(&self, span: &Span<'_>, matches: impl Fn(&V, &str) -> bool) -> bool {
        let property = match &*self.key {
            "name" => Some(&span.name),
            "service" => Some(&span.service),
            "resource" => Some(&span.resource),
            "type" => Some(&span.kind),
            _ => None,
        };
        let text = span.meta.get(&self.key).map(|text| &**text);
        // Names of internal numbers begin so. The extension has set some of these itself, such as `_top_level`.
        let numbers = Some(&span.metrics).filter(|_| !self.key.starts_with('_'));
        let number = || numbers.and_then(|numbers| numbers.get(&self.key));
        match &self.value {
            Condition::Present => {
                text.is_some() || property.is_some_and(|value| !value.is_empty()) || number().is_some()
            }
            Condition::Matches(wanted) => match text.or(property.map(|value| &**value)) {
                Some(value) => matches(wanted, value),
                None => number().is_some_and(|number| matches(wanted, &number.to_string())),
            },
            Condition::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Span<'static> {
        let mut span = Span { name: "web.request".into(), service: "shop".into(), ..Span::default() };
        span.meta.set("env", "prod".into());
        span.meta.set("team", "a:b".into());
        span.metrics.set("http.status_code", 404.0);
        span.metrics.set("rate", 0.5);
        span.metrics.set("_top_level", 1.0);
        span.metrics.set("service", 7.0);
        span
    }

    fn keeps(require: &[&str], reject: &[&str], regex_require: &[&str], regex_reject: &[&str]) -> bool {
        let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        let settings = FilterTags {
            require: owned(require),
            reject: owned(reject),
            regex_require: owned(regex_require),
            regex_reject: owned(regex_reject),
        };
        Filters::compile(&settings, &mut Vec::new()).keep(&root())
    }

    #[test]
    fn required_tags_must_all_be_there() {
        assert!(keeps(&[], &[], &[], &[]));
        assert!(keeps(&["env:prod", "team"], &[], &[], &[]));
        assert!(keeps(&[" env : prod "], &[], &[], &[]));
        assert!(keeps(&["team:a:b"], &[], &[], &[]), "only the first colon separates");
        assert!(!keeps(&["env:prod", "missing"], &[], &[], &[]));
        assert!(!keeps(&["env:staging"], &[], &[], &[]));
    }

    #[test]
    fn one_rejected_tag_is_enough() {
        assert!(keeps(&[], &["env:staging", "missing"], &[], &[]));
        assert!(!keeps(&[], &["missing", "env"], &[], &[]));
        assert!(!keeps(&["env"], &["env:prod"], &[], &[]));
    }

    #[test]
    fn regular_expressions_match_anywhere_in_the_value() {
        assert!(keeps(&[], &[], &["env:^pr", "team::"], &[]));
        assert!(!keeps(&[], &[], &["env:^rod"], &[]));
        assert!(!keeps(&[], &[], &[], &["env:ro"]));
        assert!(keeps(&[], &[], &[], &["env:^ro"]));
        assert!(!keeps(&[], &[], &["env:("], &[]), "a broken pattern matches nothing");
        assert!(keeps(&[], &[], &[], &["env:("]));
    }

    #[test]
    fn numeric_tags_are_compared_as_decimal_text() {
        assert!(keeps(&["http.status_code:404", "http.status_code", "rate:0.5"], &[], &["http.status_code:^4"], &[]));
        assert!(!keeps(&["http.status_code:40"], &[], &[], &[]));
        assert!(!keeps(&[], &["http.status_code:404"], &[], &[]));
        assert!(!keeps(&[], &["rate"], &[], &[]));
        assert!(!keeps(&[], &[], &[], &["http.status_code:^4.4$"]));
    }

    #[test]
    fn internal_numeric_tags_match_no_filter() {
        assert!(!keeps(&["_top_level:1"], &[], &[], &[]));
        assert!(!keeps(&[], &[], &["_top_level:1"], &[]));
        assert!(keeps(&[], &["_top_level", "_top_level:1"], &[], &["_top_level:1"]));
    }

    #[test]
    fn fields_of_the_span_are_looked_at_like_tags() {
        assert!(keeps(&["name:web.request", "service:shop", "service"], &[], &["name:^web"], &[]));
        assert!(!keeps(&["service:7"], &[], &[], &[]), "a number does not replace the field");
        assert!(!keeps(&["resource"], &[], &[], &[]), "an empty field is none");
        assert!(!keeps(&["type:web"], &[], &[], &[]));
    }

    #[test]
    fn broken_patterns_are_reported_by_their_key() {
        let settings = FilterTags { regex_reject: vec!["env:(".to_owned()], ..FilterTags::default() };
        let mut bad = Vec::new();
        Filters::compile(&settings, &mut bad);
        let expected = BadPattern { setting: "DD_APM_FILTER_TAGS_REGEX_REJECT", name: "env".to_owned() };
        assert_eq!(bad, [expected]);
    }
}
