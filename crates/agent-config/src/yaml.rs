//! Parses `datadog.yaml` into a tree in which every scalar is text as written.
//!
//! YAML would parse an unquoted `version: 1.10` as the number 1.1, and an API key of digits as a rounded float. Only the reader of a setting knows
//! whether it expects a number, so scalars are not interpreted here.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

/// Maximum nesting depth. Settings are at most six levels deep. With the library's own limit, 64, an unoptimized build overflows a thread's stack.
const DEEPEST: usize = 16;

/// Maximum number of events replayed for aliases. Nested aliases multiply: with the library's own limit, a million, 300 bytes would add half a second
/// to a cold start.
const MOST_REPEATED: usize = 10_000;

/// Parses the document. Scalars become strings, an empty value becomes null, and an empty document becomes an empty mapping.
///
/// The error is part of a sentence and contains none of the document's text, which may hold secrets.
pub(super) fn parse(source: &str) -> Result<Map<String, Value>, String> {
    // Byte offsets are counted after the byte order mark that some editors write.
    let source = source.trim_start_matches('\u{feff}');
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEEPEST },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MOST_REPEATED },
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    let root: Spanned<Node> = serde_saphyr::from_str_with_options(source, options).map_err(|error| describe(&error))?;
    match written(source, root) {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => Err("is not a mapping of settings".to_owned()),
    }
}

/// The value at a dotted path such as `logs_config.logs_dd_url`.
///
/// The error is the prefix of the path whose value is not a mapping although it should be.
pub(super) fn find<'v, 'p>(root: &'v Map<String, Value>, path: &'p str) -> Result<Option<&'v Value>, &'p str> {
    let mut map = root;
    let mut from = 0;
    loop {
        let rest = path.get(from..).unwrap_or_default();
        let Some(dot) = rest.find('.') else {
            return Ok(map.get(rest).filter(|value| !value.is_null()));
        };
        let upto = from + dot;
        match map.get(rest.get(..dot).unwrap_or_default()) {
            Some(Value::Object(inner)) => map = inner,
            None | Some(Value::Null) => return Ok(None),
            Some(_) => return Err(path.get(..upto).unwrap_or(path)),
        }
        from = upto + 1;
    }
}

/// Removes and returns the value at a dotted path.
pub(super) fn remove(root: &mut Map<String, Value>, path: &str) -> Option<Value> {
    match path.split_once('.') {
        Some((name, rest)) => remove(root.get_mut(name)?.as_object_mut()?, rest),
        None => root.remove(path),
    }
}

enum Node {
    Null,
    /// A scalar that is text, because it is quoted or looks like no other type.
    Text(String),
    /// A scalar that YAML parses as another type, in YAML's own notation.
    Typed(String),
    List(Vec<Spanned<Node>>),
    Map(Vec<(String, Spanned<Node>)>),
}

/// The tree with each typed scalar replaced by its source text.
fn written(source: &str, node: Spanned<Node>) -> Value {
    let span = node.defined.span();
    match node.value {
        Node::Null => Value::Null,
        Node::Text(text) => Value::String(text),
        Node::Typed(spelling) => Value::String(slice(source, span).map_or(spelling, str::to_owned)),
        Node::List(items) => Value::Array(items.into_iter().map(|item| written(source, item)).collect()),
        Node::Map(entries) => {
            Value::Object(entries.into_iter().map(|(key, value)| (key, written(source, value))).collect())
        }
    }
}

/// The source text of a typed scalar; `None` if the span covers more than the bare scalar, as with an explicit tag.
fn slice(source: &str, span: serde_saphyr::Span) -> Option<&str> {
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    let text = source.get(start..start.checked_add(length)?)?.trim();
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
    (!text.is_empty() && text.chars().all(bare)).then_some(text)
}

fn describe(error: &serde_saphyr::Error) -> String {
    match error.location() {
        Some(at) => format!("is not readable YAML at line {}, column {}", at.line(), at.column()),
        None => "is not readable YAML".to_owned(),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Typed(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Typed(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Typed(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Typed(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn aliases_do_not_multiply_without_bound() {
        let mut source = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..6 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            source += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        assert!(parse(&source).is_err());
        let few = source.lines().take(3).collect::<Vec<_>>().join("\n");
        assert!(parse(&few).is_ok(), "a thousand elements are no bomb");
    }

    #[test]
    fn what_is_nested_too_deeply_is_refused_and_exhausts_no_stack() {
        for (opening, closing) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
            for depth in [100, 1_000, 10_000, 100_000] {
                let nested = format!("env: x\ndeep:\n  {}1{}", opening.repeat(depth), closing.repeat(depth));
                assert!(parse(&nested).is_err(), "{opening} {depth} times");
            }
        }
    }

    fn tree(source: &str) -> Value {
        parse(source).map(Value::Object).unwrap()
    }

    #[test]
    fn scalars_keep_the_spelling_they_were_written_in() {
        let source = "# é\nversion: 1.10 # comment\nenv: 0123\nkey: 12345678901234567890123456789012\n\
                      hex: 123e4567\nhuge: 9e99999\nflag: True\nquoted: '0.50'\nnothing:\nsigned: +5\nlast: 0x1F";
        assert_eq!(
            tree(source),
            json!({
                "version": "1.10", "env": "0123", "key": "12345678901234567890123456789012", "hex": "123e4567",
                "huge": "9e99999", "flag": "True", "quoted": "0.50", "nothing": null, "signed": "+5", "last": "0x1F",
            })
        );
    }

    #[test]
    fn aliases_and_merges_keep_it_too() {
        let source = "one: &v 1.10\ntwo: *v\nbase: &b {version: 2.50}\nmerged:\n  <<: *b\n  x: [1.0, é, 2.00]";
        assert_eq!(
            tree(source),
            json!({
                "one": "1.10", "two": "1.10", "base": {"version": "2.50"},
                "merged": {"x": ["1.0", "é", "2.00"], "version": "2.50"},
            })
        );
    }

    #[test]
    fn an_explicit_tag_falls_back_to_the_value_itself() {
        assert_eq!(tree("a: !!int 5\nb: !!str 1.10\nc: !!float 1.5"), json!({"a": "5", "b": "1.10", "c": "1.5"}));
    }

    #[test]
    fn a_byte_order_mark_and_an_empty_document_are_harmless() {
        assert_eq!(tree("\u{feff}a: 1.0"), json!({"a": "1.0"}));
        assert_eq!(tree(""), json!({}));
        assert_eq!(tree("# only a comment\n"), json!({}));
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        assert_eq!(tree("site: a\nsite: b"), json!({"site": "b"}));
    }

    #[test]
    fn errors_name_the_position_without_the_text() {
        let why = parse("site: ok\napi_key: [secret").unwrap_err();
        assert!(why.starts_with("is not readable YAML at line "), "{why}");
        assert!(!why.contains("secret"), "{why}");
        assert_eq!(parse("- a\n- b").unwrap_err(), "is not a mapping of settings");
        assert!(parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn paths_reach_into_mappings() {
        let Value::Object(root) = json!({"a": {"b": "1", "c": null}, "d": "2", "e": null}) else { unreachable!() };
        assert_eq!(find(&root, "a.b"), Ok(Some(&json!("1"))));
        assert_eq!(find(&root, "d"), Ok(Some(&json!("2"))));
        for absent in ["a.c", "a.x", "x.y", "e", "e.f"] {
            assert_eq!(find(&root, absent), Ok(None), "{absent}");
        }
        assert_eq!(find(&root, "d.b"), Err("d"));
        assert_eq!(find(&root, "a.b.c"), Err("a.b"));
    }
}
