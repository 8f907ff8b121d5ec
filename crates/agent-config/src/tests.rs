use std::time::Duration;

use super::keys::{Key, Kind, Scope};
use super::*;

pub(super) fn env<const N: usize>(variables: [(&str, &str); N]) -> LoadedConfig {
    load(variables, None)
}

pub(super) fn default() -> LoadedConfig {
    LoadedConfig { config: Config::default(), warnings: Vec::new(), discarded: None, unsupported: Vec::new() }
}

pub(super) fn yaml(text: &str) -> LoadedConfig {
    load([("PATH", "/usr/bin"); 1], Some(text))
}

/// A YAML document that sets one key to a value in YAML notation.
fn document(key: &Key, value: &str) -> Option<String> {
    let path = key.yaml?;
    let depth = path.split('.').count();
    let lines = path.split('.').enumerate().map(|(level, name)| {
        let value = if level + 1 == depth { value } else { "" };
        format!("{}{name}: {value}\n", "  ".repeat(level))
    });
    Some(lines.collect())
}

fn example_in_yaml(key: &Key) -> String {
    match key.doc.kind {
        Kind::List | Kind::Tags => format!("[{}]", key.doc.example.split(',').collect::<Vec<_>>().join(", ")),
        _ => key.doc.example.to_owned(),
    }
}

#[test]
fn nothing_set_is_the_default_without_a_warning() {
    let loaded = load([("HOME", "/root"), ("DD_UNKNOWN", "1"), ("DD", "x"), ("é", "y")], Some(""));
    assert_eq!(loaded, default());
}

#[test]
fn every_default_is_what_the_table_says() {
    for key in all().filter(|key| !key.default.is_empty()) {
        let loaded = env([(&key.variable(), key.default)]);
        assert_eq!(loaded, default(), "{}", key.name);
    }
}

#[test]
fn every_example_means_the_same_under_each_prefix_and_in_yaml() {
    for key in all() {
        let expected = key.example_as(&key.variable());
        assert_ne!(expected.config, Config::default(), "{} has an example that changes nothing", key.name);
        assert_eq!(key.example_as(&key.variable().to_lowercase()), expected, "{}", key.name);
        if key.scope == Scope::Datadog {
            assert_eq!(key.example_as(&format!("DATADOG_{}", key.name)), expected, "{}", key.name);
        }
        if let Some(document) = document(key, &example_in_yaml(key)) {
            assert_eq!(yaml(&document), expected, "{document}");
        }
    }
}

#[test]
fn each_invalid_value_warns_once() {
    for key in all() {
        if let Some(bad) = key.doc.kind.bad() {
            let loaded = env([(&key.variable(), bad)]);
            assert_eq!(loaded.config, Config::default(), "{}", key.name);
            assert_one_warning(&loaded, &key.variable(), bad);
            if let Some(document) = document(key, &format!("'{bad}'")) {
                let loaded = yaml(&document);
                assert_eq!(loaded.config, Config::default(), "{document}");
                assert_one_warning(&loaded, key.yaml.unwrap(), bad);
            }
        }
        let is_mapping = matches!(key.doc.kind, Kind::Mapping);
        if let Some(document) = document(key, if is_mapping { "[nested]" } else { "{nested: thing}" }) {
            let loaded = yaml(&document);
            assert_eq!(loaded.config, Config::default(), "{document}");
            assert_one_warning(&loaded, key.yaml.unwrap(), "nested");
        }
    }
}

/// All settings have a value, and then one of them has an invalid value: the others keep theirs.
#[test]
fn every_bad_value_changes_no_other_setting() {
    let others = |index: usize| {
        let others = all().enumerate().filter(move |(at, _)| *at != index);
        others.map(|(_, key)| (key.variable(), key.doc.example))
    };
    for (index, key) in all().enumerate() {
        // That a worker lacks its URL is worth a warning, which a bad URL does not change.
        let absent = load(others(index), None);
        let Some(bad) = key.doc.kind.bad() else { continue };
        let mut loaded = load(others(index).chain([(key.variable(), bad)]), None);
        assert_eq!(loaded.config, absent.config, "{}", key.name);
        loaded.warnings.retain(|warning| !absent.warnings.contains(warning));
        assert_one_warning(&loaded, &key.variable(), bad);
    }
}

fn assert_one_warning(loaded: &LoadedConfig, name: &str, value: &str) {
    let [warning] = loaded.warnings.as_slice() else { panic!("{name}: {:?}", loaded.warnings) };
    assert_eq!(warning.key, name);
    let line = warning.to_string();
    let is_shown = line.contains(&format!("must be true or false, not {value:?}"));
    assert!(is_shown || !line.contains(value), "{line}");
    assert!(!line.contains('\n') && !warning.used.is_empty(), "{line}");
}

#[test]
fn a_bad_value_of_a_switch_is_shown_unless_it_may_be_a_secret() {
    let loaded = env([("DD_LOGS_ENABLED", "flase")]);
    let [warning] = loaded.warnings.as_slice() else { panic!("{:?}", loaded.warnings) };
    assert_eq!(warning.why, "must be true or false, not \"flase\"");
    let loaded = env([("DD_LOGS_ENABLED", "0123456789abcdef0123456789abcdef")]);
    assert_eq!(loaded.warnings[0].why, "must be true or false");
}

#[test]
fn the_names_of_all_settings_are_whole() {
    let names: Vec<String> = super::names().collect();
    for name in ["DD_API_KEY", "DD_LOGS_ENABLED", "HTTPS_PROXY", "DD_SERVICE_MAPPING"] {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
}

#[test]
fn every_bad_value_in_the_environment_leaves_the_field_to_yaml() {
    for key in all() {
        let (Some(bad), Some(document)) = (key.doc.kind.bad(), document(key, &example_in_yaml(key))) else { continue };
        let loaded = load([(key.variable(), bad)], Some(&document));
        assert_eq!(loaded.config, yaml(&document).config, "{}", key.name);
        assert_one_warning(&loaded, &key.variable(), bad);
        assert_eq!(loaded.warnings[0].used, format!("{} of datadog.yaml", key.yaml.unwrap()));
    }
}

#[test]
fn every_null_in_yaml_is_absent() {
    for key in all() {
        if let Some(document) = document(key, "null") {
            assert_eq!(yaml(&document), default(), "{document}");
        }
    }
}

#[test]
fn sources_win_in_order() {
    let all = [("DATADOG_SITE", "b.example"), ("DD_SITE", "a.example")];
    let text = "site: c.example\nlogs_enabled: false\n";
    assert_eq!(load(all, Some(text)).config.site, "a.example");
    assert_eq!(load([all[0]], Some(text)).config.site, "b.example");
    assert_eq!(yaml(text).config.site, "c.example");
    assert!(!load(all, Some(text)).config.logs.enabled);
}

#[test]
fn a_bad_value_is_reported_with_what_was_used_instead() {
    let loaded = load([("DD_FLUSH_TIMEOUT", "soon"), ("DATADOG_FLUSH_TIMEOUT", "0")], Some("flush_timeout: 7"));
    assert_eq!(loaded.config.flush_timeout, Duration::from_secs(7));
    assert_eq!(loaded.config.http.timeout, Duration::from_secs(7));
    let lines: Vec<String> = loaded.warnings.iter().map(Warning::to_string).collect();
    assert_eq!(
        lines,
        [
            "DD_FLUSH_TIMEOUT (environment): must be a whole number; using flush_timeout of datadog.yaml",
            "DATADOG_FLUSH_TIMEOUT (environment): is out of range; using flush_timeout of datadog.yaml",
        ]
    );
    let line = env([("DD_FLUSH_TIMEOUT", "soon")]).warnings[0].to_string();
    assert_eq!(line, "DD_FLUSH_TIMEOUT (environment): must be a whole number; using the default 30");
}

#[test]
fn text_stays_as_written() {
    let digits = "12345678901234567890123456789012";
    let text = format!("version: 1.10\nenv: 0123\nservice: true\napi_key: {digits}");
    let variables = [("DD_VERSION", "1.10"), ("DD_ENV", "0123"), ("DD_SERVICE", "true"), ("DD_API_KEY", digits)];
    for loaded in [env(variables), yaml(&text)] {
        assert_eq!(loaded.warnings, []);
        assert_eq!(loaded.config.version.as_deref(), Some("1.10"));
        assert_eq!(loaded.config.env.as_deref(), Some("0123"));
        assert_eq!(loaded.config.service.as_deref(), Some("true"));
        assert_eq!(loaded.config.api_key.unwrap().expose(), digits);
    }
}

#[test]
fn api_keys_are_cleaned_and_never_shown() {
    let loaded = env([("DD_API_KEY", " abc def\n\n")]);
    assert_eq!(loaded.config.api_key.as_ref().unwrap().expose(), "abcdef");
    assert!(!format!("{loaded:?}").contains("abcdef"));
    assert_eq!(env([("DD_API_KEY", " \n")]).config.api_key, None);
}

#[test]
fn an_empty_variable_replaces_texts_but_not_names_and_lists() {
    let text = "api_key: k\nsite: s.example\nenv: e\ntags: [a:b]\nproxy: {https: 'http://p:1', no_proxy: [n]}\n\
                tls_cert_file: /c\nlogs_config: {logs_dd_url: 'http://l', processing_rules: \
                [{type: exclude_at_match, name: n, pattern: p}]}";
    let given = yaml(text).config;
    assert_eq!((given.http.no_proxy.len(), given.logs.rules.len()), (1, 1));
    let empty = ["API_KEY", "SITE", "ENV", "TAGS", "PROXY_HTTPS", "PROXY_NO_PROXY", "TLS_CERT_FILE"];
    let empty = empty.into_iter().chain(["LOGS_CONFIG_LOGS_DD_URL", "LOGS_CONFIG_PROCESSING_RULES"]);
    let loaded = load(empty.map(|name| (format!("DD_{name}"), " ")), Some(text));
    assert_eq!(loaded.warnings, []);
    let default = Config::default();
    let expected = Config {
        api_key: None,
        site: default.site,
        http: Http { proxy: None, tls_cert_file: None, ..given.http.clone() },
        logs: Logs { url: default.logs.url, ..given.logs.clone() },
        delegated_auth_url: default.delegated_auth_url,
        metrics: default.metrics,
        apm: default.apm,
        ..given
    };
    assert_eq!(loaded.config, expected);
}

/// As Datadog's libraries in the function do, so that extension and function have the same idea of it.
#[test]
fn the_fips_mode_is_true_or_false_by_one_word_alone() {
    let mode = |text: &str| {
        let loaded = env([("DD_LAMBDA_FIPS_MODE", text)]);
        assert_eq!(loaded.warnings, []);
        loaded.config.fips_mode
    };
    for text in ["true", "TRUE", "True"] {
        assert_eq!(mode(text), Some(true), "{text}");
    }
    for text in ["false", "1", "yes", "on", ""] {
        assert_eq!(mode(text), Some(false), "{text}");
    }
    assert_eq!(env([("DD_SITE", "datadoghq.com")]).config.fips_mode, None);
}

#[test]
fn either_name_turns_logs_on_within_the_source_that_wins() {
    let on = |variables: &[(&str, &str)], text| load(variables.iter().copied(), Some(text)).config.logs.enabled;
    let (serverless, agent) = ("DD_SERVERLESS_LOGS_ENABLED", "DD_LOGS_ENABLED");
    assert!(!on(&[(agent, "false")], ""));
    assert!(!on(&[(serverless, "false")], ""));
    assert!(on(&[(serverless, "false"), (agent, "true")], ""));
    assert!(on(&[(serverless, "true"), (agent, "false")], ""));
    assert!(!on(&[(agent, "false")], "serverless_logs_enabled: true"));
    assert!(on(&[(agent, "true")], "logs_enabled: false\nserverless_logs_enabled: false"));
    assert!(!on(&[], "logs_enabled: false"));
    assert!(!on(&[(agent, "perhaps")], "logs_enabled: false"));
    assert!(on(&[(agent, "perhaps")], ""));
}

#[test]
fn a_specific_compression_level_beats_the_general_one_wherever_it_is() {
    let levels = |variables: &[(&str, &str)], text: &str| {
        let config = load(variables.iter().copied(), Some(text)).config;
        (config.logs.compression, config.metrics.compression_level)
    };
    assert_eq!(levels(&[("DD_COMPRESSION_LEVEL", "9")], ""), (Some(9), 9));
    let specific = "logs_config: {compression_level: 1}";
    assert_eq!(levels(&[("DD_COMPRESSION_LEVEL", "9")], specific), (Some(1), 9));
    assert_eq!(levels(&[("DD_METRICS_CONFIG_COMPRESSION_LEVEL", "-2")], "compression_level: 8"), (Some(8), -2));
    assert_eq!(levels(&[("DD_COMPRESSION_LEVEL", "23")], ""), (Some(22), 22));
    assert_eq!(levels(&[("DD_LOGS_CONFIG_USE_COMPRESSION", "0")], specific), (None, 3));
}

#[test]
fn flush_strategies_have_an_exact_grammar() {
    let strategy = |text: &str| {
        let loaded = env([("DD_SERVERLESS_FLUSH_STRATEGY", text)]);
        (loaded.config.flush_strategy, loaded.warnings.len())
    };
    for text in ["default", "end", "end,1000", "periodically,60000", "continuously,1"] {
        assert_eq!(strategy(text).0.to_string(), text);
    }
    let ms = Duration::from_millis;
    assert_eq!(strategy("default"), (FlushStrategy::Default, 0));
    assert_eq!(strategy("end"), (FlushStrategy::End, 0));
    assert_eq!(strategy("end,1000"), (FlushStrategy::EndPeriodically(ms(1000)), 0));
    assert_eq!(strategy("periodically,60000"), (FlushStrategy::Periodically(ms(60_000)), 0));
    assert_eq!(strategy("continuously,1"), (FlushStrategy::Continuously(ms(1)), 0));
    for bad in [
        "",
        "END",
        "periodically",
        "continuously",
        "continuously, 100",
        "end,0",
        "periodically,0",
        "continuously,0",
        "periodically,-1",
        "periodically,1.5",
        "end,",
        "60000",
        "continuously,99999999999999999999",
    ] {
        assert_eq!(strategy(bad), (FlushStrategy::Default, 1), "{bad}");
    }
}

#[test]
fn sites_that_make_no_url_are_refused() {
    for (given, site) in [
        ("datadoghq.eu", "datadoghq.eu"),
        ("https://us5.datadoghq.com/", "us5.datadoghq.com"),
        ("localhost:8080", "localhost:8080"),
    ] {
        let loaded = env([("DD_SITE", given)]);
        assert_eq!(loaded.warnings, []);
        assert_eq!(loaded.config.site, site);
        assert_eq!(loaded.config.logs.url, format!("https://http-intake.logs.{site}"));
        assert_eq!(loaded.config.metrics.url, format!("https://api.{site}"));
    }
    for bad in
        ["https://", "a b", "data/dog", "host:port", "host:99999999", "a@b", "ü.example", "https://x?y", ".eu", ":8080"]
    {
        let loaded = env([("DD_SITE", bad)]);
        assert_eq!((loaded.config, loaded.warnings.len()), (Config::default(), 1), "{bad}");
    }
}

#[test]
fn urls_are_trimmed_and_completed() {
    let loaded = env([
        ("DD_LOGS_CONFIG_LOGS_DD_URL", " logs.internal.example:8080// "),
        ("DD_DD_URL", "http://metrics.internal.example/base/"),
        ("DD_PROXY_HTTPS", "proxy.internal.example:3128"),
    ]);
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.logs.url, "https://logs.internal.example:8080");
    assert_eq!(loaded.config.metrics.url, "http://metrics.internal.example/base");
    assert_eq!(loaded.config.http.proxy.as_deref(), Some("http://proxy.internal.example:3128"));
}

#[test]
fn unusable_urls_and_proxies_fall_back() {
    for bad in ["ftp://x", "https://", "http://a b", "https://x?y=z", "http://h:port", "file:///etc/passwd"] {
        for name in ["DD_LOGS_CONFIG_LOGS_DD_URL", "DD_DD_URL", "DD_URL", "DD_PROXY_HTTPS", "HTTPS_PROXY"] {
            let loaded = env([(name, bad)]);
            assert_eq!((loaded.config, loaded.warnings.len()), (Config::default(), 1), "{name}={bad}");
        }
    }
    assert_eq!(env([("DD_DD_URL", "metrics.internal.example")]).warnings.len(), 1, "a scheme is required");
}

#[test]
fn tags_keep_what_is_a_pair_and_say_what_is_not() {
    let tags = |loaded: &LoadedConfig| -> Vec<String> {
        loaded.config.tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect()
    };
    let loaded = env([("DD_TAGS", "team:a, url:http://x b:c lonely,:v,k: ")]);
    assert_eq!(tags(&loaded), ["team=a", "url=http://x", "b=c"]);
    let line = loaded.warnings[0].to_string();
    assert_eq!(line, "DD_TAGS (environment): has items that can't be used (3); using the others");
    assert_eq!(tags(&yaml("tags: ['a: b c', 'd:1']")), ["a=b c", "d=1"]);
    assert_eq!(tags(&load([("DD_TAGS", "x:y")], Some("tags: ['a:b']"))), ["x=y"]);
}

#[test]
fn rules_are_read_one_by_one() {
    let json = r#"[{"type":"mask_sequences","name":"m","pattern":"\\d+","replace_placeholder":"*"},
                   {"type":"guess","name":"x","pattern":"y"},{"type":"exclude_at_match","name":"e","pattern":"z"}]"#;
    let text = "logs_config:\n  processing_rules:\n    - {type: mask_sequences, name: m, pattern: '\\d+', \
                replace_placeholder: '*'}\n    - nonsense\n    - {type: exclude_at_match, name: e, pattern: z}\n";
    let rule = |kind, name: &str, pattern: &str, placeholder: &str| Rule {
        kind,
        name: name.to_owned(),
        pattern: pattern.to_owned(),
        placeholder: placeholder.to_owned(),
    };
    let expected = [rule(RuleKind::MaskSequences, "m", "\\d+", "*"), rule(RuleKind::ExcludeAtMatch, "e", "z", "")];
    for loaded in [env([("DD_LOGS_CONFIG_PROCESSING_RULES", json)]), yaml(text)] {
        assert_eq!(loaded.config.logs.rules, expected);
        assert_eq!(loaded.warnings.len(), 1);
    }
}

#[test]
fn a_namespace_is_the_beginning_of_a_name() {
    let namespace = |text: &str| {
        let loaded = env([("DD_STATSD_METRIC_NAMESPACE", text)]);
        (loaded.config.dogstatsd.namespace, loaded.warnings.len())
    };
    assert_eq!(namespace(" shop.cart_2. "), (Some("shop.cart_2".to_owned()), 0));
    assert_eq!(namespace(""), (None, 0));
    for bad in ["2shop", "_shop", ".shop", "shop-cart", "shop cart", "läden"] {
        assert_eq!(namespace(bad), (None, 1), "{bad}");
    }
}

#[test]
fn unreadable_yaml_leaves_the_environment_alone() {
    let loaded = load([("DD_SITE", "datadoghq.eu")], Some("site: [\napi_key: k"));
    assert_eq!(loaded.config.site, "datadoghq.eu");
    assert_eq!(loaded.config.api_key, None);
    assert_eq!(loaded.warnings, []);
    assert!(loaded.discarded.unwrap().contains("line 1"));
}

#[test]
fn a_section_that_is_not_a_mapping_is_reported_once() {
    let loaded = yaml("logs_config: on\nservice: s");
    assert_eq!(loaded.config.service.as_deref(), Some("s"));
    let lines: Vec<String> = loaded.warnings.iter().map(Warning::to_string).collect();
    assert_eq!(lines, ["logs_config (datadog.yaml): must hold further settings; using the environment and defaults"]);
}

#[cfg(unix)]
#[test]
fn bytes_that_are_not_text_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let raw = |bytes: &[u8]| std::ffi::OsString::from_vec(bytes.to_vec());
    let loaded = load([(raw(b"DD_ENV"), raw(b"\xff")), (raw(b"\xfe"), raw(b"x"))], Some("env: e"));
    assert_eq!(loaded.config.env.as_deref(), Some("e"));
    assert_eq!(loaded.warnings[0].why, "is not UTF-8");
}

#[test]
fn the_log_level_can_be_read_alone() {
    assert_eq!(log_level([("PATH", "debug")]), LevelFilter::INFO);
    assert_eq!(log_level([("DD_LOG_LEVEL", "Debug ")]), LevelFilter::DEBUG);
    assert_eq!(log_level([("DATADOG_LOG_LEVEL", "off"), ("dd_log_level", "TRACE")]), LevelFilter::TRACE);
    assert_eq!(log_level([("DD_LOG_LEVEL", "loud"), ("DATADOG_LOG_LEVEL", "error")]), LevelFilter::ERROR);
    assert_eq!(log_level([("DD_LOG_LEVEL", "loud"), ("LOG_LEVEL", "error")]), LevelFilter::INFO);
}

#[test]
fn any_input_gives_a_usable_result() {
    let awkward = [
        "",
        " ",
        ",",
        ":",
        "::",
        ",:,",
        "[",
        "]",
        "{",
        "{}",
        "[]",
        "[[]]",
        "null",
        "~",
        "\"",
        "'",
        "\u{0}",
        "\n",
        "é,é:é",
        "-1",
        "1e999",
        "99999999999999999999999999",
        "https://",
        "https://[",
        "https://%",
        "//",
        "*",
        "&a",
        "!x",
        "%",
        "|",
    ];
    for key in all() {
        for value in awkward {
            let quoted = serde_json::to_string(value).unwrap();
            let texts = [document(key, value), document(key, &quoted)].into_iter().flatten();
            let loaded = texts.map(|text| yaml(&text)).chain([env([(&key.variable(), value)])]);
            for LoadedConfig { config, warnings, .. } in loaded {
                assert!(url::Url::parse(&config.logs.url).is_ok(), "{}={value}", key.name);
                assert!(url::Url::parse(&config.metrics.url).is_ok(), "{}={value}", key.name);
                assert!(!config.http.timeout.is_zero(), "{}={value}", key.name);
                assert!(warnings.len() <= 1, "{}={value}: {warnings:?}", key.name);
            }
        }
    }
}

#[test]
fn settings_can_be_taken_out_of_the_file_without_a_change_of_the_others() {
    let yaml = "version: 1.10\nproxy: {https: 'http://p.example', no_proxy: [a]}\nadditional_endpoints:\n  https://a.example: [k1]\n";
    let reduced = without(yaml, |name| ["DD_PROXY_HTTPS", "DD_ADDITIONAL_ENDPOINTS"].contains(&name), &[]).unwrap();
    let removed: Vec<_> = reduced.removed.iter().map(|of| (of.variable.as_str(), of.path, of.value.as_str())).collect();
    let expected = [
        ("DD_PROXY_HTTPS", "proxy.https", "http://p.example"),
        ("DD_ADDITIONAL_ENDPOINTS", "additional_endpoints", r#"{"https://a.example":["k1"]}"#),
    ];
    assert_eq!(removed, expected);
    let none: [(&str, &str); 0] = [];
    let kept = "version: 1.10\nproxy: {no_proxy: [a]}\n";
    assert_eq!(load(none, Some(&reduced.text)), load(none, Some(kept)));
    assert_eq!(without(yaml, |_| false, &[]), None);
    assert_eq!(without("a: [", |_| true, &[]), None);
}
