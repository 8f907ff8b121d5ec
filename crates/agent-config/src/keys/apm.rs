//! Settings about traces, trace statistics, and what tracers send besides.

use std::sync::Arc;

use super::super::read::ParsedList;
#[cfg(test)]
use super::{Doc, Kind, beside};
use super::{Key, Scope, ZSTD, keys, list, taken, texts};

keys! { KEYS
    Datadog APM_DD_URL {
        yaml: Some("apm_config.apm_dd_url"), kind: Kind::Url, default: "https://trace.agent.datadoghq.com",
        example: "https://traces.internal.example", reader: "intake",
        meaning: "Base URL of the intake for traces, trace statistics and data streams. The default follows the site.",
        set: |builder, given, _| taken(given.url().map(|url| builder.urls.apm = url)),
    }
    Datadog APM_ADDITIONAL_ENDPOINTS {
        yaml: Some("apm_config.additional_endpoints"), kind: Kind::Endpoints, default: "",
        example: r#"{"https://trace.agent.datadoghq.eu":["fedcba9876543210fedcba9876543210"]}"#, reader: "intake",
        meaning: "Base URLs of further trace intakes, each with the API keys under which all traces and trace statistics go there too.",
        set: |builder, given, _| {
            let ParsedList { items, skipped } = given.endpoints()?;
            builder.skipped = skipped;
            let endpoints = items.into_iter().map(Arc::new).collect();
            Ok(list(&mut builder.config.apm.additional_endpoints, endpoints))
        },
    }
    Datadog APM_CONFIG_COMPRESSION_LEVEL {
        yaml: Some("apm_config.compression_level"), kind: Kind::Integer { from: -7, to: 22 }, default: "3",
        example: "1", reader: "intake",
        meaning: "Zstandard level of traces.",
        set: |builder, given, _| builder.number(given, &ZSTD, |builder, level| builder.levels.apm = Some(level)),
    }
    Datadog LAMBDA_EXTENSION_COMPUTE_STATS {
        yaml: Some("lambda_extension_compute_stats"), kind: Kind::Boolean, default: "false", example: "true",
        reader: "ingest",
        meaning: "Compute trace statistics in the extension where the tracer has not, and drop the traces that the tracer did not sample. Otherwise Datadog \
                  computes them from all traces.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.apm.compute_stats = on)),
    }
    Datadog TRACE_STATS_ADDITIONAL_TAGS {
        yaml: None, kind: Kind::List, default: "", example: "tenant,plan",
        beside: "DD_TRACE_EXPERIMENTAL_FEATURES_ENABLED=true", reader: "process",
        meaning: "Keys of tags that tell groups of trace statistics apart besides those that always do, at most 16. Counts only together with \
                  `DD_TRACE_EXPERIMENTAL_FEATURES_ENABLED`.",
        set: |builder, given, _| Ok(texts(&mut builder.config.apm.additional_stats_tags, given.list()?, &mut builder.skipped)),
    }
    Datadog TRACE_STATS_ADDITIONAL_TAGS_CARDINALITY_LIMIT {
        yaml: None, kind: Kind::Integer { from: 1, to: 7000 }, default: "", example: "50",
        reader: "process",
        meaning: "Distinct values of the tags in `DD_TRACE_STATS_ADDITIONAL_TAGS` in ten seconds; spans of further ones are counted together. The default is 100.",
        set: |builder, given, _| {
            builder.number(given, &(1..=7000), |builder, limit| builder.config.apm.max_additional_stats_tags = Some(limit))
        },
    }
    Datadog TRACE_EXPERIMENTAL_FEATURES_ENABLED {
        yaml: None, kind: Kind::Text, default: "", example: "true",
        beside: "DD_TRACE_STATS_ADDITIONAL_TAGS=tenant,plan", reader: "process",
        meaning: "Let `DD_TRACE_STATS_ADDITIONAL_TAGS` count. Every other value but `true` is the tracer's business.",
        set: |builder, given, _| taken(given.text().map(|text| builder.is_experimental = text.eq_ignore_ascii_case("true"))),
    }
    Datadog SERVERLESS_ERROR_SAMPLER_ENABLED {
        yaml: Some("serverless_error_sampler_enabled"), kind: Kind::Boolean, default: "false", example: "true",
        reader: "process",
        meaning: "Keep a trace that its tracer did not sample if a span of it has an error. Counts only together with \
                  `DD_LAMBDA_EXTENSION_COMPUTE_STATS`, without which no trace is dropped.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.apm.error_sampler = on)),
    }
    Datadog TRACE_AWS_SERVICE_REPRESENTATION_ENABLED {
        yaml: Some("trace_aws_service_representation_enabled"), kind: Kind::Boolean, default: "true", example: "false",
        reader: "process",
        meaning: "Name the function as the base service of spans that stand for AWS services; otherwise `aws.lambda`.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.apm.service_representation = on)),
    }
    Datadog LAMBDA_DURABLE_FUNCTION_LOG_BUFFER_SIZE {
        yaml: Some("lambda_durable_function_log_buffer_size"), kind: Kind::Integer { from: 0, to: 1000 }, default: "0",
        example: "5", reader: "process",
        meaning: "Invocations of a durable function whose log lines wait until a span of the tracer names the execution, which is then added to \
                  them. 0: no line waits, and only lines that name it themselves have it.",
        set: |builder, given, _| {
            builder.number(given, &(0..=1000), |builder, count| builder.config.logs.durable_invocations = count)
        },
    }
    Datadog CAPTURE_LAMBDA_PAYLOAD {
        yaml: Some("capture_lambda_payload"), kind: Kind::Boolean, default: "false", example: "true",
        reader: "process",
        meaning: "Add the event and the response of an invocation to the span `aws.lambda` as tags, at most 1 MiB each.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.apm.payloads.enabled = on)),
    }
    Datadog CAPTURE_LAMBDA_PAYLOAD_MAX_DEPTH {
        yaml: Some("capture_lambda_payload_max_depth"), kind: Kind::Integer { from: 0, to: 64 }, default: "10",
        example: "3", reader: "process",
        meaning: "Levels of the event and the response that become tags of their own; what is deeper becomes one text.",
        set: |builder, given, _| {
            builder.number(given, &(0..=64), |builder, depth| builder.config.apm.payloads.depth = depth)
        },
    }
    Datadog APM_REPLACE_TAGS {
        yaml: Some("apm_config.replace_tags"), kind: Kind::ReplaceRules, default: "",
        example: r#"[{"name":"http.url","pattern":"token=[^&]*","repl":"token=?"}]"#, reader: "process",
        meaning: "Rules that replace matches of a regular expression in the tag `name` of every span, in `resource.name`, or in all tags (`*`). \
                  Tags whose names begin with `_` are Datadog's own: only a rule with such a name means one. \
                  A numeric tag becomes a text tag if what is left is no number. \
                  Attributes of a span's events count as tags.",
        set: |builder, given, _| {
            let ParsedList { items, skipped } = given.replace_rules()?;
            builder.skipped = skipped;
            Ok(list(&mut builder.config.apm.replace_rules, items))
        },
    }
    Datadog APM_CONFIG_OBFUSCATION_HTTP_REMOVE_QUERY_STRING {
        yaml: Some("apm_config.obfuscation.http.remove_query_string"), kind: Kind::Boolean, default: "false",
        example: "true", reader: "process",
        meaning: "Remove the query from the tag `http.url` of spans of the types `web` and `http`.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.apm.http.remove_query_string = on)),
    }
    Datadog APM_CONFIG_OBFUSCATION_HTTP_REMOVE_PATHS_WITH_DIGITS {
        yaml: Some("apm_config.obfuscation.http.remove_paths_with_digits"), kind: Kind::Boolean, default: "false",
        example: "true", reader: "process",
        meaning: "Replace the segments of paths that have digits in them by `?` in the tag `http.url` of spans of the types `web` and `http`.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.apm.http.remove_paths_with_digits = on)),
    }
    Datadog APM_FILTER_TAGS_REQUIRE {
        yaml: None, kind: Kind::Words, default: "", example: "env:prod team", reader: "process",
        meaning: "Drop every trace unless its root span has all of these tags: `key:value`, or `key` for any value. `name`, `service`, `resource` \
                  and `type` mean those of the span where it has no such tag. Numeric tags count as decimal text: `http.status_code:404`.",
        set: |builder, given, _| Ok(texts(&mut builder.config.apm.filters.require, given.words()?, &mut builder.skipped)),
    }
    Datadog APM_FILTER_TAGS_REJECT {
        yaml: None, kind: Kind::Words, default: "", example: "resource:healthcheck", reader: "process",
        meaning: "Drop every trace whose root span has any of these tags.",
        set: |builder, given, _| Ok(texts(&mut builder.config.apm.filters.reject, given.words()?, &mut builder.skipped)),
    }
    Datadog APM_FILTER_TAGS_REGEX_REQUIRE {
        yaml: None, kind: Kind::Words, default: "", example: "env:^prod", reader: "process",
        meaning: "As `DD_APM_FILTER_TAGS_REQUIRE`, with a regular expression that has to match a part of the value.",
        set: |builder, given, _| Ok(texts(&mut builder.config.apm.filters.regex_require, given.words()?, &mut builder.skipped)),
    }
    Datadog APM_FILTER_TAGS_REGEX_REJECT {
        yaml: None, kind: Kind::Words, default: "", example: "http.url:/health$", reader: "process",
        meaning: "As `DD_APM_FILTER_TAGS_REJECT`, with a regular expression that has to match a part of the value.",
        set: |builder, given, _| Ok(texts(&mut builder.config.apm.filters.regex_reject, given.words()?, &mut builder.skipped)),
    }
    Datadog APM_PROFILING_DD_URL {
        yaml: Some("apm_config.profiling_dd_url"), kind: Kind::Url, default: "",
        example: "https://profiles.internal.example/api/v2/profile", reader: "intake",
        meaning: "Whole URL that profiles go to. The default is the profiling intake of the site.",
        set: |builder, given, _| taken(given.whole_url().map(|url| builder.config.apm.proxied.profiling = url)),
    }
    Datadog APM_DEBUGGER_DD_URL {
        yaml: Some("apm_config.debugger_dd_url"), kind: Kind::Url, default: "",
        example: "https://debugger.internal.example/api/v2/debugger", reader: "intake",
        meaning: "Whole URL that snapshots and diagnostics of the debugger go to. The default is the intakes of the site.",
        set: |builder, given, _| taken(given.whole_url().map(|url| builder.config.apm.proxied.debugger = url)),
    }
    Datadog APM_TELEMETRY_DD_URL {
        yaml: Some("apm_config.telemetry.dd_url"), kind: Kind::Url, default: "",
        example: "https://telemetry.internal.example", reader: "intake",
        meaning: "Base URL that the tracers' own telemetry goes to. The default is the intake of the site.",
        set: |builder, given, _| taken(given.url().map(|url| builder.config.apm.proxied.telemetry = url)),
    }
    Datadog EVP_PROXY_CONFIG_DD_URL {
        yaml: Some("evp_proxy_config.dd_url"), kind: Kind::Url, default: "",
        example: "https://llm.internal.example", reader: "intake",
        meaning: "Base URL that spans and evaluations of LLM Observability go to; `https://` is added where there is no scheme. The default is \
                  the intakes of the site.",
        set: |builder, given, _| {
            taken(given.url_or_host("https://").map(|url| builder.config.apm.proxied.llm_observability = url))
        },
    }
}
