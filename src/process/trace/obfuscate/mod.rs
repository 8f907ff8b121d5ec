//! Takes the customer's data out of queries, commands and URLs, by the type of the span.
//!
//! Only what the public extension does by default is done: SQL, Redis commands in resources, and URLs. It leaves credit card numbers, Memcached commands and the
//! queries of `MongoDB`, Elasticsearch and `OpenSearch` as they are, and offers no setting for them.
//!
//! Written by hand: `libdd-trace-obfuscation` depends on 112 packages for what are functions from text to text: 33 that nothing else here needs, and second
//! versions of `nix`, `rand`, `thiserror` and `rustls-native-certs`. Both give the same for the queries of its own tests.

mod redis;
mod sql;
mod url;

use super::{
    settings::Obfuscation,
    span::{Span, Text},
};

/// Obfuscates a span.
pub(super) fn span(span: &mut Span<'_>, settings: &Obfuscation) {
    match &*span.kind {
        "sql" | "cassandra" if !span.resource.is_empty() => {
            let dialect = sql::Dialect::of(span.meta.get("db.type").map(|kind| &**kind).unwrap_or_default());
            let query = sql::obfuscate(&span.resource, dialect);
            span.meta.set("sql.query", Text::Owned(query.clone()));
            span.resource = Text::Owned(query);
        }
        "redis" | "valkey" => span.resource = Text::Owned(redis::quantize(&span.resource)),
        "web" | "http" => {
            if let Some(value) = span.meta.get_mut("http.url")
                && let Some(cleaned) = url::clean(value, settings)
            {
                *value = Text::Owned(cleaned);
            }
        }
        _ => {}
    }
}
