//! Settings that other versions of the extension support and this one does not. The extension warns if one is set.

use std::ffi::OsStr;

use serde_json::{Map, Value};

use super::environment::{self, Prefix};
use super::warning::Source;
use super::yaml;

/// An unsupported setting.
pub(super) struct UnsupportedSetting {
    /// The environment variable, without its prefix `DD_` or `DATADOG_`.
    pub(super) name: &'static str,
    /// Dotted path in `datadog.yaml`; `None` if only the environment can set it.
    pub(super) yaml: Option<&'static str>,
}

const fn first(paths: &[&'static str]) -> Option<&'static str> {
    match paths {
        [path, ..] => Some(path),
        [] => None,
    }
}

macro_rules! unsupported {
    ($($name:ident $($yaml:literal)?,)*) => {
        pub(super) static UNSUPPORTED: &[UnsupportedSetting] =
            &[$(UnsupportedSetting { name: stringify!($name), yaml: first(&[$($yaml)?]) }),*];
    };
}

unsupported! {
    OTLP_CONFIG_TRACES_PROBABILISTIC_SAMPLER_SAMPLING_PERCENTAGE "otlp_config.traces.probabilistic_sampler.sampling_percentage",
    OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_TRANSPORT "otlp_config.receiver.protocols.grpc.transport",
    OTLP_CONFIG_METRICS_ENABLED "otlp_config.metrics.enabled",
    OTLP_CONFIG_METRICS_RESOURCE_ATTRIBUTES_AS_TAGS "otlp_config.metrics.resource_attributes_as_tags",
    OTLP_CONFIG_METRICS_INSTRUMENTATION_SCOPE_METADATA_AS_TAGS "otlp_config.metrics.instrumentation_scope_metadata_as_tags",
    OTLP_CONFIG_METRICS_TAG_CARDINALITY "otlp_config.metrics.tag_cardinality",
    OTLP_CONFIG_METRICS_DELTA_TTL "otlp_config.metrics.delta_ttl",
    OTLP_CONFIG_METRICS_HISTOGRAMS_MODE "otlp_config.metrics.histograms.mode",
    OTLP_CONFIG_METRICS_HISTOGRAMS_SEND_COUNT_SUM_METRICS "otlp_config.metrics.histograms.send_count_sum_metrics",
    OTLP_CONFIG_METRICS_HISTOGRAMS_SEND_AGGREGATION_METRICS "otlp_config.metrics.histograms.send_aggregation_metrics",
    OTLP_CONFIG_METRICS_SUMS_CUMULATIVE_MONOTONIC_MODE "otlp_config.metrics.sums.cumulative_monotonic_mode",
    OTLP_CONFIG_METRICS_SUMS_INITIAL_CUMULATIV_MONOTONIC_VALUE "otlp_config.metrics.sums.initial_cumulative_monotonic_value",
    OTLP_CONFIG_METRICS_SUMMARIES_MODE "otlp_config.metrics.summaries.mode",
    OTLP_CONFIG_LOGS_ENABLED "otlp_config.logs.enabled",
    APM_ERROR_TPS "apm_config.errors_per_second",
    DEBUG_WAIT_FOR_ATTACH,
}

/// The unsupported settings that are enabled, by their names in the environment or in `datadog.yaml`, in the order of the table. A setting that is
/// off, zero or empty is not enabled.
pub(super) fn requested(
    environment: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    document: &Map<String, Value>,
) -> Vec<String> {
    let mut asked = Vec::new();
    for (name, value) in environment {
        if let Some(index) = in_environment(name.as_ref())
            && value.as_ref().to_str().is_none_or(is_enabled)
        {
            asked.push((index, name.as_ref().to_string_lossy().into_owned()));
        }
    }
    let paths = UNSUPPORTED.iter().enumerate().filter_map(|(index, key)| Some((index, key.yaml?)));
    for (index, path) in paths.filter(|_| !document.is_empty()) {
        if let Ok(Some(value)) = yaml::find(document, path)
            && value.as_str().is_none_or(is_enabled)
        {
            asked.push((index, format!("{path} of {}", Source::Yaml)));
        }
    }
    asked.sort();
    asked.into_iter().map(|(_, name)| name).collect()
}

fn in_environment(name: &OsStr) -> Option<usize> {
    let (_, rest) = environment::split(name).filter(|(prefix, _)| *prefix != Prefix::None)?;
    UNSUPPORTED.iter().position(|key| key.name.eq_ignore_ascii_case(rest))
}

fn is_enabled(value: &str) -> bool {
    let value = value.trim();
    !["", "0", "0.0", "false"].iter().any(|nothing| value.eq_ignore_ascii_case(nothing))
}

#[cfg(test)]
mod tests {
    use super::super::keys::all;
    use super::super::tests::default;
    use super::super::{Config, LoadedConfig, load};
    use super::*;

    fn document(path: &str, value: &str) -> String {
        let depth = path.split('.').count();
        let lines = path.split('.').enumerate().map(|(level, name)| {
            let value = if level + 1 == depth { value } else { "" };
            format!("{}{name}: {value}\n", "  ".repeat(level))
        });
        lines.collect()
    }

    #[test]
    fn unsupported_settings_warn_for_every_value_and_source() {
        for key in UNSUPPORTED {
            for name in [format!("DD_{}", key.name), format!("datadog_{}", key.name.to_lowercase())] {
                for value in ["true", "5", "[{", "é"] {
                    let loaded = load([(&name, value)], None);
                    let expected = LoadedConfig { unsupported: vec![name.clone()], ..default() };
                    assert_eq!(loaded, expected);
                }
            }
            if let Some(path) = key.yaml {
                for value in ["true", "5", "[a]", "{a: b}"] {
                    let loaded = load([("PATH", "")], Some(&document(path, value)));
                    assert_eq!(loaded.unsupported, [format!("{path} of datadog.yaml")], "{value}");
                    assert_eq!((loaded.config, loaded.warnings), (Config::default(), Vec::new()));
                }
            }
        }
    }

    #[test]
    fn what_is_off_asks_for_nothing() {
        for key in UNSUPPORTED {
            for value in ["false", "FALSE", "0", "", " "] {
                assert!(load([(format!("DD_{}", key.name), value)], None).unsupported.is_empty(), "{}", key.name);
                if let Some(path) = key.yaml {
                    assert!(load([("PATH", "")], Some(&document(path, value))).unsupported.is_empty(), "{path}");
                }
            }
        }
    }

    #[test]
    fn warnings_follow_the_order_of_the_table() {
        let variables = [
            ("DD_OTLP_CONFIG_LOGS_ENABLED", "a:b"),
            ("DD_DEBUG_WAIT_FOR_ATTACH", "x"),
            ("OTLP_CONFIG_LOGS_ENABLED", "c:d"),
        ];
        let loaded = load(variables, Some("otlp_config: {metrics: {enabled: true}, logs: {enabled: off}}\n"));
        let expected = [
            "otlp_config.metrics.enabled of datadog.yaml",
            "DD_OTLP_CONFIG_LOGS_ENABLED",
            "otlp_config.logs.enabled of datadog.yaml",
            "DD_DEBUG_WAIT_FOR_ATTACH",
        ];
        assert_eq!(loaded.unsupported, expected);
    }

    #[test]
    fn nothing_is_both_supported_and_not() {
        for key in UNSUPPORTED {
            assert!(all().all(|supported| supported.name != key.name), "{}", key.name);
            assert!(all().all(|supported| key.yaml.is_none() || supported.yaml != key.yaml), "{}", key.name);
        }
    }
}
