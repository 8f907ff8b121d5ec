//! What the customer can set about traces, as plain values. [`super::Pipeline::new`] compiles them once.

/// Settings of the trace pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSettings {
    /// `DD_SERVICE` as given.
    pub service: Option<String>,
    /// `AWS_LAMBDA_FUNCTION_NAME`.
    pub function_name: Option<String>,
    /// `DD_LAMBDA_EXTENSION_COMPUTE_STATS`.
    pub compute_stats: bool,
    /// `DD_TRACE_AWS_SERVICE_REPRESENTATION_ENABLED`; without it, spans of managed services name `aws.lambda` as their base service.
    pub service_representation: bool,
    /// `DD_APM_FILTER_TAGS_REQUIRE`, `…_REJECT`, `…_REGEX_REQUIRE`, `…_REGEX_REJECT`.
    pub filter_tags: FilterTags,
    /// `DD_APM_REPLACE_TAGS`.
    pub replace_tags: Vec<ReplaceRule>,
    pub obfuscation: Obfuscation,
    /// `DD_SERVERLESS_ERROR_SAMPLER_ENABLED`: where the extension computes stats, a chunk that the tracer's sampler dropped is sent if a span of it has an error.
    pub error_sampler: bool,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self {
            service: None,
            function_name: None,
            compute_stats: false,
            service_representation: true,
            filter_tags: FilterTags::default(),
            replace_tags: Vec::new(),
            obfuscation: Obfuscation::default(),
            error_sampler: false,
        }
    }
}

/// Which traces to keep, by the tags of their root span. Each item is `key:value` or `key`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilterTags {
    /// All must be there.
    pub require: Vec<String>,
    /// None may be there.
    pub reject: Vec<String>,
    /// All must match; the value is a regular expression.
    pub regex_require: Vec<String>,
    /// None may match; the value is a regular expression.
    pub regex_reject: Vec<String>,
}

/// A rule of `DD_APM_REPLACE_TAGS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaceRule {
    /// A tag's key, `resource.name` for the resource, or `*` for every tag.
    pub name: String,
    /// A regular expression.
    pub pattern: String,
    /// `$1` and `${name}` stand for groups.
    pub replacement: String,
}

/// What to remove from queries, commands and URLs. The defaults are those of the public extension.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Obfuscation {
    /// `DD_APM_CONFIG_OBFUSCATION_HTTP_REMOVE_QUERY_STRING`.
    pub http_remove_query_string: bool,
    /// `DD_APM_CONFIG_OBFUSCATION_HTTP_REMOVE_PATHS_WITH_DIGITS`.
    pub http_remove_paths_with_digits: bool,
}
