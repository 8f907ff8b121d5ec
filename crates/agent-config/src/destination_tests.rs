//! Tests of endpoints, their API keys and proxies.

use std::sync::Arc;
use std::time::Duration;

use super::tests::{default, env, yaml};
use super::*;

#[test]
fn the_longer_metrics_variable_beats_the_shorter() {
    let url = |variables: &[(&str, &str)], text| load(variables.iter().copied(), Some(text)).config.metrics.url;
    assert_eq!(url(&[("DD_URL", "http://b")], ""), "http://b");
    assert_eq!(url(&[("DD_URL", "http://b"), ("DD_DD_URL", "http://a")], ""), "http://a");
    assert_eq!(url(&[("DD_URL", "http://b")], "dd_url: http://c"), "http://c");
    assert_eq!(url(&[("DD_URL", "http://b"), ("DD_DD_URL", "nonsense")], ""), "http://b");
}

#[test]
fn the_shared_proxy_variables_come_after_ours_and_exceptions_add_up() {
    let http = |variables: &[(&str, &str)], text| load(variables.iter().copied(), Some(text)).config.http;
    let shared = ("HTTPS_PROXY", "http://shared:1");
    assert_eq!(http(&[shared], "").proxy.as_deref(), Some("http://shared:1"));
    assert_eq!(http(&[shared], "proxy: {https: 'http://ours:1'}").proxy.as_deref(), Some("http://ours:1"));
    assert_eq!(http(&[shared, ("DD_PROXY_HTTPS", "http://env:1")], "").proxy.as_deref(), Some("http://env:1"));
    assert_eq!(http(&[shared, ("DD_PROXY_HTTPS", "")], "").proxy, None);
    assert_eq!(http(&[("DD_HTTPS_PROXY", "http://x:1")], "").proxy, None);
    let no_proxy = http(&[("NO_PROXY", "c, .d"), ("DD_PROXY_NO_PROXY", "a,,b ")], "proxy: {no_proxy: [z]}").no_proxy;
    assert_eq!(no_proxy, ["a", "b", "c", ".d"]);
}

#[test]
fn endpoints_are_read_one_by_one() {
    let endpoints = |loaded: &LoadedConfig| -> Vec<String> {
        let told = |endpoint: &Arc<Endpoint>| format!("{} {}", endpoint.url, endpoint.api_key.expose());
        loaded.config.metrics.additional_endpoints.iter().map(told).collect()
    };
    let json = r#"{"https://a.example/": ["k1", " k2\n", 5, "ü"], "b.example": ["k3"], "https://c.example": "k4"}"#;
    let text =
        "additional_endpoints:\n  https://a.example/: [k1, k2, [5], ü]\n  b.example: [k3]\n  https://c.example: k4";
    for loaded in [env([("DD_ADDITIONAL_ENDPOINTS", json)]), yaml(text)] {
        assert_eq!(endpoints(&loaded), ["https://a.example k1", "https://a.example k2"]);
        assert!(loaded.warnings[0].why.ends_with("(4)"), "{:?}", loaded.warnings);
        assert!(!format!("{:?}", loaded.config).contains("k1"));
    }
}

#[test]
fn log_endpoints_are_read_one_by_one() {
    let endpoints = |loaded: &LoadedConfig| -> Vec<String> {
        let told = |endpoint: &Arc<Endpoint>| format!("{} {}", endpoint.url, endpoint.api_key.expose());
        loaded.config.logs.additional_endpoints.iter().map(told).collect()
    };
    let json = r#"[{"api_key":"k1","Host":"a.example","Port":443,"is_reliable":true}, {"api_key":" k2\n","Host":"http://b:80","Port":"8080"},
                   {"api_key":"k3","Host":"c"}, {"api_key":"k4","Host":"d","Port":0}, {"Host":"e","Port":1}, {"api_key":"k6","Port":1},
                   {"api_key":"k7","Host":"f/path","Port":1}, {"api_key":"k8","Host":"g","Port":65536}, {"api_key":"ü","Host":"h"}, 5]"#;
    let json = json.replace("http://b:80", "http://b");
    let loaded = env([("DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS", json.as_str())]);
    assert_eq!(endpoints(&loaded), ["https://a.example:443 k1", "http://b:8080 k2", "https://c:443 k3"]);
    assert!(loaded.warnings[0].why.ends_with("(7)"), "{:?}", loaded.warnings);
    assert!(!format!("{:?}", loaded.config).contains("k1"));
    let text =
        "logs_config:\n  additional_endpoints:\n    - {api_key: k1, Host: a.example, Port: 443, is_reliable: true}\n";
    assert_eq!(endpoints(&yaml(text)), ["https://a.example:443 k1"]);
}

#[test]
fn logs_go_to_a_worker_only_if_it_is_turned_on_and_nowhere_if_it_cannot_be_found() {
    let (on, url) = ("DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED", "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL");
    let both = env([(on, "true"), (url, "http://worker:8282/in/")]);
    assert_eq!(both.config.logs.worker.as_deref(), Some("http://worker:8282/in/"));
    assert!(both.config.logs.enabled && both.warnings.is_empty());
    let off = env([(url, "http://worker:8282")]);
    assert_eq!(off, default());
    for variables in [vec![(on, "true")], vec![(on, "true"), (url, "")], vec![(on, "true"), (url, "gopher://x")]] {
        let lost = load(variables.iter().copied(), None);
        assert!(!lost.config.logs.enabled && lost.config.logs.worker.is_none(), "{variables:?}");
        let last = lost.warnings.last().unwrap().to_string();
        assert_eq!(last, format!("{on} (environment): is set without a usable {url}; using no logs at all"));
    }
}

#[test]
fn the_first_place_where_a_key_is_kept_counts() {
    let all = [("DD_KMS_API_KEY", "a"), ("DD_API_KEY_SECRET_ARN", "b"), ("DD_API_KEY_SSM_ARN", "c")];
    let secret = |variables: &[(&str, &str)]| load(variables.iter().copied(), Some("api_key: plain")).config.secret;
    assert_eq!(secret(&all), Some(Secret::Kms("a".to_owned())));
    assert_eq!(secret(&all[1..]), Some(Secret::SecretsManager("b".to_owned())));
    assert_eq!(secret(&all[2..]), Some(Secret::Ssm("c".to_owned())));
    assert_eq!(secret(&[("DD_KMS_API_KEY", ""), all[2]]), Some(Secret::Ssm("c".to_owned())));
    let organization = [("DD_ORG_UUID", "o"), all[0]];
    assert_eq!(secret(&organization), Some(Secret::Delegated("o".to_owned())));
    assert_eq!(secret(&[]), None);
}

#[test]
fn keys_are_not_reloaded_faster_than_once_a_second() {
    let reload = |text: &str| {
        let loaded = load([("DD_API_KEY_SECRET_RELOAD_INTERVAL", text)], None);
        (loaded.config.secret_reload, loaded.warnings.len())
    };
    assert_eq!(reload("1.5"), (Some(Duration::from_millis(1500)), 0));
    for never in ["0", "0.99", ""] {
        assert_eq!(reload(never), (None, 0), "{never}");
    }
    for bad in ["-1", "NaN", "inf", "1e300", "soon"] {
        assert_eq!(reload(bad), (None, 1), "{bad}");
    }
}

#[test]
fn only_the_shared_proxy_leads_to_aws() {
    let variables = [("HTTPS_PROXY", "http://shared:1"), ("NO_PROXY", "s"), ("DD_PROXY_HTTPS", "http://ours:1")];
    let loaded = load(variables, Some("proxy: {no_proxy: [o]}"));
    assert_eq!(loaded.config.http.proxy.as_deref(), Some("http://ours:1"));
    let aws = Aws { proxy: Some("http://shared:1".to_owned()), no_proxy: vec!["s".to_owned()], ..Aws::default() };
    assert_eq!(loaded.config.aws, aws);
}
