//! Obfuscation: removes the customer's data from queries, commands and URLs, by the type of the span, and by the database system that OpenTelemetry names.
//!
//! What the public extension does by default is done: SQL, Redis commands in resources, and URLs. It leaves credit card numbers, Memcached commands and the queries
//! of `MongoDB`, Elasticsearch and `OpenSearch` as they are, and offers no setting for them. As the full agent does, and the public extension does not, queries go
//! out of the tags of OpenTelemetry too.
//!
//! Written by hand: `libdd-trace-obfuscation` depends on 112 packages for what are functions from text to text: 33 that nothing else here needs, and second
//! versions of `nix`, `rand`, `thiserror` and `rustls-native-certs`. Both give the same for the queries of its own tests.

mod queries;
mod redis;
mod sql;
mod url;

use queries::Language;

use super::{
    settings::Obfuscation,
    span::{Span, Text},
};

/// From this length on, in bytes, a query is compared with the last one before it is obfuscated. The comparison of short ones would not be worth the copy.
const LONG_QUERY: usize = 1 << 10;

/// The last long query: the strings of a request are shared by its spans, so that one text may be the query of thousands.
#[derive(Debug, Default)]
pub(super) struct LastQuery {
    dialect: Option<sql::Dialect>,
    query: String,
    obfuscated: String,
}

impl LastQuery {
    fn obfuscate(&mut self, query: &str, dialect: sql::Dialect) -> String {
        if query.len() < LONG_QUERY {
            return obfuscated(query, dialect);
        }
        if self.dialect != Some(dialect) || self.query != query {
            *self = Self { dialect: Some(dialect), query: query.to_owned(), obfuscated: obfuscated(query, dialect) };
        }
        self.obfuscated.clone()
    }
}

/// The query without literals, which may be far shorter, in about as much memory.
fn obfuscated(query: &str, dialect: sql::Dialect) -> String {
    let mut obfuscated = sql::obfuscate(query, dialect);
    if obfuscated.capacity() / 4 * 3 > obfuscated.len() {
        obfuscated.shrink_to_fit();
    }
    obfuscated
}

/// Obfuscates a span.
pub(super) fn span(span: &mut Span<'_>, settings: &Obfuscation, last: &mut LastQuery) {
    match &*span.kind {
        "sql" | "cassandra" if !span.resource.is_empty() => {
            let dialect = sql::Dialect::of(span.meta.get("db.type").map(|kind| &**kind).unwrap_or_default());
            let query = last.obfuscate(&span.resource, dialect);
            if queries::has_query(span) {
                queries::obfuscate(span, Language::Sql(dialect), Some(&query), last);
            }
            span.meta.set("sql.query", Text::Owned(query.clone()));
            span.resource = Text::Owned(query);
            return;
        }
        "redis" | "valkey" => {
            let commands = redis::quantize(&span.resource);
            if queries::has_query(span) {
                queries::obfuscate(span, Language::Redis, Some(&commands), last);
            }
            span.resource = Text::Owned(commands);
            return;
        }
        "web" | "http" => {
            if let Some(value) = span.meta.get_mut("http.url")
                && let Some(cleaned) = url::clean(value, settings)
            {
                *value = Text::Owned(cleaned);
            }
        }
        _ => {}
    }
    if queries::has_query(span)
        && let Some(language) = Language::of(span)
    {
        queries::obfuscate(span, language, None, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_whose_literals_go_takes_the_memory_of_what_is_left() {
        for literals in [90, 2000] {
            let query = format!("INSERT INTO t VALUES {}", vec!["('a', 1)"; literals].join(", "));
            let mut insert = Span { kind: "sql".into(), resource: query.into(), ..Span::default() };
            span(&mut insert, &Obfuscation::default(), &mut LastQuery::default());
            assert_eq!(insert.resource, "INSERT INTO t VALUES ( ? )");
            assert!(insert.owned_bytes() < 100, "{}", insert.owned_bytes());
        }
    }

    #[test]
    fn the_last_query_is_used_for_the_same_text_in_the_same_dialect_alone() {
        let mut last = LastQuery::default();
        let query =
            |name: &str| format!("SELECT [{name}] FROM t WHERE a = 1 AND b IN ({})", vec!["2"; LONG_QUERY].join(","));
        for name in ["x", "x", "y", "x"] {
            for dialect in [sql::Dialect::SqlServer, sql::Dialect::Postgres, sql::Dialect::Postgres] {
                assert_eq!(
                    last.obfuscate(&query(name), dialect),
                    sql::obfuscate(&query(name), dialect),
                    "{name} {dialect:?}"
                );
            }
        }
    }
}
