//! The launcher in front of the agent: one process, one extension, and nothing lost between the two programs.

use std::num::NonZeroU32;

use bottlecap::features;
use matrix::sandbox::{
    Extension, Setup,
    setup::{Delivery, Initialization, LayerFile, Order},
};
use serde_json::json;

use crate::support::{agent, echo, has_short_order, run_sandbox, setup, setup_with};

/// The launcher under the extension's name, and the agent where it looks for it.
pub fn launched() -> Extension {
    let agent = LayerFile { place: "bottlecap/agent".into(), source: env!("CARGO_BIN_EXE_bottlecap").into() };
    Extension { layer_files: vec![agent], ..launcher_alone() }
}

/// The launcher under the extension's name, without an agent.
pub fn launcher_alone() -> Extension {
    Extension::new("datadog-agent", matrix::build::launcher::for_tests().unwrap())
}

/// The agent alone, and behind the launcher where it can go on with somebody else's sockets.
pub fn agents() -> Vec<Extension> {
    let launched = has_short_order("the launcher").then(launched);
    [agent()].into_iter().chain(launched).collect()
}

#[test]
fn the_agent_goes_on_where_the_launcher_got_to() {
    // Only the short order can go on with somebody else's sockets; the manifest builds no launcher without it.
    if !has_short_order("the launcher") {
        return;
    }
    for order in [Order::Rapid, Order::InitAfterInvoke] {
        let delivery = Delivery { order, duplicate_every: NonZeroU32::new(3), ..Delivery::default() };
        let run = run_sandbox(Setup { extensions: vec![launched()], delivery, ..setup(echo()) }, 20);
        run.assert_unharmed();
        run.assert_exactly_once();
        run.assert_no_problems();
        assert_eq!(run.count("init_duration"), 1);
    }
}

#[test]
fn a_launched_agent_still_leaves_out_logs_that_are_not_wanted() {
    if !has_short_order("the launcher") {
        return;
    }
    let variables = [("DD_SERVERLESS_LOGS_ENABLED", "false")];
    let run = run_sandbox(Setup { extensions: vec![launched()], ..setup_with(echo(), &variables) }, 3);
    run.assert_unharmed();
    assert!(run.intake.logs().is_empty());
    assert_eq!(run.count("invocations"), 3);
}

#[test]
fn logs_off_in_the_environment_limits_the_launchers_subscription_to_platform() {
    if !has_short_order("the launcher") {
        return;
    }
    let types = |initialization, variables: &[(&str, &str)]| {
        let setup = Setup { extensions: vec![launched()], initialization, ..setup_with(echo(), variables) };
        let run = run_sandbox(setup, 1);
        run.assert_unharmed();
        let subscription = run.ending.telemetry.iter().find(|event| event["type"] == "platform.telemetrySubscription");
        subscription.unwrap()["record"]["types"].clone()
    };
    let all = json!(["platform", "extension", "function"]);
    for initialization in [Initialization::OnDemand, Initialization::ManagedInstances] {
        assert_eq!(types(initialization, &[]), all, "{initialization:?}");
        let off = [("DD_SERVERLESS_LOGS_ENABLED", "false")];
        assert_eq!(types(initialization, &off), json!(["platform"]), "{initialization:?}");
        let one_on = [("DD_SERVERLESS_LOGS_ENABLED", "false"), ("DATADOG_LOGS_ENABLED", "true")];
        assert_eq!(types(initialization, &one_on), all, "{initialization:?}");
    }
}

/// Only where the switch `init-trace` is on.
#[test]
fn the_steps_of_launcher_and_agent_are_logged_as_those_of_one_start() {
    if !features::INIT_TRACE || !has_short_order("the launcher") {
        return;
    }
    let run =
        run_sandbox(Setup { extensions: vec![launched()], ..setup_with(echo(), &[("DD_LOG_LEVEL", "debug")]) }, 1);
    run.assert_unharmed();
    let own = run.own_lines();
    let at = |step: &str| own.find(&format!("INIT | {step}: delta ")).unwrap_or_else(|| panic!("no {step}: {own}"));
    let steps = ["start", "registered", "asked", "executed", "agent", "runtime", "subscribed", "lifecycle"].map(at);
    assert!(steps.is_sorted(), "{own}");
    for step in ["bound", "config", "crypto", "intake", "dogstatsd", "trace_agent", "ready"] {
        assert!(at(step) > at("start"), "{own}");
    }
    assert_eq!(own.matches("INIT | available parallelism: ").count(), 1, "{own}");
}

#[test]
fn a_launcher_without_an_agent_keeps_the_function_alive() {
    for initialization in [Initialization::OnDemand, Initialization::ProvisionedConcurrency] {
        let run = run_sandbox(Setup { extensions: vec![launcher_alone()], initialization, ..setup(echo()) }, 3);
        run.assert_unharmed();
        assert!(run.ending.requests.is_empty());
        assert!(run.own_lines().contains("The agent cannot be started"), "{}", run.own_lines());
    }
}
