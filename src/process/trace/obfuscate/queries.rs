//! Queries in the tags that OpenTelemetry has for them. The type of such a span says little or nothing about their language: the system that they were sent to does.
//!
//! Source: OpenTelemetry's semantic conventions for databases, with the names from before version 1.26 as well.

use super::{LastQuery, redis, sql};
use crate::process::trace::span::{Span, Text};

/// The tags with the text of a query.
const QUERIES: [&str; 2] = ["db.query.text", "db.statement"];

/// Systems whose commands stay as they are, like those of spans that tracers give their types. Everything else is read as SQL: systems that have it come up each
/// year, and of a text that is none, numbers and quoted texts go as well.
const LEFT: [&str; 7] = ["memcached", "mongodb", "elasticsearch", "opensearch", "dynamodb", "aws.dynamodb", "couchdb"];

/// The query language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Sql(sql::Dialect),
    Redis,
}

impl Language {
    /// By the system in a span's tags; None if none is named or its commands stay as they are.
    pub(super) fn of(span: &Span<'_>) -> Option<Self> {
        let system = span.meta.get("db.system.name").or_else(|| span.meta.get("db.system"));
        let system = system.filter(|system| !system.is_empty())?;
        let is_in = |names: &[&str]| names.iter().any(|name| system.eq_ignore_ascii_case(name));
        if is_in(&["redis", "valkey"]) {
            Some(Self::Redis)
        } else if is_in(&LEFT) {
            None
        } else {
            Some(Self::Sql(sql::Dialect::of(system)))
        }
    }

    fn obfuscate(self, query: &str, last: &mut LastQuery) -> String {
        match self {
            Self::Sql(dialect) => last.obfuscate(query, dialect),
            Self::Redis => redis::quantize(query),
        }
    }
}

/// Whether a span has such a tag, which most have not.
#[inline]
pub(super) fn has_query(span: &Span<'_>) -> bool {
    span.meta.contains("db.query.text") || span.meta.contains("db.statement")
}

/// Obfuscates these tags, and the resource where it is one of the queries. `of_resource` is what becomes of the resource, if its own rule says that already.
pub(super) fn obfuscate(span: &mut Span<'_>, language: Language, of_resource: Option<&str>, last: &mut LastQuery) {
    for key in QUERIES {
        let Some(value) = span.meta.get_mut(key) else { continue };
        let is_resource = *value == span.resource;
        let query = match of_resource {
            Some(query) if is_resource => query.to_owned(),
            _ => language.obfuscate(value, last),
        };
        *value = Text::Owned(query.clone());
        if is_resource && of_resource.is_none() {
            span.resource = Text::Owned(query);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Obfuscation, *};

    /// A span of that type and system whose resource is its query, or another text.
    fn obfuscated(kind: &str, tags: &[(&'static str, &'static str)], resource: &'static str) -> Span<'static> {
        let mut span = Span { kind: kind.to_owned().into(), resource: resource.into(), ..Span::default() };
        for (key, value) in tags {
            span.meta.set(*key, (*value).into());
        }
        super::super::span(&mut span, &Obfuscation::default(), &mut LastQuery::default());
        span
    }

    #[test]
    fn the_system_says_what_a_query_is_written_in() {
        const SQL: &str = "SELECT [a] FROM t WHERE b ? 'k' AND c = 12";
        for (system, expected) in [
            ("postgresql", "SELECT [ a ] FROM t WHERE b ? ? AND c = ?"),
            ("microsoft.sql_server", "SELECT a FROM t WHERE b ? AND c = ?"),
            ("MSSQL", "SELECT a FROM t WHERE b ? AND c = ?"),
            ("mysql", "SELECT [ a ] FROM t WHERE b ? AND c = ?"),
            ("a.system.of.tomorrow", "SELECT [ a ] FROM t WHERE b ? AND c = ?"),
            ("redis", "SELECT"),
            ("valkey", "SELECT"),
            ("mongodb", SQL),
            ("", SQL),
        ] {
            for (name, text) in [("db.system.name", "db.query.text"), ("db.system", "db.statement")] {
                let span = obfuscated("db", &[(name, system), (text, SQL)], SQL);
                let tag = span.meta.get(text).map(|text| &**text);
                assert_eq!((tag, &*span.resource), (Some(expected), expected), "{system}");
            }
        }
        let none = obfuscated("db", &[("db.statement", SQL)], SQL);
        assert_eq!(none.resource, SQL, "nobody said what it is");
    }

    #[test]
    fn a_resource_that_is_no_query_stays() {
        let tags = [("db.system", "mysql"), ("db.statement", "SELECT 'secret'"), ("http.url", "http://u:p@h/")];
        let span = obfuscated("http", &tags, "SELECT 1 row");
        let tags = ["db.statement", "http.url"].map(|key| span.meta.get(key).map(|text| &**text));
        assert_eq!((&*span.resource, tags), ("SELECT 1 row", [Some("SELECT ?"), Some("http://h/")]));
    }

    #[test]
    fn tags_of_spans_that_their_type_obfuscates_are_obfuscated_as_well() {
        let query = "SELECT a FROM t WHERE b = 'secret'";
        let tags = [("db.statement", query), ("db.query.text", "SELECT 'other secret'")];
        let span = obfuscated("sql", &tags, query);
        let expected = "SELECT a FROM t WHERE b = ?";
        let of = |key: &str| span.meta.get(key).map(|text| &**text);
        assert_eq!((&*span.resource, of("sql.query"), of("db.statement")), (expected, Some(expected), Some(expected)));
        assert_eq!(of("db.query.text"), Some("SELECT ?"));
        let span = obfuscated("redis", &[("db.statement", "SET key secret")], "SET key secret");
        assert_eq!((&*span.resource, span.meta.get("db.statement").map(|text| &**text)), ("SET", Some("SET")));
    }
}
