//! The destinations of telemetry: variables that name an intake, a secret or a proxy, and what the sandbox makes of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use agent_config::ReducedYaml;
use serde_json::{Map, Value};

/// The API key that an extension has if its function has none.
pub(super) const FAKE_API_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Where the extension sends its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Destinations {
    /// To the sandbox's intake, unless a variable names another destination.
    #[default]
    AsSet,
    /// To the sandbox's intake, whatever the variables say. Secrets are not looked up, and there is no proxy.
    Intake,
}

/// The variables for the base URLs of intakes, with the path that the intake of each has.
const URLS: [(&str, &str); 7] = [
    ("DD_DD_URL", ""),
    ("DD_APM_DD_URL", ""),
    ("DD_LOGS_CONFIG_LOGS_DD_URL", ""),
    ("DD_APM_PROFILING_DD_URL", "/api/v2/profile"),
    ("DD_APM_DEBUGGER_DD_URL", "/api/v2/debugger"),
    ("DD_APM_TELEMETRY_DD_URL", ""),
    ("DD_EVP_PROXY_CONFIG_DD_URL", ""),
];

/// Variables whose value is replaced by the base URL of the intake, if they are set.
const FURTHER_URLS: [&str; 2] = ["DD_URL", "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL"];

/// Variables with a JSON object from base URLs to lists of API keys.
const ENDPOINTS: [&str; 4] = [
    "DD_ADDITIONAL_ENDPOINTS",
    "DD_APM_ADDITIONAL_ENDPOINTS",
    "DD_APM_PROFILING_ADDITIONAL_ENDPOINTS",
    "DD_EVP_PROXY_CONFIG_ADDITIONAL_ENDPOINTS",
];

/// Variables that would make the extension ask elsewhere: stored keys, proxies, and endpoints that are reached over TLS alone.
const LEADS_ELSEWHERE: [&str; 13] = [
    "DD_API_KEY_SECRET_ARN",
    "DD_API_KEY_SSM_ARN",
    "DD_KMS_API_KEY",
    "DD_ORG_UUID",
    "DD_DELEGATED_AUTH_URL",
    "DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS",
    "DD_PROXY_HTTP",
    "DD_PROXY_HTTPS",
    "DD_APPSEC_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "DD_LOGS_CONFIG_DD_URL",
];

/// Paths in `datadog.yaml` that name destinations of other versions of the extension, besides those of the variables.
const FURTHER_PATHS: [&str; 11] = [
    "proxy.http",
    "logs_config.dd_url",
    "url",
    "appsec_proxy",
    "observability_pipelines_worker.logs.url",
    "vector.logs.url",
    "apm_config.apm_dd_url",
    "apm_config.profiling_dd_url",
    "apm_config.debugger_dd_url",
    "apm_config.telemetry.dd_url",
    "evp_proxy_config.dd_url",
];

/// The name of a variable as in the tables here. Datadog's names have either of two prefixes, in any letter case; those of proxies are also written in lower
/// case.
pub(super) fn canonical(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    match name.strip_prefix("DATADOG_") {
        Some(rest) => format!("DD_{rest}"),
        None => name,
    }
}

impl Destinations {
    /// The settings file of a function without what names a destination; `None` if it stays as it is. What was removed has the form of a variable, to be
    /// treated as one.
    pub(crate) fn of_file(self, yaml: &str) -> Option<ReducedYaml> {
        match self {
            Self::AsSet => None,
            Self::Intake => agent_config::without(yaml, is_destination, &FURTHER_PATHS),
        }
    }

    /// Variables for the extension in place of what was removed from its settings file.
    pub(super) fn in_place_of(removed: &BTreeMap<String, String>, intake: SocketAddr) -> BTreeMap<String, String> {
        let url = format!("http://{intake}");
        let of = |(name, value): (&String, &String)| Some((name.clone(), redirected(name, value, &url)?));
        removed.iter().filter(|(name, _)| is_destination(name)).filter_map(of).collect()
    }

    /// The names of the customer's variables that have no effect in the sandbox, because they would lead elsewhere.
    pub(crate) fn ignored(self, variables: &BTreeMap<String, String>) -> Vec<String> {
        let leads = |name: &&String| LEADS_ELSEWHERE.contains(&canonical(name).as_str());
        match self {
            Self::AsSet => Vec::new(),
            Self::Intake => variables.keys().filter(leads).cloned().collect(),
        }
    }

    /// Those of the customer's variables by which something goes elsewhere than to the sandbox's intake. `urls` are the names of its variables.
    pub(crate) fn elsewhere(self, customer: &BTreeMap<String, String>, urls: &[&str]) -> Vec<String> {
        let leads =
            |(name, value): &(&String, &String)| urls.contains(&canonical(name).as_str()) && !value.trim().is_empty();
        match self {
            Self::AsSet => customer.iter().filter(leads).map(|(name, _)| name.clone()).collect(),
            Self::Intake => Vec::new(),
        }
    }

    /// The customer's variables, with those of the intake.
    pub(super) fn apply(self, customer: &BTreeMap<String, String>, intake: SocketAddr) -> BTreeMap<String, String> {
        let url = format!("http://{intake}");
        let mut variables: BTreeMap<String, String> =
            URLS.iter().map(|(name, path)| ((*name).to_owned(), format!("{url}{path}"))).collect();
        variables.insert("DD_API_KEY".to_owned(), FAKE_API_KEY.to_owned());
        for (name, value) in customer {
            match self {
                Self::AsSet => drop(variables.insert(name.clone(), value.clone())),
                Self::Intake => {
                    let value = redirected(&canonical(name), value, &url);
                    variables.extend(value.map(|value| (name.clone(), value)));
                }
            }
        }
        variables
    }
}

/// Whether a variable is in one of the tables.
fn is_destination(name: &str) -> bool {
    URLS.iter().any(|(known, _)| *known == name)
        || [&FURTHER_URLS[..], &ENDPOINTS, &LEADS_ELSEWHERE].iter().any(|names| names.contains(&name))
}

/// The value of a variable that leads nowhere but to the intake; `None` if the variable has to go.
fn redirected(name: &str, value: &str, url: &str) -> Option<String> {
    let is_empty = value.trim().is_empty();
    if URLS.iter().any(|(known, _)| *known == name) || LEADS_ELSEWHERE.contains(&name) {
        None
    } else if FURTHER_URLS.contains(&name) {
        (!is_empty).then(|| url.to_owned())
    } else if ENDPOINTS.contains(&name) {
        Some(endpoints(value, url))
    } else if name == "DD_API_KEY" {
        (!is_empty).then(|| value.to_owned())
    } else {
        Some(value.to_owned())
    }
}

/// The endpoints with all their keys at the intake. A value of another form stays as it is: it names no destination, and the extension says what is wrong with
/// it.
fn endpoints(value: &str, url: &str) -> String {
    let Ok(endpoints) = serde_json::from_str::<Map<String, Value>>(value) else { return value.to_owned() };
    if endpoints.is_empty() {
        return value.to_owned();
    }
    let keys = endpoints.into_iter().flat_map(|(_, keys)| match keys {
        Value::Array(keys) => keys,
        other => vec![other],
    });
    Value::Object(Map::from_iter([(url.to_owned(), keys.collect())])).to_string()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn applied(destinations: Destinations, customer: &[(&str, &str)]) -> BTreeMap<String, String> {
        let customer = customer.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        destinations.apply(&customer, SocketAddr::from((Ipv4Addr::LOCALHOST, 80)))
    }

    #[test]
    fn no_variable_leads_away_from_the_intake() {
        let customer = [
            ("DD_DD_URL", "https://a.example"),
            ("datadog_apm_dd_url", "https://b.example"),
            ("DD_LOGS_CONFIG_LOGS_DD_URL", ""),
            ("DD_URL", "https://c.example"),
            ("DD_ADDITIONAL_ENDPOINTS", r#"{"https://d.example": ["k1"], "https://e.example": ["k2", "k3"]}"#),
            ("DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS", r#"[{"api_key": "k", "Host": "f.example", "Port": 443}]"#),
            ("DD_API_KEY_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:123456789012:secret:g"),
            ("DD_ORG_UUID", "org-1"),
            ("DD_DELEGATED_AUTH_URL", "https://i.example"),
            ("https_proxy", "http://h.example"),
            ("DD_API_KEY", " "),
            ("DD_SITE", "us5.datadoghq.com"),
        ];
        let variables = applied(Destinations::Intake, &customer);
        let away: Vec<_> = variables.iter().filter(|(_, value)| value.contains("example")).collect();
        assert!(away.is_empty() && !variables.contains_key("DD_API_KEY_SECRET_ARN"), "{variables:?}");
        assert_eq!(variables["DD_ADDITIONAL_ENDPOINTS"], r#"{"http://127.0.0.1:80":["k1","k2","k3"]}"#);
        assert_eq!(
            (variables["DD_URL"].as_str(), variables["DD_SITE"].as_str()),
            ("http://127.0.0.1:80", "us5.datadoghq.com")
        );
        assert_eq!(variables["DD_API_KEY"], FAKE_API_KEY);
        for (name, path) in URLS {
            assert_eq!(variables[name], format!("http://127.0.0.1:80{path}"));
        }
    }

    #[test]
    fn no_line_of_the_settings_file_leads_away_from_the_intake() {
        let yaml = "site: us5.datadoghq.com\ndd_url: https://a.example\nkms_api_key: x\nproxy: {https: 'http://p.example', http: 'http://q.example'}\n\
            additional_endpoints: {'https://b.example': [k1, k2]}\nvector: {logs: {url: https://e.example}}\n\
            logs_config:\n  logs_dd_url: https://c.example\n  dd_url: 'f.example:443'\n  \
            additional_endpoints: [{api_key: k, Host: d.example, Port: 443}]\n";
        let reduced = Destinations::Intake.of_file(yaml).unwrap();
        assert!(!reduced.text.contains("example") && reduced.text.contains("us5"), "{}", reduced.text);
        let removed = reduced.removed.into_iter().map(|removed| (removed.variable, removed.value)).collect();
        let variables = Destinations::in_place_of(&removed, SocketAddr::from((Ipv4Addr::LOCALHOST, 80)));
        let expected = [("DD_ADDITIONAL_ENDPOINTS".to_owned(), r#"{"http://127.0.0.1:80":["k1","k2"]}"#.to_owned())];
        assert_eq!(variables, expected.into());
        assert_eq!(Destinations::AsSet.of_file(yaml), None);
    }

    #[test]
    fn the_sandboxs_own_variables_cause_no_warning_of_the_extension() {
        for destinations in [Destinations::Intake, Destinations::AsSet] {
            let loaded = agent_config::load(applied(destinations, &[]), None);
            assert_eq!((loaded.warnings, loaded.unsupported), (Vec::new(), Vec::new()));
        }
    }

    #[test]
    fn destinations_stay_as_they_are_set_if_that_is_wanted() {
        let variables = applied(Destinations::AsSet, &[("DD_DD_URL", "https://a.example"), ("DD_API_KEY", "mine")]);
        assert_eq!((variables["DD_DD_URL"].as_str(), variables["DD_API_KEY"].as_str()), ("https://a.example", "mine"));
        assert_eq!(variables["DD_APM_DD_URL"], "http://127.0.0.1:80");
    }

    #[test]
    fn what_has_no_effect_is_named_as_it_was_written() {
        let customer = [("datadog_kms_api_key", "x"), ("DD_SITE", "y"), ("https_proxy", "z")];
        let customer = customer.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(Destinations::Intake.ignored(&customer), ["datadog_kms_api_key", "https_proxy"]);
        assert!(Destinations::AsSet.ignored(&customer).is_empty());
    }
}
