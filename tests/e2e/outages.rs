//! Datadog is slow, refuses, or is not there: the function does not notice, and what can be delivered is.

use std::time::Duration;

use matrix::sandbox::{
    Function, Sandbox, Setup,
    function::HandlerOutcome,
    intake::{Outage, OutageStart, Payload, Plan, Route, Rule, RuleResponse, Window},
};

use crate::support::{Run, echo, end, invoke, invoke_until_request_is_open, run_sandbox, setup_with};

fn with_plan(plan: Plan, times: usize) -> Run {
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    run_sandbox(Setup { intake: Some(plan), ..setup_with(echo(), &variables) }, times)
}

#[test]
fn an_outage_of_three_flushes_loses_nothing() {
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let closed = Outage { after: OutageStart::Elapsed(Duration::ZERO), lasting: None };
    let plan = Plan { outages: vec![closed], ..Plan::default() };
    let sandbox = Sandbox::start(Setup { intake: Some(plan), ..setup_with(echo(), &variables) }).unwrap();
    let mut invocations = invoke(&sandbox, 0..3);
    assert!(sandbox.intake().unwrap().requests().is_empty(), "nothing can have arrived");
    sandbox.intake().unwrap().set_plan(Plan::default());
    invocations.extend(invoke(&sandbox, 3..6));
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    run.assert_exactly_once();
}

#[test]
fn temporary_refusals_are_retried_until_everything_has_arrived() {
    for answer in [RuleResponse::status(429), RuleResponse::status(500), RuleResponse::status(503)] {
        let run = with_plan(Plan::rule(Route::Any, Window::first(7), answer.clone()), 5);
        run.assert_unharmed();
        run.assert_exactly_once();
        assert!(run.ending.requests.iter().filter(|request| !request.delivered()).count() >= 7, "{answer:?}");
    }
}

#[test]
fn payload_is_retried_once_after_the_connection_breaks_before_the_answer() {
    let run = with_plan(Plan::rule(Route::Logs, Window::first(1), RuleResponse::Reset), 3);
    run.assert_unharmed();
    run.assert_exactly_once();
    assert_eq!(run.ending.requests.iter().filter(|request| !request.delivered()).count(), 1);
}

#[test]
fn intake_with_retry_after_gets_the_data_afterwards() {
    let busy =
        RuleResponse::Status { code: 429, headers: vec![("retry-after".into(), "1".into())], body: String::new() };
    let run = with_plan(Plan::rule(Route::Logs, Window::first(1), busy), 5);
    run.assert_unharmed();
    run.assert_exactly_once();
}

#[test]
fn final_refusals_are_counted_and_not_repeated() {
    for code in [400, 403, 413] {
        let run = with_plan(Plan::rule(Route::Logs, Window::ALWAYS, RuleResponse::status(code)), 3);
        run.assert_unharmed();
        assert!(run.intake.logs().is_empty());
        assert_eq!(run.count("invocations"), 3, "metrics go their own way");
        let own = run.own_lines();
        assert!(own.contains("LOGS | Request was denied by Datadog"), "{own}");
        assert_eq!(own.contains("verify DD_API_KEY"), code == 403, "{own}");
        assert!(own.contains("were dropped or not confirmed"), "{own}");
        let refused = run.ending.requests.iter().filter_map(|request| match &request.payload {
            Payload::Logs(logs) => Some(format!("{logs:?}")),
            _ => None,
        });
        let mut refused: Vec<_> = refused.collect();
        let requests = refused.len();
        refused.sort_unstable();
        refused.dedup();
        assert!(requests > 0 && refused.len() == requests, "no payload twice, of {requests}: {refused:?}");
    }
}

#[test]
fn silent_intake_delays_no_invocation() {
    let plan = Plan::rule(Route::Any, Window::ALWAYS, RuleResponse::Silence);
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let setup = Setup { intake: Some(plan), timeout: Duration::from_secs(2), ..setup_with(echo(), &variables) };
    let run = run_sandbox(setup, 4);
    run.assert_unharmed();
    for invocation in &run.invocations[1..] {
        assert!(invocation.duration < run.invocations[0].duration, "only the first may wait: {:?}", run.invocations);
    }
    assert!(run.own_lines().contains("were dropped or not confirmed"), "{}", run.own_lines());
}

#[test]
fn a_slow_intake_gets_everything_in_the_end() {
    let plan = Plan::rule(Route::Any, Window::ALWAYS, RuleResponse::Delay(Duration::from_millis(300)));
    for strategy in ["end", "continuously,1", "periodically,1"] {
        let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", strategy)];
        let run = run_sandbox(Setup { intake: Some(plan.clone()), ..setup_with(echo(), &variables) }, 4);
        run.assert_unharmed();
        run.assert_exactly_once();
    }
}

/// All others are answered at once, so that nothing but the wait for the slow one keeps the extension alive until its response comes.
#[test]
fn shutdown_waits_for_open_request_of_slow_intake() {
    let slow = Plan::rule(Route::Any, Window::first(1), RuleResponse::Delay(Duration::from_millis(1500)));
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "continuously,1")];
    let sandbox = Sandbox::start(Setup { intake: Some(slow), ..setup_with(echo(), &variables) }).unwrap();
    let mut invocations = Vec::new();
    invoke_until_request_is_open(&sandbox, &mut invocations);
    let run = end(sandbox, invocations);
    run.assert_shutdown_waited_for_an_open_request();
    run.assert_unharmed();
    run.assert_exactly_once();
}

#[test]
fn a_request_that_hangs_is_waited_for_once() {
    let plan = Plan::rule(Route::Logs, Window::first(1), RuleResponse::Silence);
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let setup = Setup { intake: Some(plan), timeout: Duration::from_secs(10), ..setup_with(echo(), &variables) };
    let sandbox = Sandbox::start(setup).unwrap();
    let invocations = invoke(&sandbox, 0..6);
    let first = invocations[0].duration;
    assert!((Duration::from_secs(5)..Duration::from_secs(8)).contains(&first), "five seconds and no more: {first:?}");
    for invocation in &invocations[1..] {
        assert!(invocation.duration < first, "only the first may wait: {invocations:?}");
    }
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    assert_eq!(run.count("invocations"), 6);
    for (number, invocation) in run.invocations.iter().enumerate().skip(1) {
        let line = format!("{number} {}", invocation.request_id);
        assert_eq!(run.count_messages(&line), 1, "the intake is healthy: {line}");
    }
}

#[test]
fn an_intake_that_fails_slowly_is_waited_for_once() {
    let rules = [RuleResponse::Delay(Duration::from_secs(2)), RuleResponse::status(503)];
    let rules = rules.map(|response| Rule { route: Route::Any, window: Window::ALWAYS, response });
    let plan = Plan { rules: rules.into(), ..Plan::default() };
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let setup = Setup { intake: Some(plan), timeout: Duration::from_secs(10), ..setup_with(echo(), &variables) };
    let run = run_sandbox(setup, 5);
    run.assert_unharmed();
    for invocation in &run.invocations[1..] {
        assert!(invocation.duration < Duration::from_secs(1), "only the first may wait: {:?}", run.invocations);
    }
}

#[test]
fn what_no_memory_is_left_for_is_logged_when_it_is_dropped() {
    let closed = Outage { after: OutageStart::Elapsed(Duration::ZERO), lasting: None };
    let plan = Plan { outages: vec![closed], ..Plan::default() };
    let function = Function::from_fn(|call| {
        for _ in 0..60 {
            call.print("x".repeat(100_000));
        }
        HandlerOutcome::Response(b"null".to_vec())
    });
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "end"), ("DD_LOGS_CONFIG_USE_COMPRESSION", "false")];
    let setup = Setup { intake: Some(plan), timeout: Duration::from_mins(1), ..setup_with(function, &variables) };
    let run = run_sandbox(setup, 6);
    run.assert_unharmed();
    let own = run.own_lines();
    let at_once = own.find("were dropped: more than 24 MiB wait to be sent").unwrap_or_else(|| panic!("{own}"));
    assert!(at_once < own.find("Exiting: ").unwrap(), "{own}");
}

#[test]
fn levels_that_need_too_much_memory_are_lowered_with_a_warning() {
    let variables = [("DD_COMPRESSION_LEVEL", "22"), ("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let run = run_sandbox(Setup { memory_mb: 128, ..setup_with(echo(), &variables) }, 2);
    run.assert_unharmed();
    run.assert_exactly_once();
    for what in ["logs", "metrics"] {
        let warning = format!("{what} compression level 22 needs more memory than a function of 128 MB");
        assert!(run.own_lines().contains(&warning), "{}", run.own_lines());
    }
}
