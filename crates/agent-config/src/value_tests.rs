//! Values in the forms that deployment tools leave them in.

use super::tests::{default, env, yaml};
use super::*;

fn tags(loaded: &LoadedConfig) -> Vec<String> {
    loaded.config.tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect()
}

#[test]
fn every_value_in_double_quotes_means_its_content() {
    for key in all() {
        let quoted = serde_json::to_string(key.doc.example).unwrap();
        let beside = key.doc.beside.and_then(|beside| beside.split_once('='));
        let with = |value: &str| {
            let variables = [(key.variable(), value.to_owned())];
            load(variables.into_iter().chain(beside.map(|(name, value)| (name.to_owned(), value.to_owned()))), None)
        };
        assert_eq!(with(&format!(" {quoted} ")), with(key.doc.example), "{}", key.name);
    }
}

#[test]
fn a_yaml_list_of_blanks_and_unusable_items_is_ignored_with_a_warning() {
    let loaded = yaml("proxy: {no_proxy: ['', {a: b}]}");
    assert_eq!(loaded.config.http.no_proxy, [""; 0]);
    assert!(matches!(&loaded.warnings[..], [one] if one.why == "must be a list of texts"), "{:?}", loaded.warnings);
    assert_eq!(yaml("proxy: {no_proxy: ['', ' ']}").warnings, []);
    assert_eq!(yaml("proxy: {no_proxy: ['', a.example]}").config.http.no_proxy, ["a.example"]);
}

#[test]
fn settings_in_double_quotes_are_read_without_them() {
    let loaded = env([
        ("DD_SITE", "\"datadoghq.eu\""),
        ("DD_SERVERLESS_LOGS_ENABLED", "\"false\""),
        ("DD_API_KEY", "\"0123 \\n\""),
        ("DD_SERVERLESS_FLUSH_STRATEGY", "\"end\""),
        ("DD_VERSION", "\"1.10\""),
        ("DD_TAGS", "\"a:1,b:2\""),
    ]);
    assert_eq!(loaded.warnings, []);
    let config = &loaded.config;
    assert_eq!((config.site.as_str(), config.logs.enabled), ("datadoghq.eu", false));
    assert_eq!(config.api_key.as_ref().unwrap().expose(), "0123");
    assert_eq!((config.flush_strategy, config.version.as_deref()), (FlushStrategy::End, Some("1.10")));
    assert_eq!(tags(&loaded), ["a=1", "b=2"]);
    assert_eq!(log_level([("DD_LOG_LEVEL", "\"debug\"")]), LevelFilter::DEBUG);
}

#[test]
fn text_with_unpaired_quotes_stays_as_written() {
    for text in ["\"", "\"a", "a\"", "\"a\"b\"", "'a'"] {
        assert_eq!(env([("DD_ENV", text)]).config.env.as_deref(), Some(text));
    }
    assert_eq!(env([("DD_ENV", "\"\"")]), default());
}

#[test]
fn a_list_in_a_variable_may_be_json() {
    assert_eq!(tags(&env([("DD_TAGS", r#"["env:prod", "team:x"]"#)])), ["env=prod", "team=x"]);
    let loaded = env([("DD_PROXY_NO_PROXY", r#"["a.example","b.example"]"#)]);
    assert_eq!((loaded.config.http.no_proxy, loaded.warnings), (vec!["a.example".into(), "b.example".into()], vec![]));
    assert_eq!(env([("DD_PROXY_NO_PROXY", "[a,b]")]).config.http.no_proxy, ["[a", "b]"]);
}

#[test]
fn list_item_that_is_no_text_is_skipped_and_counted() {
    let loaded = yaml("tags: [env:prod, [x], {a: b, c: d}, null, a:b]");
    assert_eq!(tags(&loaded), ["env=prod", "a=b"]);
    assert_eq!(
        loaded.warnings[0].to_string(),
        "tags (datadog.yaml): has items that can't be used (3); using the others"
    );
    let loaded = yaml("proxy: {no_proxy: [a.example, {b: c}]}");
    assert_eq!((loaded.config.http.no_proxy, loaded.warnings.len()), (vec!["a.example".to_owned()], 1));
}

#[test]
fn a_mapping_of_one_text_is_a_tag_or_pair_of_a_list() {
    let loaded = yaml("tags: [env:prod, team: payments, version: 1.10]");
    assert_eq!(
        (tags(&loaded), loaded.warnings.len()),
        (vec!["env=prod".into(), "team=payments".into(), "version=1.10".into()], 0)
    );
}

#[test]
fn delegated_auth_uses_the_sites_api_with_any_metrics_url() {
    let url = |variables: &[(&str, &str)]| load(variables.iter().copied(), None).config.delegated_auth_url;
    let metrics = ("DD_DD_URL", "http://relay.internal.example");
    assert_eq!(url(&[metrics]), "https://api.datadoghq.com");
    assert_eq!(url(&[("DD_SITE", "datadoghq.eu"), metrics]), "https://api.datadoghq.eu");
    assert_eq!(url(&[("DD_DELEGATED_AUTH_URL", "https://a.example/")]), "https://a.example");
}
