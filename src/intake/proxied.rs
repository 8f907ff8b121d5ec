//! What tracers send beside spans, passed on as it was received.

use std::sync::Arc;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::{
    Kind, Target, UnsealedPayload,
    compression::gzip,
    descriptor::{Descriptor, Encoding, Success},
    payload::RequestHead,
};
use crate::{
    config::Config,
    process::proxied::{Product, ProxiedRequest, ROUTES},
};

/// Each request says itself what it is and where it goes.
pub(super) const DESCRIPTOR: Descriptor = Descriptor {
    name: "PROXY",
    path: "/",
    content_type: "application/octet-stream",
    headers: &[],
    encoding: Encoding::Zstd,
    max_sealed_bytes: None,
    success: Success::Any,
};

/// Says which function something comes from.
const ADDITIONAL_TAGS: HeaderName = HeaderName::from_static("x-datadog-additional-tags");

/// Headers that are about the tracer's own connection, or that this extension sets itself. HTTP/2 does not allow most of them.
const NOT_FORWARDED: [&str; 14] = [
    "connection",
    "content-length",
    "dd-api-key",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-datadog-additional-tags",
];

/// Where tracers send what they know of data streams.
const DATA_STREAMS: &str = "/v0.1/pipeline_stats";

/// Checkpoints of this extension's own, as a tracer would send them; None if they cannot be compressed.
pub fn checkpoints(payload: &[u8]) -> Option<ProxiedRequest> {
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    Some(ProxiedRequest {
        route: *ROUTES.iter().find(|route| route.path == DATA_STREAMS)?,
        query: None,
        headers: vec![header("content-type", "application/msgpack"), header("content-encoding", "gzip")],
        body: gzip(payload).ok()?,
    })
}

/// The same request to the intake, in the name of that function.
pub fn unsealed(request: ProxiedRequest, function: &str) -> UnsealedPayload {
    let ProxiedRequest { route, query, headers: received, body } = request;
    let mut headers = HeaderMap::new();
    for (name, value) in received {
        // All of them were headers a moment ago.
        if !NOT_FORWARDED.contains(&name.as_str())
            && let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
        {
            headers.append(name, value);
        }
    }
    if let Ok(tags) = HeaderValue::try_from(format!("_dd.origin:lambda;functionname:{function}")) {
        headers.insert(ADDITIONAL_TAGS, tags);
    }
    let path = query.map_or_else(|| route.target.to_owned(), |query| format!("{}?{query}", route.target));
    UnsealedPayload {
        kind: Kind::Proxied(route.product),
        head: Some(Arc::new(RequestHead { path: Some(path), headers })),
        body: body.into(),
        level: None,
        items: 1,
        to: vec![Target::Primary],
        plain_to: Vec::new(),
    }
}

/// The URLs of each proxied product.
#[derive(Debug, Clone)]
pub(super) struct ProxiedUrls {
    site: String,
    apm: String,
    given: crate::config::ProxiedUrls,
}

impl ProxiedUrls {
    pub(super) fn new(config: &Config) -> Self {
        Self { site: config.site.clone(), apm: config.apm.url.clone(), given: config.apm.proxied.clone() }
    }

    /// The URL of a request with this path and query.
    pub(super) fn url(&self, product: Product, path: &str) -> String {
        let given = &self.given;
        let query = path.find('?').and_then(|at| path.get(at..)).unwrap_or_default();
        let whole = match product {
            Product::Profiling => given.profiling.as_ref(),
            Product::DebuggerLogs | Product::Debugger => given.debugger.as_ref(),
            _ => None,
        };
        let base = match product {
            Product::DataStreams => Some(&self.apm),
            Product::LlmEvaluations | Product::LlmSpans => given.llm_observability.as_ref(),
            Product::InstrumentationTelemetry => given.telemetry.as_ref(),
            _ => None,
        };
        match (whole, base) {
            (Some(whole), _) => format!("{whole}{query}"),
            (None, Some(base)) => format!("{base}{path}"),
            (None, None) => format!("https://{}.{}{path}", product.subdomain(), self.site),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::proxied::ROUTES;

    fn config() -> Config {
        crate::config::load([("DD_SITE", "datadoghq.eu")], None).config
    }

    #[test]
    fn every_product_goes_to_its_own_intake_of_the_site() {
        let urls = ProxiedUrls::new(&config());
        let found: Vec<_> = ROUTES.iter().map(|route| urls.url(route.product, route.target)).collect();
        let expected = [
            "https://trace.agent.datadoghq.eu/api/v0.1/pipeline_stats",
            "https://intake.profile.datadoghq.eu/api/v2/profile",
            "https://api.datadoghq.eu/api/intake/llm-obs/v1/eval-metric",
            "https://api.datadoghq.eu/api/intake/llm-obs/v2/eval-metric",
            "https://llmobs-intake.datadoghq.eu/api/v2/llmobs",
            "https://http-intake.logs.datadoghq.eu/api/v2/logs",
            "https://debugger-intake.datadoghq.eu/api/v2/debugger",
            "https://debugger-intake.datadoghq.eu/api/v2/debugger",
            "https://instrumentation-telemetry-intake.datadoghq.eu/api/v2/apmtelemetry",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn settings_replace_the_intakes_of_the_site() {
        let mut config = config();
        config.apm.url = "http://traces".to_owned();
        config.apm.proxied = crate::config::ProxiedUrls {
            profiling: Some("http://profiles/in".to_owned()),
            debugger: Some("http://debugger/in".to_owned()),
            telemetry: Some("http://telemetry".to_owned()),
            llm_observability: Some("http://llm".to_owned()),
        };
        let urls = ProxiedUrls::new(&config);
        for (product, path, expected) in [
            (Product::DataStreams, "/api/v0.1/pipeline_stats", "http://traces/api/v0.1/pipeline_stats"),
            (Product::Profiling, "/api/v2/profile", "http://profiles/in"),
            (Product::DebuggerLogs, "/api/v2/logs?ddtags=a:b", "http://debugger/in?ddtags=a:b"),
            (Product::Debugger, "/api/v2/debugger", "http://debugger/in"),
            (Product::LlmSpans, "/api/v2/llmobs", "http://llm/api/v2/llmobs"),
            (Product::LlmEvaluations, "/api/x", "http://llm/api/x"),
            (Product::InstrumentationTelemetry, "/api/v2/apmtelemetry", "http://telemetry/api/v2/apmtelemetry"),
        ] {
            assert_eq!(urls.url(product, path), expected);
        }
    }

    #[test]
    fn headers_of_the_connection_are_left_out_and_those_of_the_body_stay() {
        let names = ["host", "connection", "content-length", "dd-api-key", "content-type", "dd-evp-origin"];
        let headers = names.map(|name| (name.to_owned(), b"x".to_vec())).to_vec();
        let request =
            ProxiedRequest { route: ROUTES[1], query: Some("a=b".to_owned()), headers, body: b"body".to_vec() };
        let payload = unsealed(request, "shop");
        let head = payload.head.unwrap();
        let mut names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "dd-evp-origin", "x-datadog-additional-tags"]);
        assert_eq!(head.headers[ADDITIONAL_TAGS], "_dd.origin:lambda;functionname:shop");
        assert_eq!(head.path.as_deref(), Some("/api/v2/profile?a=b"));
        assert_eq!((&payload.body[..], payload.level, payload.items), (&b"body"[..], None, 1));
    }
}
