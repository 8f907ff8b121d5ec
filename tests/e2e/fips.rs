//! What a customer reads of validated cryptography: of a build without it where it was asked for, and of one that has it.

use bottlecap::features;
use matrix::sandbox::{Function, Setup};

use crate::support::{run_sandbox, setup_with};

/// The warnings about `DD_LAMBDA_FIPS_MODE`.
fn warnings(setup: Setup) -> Vec<String> {
    let run = run_sandbox(setup, 1);
    run.assert_unharmed();
    let own = run.own_lines();
    own.lines().filter(|line| line.contains("DD_LAMBDA_FIPS_MODE is ")).map(str::to_owned).collect()
}

#[test]
fn a_fips_mode_that_the_build_does_not_have_is_warned_about_once() {
    // No level hides it.
    let asks = |mode: &str| setup_with(Function::null(), &[("DD_LAMBDA_FIPS_MODE", mode), ("DD_LOG_LEVEL", "off")]);
    let in_govcloud = Setup { region: "us-gov-west-1".to_owned(), ..setup_with(Function::null(), &[]) };
    for (setup, is_wanted) in [(asks("true"), true), (asks("false"), false), (in_govcloud, true)] {
        let warnings = warnings(setup);
        if is_wanted == features::FIPS {
            assert_eq!(warnings, [""; 0]);
        } else {
            let [warning] = &warnings[..] else { panic!("{warnings:?}") };
            assert!(warning.contains("WARN") && warning.contains("use the FIPS layer") == is_wanted, "{warning}");
        }
    }
}

#[test]
fn a_site_that_is_not_for_govcloud_is_warned_about_once_and_there_alone() {
    for (region, site, warnings) in
        [("us-gov-west-1", "datadoghq.com", 1), ("us-gov-west-1", "ddog-gov.com", 0), ("us-east-1", "datadoghq.com", 0)]
    {
        let setup = Setup { region: region.to_owned(), ..setup_with(Function::null(), &[("DD_SITE", site)]) };
        let run = run_sandbox(setup, 1);
        let own = run.own_lines();
        let told = own.lines().filter(|line| line.contains("a region of AWS GovCloud, for which Datadog's site is"));
        assert_eq!(told.count(), warnings, "{region}, {site}: {own}");
    }
}

#[test]
fn fips_build_logs_its_module_and_traffic_without_tls() {
    let run = run_sandbox(setup_with(Function::null(), &[("DD_SKIP_SSL_VALIDATION", "true")]), 1);
    run.assert_unharmed();
    let own = run.own_lines();
    let told = |part: &str| own.lines().filter(|line| line.contains(part)).count();
    let wanted = usize::from(features::FIPS);
    // The sandbox's intake has no TLS.
    for part in ["FIPS | AWS-LC FIPS ", "FIPS | DD_SKIP_SSL_VALIDATION is on", "FIPS | set to URLs without TLS"] {
        assert_eq!(told(part), wanted, "{part}: {own}");
    }
    assert_eq!(told("in every client"), 0, "clients that authenticate nobody are not the ones that were asked: {own}");
    assert_eq!(told("Trusting the roots"), 0, "nobody is trusted by roots: {own}");
}

#[test]
fn no_log_level_hides_what_is_sent_past_the_module() {
    for level in ["off", "error", "warn", "info"] {
        let run = run_sandbox(setup_with(Function::null(), &[("DD_LOG_LEVEL", level)]), 1);
        run.assert_unharmed();
        let own = run.own_lines();
        let told = |part: &str| own.lines().filter(|line| line.contains(part)).count();
        // The sandbox's intake has no TLS, so the line about the module speaks of connections that have it.
        for part in [
            "FIPS | set to URLs without TLS",
            "FIPS | AWS-LC FIPS ",
            "in every connection with TLS (aws-lc-fips, fips: true)",
        ] {
            assert_eq!(told(part), usize::from(features::FIPS), "{level}, {part}: {own}");
        }
        assert_eq!(told("in every client"), 0, "{level}: {own}");
    }
}

#[test]
fn fips_build_logs_its_module_without_an_api_key() {
    let run = run_sandbox(setup_with(Function::null(), &[("DD_API_KEY", "")]), 1);
    let own = run.own_lines();
    let told = |part: &str| own.lines().filter(|line| line.contains(part)).count();
    assert_eq!(told("Nothing will be sent: Failed to resolve API key"), 1, "{own}");
    assert_eq!(told("FIPS | AWS-LC FIPS "), usize::from(features::FIPS), "{own}");
    assert_eq!(told("(aws-lc-fips, fips: true)"), usize::from(features::FIPS), "{own}");
}
