//! Spans of requests that the runtime and the tracer make to Lambda and to this extension. They say nothing about the customer's code.

use super::span::{Span, is_same};

/// The resource of the span that stands in for the invocation until the extension has built the real one.
pub(super) const PLACEHOLDER: &str = "dd-tracer-serverless-span";

/// Lambda's Runtime API, the lifecycle listener and DogStatsD.
const ADDRESSES: [&str; 3] = ["127.0.0.1:9001", "127.0.0.1:8124", "127.0.0.1:8125"];
const RESOLVED: [&str; 3] = ["0.0.0.0", "127.0.0.1", "169.254.79.129"];

/// Whether a span is about such a request.
pub(super) fn is_self_traffic(span: &Span<'_>) -> bool {
    is_same(&span.resource, PLACEHOLDER)
        || is_same(&span.name, "dns.lookup")
        || is_same(&span.resource, "127.0.0.1")
        || is_same(&span.resource, "0.0.0.0")
        || span.meta.get("http.url").and_then(|url| url.strip_prefix("http://")).is_some_and(is_address)
        || span.meta.get("dns.address").is_some_and(|address| RESOLVED.iter().any(|own| address.starts_with(own)))
        || is_connection(span)
}

fn is_address(rest: &str) -> bool {
    ADDRESSES.iter().any(|address| rest.starts_with(address))
}

fn is_connection(span: &Span<'_>) -> bool {
    let Some(host) = span.meta.get("tcp.remote.host") else { return false };
    match (span.meta.get("tcp.remote.port"), span.metrics.get("tcp.remote.port")) {
        (Some(port), _) => is_address(&format!("{host}:{port}")),
        (None, Some(port)) => is_address(&format!("{host}:{port}")),
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(tags: &[(&'static str, &'static str)]) -> Span<'static> {
        let meta = tags.iter().map(|(key, value)| (*key, (*value).into())).collect();
        Span { name: "http.request".into(), resource: "GET".into(), meta, ..Span::default() }
    }

    #[test]
    fn requests_to_lambda_and_the_extension_are_recognised() {
        for tags in [
            &[("http.url", "http://127.0.0.1:9001/2018-06-01/runtime/invocation/next")][..],
            &[("http.url", "http://127.0.0.1:8124/lambda/start-invocation")],
            &[("tcp.remote.host", "127.0.0.1"), ("tcp.remote.port", "8125")],
            &[("dns.address", "169.254.79.129")],
            &[("dns.address", "0.0.0.0")],
        ] {
            assert!(is_self_traffic(&span(tags)), "{tags:?}");
        }
        let mut connection = span(&[("tcp.remote.host", "127.0.0.1")]);
        connection.metrics.set("tcp.remote.port", 8124.0);
        assert!(is_self_traffic(&connection), "dd-trace for Node.js has the port as a number");
        let base = span(&[]);
        assert!(is_self_traffic(&Span { resource: PLACEHOLDER.into(), ..base.clone() }));
        assert!(is_self_traffic(&Span { name: "dns.lookup".into(), ..base.clone() }));
        assert!(is_self_traffic(&Span { resource: "0.0.0.0".into(), ..base.clone() }));
    }

    #[test]
    fn other_requests_are_not() {
        for tags in [
            &[][..],
            &[("http.url", "https://127.0.0.1:9001/")],
            &[("http.url", "http://127.0.0.1:8126/")],
            &[("http.url", "http://example.com/?u=http://127.0.0.1:9001")],
            &[("tcp.remote.host", "127.0.0.1")],
            &[("tcp.remote.host", "127.0.0.1"), ("tcp.remote.port", "5432")],
            &[("dns.address", "10.0.0.1")],
        ] {
            assert!(!is_self_traffic(&span(tags)), "{tags:?}");
        }
        let mut connection = span(&[("tcp.remote.host", "127.0.0.1")]);
        connection.metrics.set("tcp.remote.port", 5432.0);
        assert!(!is_self_traffic(&connection));
    }
}
