//! Settings, good and bad, as the customer hears of them.

use std::{fs, os::unix::fs::symlink};

use matrix::sandbox::{Sandbox, Setup, isolation, journal::JournalEvent, setup::Mount};
use nix::{sys::stat::Mode, unistd::mkfifo};

use crate::{
    launcher::launched,
    support::{Run, agent, echo, end, has_short_order, invoke, run_sandbox, setup_with},
};

#[test]
fn settings_that_are_not_supported_are_named_in_one_warning() {
    let variables = [
        ("DD_OTLP_CONFIG_METRICS_ENABLED", "true"),
        ("DD_CAPTURE_LAMBDA_PAYLOAD", "false"),
        ("DD_OTLP_CONFIG_LOGS_ENABLED", "x"),
        ("DD_APM_DD_URL", ""),
    ];
    let run = run_sandbox(setup_with(echo(), &variables), 1);
    run.assert_unharmed();
    run.assert_exactly_once();
    let own = run.own_lines();
    let told: Vec<_> = own.lines().filter(|line| line.contains("not supported yet")).collect();
    assert_eq!(told.len(), 1, "{own}");
    assert!(
        told[0].ends_with("without effect: DD_OTLP_CONFIG_METRICS_ENABLED, DD_OTLP_CONFIG_LOGS_ENABLED\"}"),
        "{told:?}"
    );
}

/// Each of them ends the process of some version of the extension.
#[test]
fn nonsensical_values_warn_and_use_defaults() {
    let variables = [
        ("DD_SITE", "not a site"),
        ("DD_URL", "gopher://x"),
        ("DD_TLS_CERT_FILE", "/nonexistent/ca.pem"),
        ("DD_PROXY_HTTPS", "not a proxy"),
        ("HTTPS_PROXY", ""),
        ("DD_SERVERLESS_FLUSH_STRATEGY", "periodically,0"),
        ("DD_LOGS_CONFIG_PROCESSING_RULES", "[{]"),
        ("DD_ADDITIONAL_ENDPOINTS", "https://x"),
        ("DD_API_KEY_SECRET_RELOAD_INTERVAL", "soon"),
        ("DD_DOGSTATSD_BUFFER_SIZE", "0"),
        ("DD_TAGS", "lonely"),
        ("DD_LOG_LEVEL", "loud"),
    ];
    let run = run_sandbox(setup_with(echo(), &variables), 3);
    run.assert_unharmed();
    run.assert_exactly_once();
    let own = run.own_lines();
    for (name, _) in variables.iter().filter(|(name, _)| *name != "HTTPS_PROXY") {
        assert!(own.contains(name), "{name} in {own}");
    }
}

/// What no setting accepts, except for those that accept every text.
const BAD: &str = "[{";

/// The names of the settings that refuse something, from the page about them.
fn demanding_settings() -> Vec<&'static str> {
    let page = include_str!("../../docs/configuration.md");
    let rows = page.lines().filter(|line| line.starts_with("| `")).map(|row| row.split(" | ").collect::<Vec<_>>());
    let takes_all =
        |kind: &str| kind == "text" || kind.starts_with("items ") || kind.ends_with("all other text is false");
    let demanding = |cells: &Vec<&str>| cells.len() == 7 && !takes_all(cells[2]);
    rows.filter(demanding).map(|cells| cells[0].trim_start_matches("| ").trim_matches('`')).collect()
}

#[test]
fn a_bad_value_of_every_setting_is_named_in_one_warning() {
    // Without these two, nothing would reach the sandbox's intake.
    const WHERE: [&str; 2] = ["DD_DD_URL", "DD_LOGS_CONFIG_LOGS_DD_URL"];
    let (urls, names): (Vec<_>, Vec<_>) = demanding_settings().into_iter().partition(|name| WHERE.contains(name));
    assert!(urls.len() == WHERE.len() && names.len() > 30, "{names:?}");
    assert_named(&names).assert_exactly_once();
    assert_named(&urls);
}

/// A run in which all of these have a bad value.
fn assert_named(names: &[&str]) -> Run {
    let variables: Vec<_> = names.iter().map(|name| (*name, BAD)).collect();
    let run = run_sandbox(setup_with(echo(), &variables), 3);
    run.assert_unharmed();
    let own = run.own_lines();
    // The sandbox itself sets one that is not supported yet.
    let is_about_a_value = |line: &&str| line.contains("WARN | CONFIG | ") && !line.contains("not supported yet");
    let warnings: Vec<_> = own.lines().filter(is_about_a_value).collect();
    for name in names {
        let named = warnings.iter().filter(|line| line.contains(&format!(" | {name} (environment): ")));
        assert_eq!(named.count(), 1, "{name} in {own}");
    }
    assert_eq!(warnings.len(), names.len(), "{own}");
    // Only where it must be a word of two can no value be a secret.
    let shown = format!(r#"must be true or false, not \"{BAD}\""#);
    assert!(!own.replace(&shown, "").contains(BAD), "{own}");
    run
}

/// A pattern that is to mask a secret may hold the secret.
#[test]
fn a_rule_that_does_not_compile_is_named_without_its_pattern() {
    let rules = r#"[{"type":"mask_sequences","name":"mine","pattern":"hunter2("}]"#;
    let run = run_sandbox(setup_with(echo(), &[("DD_LOGS_CONFIG_PROCESSING_RULES", rules)]), 1);
    run.assert_unharmed();
    let own = run.own_lines();
    assert!(
        own.contains(
            "log processing rule \\\"mine\\\" is ignored: its pattern is no regular expression: unclosed group"
        ),
        "{own}"
    );
    assert!(!own.contains("hunter2"), "{own}");
}

/// A FIFO gives nothing until somebody writes into it, a device gives bytes without end, and a large file is no settings file.
#[test]
fn endless_settings_file_warns_and_is_ignored() {
    for (kind, why) in [
        ("fifo", "it is not a regular file"),
        ("device", "it is not a regular file"),
        ("folder", "it is not a regular file"),
        ("large", "it has more than 1048576 bytes"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("datadog.yaml");
        match kind {
            "fifo" => mkfifo(&file, Mode::S_IRUSR | Mode::S_IWUSR).unwrap(),
            "device" => symlink("/dev/zero", &file).unwrap(),
            "folder" => fs::create_dir(&file).unwrap(),
            _ => fs::write(&file, " ".repeat((1 << 20) + 1)).unwrap(),
        }
        let mount = Mount { source: directory.path().to_owned(), target: "/var/task".into() };
        // Only the short order can go on behind the launcher.
        let launched = has_short_order("the launcher").then(launched);
        for extension in launched.into_iter().chain([agent()]) {
            let extensions = vec![extension];
            let setup = Setup { mounts: vec![mount.clone()], extensions, ..setup_with(echo(), &[]) };
            let sandbox = Sandbox::start(setup).unwrap();
            if !sandbox.journal().iter().any(|entry| entry.what == JournalEvent::MountsPrivate) {
                isolation::skip("this machine gives a sandbox no mounts of its own");
                return;
            }
            let invocations = invoke(&sandbox, 0..2);
            let run = end(sandbox, invocations);
            run.assert_unharmed();
            run.assert_exactly_once();
            let own = run.own_lines();
            let line = format!("Failed to load config: datadog.yaml cannot be read: {why}; using the environment");
            assert_eq!(own.matches(&line).count(), 1, "{kind}: {own}");
        }
    }
}

#[test]
fn file_applies_where_the_environment_has_no_value() {
    let directory = tempfile::tempdir().unwrap();
    let text = "env: from-file\nversion: 1.10\ntags: ['team:file']\nlogs_config:\n  use_compression: false\n";
    fs::write(directory.path().join("datadog.yaml"), text).unwrap();
    // Extensions are not told where the function's code is, and look where it usually is.
    let mount = Mount { source: directory.path().to_owned(), target: "/var/task".into() };
    let setup = Setup { mounts: vec![mount], ..setup_with(echo(), &[("DD_ENV", "from-environment")]) };
    let sandbox = Sandbox::start(setup).unwrap();
    if !sandbox.journal().iter().any(|entry| entry.what == JournalEvent::MountsPrivate) {
        isolation::skip("this machine gives a sandbox no mounts of its own");
        return;
    }
    let invocations = invoke(&sandbox, 0..1);
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    let logs = run.intake.logs();
    let tags: Vec<_> = logs[0]["ddtags"].as_str().unwrap().split(',').collect();
    for tag in ["env:from-environment", "version:1.10", "team:file"] {
        assert!(tags.contains(&tag), "{tag} in {tags:?}");
    }
    let requests = run.intake.requests();
    assert!(requests.iter().filter(|it| it.path == "/api/v2/logs").all(|it| it.encoding == "identity"));
}
