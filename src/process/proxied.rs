//! What tracers send to the trace agent beside spans and their statistics, and which intake each of it goes to. None of it is read here.

/// A product of Datadog whose data passes through as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Product {
    /// Statistics of Data Streams Monitoring.
    DataStreams,
    /// Profiles.
    Profiling,
    /// Evaluations of LLM Observability.
    LlmEvaluations,
    /// Spans of LLM Observability.
    LlmSpans,
    /// Snapshots of Dynamic Instrumentation, which are logs.
    DebuggerLogs,
    /// Other data of Dynamic Instrumentation.
    Debugger,
    /// Instrumentation telemetry: configuration and integrations of tracers.
    InstrumentationTelemetry,
}

/// A path of the trace agent whose requests are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxiedRoute {
    /// The local path, on port 8126.
    pub path: &'static str,
    /// The product.
    pub product: Product,
    /// The path at the intake.
    pub target: &'static str,
    /// The product's name in error replies.
    pub context: &'static str,
}

/// All of them.
pub const ROUTES: [ProxiedRoute; 9] = [
    route("/v0.1/pipeline_stats", Product::DataStreams, "/api/v0.1/pipeline_stats", "DSM"),
    route("/profiling/v1/input", Product::Profiling, "/api/v2/profile", "profiling"),
    route(
        "/evp_proxy/v2/api/intake/llm-obs/v1/eval-metric",
        Product::LlmEvaluations,
        "/api/intake/llm-obs/v1/eval-metric",
        "llm_obs_eval_metric",
    ),
    route(
        "/evp_proxy/v2/api/intake/llm-obs/v2/eval-metric",
        Product::LlmEvaluations,
        "/api/intake/llm-obs/v2/eval-metric",
        "llm_obs_eval_metric",
    ),
    route("/evp_proxy/v2/api/v2/llmobs", Product::LlmSpans, "/api/v2/llmobs", "llm_obs_spans"),
    route("/debugger/v1/input", Product::DebuggerLogs, "/api/v2/logs", "debugger_logs"),
    route("/debugger/v2/input", Product::Debugger, "/api/v2/debugger", "debugger"),
    route("/debugger/v1/diagnostics", Product::Debugger, "/api/v2/debugger", "debugger"),
    route(
        "/telemetry/proxy/api/v2/apmtelemetry",
        Product::InstrumentationTelemetry,
        "/api/v2/apmtelemetry",
        "instrumentation",
    ),
];

const fn route(path: &'static str, product: Product, target: &'static str, context: &'static str) -> ProxiedRoute {
    ProxiedRoute { path, product, target, context }
}

impl Product {
    /// What stands before the site in the name of its intake.
    pub fn subdomain(self) -> &'static str {
        match self {
            Self::DataStreams => "trace.agent",
            Self::Profiling => "intake.profile",
            Self::LlmEvaluations => "api",
            Self::LlmSpans => "llmobs-intake",
            Self::DebuggerLogs => "http-intake.logs",
            Self::Debugger => "debugger-intake",
            Self::InstrumentationTelemetry => "instrumentation-telemetry-intake",
        }
    }
}

/// A request of a tracer's, as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxiedRequest {
    /// The route of the request.
    pub route: ProxiedRoute,
    /// The query, without `?`.
    pub query: Option<String>,
    /// All headers, with names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl ProxiedRequest {
    /// What it takes of memory, in bytes.
    pub fn bytes(&self) -> usize {
        /// What the allocator and the vectors take for each header, in bytes.
        const HEADER: usize = 64;
        let headers = self.headers.iter().map(|(name, value)| HEADER + name.len() + value.len());
        self.body.capacity() + headers.sum::<usize>() + self.query.as_ref().map_or(0, String::len)
    }
}
