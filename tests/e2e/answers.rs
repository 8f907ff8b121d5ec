//! What the intake answers, and when: nothing that was accepted is sent again, and a pause that is asked for is kept.

use std::{thread, time::Duration};

use matrix::sandbox::{
    Sandbox, Setup,
    intake::{Intake, Plan, Request, Route, RuleResponse, Window},
};

use crate::support::{
    echo, end, eventually, invoke, invoke_next, invoke_until_request_is_open, run_sandbox, setup_with,
};

#[test]
fn an_answer_with_many_headers_is_an_answer() {
    let headers = (0..150).map(|number| (format!("x-header-{number}"), "value".to_owned())).collect();
    let plan =
        Plan::rule(Route::Any, Window::ALWAYS, RuleResponse::Status { code: 202, headers, body: "{}".to_owned() });
    let run =
        run_sandbox(Setup { intake: Some(plan), ..setup_with(echo(), &[("DD_SERVERLESS_FLUSH_STRATEGY", "end")]) }, 3);
    run.assert_unharmed();
    run.assert_exactly_once();
    assert!(!run.own_lines().contains("Failed to send"), "{}", run.own_lines());
}

fn logs(intake: &Intake) -> Vec<Request> {
    intake.requests().into_iter().filter(|request| request.path == "/api/v2/logs").collect()
}

/// The function is invoked again and again meanwhile, so that there is always a reason to send.
#[test]
fn retry_after_of_two_seconds_is_respected() {
    const PAUSE: i64 = 2;
    let headers = vec![("retry-after".to_owned(), PAUSE.to_string())];
    let busy = RuleResponse::Status { code: 429, headers, body: String::new() };
    let plan = Plan::rule(Route::Logs, Window::first(1), busy);
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let sandbox = Sandbox::start(Setup { intake: Some(plan), ..setup_with(echo(), &variables) }).unwrap();
    let mut invocations = invoke(&sandbox, 0..1);
    // Far longer than the pause: whoever comes that late has forgotten about it.
    eventually("the second request for logs arrives", || {
        invoke_next(&sandbox, &mut invocations);
        thread::sleep(Duration::from_millis(20));
        logs(sandbox.intake().unwrap()).len() >= 2
    });
    let requests = logs(sandbox.intake().unwrap());
    let waited = requests[1].at - requests[0].at;
    assert!(waited >= time::Duration::seconds(PAUSE), "{waited}");
    let series = sandbox.intake().unwrap().requests();
    let meanwhile = series.iter().filter(|it| it.path != "/api/v2/logs" && it.at < requests[1].at).count();
    assert!(meanwhile > 2, "the other intakes asked for nothing");
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    run.assert_exactly_once();
}

/// The answer comes while the sandbox is frozen, for longer than the request may take. After the thaw it lies in the socket.
#[test]
fn an_answer_that_came_during_a_freeze_counts() {
    const DELAY: Duration = Duration::from_millis(400);
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "continuously,1"), ("DD_FLUSH_TIMEOUT", "1")];
    let plan = Plan::rule(Route::Any, Window::ALWAYS, RuleResponse::Delay(DELAY));
    let sandbox = Sandbox::start(Setup { intake: Some(plan), ..setup_with(echo(), &variables) }).unwrap();
    let mut invocations = Vec::new();
    for _ in 0..3 {
        invoke_until_request_is_open(&sandbox, &mut invocations);
        // The sandbox is frozen for this time, which is longer than the delay and the timeout together.
        thread::sleep(DELAY + Duration::from_millis(1_300));
    }
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    run.assert_exactly_once();
    assert!(!run.own_lines().contains("no answer within"), "{}", run.own_lines());
}
