//! Replacement rules: what the customer wants masked in tags and resources.

use std::borrow::Cow;

use regex::{NoExpand, Regex, RegexBuilder};

use super::{
    settings::ReplaceRule,
    span::{Span, Text, Value},
};

/// Maximum memory of one compiled pattern in bytes, and of all of them together, which share it in equal parts.
const MAX_PATTERN_BYTES: usize = 10 << 20;
const MAX_COMPILED_BYTES: usize = 64 << 20;

/// Maximum length of a text that a rule makes, in bytes: rules that double what they match would take all memory. The backend cuts tags far below.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// Rules in their order, compiled.
#[derive(Debug, Clone, Default)]
pub(super) struct Replacements(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    target: Target,
    regex: Regex,
    replacement: String,
    /// Whether the replacement stands for groups of the match.
    has_groups: bool,
}

#[derive(Debug, Clone)]
enum Target {
    /// All but those that begin with an underscore.
    AllTags,
    Resource,
    Tag(String),
}

/// A pattern that is no regular expression. It is not shown: it may hold the secret that it is to mask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: the pattern of {name:?} is no regular expression and is ignored")]
pub struct BadPattern {
    /// The variable that holds it.
    pub setting: &'static str,
    /// The tag that it is for.
    pub name: String,
}

/// Compiles one of so many patterns.
pub(super) fn compile(pattern: &str, patterns: usize) -> Option<Regex> {
    let limit = (MAX_COMPILED_BYTES / patterns.max(1)).min(MAX_PATTERN_BYTES);
    RegexBuilder::new(pattern).size_limit(limit).build().ok()
}

impl Replacements {
    /// Compiles the rules; those that do not compile are left out and reported.
    pub(super) fn compile(rules: &[ReplaceRule], bad: &mut Vec<BadPattern>) -> Self {
        let compiled = rules.iter().filter_map(|rule| {
            let Some(regex) = compile(&rule.pattern, rules.len()) else {
                bad.push(BadPattern { setting: "DD_APM_REPLACE_TAGS", name: rule.name.clone() });
                return None;
            };
            let target = match &*rule.name {
                "*" => Target::AllTags,
                "resource.name" => Target::Resource,
                tag => Target::Tag(tag.to_owned()),
            };
            let has_groups = rule.replacement.contains('$');
            Some(Rule { target, regex, replacement: rule.replacement.clone(), has_groups })
        });
        Self(compiled.collect())
    }

    /// Applies every rule to a span, in order.
    pub(super) fn apply(&self, span: &mut Span<'_>) {
        for rule in &self.0 {
            match &rule.target {
                Target::AllTags => {
                    let tags = span.meta.iter_mut().filter(|(key, _)| !is_hidden(key));
                    tags.for_each(|(_, value)| rule.apply(value));
                    rule.apply_to_numbers(span, |key| !is_hidden(key));
                    let attributes = span.events.iter_mut().flat_map(|event| event.attributes.iter_mut());
                    attributes.filter(|(key, _)| !is_hidden(key)).for_each(|(_, value)| rule.apply_to_value(value));
                }
                Target::Resource => rule.apply(&mut span.resource),
                Target::Tag(key) => {
                    if let Some(value) = span.meta.get_mut(key) {
                        rule.apply(value);
                    }
                    if span.metrics.contains(key) {
                        rule.apply_to_numbers(span, |tag| tag == key);
                    }
                    let attributes = span.events.iter_mut().filter_map(|event| event.attributes.get_mut(key));
                    attributes.for_each(|value| rule.apply_to_value(value));
                }
            }
        }
    }

    /// Applies the rules that mean this tag.
    pub(super) fn apply_to_tag(&self, key: &str, value: &mut Text<'_>) {
        for rule in &self.0 {
            let is_meant = match &rule.target {
                Target::AllTags => !is_hidden(key),
                Target::Resource => false,
                Target::Tag(tag) => tag == key,
            };
            if is_meant {
                rule.apply(value);
            }
        }
    }
}

/// Whether a tag is Datadog's own, such as the high half of the trace id: no rule for all tags means it, as in the full agent.
fn is_hidden(key: &str) -> bool {
    key.starts_with('_')
}

impl Rule {
    fn apply(&self, text: &mut Text<'_>) {
        if let Some(replaced) = self.replaced(text) {
            *text = Cow::Owned(replaced);
        }
    }

    /// Applies the rule to numeric tags, as the full agent does: one that is a number no more becomes a text tag.
    fn apply_to_numbers(&self, span: &mut Span<'_>, is_meant: impl Fn(&str) -> bool) {
        let texts = span.metrics.take_changed(|key, number| {
            let text = if is_meant(key) { self.replaced(&number.to_string())? } else { return None };
            match text.parse::<f64>() {
                Ok(replaced) if replaced.is_finite() => {
                    *number = replaced;
                    None
                }
                _ => Some(Text::Owned(text)),
            }
        });
        if !texts.is_empty() {
            span.meta.extend(texts);
        }
    }

    /// Applies the rule to an attribute of an event, which keeps its type as long as what is left is of it.
    fn apply_to_value(&self, value: &mut Value<'_>) {
        let text = match value {
            Value::Text(text) => return self.apply(text),
            Value::Array(values) => return values.iter_mut().for_each(|value| self.apply_to_value(value)),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Double(value) => value.to_string(),
        };
        if let Some(replaced) = self.replaced(&text) {
            let same = match value {
                Value::Bool(_) => replaced.parse().ok().map(Value::Bool),
                Value::Int(_) => replaced.parse().ok().map(Value::Int),
                _ => replaced.parse().ok().filter(|double: &f64| double.is_finite()).map(Value::Double),
            };
            *value = same.unwrap_or(Value::Text(Cow::Owned(replaced)));
        }
    }

    /// The text with its matches replaced; None if it has none.
    fn replaced(&self, text: &str) -> Option<String> {
        if self.has_groups { self.expand(text) } else { self.replace(text) }
    }

    fn replace(&self, text: &str) -> Option<String> {
        match self.regex.replace_all(text, NoExpand(&self.replacement)) {
            Cow::Owned(replaced) => Some(cut(replaced)),
            Cow::Borrowed(_) => None,
        }
    }

    /// Match by match, so that it can end where the text becomes too long.
    fn expand(&self, text: &str) -> Option<String> {
        let (mut replaced, mut copied) = (String::new(), None);
        for captures in self.regex.captures_iter(text) {
            let found = captures.get(0)?;
            replaced.push_str(text.get(copied.unwrap_or_default()..found.start()).unwrap_or_default());
            copied = Some(found.end());
            captures.expand(&self.replacement, &mut replaced);
            if replaced.len() > MAX_TEXT_BYTES {
                return Some(cut(replaced));
            }
        }
        replaced.push_str(text.get(copied?..).unwrap_or_default());
        Some(cut(replaced))
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::trace::span::Event;

    fn rule(name: &str, pattern: &str, replacement: &str) -> ReplaceRule {
        ReplaceRule { name: name.to_owned(), pattern: pattern.to_owned(), replacement: replacement.to_owned() }
    }

    fn applied(rules: &[ReplaceRule]) -> Span<'static> {
        let mut bad = Vec::new();
        let replacements = Replacements::compile(rules, &mut bad);
        assert_eq!(bad, []);
        let mut span = Span { resource: "GET /user/17".into(), ..Span::default() };
        span.meta.set("card", "pay 1234 5678".into());
        span.meta.set("user", "joe-17".into());
        replacements.apply(&mut span);
        span
    }

    #[test]
    fn rules_change_what_their_name_says_and_nothing_else() {
        let span = applied(&[rule("card", r"\d+", "?")]);
        assert_eq!((&*span.meta.get("card").unwrap().clone(), &*span.resource), ("pay ? ?", "GET /user/17"));
        let span = applied(&[rule("resource.name", r"\d+", "?")]);
        assert_eq!((&*span.meta.get("card").unwrap().clone(), &*span.resource), ("pay 1234 5678", "GET /user/?"));
        let span = applied(&[rule("*", r"\d+", "?")]);
        assert_eq!(span.meta.iter().map(|(_, value)| &**value).collect::<Vec<_>>(), ["pay ? ?", "joe-?"]);
        assert_eq!(span.resource, "GET /user/17", "tags only");
    }

    #[test]
    fn replace_rule_for_all_tags_leaves_reserved_tags() {
        let replaced = |rule: ReplaceRule| {
            let replacements = Replacements::compile(&[rule], &mut Vec::new());
            let mut span = Span::default();
            for (key, value) in [("_dd.p.tid", "66f0a1b200000000"), ("_dd.p.dm", "-1"), ("user", "joe-17")] {
                span.meta.set(key, value.into());
                let mut common = Text::Borrowed(value);
                replacements.apply_to_tag(key, &mut common);
                replacements.apply(&mut span);
                assert_eq!(span.meta.get(key), Some(&common), "tags of all spans are as those of one: {key}");
            }
            span.meta.iter().map(|(_, value)| value.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(replaced(rule("*", r"\d+", "?")), ["66f0a1b200000000", "-1", "joe-?"]);
        assert_eq!(
            replaced(rule("_dd.p.dm", r"\d+", "?")),
            ["66f0a1b200000000", "-?", "joe-17"],
            "but one by its name"
        );
    }

    #[test]
    fn a_numeric_tag_that_is_no_number_any_more_is_a_text_tag() {
        let replaced = |rules: &[ReplaceRule]| {
            let replacements = Replacements::compile(rules, &mut Vec::new());
            let mut span = Span::default();
            span.meta.set("card.type", "visa 4".into());
            let metrics = [("card.number", 4_111_111_111_111_111.0), ("_sampling_priority_v1", 2.0), ("ratio", 0.25)];
            for (key, value) in metrics {
                span.metrics.set(key, value);
            }
            replacements.apply(&mut span);
            let meta: Vec<_> = span.meta.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let metrics: Vec<_> = span.metrics.iter().map(|(key, value)| format!("{key}={value}")).collect();
            assert!(span.owned_bytes() >= span.meta.get("card.number").map_or(0, |text| text.len()));
            format!("{} | {}", meta.join(" "), metrics.join(" "))
        };
        let priority = "_sampling_priority_v1=2";
        assert_eq!(
            replaced(&[rule("card.number", ".*", "?")]),
            format!("card.type=visa 4 card.number=? | {priority} ratio=0.25")
        );
        assert_eq!(
            replaced(&[rule("card.number", r"^\d{12}", "0"), rule("card.number", "x", "y")]),
            format!("card.type=visa 4 | card.number=1111 {priority} ratio=0.25"),
            "digits are a number"
        );
        assert_eq!(
            replaced(&[rule("*", r"\d+", "?"), rule("card.number", r"\?", "none")]),
            format!("card.type=visa ? card.number=none ratio=?.? | {priority}"),
            "and further rules see the text"
        );
        assert_eq!(
            replaced(&[rule("ratio", ".*", "inf")]),
            format!("card.type=visa 4 ratio=inf | card.number=4111111111111111 {priority}")
        );
        assert_eq!(replaced(&[rule("resource.name", ".*", "?")]).matches('?').count(), 0);
    }

    #[test]
    fn attributes_of_events_are_replaced_like_tags() {
        let replaced = |rules: &[ReplaceRule]| {
            let replacements = Replacements::compile(rules, &mut Vec::new());
            let mut event = Event::default();
            let array = vec![Value::Int(41), Value::Text("card 4".into())];
            for (key, value) in [
                ("card", Value::Int(4111)),
                ("cards", Value::Array(array)),
                ("ok", Value::Bool(true)),
                ("ratio", Value::Double(0.5)),
                ("_dd.id", Value::Int(7)),
            ] {
                event.attributes.set(key, value);
            }
            let mut span = Span { events: vec![event], ..Span::default() };
            replacements.apply(&mut span);
            let texts = span.owned_bytes();
            (span.events.remove(0).attributes.into_pairs().map(|(_, value)| value).collect::<Vec<_>>(), texts)
        };
        let text = |text: &'static str| Value::Text(text.into());
        let (values, texts) = replaced(&[rule("*", r"\d+|true", "?")]);
        let array = Value::Array(vec![text("?"), text("card ?")]);
        assert_eq!(values, [text("?"), array, text("?"), text("?.?"), Value::Int(7)]);
        assert!(texts >= "??card ???.?".len(), "the texts count: {texts}");
        let (values, _) = replaced(&[
            rule("card", "^41", "2"),
            rule("ok", "true", "false"),
            rule("ratio", r"0\.", "2"),
            rule("_dd.id", "7", "0.5"),
        ]);
        assert_eq!(
            [&values[0], &values[2], &values[3], &values[4]],
            [&Value::Int(211), &Value::Bool(false), &Value::Double(25.0), &text("0.5")],
            "a value keeps its type, or is a text"
        );
    }

    #[test]
    fn rules_apply_in_order_and_know_groups() {
        let span = applied(&[rule("user", r"(\w+)-(\d+)", "${2}_$1"), rule("user", "^17", "x")]);
        assert_eq!(span.meta.get("user").map(|value| &**value), Some("x_joe"));
        let span = applied(&[rule("user", "joe", "a.b*")]);
        assert_eq!(span.meta.get("user").map(|value| &**value), Some("a.b*-17"));
    }

    #[test]
    fn invalid_pattern_warns_without_its_text() {
        let mut bad = Vec::new();
        let replacements = Replacements::compile(&[rule("card", "hunter2(", "?"), rule("card", "pay", "?")], &mut bad);
        let [bad] = &bad[..] else { panic!("{bad:?}") };
        assert!(bad.to_string().contains("card") && !bad.to_string().contains("hunter2"));
        assert_eq!(replacements.0.len(), 1);
    }

    #[test]
    fn rules_that_double_a_text_end_at_its_longest() {
        let doubling = vec![rule("card", "(?s)^.*$", "$0$0"); 40];
        let text = applied(&doubling).meta.get("card").unwrap().len();
        assert_eq!(text, MAX_TEXT_BYTES);
        let each = applied(&[rule("card", "", &"y".repeat(200_000))]);
        assert_eq!(each.meta.get("card").unwrap().len(), MAX_TEXT_BYTES);
    }
}
