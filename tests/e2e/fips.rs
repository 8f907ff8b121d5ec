//! What a customer reads who asks for validated cryptography and has a build without it.

use bottlecap::features;
use matrix::sandbox::{Function, Setup};

use crate::support::{live, setup_with};

/// The warnings about `DD_LAMBDA_FIPS_MODE`.
fn warnings(setup: Setup) -> Vec<String> {
    let life = live(setup, 1);
    life.assert_unharmed();
    let own = life.own_lines();
    own.lines().filter(|line| line.contains("DD_LAMBDA_FIPS_MODE is ")).map(str::to_owned).collect()
}

#[test]
fn a_fips_mode_that_the_build_does_not_have_is_warned_about_once() {
    let asks = |mode: &str| setup_with(Function::null(), &[("DD_LAMBDA_FIPS_MODE", mode)]);
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
