//! Routes of the trace agent: path, methods and handler.

use axum::http::Method;

use crate::process::{
    proxied::{self, ProxiedRoute},
    trace::decode::Version,
};

/// Maximum body of a request with traces, in bytes.
pub const MAX_TRACE_BODY_BYTES: usize = 50 << 20;
/// Maximum body of every other request, in bytes.
pub const MAX_BODY_BYTES: usize = 2 << 20;

/// Where tracers send the statistics that they have computed.
pub const STATS_PATH: &str = "/v0.6/stats";

/// A path that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Spans.
    Traces(Version),
    /// Statistics that a tracer has computed.
    Stats,
    /// `/info`: endpoints and features of this agent.
    Info,
    /// Passed on.
    Proxied(ProxiedRoute),
}

/// The paths that `/info` lists. A path with a newer version of the format is not among them, so that tracers fall back to these. `/evp_proxy/v2/` is what some
/// tracers look for before they send anything of LLM Observability.
const ENDPOINTS: [&str; 13] = [
    "/v0.4/traces",
    "/v0.5/traces",
    "/v0.6/stats",
    "/v0.1/pipeline_stats",
    "/profiling/v1/input",
    "/info",
    "/evp_proxy/v2/",
    "/evp_proxy/v2/api/intake/llm-obs/v1/eval-metric",
    "/evp_proxy/v2/api/intake/llm-obs/v2/eval-metric",
    "/evp_proxy/v2/api/v2/llmobs",
    "/debugger/v1/input",
    "/debugger/v2/input",
    "/debugger/v1/diagnostics",
];

impl Route {
    /// The route of a path; `None` answers 404.
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/v0.4/traces" => Some(Self::Traces(Version::V04)),
            "/v0.5/traces" => Some(Self::Traces(Version::V05)),
            STATS_PATH => Some(Self::Stats),
            "/info" => Some(Self::Info),
            _ => proxied::ROUTES.iter().find(|route| route.path == path).copied().map(Self::Proxied),
        }
    }

    /// The methods that it takes, as the header `Allow` lists them; None: any.
    pub fn methods(self) -> Option<&'static str> {
        match self {
            Self::Traces(_) | Self::Stats => Some("POST, PUT"),
            Self::Proxied(_) => Some("POST"),
            Self::Info => None,
        }
    }

    /// True if the route serves this method.
    pub fn takes(self, method: &Method) -> bool {
        self.methods().is_none_or(|methods| methods.split(", ").any(|known| known == method.as_str()))
    }

    /// Maximum body of a request to it, in bytes.
    pub fn max_bytes(self) -> usize {
        match self {
            Self::Traces(_) => MAX_TRACE_BODY_BYTES,
            Self::Stats | Self::Info | Self::Proxied(_) => MAX_BODY_BYTES,
        }
    }
}

/// The path for traces of this version.
pub fn path(version: Version) -> &'static str {
    match version {
        Version::V04 => "/v0.4/traces",
        Version::V05 => "/v0.5/traces",
    }
}

/// The document at `/info`. Tracers must not drop traces that they did not sample: statistics may be computed from those.
pub fn info() -> String {
    let endpoints = ENDPOINTS.map(|path| format!("\"{path}\"")).join(",");
    format!("{{\"endpoints\":[{endpoints}],\"client_drop_p0s\":false}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_to_the_letter() {
        for path in
            ["/v0.3/traces", "/v0.7/traces", "/v1.0/traces", "/v0.4/traces/", "/", "", "/V0.4/traces", "/v0.7/config"]
        {
            assert_eq!(Route::of(path), None, "{path}");
        }
        assert_eq!(Route::of("/v0.5/traces"), Some(Route::Traces(Version::V05)));
        assert_eq!(Route::of("/debugger/v2/input"), Some(Route::Proxied(proxied::ROUTES[6])));
    }

    #[test]
    fn methods_are_those_of_the_route() {
        for (path, methods) in
            [("/v0.4/traces", "POST PUT"), ("/profiling/v1/input", "POST"), ("/info", "GET POST PUT HEAD")]
        {
            let route = Route::of(path).unwrap();
            for method in [Method::GET, Method::POST, Method::PUT, Method::HEAD] {
                assert_eq!(route.takes(&method), methods.contains(method.as_str()), "{method} {path}");
            }
        }
    }

    #[test]
    fn info_lists_what_is_served_and_what_tracers_look_for() {
        let info: serde_json::Value = serde_json::from_str(&info()).unwrap();
        assert_eq!(info["client_drop_p0s"], false);
        let listed: Vec<&str> =
            info["endpoints"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
        assert_eq!(listed, ENDPOINTS);
        assert!(listed.iter().all(|path| Route::of(path).is_some() || path.ends_with('/')));
    }
}
