//! What has to arrive with a function's settings, which are read as the extension reads them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use agent_config::{Config, LoadedConfig, Rule, RuleKind};
use regex::Regex;
use serde::Serialize;

use super::AGENT;
use crate::sandbox::Setup;
use crate::sandbox::destinations::Destinations;

/// The file with settings in the function's directory.
const SETTINGS: &str = "datadog.yaml";
/// The variables by which logs, and by which metrics, go to another destination than the sandbox's intake.
const LOG_URLS: [&str; 3] =
    ["DD_LOGS_CONFIG_LOGS_DD_URL", "DD_LOGS_CONFIG_DD_URL", "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL"];
const METRIC_URLS: [&str; 2] = ["DD_DD_URL", "DD_URL"];
/// Maximum number of letters by which a name may differ from the one that it is taken for.
const TYPOS: usize = 2;

/// What the extension is configured to send.
#[derive(Clone, Debug, Default)]
pub struct ExpectedTelemetry {
    pub extensions: Extensions,
    pub logs: bool,
    pub enhanced_metrics: bool,
    /// The prefix of the names of custom metrics; `None` if none is expected.
    pub dogstatsd: Option<String>,
    /// The processing rules of logs, in order.
    pub rules: Vec<LogRule>,
}

/// The extensions of a run, as far as they determine what can be expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extensions {
    /// Ours or another build of Datadog's, alone or beside others.
    Agent,
    /// Only such of which nothing is known.
    Unknown,
    #[default]
    None,
}

/// What has to arrive, with notes for the reader about the settings. Of other extensions nothing is known.
pub fn of(setup: &Setup) -> (ExpectedTelemetry, Vec<String>) {
    let task_root = setup.function.task_root();
    let loaded = loaded(setup);
    let has_agent = setup.extensions.iter().any(|extension| extension.name == AGENT);
    let mut notes = Vec::new();
    if has_agent {
        notes.extend(suggestions(&setup.environment));
        notes.extend(hint(&setup.environment));
        notes.extend(problems(&loaded, task_root));
        notes.extend(ignored_in_file(setup));
        notes.extend(addresses(&setup.environment, setup.destinations, &loaded.config));
    }
    let [logs_elsewhere, metrics_elsewhere] = [&LOG_URLS[..], &METRIC_URLS]
        .map(|urls| setup.destinations.elsewhere(&setup.environment, urls))
        .map(|variables| if has_agent { variables } else { Vec::new() });
    for (what, variables) in [("logs", &logs_elsewhere), ("metrics", &metrics_elsewhere)] {
        notes.extend((!variables.is_empty()).then(|| {
            format!("It was not checked whether {what} arrive, because they go where {} says.", variables.join(" or "))
        }));
    }
    let (has_logs, has_metrics) = (has_agent && logs_elsewhere.is_empty(), has_agent && metrics_elsewhere.is_empty());
    let Config { logs, metrics, dogstatsd, .. } = loaded.config;
    let expected = ExpectedTelemetry {
        extensions: match (has_agent, setup.extensions.is_empty()) {
            (true, _) => Extensions::Agent,
            (false, true) => Extensions::None,
            (false, false) => Extensions::Unknown,
        },
        logs: has_logs && logs.enabled,
        enhanced_metrics: has_metrics && metrics.enhanced,
        dogstatsd: has_metrics.then(|| dogstatsd.namespace.map(|namespace| namespace + ".").unwrap_or_default()),
        rules: logs.rules.iter().filter_map(LogRule::of).collect(),
    };
    (expected, notes)
}

/// Whether settings ask for the evaluation of requests for attacks.
pub fn evaluates_requests(setup: &Setup) -> bool {
    loaded(setup).config.appsec.enabled
}

/// The ports at which the extension receives OTLP.
pub fn otlp_ports(setup: &Setup) -> Vec<u16> {
    let otlp = loaded(setup).config.otlp;
    let endpoints = [(otlp.http_endpoint, 4318), (otlp.grpc_endpoint, 4317)];
    let port = |(endpoint, default): (Option<String>, u16)| {
        let endpoint = endpoint.filter(|_| otlp.traces)?;
        let address = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, address)| address);
        let port = address.split('/').next()?.rsplit(':').next()?.parse().ok();
        Some(port.filter(|port| *port != 0).unwrap_or(default))
    };
    endpoints.into_iter().filter_map(port).collect()
}

/// The settings of the extension.
fn loaded(setup: &Setup) -> LoadedConfig {
    agent_config::load(&setup.environment, settings_file(setup).as_deref())
}

fn settings_file(setup: &Setup) -> Option<String> {
    setup.function.task_root().and_then(|root| fs::read_to_string(root.join(SETTINGS)).ok())
}

/// Destinations of the settings file, which the extension does not get to see.
fn ignored_in_file(setup: &Setup) -> Option<String> {
    let reduced = setup.destinations.of_file(&settings_file(setup)?)?;
    let paths: Vec<&str> = reduced.removed.iter().map(|removed| removed.path).collect();
    Some(format!(
        "Of {SETTINGS}, {} has no effect here: everything is sent to the fake intake; --allow-network changes that.",
        paths.join(", ")
    ))
}

/// A processing rule, which changes what has to arrive.
#[derive(Clone, Debug)]
pub struct LogRule {
    kind: RuleKind,
    pattern: Regex,
    placeholder: String,
}

impl LogRule {
    /// The rule; `None` if its pattern is not a regular expression, in which case the extension ignores it.
    fn of(rule: &Rule) -> Option<Self> {
        let pattern = Regex::new(&rule.pattern).ok()?;
        Some(Self { kind: rule.kind, pattern, placeholder: rule.placeholder.clone() })
    }

    /// The line that has to arrive in place of this one; `None` if the rules exclude it.
    pub fn apply(rules: &[Self], line: &str) -> Option<String> {
        rules.iter().try_fold(line.to_owned(), |line, rule| match rule.kind {
            RuleKind::ExcludeAtMatch => (!rule.pattern.is_match(&line)).then_some(line),
            RuleKind::IncludeAtMatch => rule.pattern.is_match(&line).then_some(line),
            RuleKind::MaskSequences => Some(rule.pattern.replace_all(&line, rule.placeholder.as_str()).into_owned()),
        })
    }
}

/// Names that nobody knows but that resemble a setting.
fn suggestions(environment: &BTreeMap<String, String>) -> Vec<String> {
    let known: Vec<String> = agent_config::names().collect();
    let suggestion = |name: &String| {
        let upper = name.to_ascii_uppercase();
        let canonical = upper.strip_prefix("DATADOG_").map_or_else(|| upper.clone(), |rest| format!("DD_{rest}"));
        if !canonical.starts_with("DD_") || known.contains(&canonical) {
            return None;
        }
        let distance = |known: &&String| strsim::damerau_levenshtein(known, &canonical);
        let closest = known.iter().min_by_key(distance).filter(|known| distance(known) <= TYPOS)?;
        Some(format!("{name} is not a setting of the extension; did you mean {closest}?"))
    };
    environment.keys().filter_map(suggestion).collect()
}

/// What is known to cost time to find out.
fn hint(environment: &BTreeMap<String, String>) -> Option<String> {
    let is_off = environment.get("DD_TRACE_ENABLED").is_some_and(|value| value.eq_ignore_ascii_case("false"));
    is_off.then(|| "DD_TRACE_ENABLED=false switches the tracer of the function off: no traces are sent.".to_owned())
}

/// Settings that the extension does not use as they are given.
fn problems(loaded: &LoadedConfig, task_root: Option<&Path>) -> Vec<String> {
    let broken = loaded.discarded.as_ref().map(|reason| {
        let file = task_root.map_or_else(|| SETTINGS.into(), |root| root.join(SETTINGS));
        format!("All settings in {} are ignored: it {reason}.", file.display())
    });
    broken.into_iter().chain(loaded.warnings.iter().map(|warning| format!("{warning}."))).collect()
}

/// Where the extension would send its data on Lambda, if the settings say anything about that.
fn addresses(environment: &BTreeMap<String, String>, destinations: Destinations, config: &Config) -> Vec<String> {
    let mut notes: Vec<String> = destinations
        .ignored(environment)
        .into_iter()
        .map(|name| {
            format!("{name} has no effect here: everything is sent to the fake intake; --allow-network changes that.")
        })
        .collect();
    if destinations == Destinations::AsSet {
        return notes;
    }
    let of = |config: &Config| {
        let logs = config.logs.worker.clone().unwrap_or_else(|| config.logs.url.clone());
        let also =
            [&config.logs.additional_endpoints, &config.metrics.additional_endpoints, &config.apm.additional_endpoints];
        let also = also.into_iter().flatten().map(|endpoint| format!(", and also to {}", endpoint.url));
        format!(
            "On Lambda, logs go to {logs}, metrics to {}, traces to {}{}.",
            config.metrics.url,
            config.apm.url,
            also.collect::<String>()
        )
    };
    let described = of(config);
    if described != of(&Config::default()) {
        notes.push(described);
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Extension, Function};

    fn expected_with(name: &str, variables: &[(&str, &str)]) -> (ExpectedTelemetry, Vec<String>) {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let extensions = vec![Extension::new(name, "/bin/true")];
        of(&Setup { extensions, environment, destinations: Destinations::Intake, ..Setup::default() })
    }

    #[test]
    fn what_goes_elsewhere_is_not_expected() {
        let environment = [("DATADOG_DD_URL", "http://10.0.0.1"), ("DD_LOGS_CONFIG_LOGS_DD_URL", " ")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let extensions = vec![Extension::new(AGENT, "/bin/true")];
        let mut setup = Setup { extensions, environment, destinations: Destinations::AsSet, ..Setup::default() };
        let (expected, notes) = of(&setup);
        assert!(expected.logs && !expected.enhanced_metrics && expected.dogstatsd.is_none());
        assert_eq!(notes, ["It was not checked whether metrics arrive, because they go where DATADOG_DD_URL says."]);
        setup.destinations = Destinations::Intake;
        assert!(of(&setup).0.enhanced_metrics);
    }

    fn switches(name: &str, variables: &[(&str, &str)]) -> (bool, bool) {
        let (expected, _) = expected_with(name, variables);
        (expected.logs, expected.enhanced_metrics)
    }

    #[test]
    fn what_is_expected_follows_the_settings_as_the_extension_reads_them() {
        assert_eq!(switches(AGENT, &[]), (true, true));
        assert_eq!(switches("another", &[]), (false, false));
        assert_eq!(switches(AGENT, &[("DD_ENHANCED_METRICS", "FALSE")]), (true, false));
        assert_eq!(switches(AGENT, &[("dd_logs_enabled", "false")]), (false, true));
        assert_eq!(switches(AGENT, &[("DATADOG_LOGS_ENABLED", "0")]), (false, true));
        assert_eq!(switches(AGENT, &[("DD_LOGS_ENABLED", "flase")]), (true, true), "it is not switched off");
        let both = [("DD_SERVERLESS_LOGS_ENABLED", "false"), ("DD_LOGS_ENABLED", "true")];
        assert_eq!(switches(AGENT, &both), (true, true), "either name switches logs on");
        assert_eq!(of(&Setup::default()).0.extensions, Extensions::None);
    }

    #[test]
    fn processing_rules_change_the_lines_that_are_expected() {
        let rules = r##"[{"type": "exclude_at_match", "name": "a", "pattern": "^debug"},
            {"type": "mask_sequences", "name": "b", "pattern": "\\d+", "replace_placeholder": "#"}]"##;
        let (expected, _) = expected_with(AGENT, &[("DD_LOGS_CONFIG_PROCESSING_RULES", rules)]);
        assert_eq!(LogRule::apply(&expected.rules, "debug: x"), None);
        assert_eq!(LogRule::apply(&expected.rules, "card 42").as_deref(), Some("card #"));
    }

    #[test]
    fn misspelled_names_and_values_have_suggestions() {
        let (_, notes) =
            expected_with(AGENT, &[("DD_SERVCE", "shop"), ("DD_ENHANCED_METRICS", "on"), ("DD_TRACE_ENABLED", "1")]);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("did you mean DD_SERVICE?"), "{notes:?}");
        assert!(notes[1].contains("DD_ENHANCED_METRICS") && notes[1].contains("true or false"), "{notes:?}");
    }

    #[test]
    fn settings_file_of_the_function_applies_and_a_broken_one_warns() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(SETTINGS);
        let with_file = |text: &str| {
            fs::write(&file, text).unwrap();
            let extensions = vec![Extension::new(AGENT, "/bin/true")];
            let function = Function::program(directory.path().join("bootstrap"));
            of(&Setup { function, extensions, ..Setup::default() })
        };
        assert!(!with_file("logs_enabled: false\nserverless_logs_enabled: false\n").0.logs);
        let (expected, notes) = with_file("logs_enabled: [");
        assert!(expected.logs && notes[0].contains("datadog.yaml are ignored"), "{notes:?}");
        let (_, notes) = with_file("kms_api_key: x\n");
        assert!(notes.iter().all(|note| !note.contains("kms_api_key")), "it is used as it is set: {notes:?}");
    }

    #[test]
    fn configured_destinations_are_listed() {
        let (_, notes) = expected_with(AGENT, &[("DD_SITE", "us5.datadoghq.com")]);
        assert_eq!(
            notes,
            [
                "On Lambda, logs go to https://http-intake.logs.us5.datadoghq.com, metrics to https://api.us5.datadoghq.com, \
              traces to https://trace.agent.us5.datadoghq.com."
            ]
        );
        let (_, notes) = expected_with(AGENT, &[("DD_KMS_API_KEY", "x"), ("DD_URL", "https://m.example")]);
        assert!(notes[0].starts_with("DD_KMS_API_KEY has no effect here"), "{notes:?}");
        assert!(notes[1].contains("metrics to https://m.example"), "{notes:?}");
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(SETTINGS), "kms_api_key: x\nproxy: {https: 'http://p.example'}\n").unwrap();
        let function = Function::program(directory.path().join("bootstrap"));
        let extensions = vec![Extension::new(AGENT, "/bin/true")];
        let (_, notes) = of(&Setup { function, extensions, destinations: Destinations::Intake, ..Setup::default() });
        assert!(notes[0].starts_with("Of datadog.yaml, kms_api_key, proxy.https has no effect here"), "{notes:?}");
    }
}
