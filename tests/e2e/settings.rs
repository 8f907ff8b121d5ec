//! Settings, good and bad, as the customer hears of them.

use std::fs;

use matrix::sandbox::{Sandbox, Setup, journal::What, setup::Mount};

use crate::support::{echo, end, invoke, live, setup_with};

#[test]
fn settings_that_are_not_supported_are_named_in_one_warning() {
    let variables = [
        ("DD_SERVERLESS_APPSEC_ENABLED", "true"),
        ("DD_CAPTURE_LAMBDA_PAYLOAD", "false"),
        ("DD_APM_FEATURES", "x"),
        ("DD_APM_DD_URL", ""),
    ];
    let life = live(setup_with(echo(), &variables), 1);
    life.assert_unharmed();
    life.assert_exactly_once();
    let own = life.own_lines();
    let told: Vec<_> = own.lines().filter(|line| line.contains("not supported yet")).collect();
    assert_eq!(told.len(), 1, "{own}");
    assert!(told[0].ends_with("without effect: DD_SERVERLESS_APPSEC_ENABLED, DD_APM_FEATURES\"}"), "{told:?}");
}

/// Each of them ends the process of some version of the extension.
#[test]
fn values_that_make_no_sense_are_told_and_done_without() {
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
    let life = live(setup_with(echo(), &variables), 3);
    life.assert_unharmed();
    life.assert_exactly_once();
    let own = life.own_lines();
    for (name, _) in variables.iter().filter(|(name, _)| *name != "HTTPS_PROXY") {
        assert!(own.contains(name), "{name} in {own}");
    }
}

#[test]
fn the_file_counts_where_the_environment_says_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let text = "env: from-file\nversion: 1.10\ntags: ['team:file']\nlogs_config:\n  use_compression: false\n";
    fs::write(directory.path().join("datadog.yaml"), text).unwrap();
    // Extensions are not told where the function's code is, and look where it usually is.
    let mount = Mount { source: directory.path().to_owned(), target: "/var/task".into() };
    let setup = Setup { mounts: vec![mount], ..setup_with(echo(), &[("DD_ENV", "from-environment")]) };
    let sandbox = Sandbox::start(setup).unwrap();
    if !sandbox.journal().iter().any(|entry| entry.what == What::MountsPrivate) {
        eprintln!("not tested: this machine gives a sandbox no mounts of its own");
        return;
    }
    let invocations = invoke(&sandbox, 0..1);
    let life = end(sandbox, invocations);
    life.assert_unharmed();
    let logs = life.intake.logs();
    let tags: Vec<_> = logs[0]["ddtags"].as_str().unwrap().split(',').collect();
    for tag in ["env:from-environment", "version:1.10", "team:file"] {
        assert!(tags.contains(&tag), "{tag} in {tags:?}");
    }
    let requests = life.intake.requests();
    assert!(requests.iter().filter(|it| it.path == "/api/v2/logs").all(|it| it.encoding == "identity"));
}
