//! What the rest of the extension sees of the settings about traces and what tracers send beside them.

use std::sync::Arc;

use super::types::{DEFAULT_COMPRESSION_LEVEL, DEFAULT_SITE, Endpoint};

/// How spans are received, processed and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apm {
    /// Scheme and host of the intake for traces, trace statistics and data streams, no trailing `/`: the intake path is appended to it.
    pub url: String,
    /// Where traces and trace statistics go besides.
    pub additional_endpoints: Vec<Arc<Endpoint>>,
    /// Zstandard level of traces.
    pub compression_level: i32,
    /// Whether the extension computes statistics of spans whose tracer does not.
    pub compute_stats: bool,
    /// Keys of tags that tell groups of statistics apart besides those that always do.
    pub additional_stats_tags: Vec<String>,
    /// Maximum number of distinct values of these.
    pub max_additional_stats_tags: Option<usize>,
    /// Whether a trace that its tracer did not sample is kept if a span of it failed; only where statistics are computed here.
    pub error_sampler: bool,
    /// Whether spans of AWS services are services of their own; otherwise they are all `aws.lambda`.
    pub service_representation: bool,
    /// In the order given; patterns are not compiled here.
    pub replace_rules: Vec<ReplaceRule>,
    pub http: HttpObfuscation,
    pub filters: TagFilters,
    pub proxied: ProxiedUrls,
    pub payloads: PayloadCapture,
    /// Words that change details.
    pub features: Vec<String>,
}

/// A rule that replaces text in tags of spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaceRule {
    /// Key of a tag, `resource.name`, or `*` for all tags.
    pub name: String,
    /// Regular expression.
    pub pattern: String,
    /// What each match is replaced by; `$1` or `${1}` is a group of the pattern.
    pub replacement: String,
}

/// What is removed from the tag `http.url`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpObfuscation {
    pub remove_query_string: bool,
    pub remove_paths_with_digits: bool,
}

/// Which traces are kept, by the tags of their root spans: `key:value`, or `key` for any value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagFilters {
    /// All of them have to match.
    pub require: Vec<String>,
    /// None of them may match.
    pub reject: Vec<String>,
    /// As `require`, with a regular expression for the value.
    pub regex_require: Vec<String>,
    /// As `reject`, with a regular expression for the value.
    pub regex_reject: Vec<String>,
}

/// Where what tracers send besides traces goes instead of the intakes of the site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxiedUrls {
    /// Whole URL of the profiling intake.
    pub profiling: Option<String>,
    /// Whole URL of the intake for both kinds of data of the debugger.
    pub debugger: Option<String>,
    /// Base URL of the intake for instrumentation telemetry, no trailing `/`.
    pub telemetry: Option<String>,
    /// Base URL of the intakes for LLM Observability, no trailing `/`.
    pub llm_observability: Option<String>,
}

/// Whether the event and the response of an invocation are tags of its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadCapture {
    pub enabled: bool,
    /// The number of levels that become tags of their own; what is deeper is a text.
    pub depth: u32,
}

impl PayloadCapture {
    /// The depth, where payloads are captured.
    pub fn wanted_depth(self) -> Option<u32> {
        self.enabled.then_some(self.depth)
    }
}

impl Default for PayloadCapture {
    fn default() -> Self {
        Self { enabled: false, depth: 10 }
    }
}

impl Default for Apm {
    fn default() -> Self {
        Self {
            url: url(DEFAULT_SITE),
            additional_endpoints: Vec::new(),
            compression_level: DEFAULT_COMPRESSION_LEVEL,
            compute_stats: false,
            additional_stats_tags: Vec::new(),
            max_additional_stats_tags: None,
            error_sampler: false,
            service_representation: true,
            replace_rules: Vec::new(),
            http: HttpObfuscation::default(),
            filters: TagFilters::default(),
            proxied: ProxiedUrls::default(),
            payloads: PayloadCapture::default(),
            features: Vec::new(),
        }
    }
}

pub(super) fn url(site: &str) -> String {
    format!("https://trace.agent.{site}")
}
