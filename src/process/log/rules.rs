//! Log processing rules of the customer: filters and masks applied to logs before they are sent.

use regex::{Regex, RegexBuilder};

use super::encoder::MAX_ELEMENT_BYTES;
use crate::config::{Rule, RuleKind};

/// Maximum size in bytes of one compiled rule, which is the default of the `regex` crate, and of all rules together, which share it equally.
const MAX_RULE_BYTES: usize = 10 << 20;
const MAX_COMPILED_BYTES: usize = 64 << 20;

/// The compiled rules, in order. Empty in most configurations, and then free of cost.
#[derive(Debug, Default)]
pub struct Rules(Vec<CompiledRule>);

#[derive(Debug)]
struct CompiledRule {
    kind: RuleKind,
    regex: Regex,
    placeholder: String,
}

/// A rule that cannot be compiled, and the reason. The pattern is not shown, because a pattern that masks a secret may contain the secret.
#[derive(Debug, thiserror::Error)]
#[error("log processing rule {name:?} is ignored: its pattern is no regular expression: {why}")]
pub struct BadRule {
    name: String,
    why: String,
}

/// The reason without the pattern, which the `regex` crate quotes in the lines above the last one.
fn why(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(bytes) => format!("compiled it has more than {bytes} bytes"),
        other => {
            let text = other.to_string();
            let why = text.rsplit_once("\nerror: ").map(|(_, why)| why.lines().next().unwrap_or_default());
            why.unwrap_or("syntax error").to_owned()
        }
    }
}

impl Rules {
    /// Compiles the rules. Rules that do not compile are omitted and returned as errors. The regex syntax has no look-around and no back-references.
    pub fn compile(rules: &[Rule]) -> (Self, Vec<BadRule>) {
        let mut bad = Vec::new();
        let size_limit = (MAX_COMPILED_BYTES / rules.len().max(1)).min(MAX_RULE_BYTES);
        let compile = |pattern: &str| RegexBuilder::new(pattern).size_limit(size_limit).build();
        let compiled = rules
            .iter()
            .filter_map(|rule| match compile(&rule.pattern) {
                Ok(regex) => Some(CompiledRule { kind: rule.kind, regex, placeholder: rule.placeholder.clone() }),
                Err(error) => {
                    bad.push(BadRule { name: rule.name.clone(), why: why(&error) });
                    None
                }
            })
            .collect();
        (Self(compiled), bad)
    }

    /// The message after all rules; None if a rule excludes it.
    pub fn apply(&self, mut message: String) -> Option<String> {
        for rule in &self.0 {
            match rule.kind {
                RuleKind::ExcludeAtMatch if rule.regex.is_match(&message) => return None,
                RuleKind::IncludeAtMatch if !rule.regex.is_match(&message) => return None,
                RuleKind::MaskSequences => {
                    if let Some(masked) = rule.mask(&message) {
                        message = masked;
                    }
                }
                RuleKind::ExcludeAtMatch | RuleKind::IncludeAtMatch => {}
            }
        }
        Some(message)
    }
}

impl CompiledRule {
    /// The message with all matches replaced; None if there are none. Replacement stops once the result exceeds [`MAX_ELEMENT_BYTES`], because rules
    /// that double what they match would exhaust memory.
    fn mask(&self, message: &str) -> Option<String> {
        let (mut masked, mut copied, mut any) = (String::new(), 0, false);
        for captures in self.regex.captures_iter(message) {
            let found = captures.get(0)?;
            any = true;
            masked.push_str(message.get(copied..found.start()).unwrap_or_default());
            copied = found.end();
            // A capture group is never longer than the match.
            let longest = self.placeholder.len() + self.placeholder.matches('$').count() * found.len();
            if longest <= MAX_ELEMENT_BYTES {
                captures.expand(&self.placeholder, &mut masked);
            }
            if masked.len() > MAX_ELEMENT_BYTES {
                return Some(masked);
            }
        }
        masked.push_str(message.get(copied..).unwrap_or_default());
        any.then_some(masked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: RuleKind, pattern: &str, placeholder: &str) -> Rule {
        Rule { kind, name: "n".to_owned(), pattern: pattern.to_owned(), placeholder: placeholder.to_owned() }
    }

    fn apply(rules: &[Rule], message: &str) -> Option<String> {
        Rules::compile(rules).0.apply(message.to_owned())
    }

    #[test]
    fn rules_exclude_include_and_mask_in_order() {
        assert_eq!(apply(&[rule(RuleKind::ExcludeAtMatch, "^START", "")], "START x"), None);
        assert_eq!(apply(&[rule(RuleKind::ExcludeAtMatch, "^START", "")], "a START").as_deref(), Some("a START"));
        assert_eq!(apply(&[rule(RuleKind::IncludeAtMatch, "keep", "")], "drop"), None);
        assert_eq!(apply(&[rule(RuleKind::IncludeAtMatch, "keep", "")], "keep").as_deref(), Some("keep"));
        let both =
            [rule(RuleKind::MaskSequences, r"key=(\w)\w+", "key=$1***"), rule(RuleKind::ExcludeAtMatch, "secret", "")];
        assert_eq!(apply(&both, "key=secret key=other").as_deref(), Some("key=s*** key=o***"));
    }

    #[test]
    fn placeholders_that_grow_a_message_end_at_the_longest_element() {
        let doubling = |rules| vec![rule(RuleKind::MaskSequences, "x", "$0$0"); rules];
        assert_eq!(apply(&doubling(9), "x").unwrap().len(), 512);
        let masked = apply(&doubling(60), "x").unwrap();
        assert!((MAX_ELEMENT_BYTES..MAX_ELEMENT_BYTES + 9).contains(&masked.len()), "{}", masked.len());
        let long = rule(RuleKind::MaskSequences, ".+", &"$0".repeat(2000));
        assert_eq!(apply(std::slice::from_ref(&long), &"x".repeat(1 << 20)).as_deref(), Some(""), "nothing unmasked");
        assert_eq!(apply(&[long], "x").unwrap().len(), 2000);
        let empty = rule(RuleKind::MaskSequences, "", &"y".repeat(4000));
        assert!(apply(&[empty], &"x".repeat(1 << 20)).unwrap().len() < MAX_ELEMENT_BYTES * 2);
        assert_eq!(apply(&[rule(RuleKind::MaskSequences, "b|$", "[$0]")], "abc").as_deref(), Some("a[b]c[]"));
    }

    #[test]
    fn rules_share_the_memory_for_what_they_compile_to() {
        let large = |rules: usize| vec![rule(RuleKind::MaskSequences, r"\w{200}", ""); rules];
        assert_eq!(Rules::compile(&large(6)).1.len(), 0);
        assert_eq!(Rules::compile(&large(600)).1.len(), 600);
    }

    #[test]
    fn a_rule_that_does_not_compile_is_named_and_the_others_still_work() {
        let rules = [rule(RuleKind::ExcludeAtMatch, "(", ""), rule(RuleKind::MaskSequences, "b", "")];
        let (compiled, bad) = Rules::compile(&rules);
        assert_eq!(bad.len(), 1);
        assert!(bad[0].to_string().contains("\"n\""));
        assert_eq!(compiled.apply("abc".to_owned()).as_deref(), Some("ac"));
    }

    #[test]
    fn a_bad_rule_does_not_show_its_pattern() {
        for (pattern, why) in [
            ("hunter2(", "unclosed group"),
            ("(?x)hunter2\nhunter2 [", "unclosed character class"),
            ("hunter2\\p{hunter2}", "Unicode property not found"),
            ("hunter2(?<hunter2", "unclosed capture group name"),
            ("hunter2\nerror: hunter2(", "unclosed group"),
            ("(?P<hunter2>a)(?P<hunter2>b)", "duplicate capture group name"),
            ("hunter2{1000}{1000}", "compiled it has more than"),
            ("hunter2(?=x)", "look-around, including look-ahead and look-behind, is not supported"),
        ] {
            let (_, bad) = Rules::compile(&[rule(RuleKind::MaskSequences, pattern, "")]);
            let [bad] = &bad[..] else { panic!("{pattern}") };
            let text = bad.to_string();
            assert!(text.contains(why) && !text.contains("hunter2") && text.lines().count() == 1, "{text}");
        }
    }
}
