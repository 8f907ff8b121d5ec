//! All settings that are documented, and what one of them may change.

use std::collections::{BTreeMap, BTreeSet};

use bottlecap::config::{self, Config, LoadedConfig};

/// The fields that each setting is about, with the group that they are in.
#[rustfmt::skip]
const FIELDS: [(&str, &[&str]); 95] = [
    ("DD_ORG_UUID", &[".secret"]),
    ("DD_DELEGATED_AUTH_URL", &[".delegated_auth_url"]),
    ("DD_KMS_API_KEY", &[".secret"]),
    ("DD_API_KEY_SECRET_ARN", &[".secret"]),
    ("DD_API_KEY_SSM_ARN", &[".secret"]),
    ("DD_API_KEY_SECRET_RELOAD_INTERVAL", &[".secret_reload"]),
    ("AWS_ENDPOINT_URL", &["aws.url"]),
    ("AWS_ENDPOINT_URL_KMS", &["aws.kms_url"]),
    ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &["aws.secrets_manager_url"]),
    ("AWS_ENDPOINT_URL_SSM", &["aws.ssm_url"]),
    ("DD_SITE", &[".site", ".delegated_auth_url", "apm.url", "logs.url", "metrics.url"]),
    ("DD_LOG_LEVEL", &[".log_level"]),
    ("DD_FLUSH_TIMEOUT", &[".flush_timeout", "http.timeout"]),
    ("DD_SERVERLESS_FLUSH_STRATEGY", &[".flush_strategy"]),
    ("DD_COMPRESSION_LEVEL", &["apm.compression_level", "logs.compression", "metrics.compression_level"]),
    ("DD_ENV", &[".env"]),
    ("DD_SERVICE", &[".service"]),
    ("DD_VERSION", &[".version"]),
    ("DD_TAGS", &[".tags"]),
    ("DD_PROXY_HTTPS", &["http.proxy"]),
    ("DD_PROXY_NO_PROXY", &["http.no_proxy"]),
    ("HTTPS_PROXY", &["aws.proxy", "http.proxy"]),
    ("NO_PROXY", &["aws.no_proxy", "http.no_proxy"]),
    ("DD_HTTP_PROTOCOL", &["http.protocol"]),
    ("DD_TLS_CERT_FILE", &["http.tls_cert_file"]),
    ("DD_LAMBDA_FIPS_MODE", &[".fips_mode"]),
    ("DD_SKIP_SSL_VALIDATION", &["http.skip_ssl_validation"]),
    ("DD_SERVERLESS_LOGS_ENABLED", &["logs.enabled"]),
    ("DD_LOGS_ENABLED", &["logs.enabled"]),
    ("DD_LOGS_CONFIG_LOGS_DD_URL", &["logs.url"]),
    ("DD_LOGS_CONFIG_PROCESSING_RULES", &["logs.rules"]),
    ("DD_LOGS_CONFIG_USE_COMPRESSION", &["logs.compression"]),
    ("DD_LOGS_CONFIG_COMPRESSION_LEVEL", &["logs.compression"]),
    ("DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS", &["logs.additional_endpoints"]),
    ("DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED", &["logs.enabled", "logs.worker"]),
    ("DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL", &["logs.worker"]),
    ("DD_ENHANCED_METRICS", &["metrics.enhanced"]),
    ("DD_LAMBDA_PROC_ENHANCED_METRICS", &["metrics.usage"]),
    ("DD_METRICS_CONFIG_COMPRESSION_LEVEL", &["metrics.compression_level"]),
    ("DD_DD_URL", &["metrics.url"]),
    ("DD_URL", &["metrics.url"]),
    ("DD_ADDITIONAL_ENDPOINTS", &["metrics.additional_endpoints"]),
    ("DD_LAMBDA_CUSTOMER_METRICS_EXCLUDE_TAGS", &["metrics.excluded_tags"]),
    ("DD_STATSD_METRIC_NAMESPACE", &["dogstatsd.namespace"]),
    ("DD_DOGSTATSD_SO_RCVBUF", &["dogstatsd.receive_buffer"]),
    ("DD_DOGSTATSD_BUFFER_SIZE", &["dogstatsd.buffer_size"]),
    ("DD_DOGSTATSD_QUEUE_SIZE", &["dogstatsd.queue_size"]),
    ("DD_APM_DD_URL", &["apm.url"]),
    ("DD_APM_ADDITIONAL_ENDPOINTS", &["apm.additional_endpoints"]),
    ("DD_APM_CONFIG_COMPRESSION_LEVEL", &["apm.compression_level"]),
    ("DD_LAMBDA_EXTENSION_COMPUTE_STATS", &["apm.compute_stats"]),
    ("DD_TRACE_STATS_ADDITIONAL_TAGS", &["apm.additional_stats_tags"]),
    ("DD_TRACE_STATS_ADDITIONAL_TAGS_CARDINALITY_LIMIT", &["apm.max_additional_stats_tags"]),
    ("DD_TRACE_EXPERIMENTAL_FEATURES_ENABLED", &["apm.additional_stats_tags"]),
    ("DD_SERVERLESS_ERROR_SAMPLER_ENABLED", &["apm.error_sampler"]),
    ("DD_TRACE_AWS_SERVICE_REPRESENTATION_ENABLED", &["apm.service_representation"]),
    ("DD_LAMBDA_DURABLE_FUNCTION_LOG_BUFFER_SIZE", &["logs.durable_invocations"]),
    ("DD_CAPTURE_LAMBDA_PAYLOAD", &["apm.payloads"]),
    ("DD_CAPTURE_LAMBDA_PAYLOAD_MAX_DEPTH", &["apm.payloads"]),
    ("DD_APM_REPLACE_TAGS", &["apm.replace_rules"]),
    ("DD_APM_CONFIG_OBFUSCATION_HTTP_REMOVE_QUERY_STRING", &["apm.http"]),
    ("DD_APM_CONFIG_OBFUSCATION_HTTP_REMOVE_PATHS_WITH_DIGITS", &["apm.http"]),
    ("DD_APM_FILTER_TAGS_REQUIRE", &["apm.filters"]),
    ("DD_APM_FILTER_TAGS_REJECT", &["apm.filters"]),
    ("DD_APM_FILTER_TAGS_REGEX_REQUIRE", &["apm.filters"]),
    ("DD_APM_FILTER_TAGS_REGEX_REJECT", &["apm.filters"]),
    ("DD_APM_PROFILING_DD_URL", &["apm.proxied"]),
    ("DD_APM_DEBUGGER_DD_URL", &["apm.proxied"]),
    ("DD_APM_TELEMETRY_DD_URL", &["apm.proxied"]),
    ("DD_EVP_PROXY_CONFIG_DD_URL", &["apm.proxied"]),
    ("DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_HTTP_ENDPOINT", &["otlp.http_endpoint"]),
    ("DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_ENDPOINT", &["otlp.grpc_endpoint"]),
    ("DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_MAX_RECV_MSG_SIZE_MIB", &["otlp.grpc_max_message_mib"]),
    ("DD_OTLP_CONFIG_TRACES_ENABLED", &["otlp.traces"]),
    ("DD_OTLP_CONFIG_TRACES_SPAN_NAME_AS_RESOURCE_NAME", &["otlp.span_name_as_resource_name"]),
    ("DD_OTLP_CONFIG_TRACES_SPAN_NAME_REMAPPINGS", &["otlp.span_name_remappings"]),
    ("DD_OTLP_CONFIG_IGNORE_MISSING_DATADOG_FIELDS", &["otlp.ignore_missing_datadog_fields"]),
    ("DD_APM_FEATURES", &["apm.features"]),
    ("DD_SERVERLESS_APPSEC_ENABLED", &["appsec.enabled"]),
    ("DD_APPSEC_RULES", &["appsec.rules"]),
    ("DD_APPSEC_WAF_TIMEOUT", &["appsec.budget"]),
    ("DD_API_SECURITY_ENABLED", &["appsec.schemas"]),
    ("DD_API_SECURITY_SAMPLE_DELAY", &["appsec.schema_interval"]),
    ("DD_APM_TRACING_ENABLED", &["appsec.standalone"]),
    ("DD_EXPERIMENTAL_ENABLE_PROXY", &[".runtime_proxy"]),
    ("DD_TRACE_PROPAGATION_STYLE", &["propagation.styles"]),
    ("DD_TRACE_PROPAGATION_STYLE_EXTRACT", &["propagation.styles"]),
    ("DD_TRACE_PROPAGATION_EXTRACT_FIRST", &["propagation.extract_first"]),
    ("DD_TRACE_PROPAGATION_HTTP_BAGGAGE_ENABLED", &["propagation.http_baggage"]),
    ("DD_SERVICE_MAPPING", &["triggers.service_mapping"]),
    ("DD_TRACE_REMOVE_INTEGRATION_SERVICE_NAMES_ENABLED", &["triggers.remove_integration_service_names"]),
    ("DD_MERGE_XRAY_TRACES", &["triggers.merge_xray_traces"]),
    ("DD_DATA_STREAMS_ENABLED", &["triggers.data_streams"]),
    ("DD_DSM_EXCHANGE_NAME", &["triggers.data_streams"]),
    ("DD_DSM_KAFKA_GROUP", &["triggers.data_streams"]),
];

/// A row of the table in `docs/configuration.md`, and what its setting means beside the examples of all others.
pub struct Setting {
    pub name: &'static str,
    example: String,
    /// What there is without it.
    absent: LoadedConfig,
    /// The fields that it may change.
    about: BTreeSet<String>,
}

/// Every setting but the API key, which is not shown by any configuration.
pub fn documented() -> Vec<Setting> {
    let page = include_str!("../../docs/configuration.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split(" | ").collect::<Vec<_>>()).filter(|cells| cells.len() == 7);
    let examples = cells.map(|cells| {
        let plain = |cell: &'static str| cell.trim_start_matches("| ").trim_matches('`');
        (plain(cells[0]), plain(cells[4]).replace("\\|", "|"))
    });
    let examples: Vec<_> = examples.filter(|(name, _)| *name != "DD_API_KEY").collect();
    assert_eq!(examples.len(), FIELDS.len());
    let mut settings: Vec<_> = examples.into_iter().map(|(name, example)| Setting::new(name, example)).collect();
    for index in 0..settings.len() {
        let example = settings[index].example.clone();
        let absent = load(&settings, index, None);
        // Some settings count only beside others, and some only without.
        let mut shown = changed(&absent.config, &load(&settings, index, Some(&example)).config);
        shown.extend(changed(&Config::default(), &config::load([(settings[index].name, &*example)], None).config));
        let name = settings[index].name;
        let about =
            FIELDS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("what is {name} about?")).1;
        let about = about.iter().map(|field| (*field).to_owned()).collect();
        assert_eq!(shown, about, "{name}={example}");
        settings[index] = Setting { absent, about, ..Setting::new(name, example) };
    }
    settings
}

impl Setting {
    fn new(name: &'static str, example: String) -> Self {
        Self { name, example, absent: config::load([("", ""); 0], None), about: BTreeSet::new() }
    }
}

/// Loads this value of one setting, or none of it, beside the examples of all others.
fn load(settings: &[Setting], index: usize, value: Option<&str>) -> LoadedConfig {
    let others = settings.iter().enumerate().filter(|(at, _)| *at != index);
    let others = others.map(|(_, other)| (other.name, other.example.as_str()));
    config::load(others.chain(value.map(|value| (settings[index].name, value))), None)
}

/// Loads this value of one setting beside the examples of all others. What changes, compared with its absence, is at most what the setting is about; and nothing
/// if the value is refused.
pub fn assert_alone(settings: &[Setting], index: usize, value: &str) -> LoadedConfig {
    let loaded = load(settings, index, Some(value));
    let Setting { name, absent, about, .. } = &settings[index];
    // One setting may miss this one, with any unusable value as without one.
    let new = loaded.warnings.iter().filter(|warning| !absent.warnings.contains(warning));
    let (own, others): (Vec<_>, Vec<_>) = new.partition(|warning| warning.key == *name);
    assert!(others.iter().all(|warning| warning.why.contains(name)), "{name}: {others:?}");
    assert!(own.len() <= 1, "{name}: {own:?}");
    let is_partly_used = |why: &str| why.starts_with("has items that can't be used") || why == "is above the maximum";
    if own.iter().any(|warning| !is_partly_used(&warning.why)) {
        assert_eq!(loaded.config, absent.config, "{name}={value} is refused");
    }
    if loaded.config != absent.config {
        let changed = changed(&absent.config, &loaded.config);
        assert!(changed.is_subset(about), "{name}={value} changes {changed:?}, and is about {about:?}");
    }
    loaded
}

/// The names of the fields that differ, with the name of the group that a field is in.
fn changed(one: &Config, other: &Config) -> BTreeSet<String> {
    let (one, other) = (fields(one), fields(other));
    let names: BTreeSet<_> = one.keys().chain(other.keys()).cloned().collect();
    names.into_iter().filter(|name| one.get(name) != other.get(name)).collect()
}

/// The lines of each field. Groups are structs; their fields are indented by eight blanks.
fn fields(config: &Config) -> BTreeMap<String, Vec<String>> {
    let mut fields = BTreeMap::<_, Vec<_>>::new();
    let (mut group, mut field) = (String::new(), String::new());
    for line in format!("{config:#?}").lines() {
        let name = |indent: &str| {
            let (name, rest) = line.strip_prefix(indent)?.split_once(':')?;
            (!name.starts_with(' ')).then(|| (name.to_owned(), rest.to_owned()))
        };
        if let Some((name, rest)) = name("    ") {
            let is_struct = rest.ends_with(" {") && !rest.contains('(');
            (group, field) = if is_struct { (name, String::new()) } else { (String::new(), name) };
        } else if let Some((name, _)) = name("        ").filter(|_| !group.is_empty()) {
            field = name;
        }
        fields.entry(format!("{group}.{field}")).or_default().push(line.to_owned());
    }
    fields
}
