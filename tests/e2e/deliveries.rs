//! Nothing is lost and nothing comes twice, whatever the order and the strategy.

use std::{
    num::NonZeroU32,
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use matrix::sandbox::{
    Function, Invocation, Sandbox, Setup, function,
    intake::{Intake, Payload, Plan, Route, RuleResponse, Window},
    setup::{Delivery, Initialization, Order},
};
use serde_json::Value;
use time::OffsetDateTime;

use crate::support::{
    self, Run, echo, end, eventually, has_open_request, invoke, invoke_next, invoke_until_request_is_open, request_id,
    run_sandbox, setup, setup_with, text,
};

#[test]
fn a_thousand_python_invocations_are_counted_exactly_once() {
    let directory = tempfile::tempdir().unwrap();
    let function = support::python(
        &directory,
        "def handler(event, context):\n    print(f'{event} {context.aws_request_id}')\n    return event\n",
    );
    let run = run_sandbox(Setup { timeout: Duration::from_secs(30), ..setup(function) }, 1000);
    run.assert_unharmed();
    run.assert_exactly_once();
    run.assert_no_problems();
    assert_eq!(run.count("init_duration"), 1);
    assert_eq!(run.count("errors"), 0);
    let cold: i64 = run
        .intake
        .points("aws.lambda.enhanced.invocations")
        .iter()
        .filter(|point| point.tags.contains(&"cold_start:true".to_owned()))
        .map(|point| point.cnt)
        .sum();
    assert_eq!(cold, 1);
}

#[test]
fn every_strategy_delivers_the_same() {
    for strategy in ["default", "end", "end,1", "end,600000", "periodically,1", "continuously,1", "continuously,600000"]
    {
        let run = run_sandbox(setup_with(echo(), &[("DD_SERVERLESS_FLUSH_STRATEGY", strategy)]), 30);
        run.assert_unharmed();
        run.assert_exactly_once();
        run.assert_no_problems();
    }
}

#[test]
fn the_end_strategy_delivers_before_the_sandbox_freezes() {
    let sandbox = Sandbox::start(setup_with(echo(), &[("DD_SERVERLESS_FLUSH_STRATEGY", "end")])).unwrap();
    let invocation = sandbox.invoke(b"0").unwrap();
    let arrived = sandbox.intake().unwrap().logs();
    let line = format!("0 {}", invocation.request_id);
    assert!(arrived.iter().any(|log| text(log) == line), "{arrived:?}");
    end(sandbox, vec![invocation]).assert_exactly_once();
}

/// Whether the line of the invocation with this number has arrived.
fn has_line(sandbox: &Sandbox, number: usize) -> bool {
    sandbox.intake().unwrap().logs().iter().any(|log| text(log).starts_with(&format!("{number} ")))
}

fn start(strategy: &str) -> Sandbox {
    Sandbox::start(setup_with(echo(), &[("DD_SERVERLESS_FLUSH_STRATEGY", strategy)])).unwrap()
}

#[test]
fn end_strategy_with_interval_flushes_before_freeze_when_due() {
    let sandbox = start("end,1");
    // The first may come within a millisecond of the start, which ends after the extension has asked for it.
    let mut invocations = invoke(&sandbox, 0..1);
    for number in 1..4 {
        // An invocation that begins within a millisecond of the last flush or of the start does not flush.
        thread::sleep(Duration::from_millis(10));
        invocations.extend(invoke(&sandbox, number..number + 1));
        assert!(has_line(&sandbox, number), "{number}");
    }
    end(sandbox, invocations).assert_exactly_once();
}

/// A sandbox whose intake takes a second for each response. An invocation prints its line long after the extension has its INVOKE event.
fn start_with_slow_intake(strategy: &str) -> Sandbox {
    let slow = Plan::rule(Route::Any, Window::ALWAYS, RuleResponse::Delay(Duration::from_secs(1)));
    let function = Function::from_fn(|call| {
        thread::sleep(Duration::from_millis(200));
        call.print(format!("{} {}", String::from_utf8_lossy(call.event), call.request_id));
        function::HandlerOutcome::Response(call.event.to_vec())
    });
    let setup = setup_with(function, &[("DD_SERVERLESS_FLUSH_STRATEGY", strategy)]);
    Sandbox::start(Setup { intake: Some(slow), timeout: Duration::from_secs(30), ..setup }).unwrap()
}

/// Whether a request has brought the line of the invocation with this number, with or without a response.
fn has_received_line(sandbox: &Sandbox, number: usize) -> bool {
    let beginning = format!("{number} ");
    sandbox.intake().unwrap().requests().iter().any(|request| match &request.payload {
        Payload::Logs(logs) => logs.iter().any(|log| text(log).starts_with(&beginning)),
        _ => false,
    })
}

/// Invokes the function once more. Its line is not sent in the same invocation: the flush comes before the function's end.
fn invoke_flushing_before_the_end(sandbox: &Sandbox, invocations: &mut Vec<Invocation>) {
    invoke_next(sandbox, invocations);
    let number = invocations.len() - 1;
    assert!(!has_received_line(sandbox, number), "line {number} was sent at the function's end");
}

#[test]
fn periodic_flush_ends_before_the_freeze_of_a_later_invocation() {
    let sandbox = start_with_slow_intake("periodically,1");
    let mut invocations = Vec::new();
    // The first invocation may come before the interval is over; each later one flushes.
    eventually("the second line is delivered", || {
        invoke_flushing_before_the_end(&sandbox, &mut invocations);
        assert!(!has_open_request(&sandbox), "the flush was not waited for");
        has_line(&sandbox, 1)
    });
    sandbox.intake().unwrap().set_plan(Plan::default());
    end(sandbox, invocations).assert_exactly_once();
}

#[test]
fn continuous_flush_is_open_at_the_freeze() {
    let sandbox = start_with_slow_intake("continuously,1");
    let mut invocations = Vec::new();
    let mut was_open = false;
    eventually("a request is open at the freeze, and the second line is delivered", || {
        invoke_flushing_before_the_end(&sandbox, &mut invocations);
        was_open |= has_open_request(&sandbox);
        was_open && has_line(&sandbox, 1)
    });
    sandbox.intake().unwrap().set_plan(Plan::default());
    end(sandbox, invocations).assert_exactly_once();
}

/// Whether a request waits for its response and came less than a second ago: later it is no flush any more that anybody expects to end.
fn has_recent_request(sandbox: &Sandbox) -> bool {
    let recent = |at: OffsetDateTime| OffsetDateTime::now_utc() - at < Duration::from_millis(700);
    sandbox.intake().unwrap().requests().iter().any(|request| request.ended.is_none() && recent(request.at))
}

#[test]
fn while_a_flush_is_open_in_the_background_no_other_starts() {
    let slow = Plan::rule(Route::Any, Window::ALWAYS, RuleResponse::Delay(Duration::from_secs(5)));
    let function = Function::from_fn(|call| {
        call.print(format!("{} {}", String::from_utf8_lossy(call.event), call.request_id));
        // As much time as a request takes to arrive.
        thread::sleep(Duration::from_millis(50));
        function::HandlerOutcome::Response(call.event.to_vec())
    });
    let setup = setup_with(function, &[("DD_SERVERLESS_FLUSH_STRATEGY", "continuously,1")]);
    let sandbox = Sandbox::start(Setup { intake: Some(slow), timeout: Duration::from_secs(30), ..setup }).unwrap();
    let mut invocations = Vec::new();
    eventually("two invocations begin while a request is open", || {
        invoke_until_request_is_open(&sandbox, &mut invocations);
        let last = invocations.len() - 1;
        for _ in 0..2 {
            invoke_next(&sandbox, &mut invocations);
        }
        let sent = has_received_line(&sandbox, last);
        let is_valid = has_recent_request(&sandbox);
        assert!(!is_valid || !sent, "a second flush has brought line {last}");
        is_valid
    });
    sandbox.intake().unwrap().set_plan(Plan::default());
    end(sandbox, invocations).assert_unharmed();
}

#[test]
fn managed_instances_start_no_flush_while_another_is_open() {
    let slow = Plan::rule(Route::Any, Window::ALWAYS, RuleResponse::Delay(Duration::from_secs(5)));
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "continuously,20")];
    let setup = Setup { initialization: Initialization::ManagedInstances, ..setup_with(echo(), &variables) };
    let sandbox = Sandbox::start(Setup { intake: Some(slow), ..setup }).unwrap();
    let mut invocations = Vec::new();
    eventually("five intervals pass while a request is open", || {
        eventually("a request is open", || {
            invoke_next(&sandbox, &mut invocations);
            has_recent_request(&sandbox)
        });
        invoke_next(&sandbox, &mut invocations);
        let last = invocations.len() - 1;
        thread::sleep(Duration::from_millis(100));
        let sent = has_received_line(&sandbox, last);
        let is_valid = has_recent_request(&sandbox);
        assert!(!is_valid || !sent, "a second flush has brought line {last}");
        is_valid
    });
    sandbox.intake().unwrap().set_plan(Plan::default());
    let run = end(sandbox, invocations);
    run.assert_unharmed();
}

/// A function that runs until its own line has been delivered; it answers whether that was so within a minute.
#[test]
fn a_long_invocation_flushes_on_its_way() {
    let intake = Arc::new(OnceLock::<Intake>::new());
    let arrived = intake.clone();
    let function = Function::from_fn(move |call| {
        call.print(format!("{} {}", String::from_utf8_lossy(call.event), call.request_id));
        let (began, intake) = (Instant::now(), arrived.wait());
        let is_here = || intake.logs().iter().any(|log| request_id(log) == Some(call.request_id));
        while !is_here() && began.elapsed() < Duration::from_mins(1) {
            thread::sleep(Duration::from_millis(5));
        }
        function::HandlerOutcome::Response(is_here().to_string().into_bytes())
    });
    let setup = setup_with(function, &[("DD_SERVERLESS_FLUSH_STRATEGY", "end,200")]);
    let sandbox = Sandbox::start(Setup { timeout: Duration::from_mins(2), ..setup }).unwrap();
    intake.set(sandbox.intake().unwrap().clone()).unwrap();
    let invocations = invoke(&sandbox, 0..2);
    for invocation in &invocations {
        assert_eq!(invocation.response, b"true", "its line came before its end");
    }
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    run.assert_exactly_once();
}

#[test]
fn no_strategy_delivers_before_its_interval_is_over() {
    for strategy in ["end,600000", "periodically,600000", "continuously,600000"] {
        let sandbox = start(strategy);
        let invocations = invoke(&sandbox, 0..5);
        assert!(sandbox.intake().unwrap().requests().is_empty(), "{strategy}");
        let run = end(sandbox, invocations);
        run.assert_unharmed();
        run.assert_exactly_once();
    }
}

#[test]
fn managed_instances_flush_in_the_background() {
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "continuously,50")];
    let setup = Setup { initialization: Initialization::ManagedInstances, ..setup_with(echo(), &variables) };
    let sandbox = Sandbox::start(setup).unwrap();
    let invocations = invoke(&sandbox, 0..2);
    // No event of the platform's follows: only the extension's own clock can bring this about.
    eventually("both lines arrive", || has_line(&sandbox, 0) && has_line(&sandbox, 1));
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    assert_eq!(run.count("invocations"), 2);
}

/// A function that writes so many lines.
fn talkative(lines: usize) -> Function {
    let text = "of a function that has very much to say about everything it does. ".repeat(5);
    Function::from_fn(move |call| {
        for number in 0..lines {
            call.print(format!("{number} line {text}"));
        }
        function::HandlerOutcome::Response(b"null".to_vec())
    })
}

/// Every line of a talkative invocation was delivered once.
fn assert_lines(intake: &Intake, lines: usize, context: &str) {
    let number = |log: &Value| text(log).split_once(" line of a function")?.0.parse::<usize>().ok();
    let mut numbers: Vec<_> = intake.logs().iter().filter_map(number).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..lines), "{} of {lines} lines: {context}", numbers.len());
}

#[test]
fn a_talkative_invocation_loses_no_line() {
    const LINES: usize = 40_000;
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let setup = Setup { timeout: Duration::from_mins(2), ..setup_with(talkative(LINES), &variables) };
    let run = run_sandbox(setup, 1);
    run.assert_unharmed();
    assert_lines(&run.intake, LINES, &run.own_lines());
    assert!(!run.own_lines().contains("dropped"), "{}", run.own_lines());
}

#[test]
fn full_log_batch_is_sent_at_once_with_every_strategy() {
    /// More than the thousand logs that a request may have, and less than twice as many.
    const LINES: usize = 1500;
    for strategy in ["end,600000", "periodically,600000", "continuously,600000"] {
        let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", strategy)];
        let setup = setup_with(talkative(LINES), &variables);
        // The telemetry may come after the function's end, when no event follows.
        let setup = Setup { timeout: Duration::from_mins(2), freeze: false, ..setup };
        let sandbox = Sandbox::start(setup).unwrap();
        let invocations = invoke(&sandbox, 0..1);
        let id = invocations[0].request_id.clone();
        let is_own = |log: &Value| request_id(log) == Some(&id) && text(log).contains(" line of a function");
        let count = |intake: &Intake| intake.logs().iter().filter(|log| is_own(log)).count();
        eventually("a full batch arrives", || count(sandbox.intake().unwrap()) > 0);
        assert!(count(sandbox.intake().unwrap()) < LINES, "{strategy}: the rest waits for the shutdown");
        let run = end(sandbox, invocations);
        run.assert_unharmed();
        assert_eq!(count(&run.intake), LINES, "{strategy}\n{}", run.own_lines());
        assert_lines(&run.intake, LINES, strategy);
    }
}

fn with_delivery(delivery: Delivery) -> Run {
    run_sandbox(Setup { delivery, ..setup(echo()) }, 25)
}

#[test]
fn telemetry_may_come_in_any_order() {
    let mut orders = vec![Order::Rapid, Order::InitAfterInvoke];
    orders.extend((0..4).map(|seed| Order::Shuffled { seed }));
    for order in orders {
        for delay in [Duration::ZERO, Duration::from_millis(60)] {
            let run = with_delivery(Delivery { order, delay, ..Delivery::default() });
            run.assert_unharmed();
            run.assert_exactly_once();
            assert_eq!(run.count("init_duration"), 1, "{order:?}");
        }
    }
}

#[test]
fn restore_events_after_first_invoke_count_once() {
    for order in [Order::Rapid, Order::InitAfterInvoke, Order::Shuffled { seed: 1 }] {
        let delivery = Delivery { order, ..Delivery::default() };
        let run = run_sandbox(Setup { initialization: Initialization::SnapStart, delivery, ..setup(echo()) }, 3);
        run.assert_unharmed();
        run.assert_exactly_once();
        for metric in ["init_duration", "snapstart_restore_duration"] {
            assert_eq!(run.count(metric), 1, "{metric} with {order:?}");
        }
    }
}

#[test]
fn telemetry_may_come_twice() {
    for every in [1, 2, 3] {
        let run = with_delivery(Delivery { duplicate_every: NonZeroU32::new(every), ..Delivery::default() });
        run.assert_unharmed();
        run.assert_exactly_once();
    }
}

#[test]
fn unknown_telemetry_events_are_ignored() {
    let sandbox = Sandbox::start(setup(echo())).unwrap();
    let first = sandbox.invoke(b"0").unwrap();
    let strange = [
        serde_json::json!({"time": "2026-11-23T09:45:46.221Z", "type": "platform.comet", "record": {"tail": true}}),
        serde_json::json!({"time": 7, "type": "platform.start", "record": {}}),
        serde_json::json!(["not an event"]),
        serde_json::json!(null),
    ];
    assert!(sandbox.inject("datadog-agent", &strange));
    let second = sandbox.invoke(b"1").unwrap();
    let run = end(sandbox, vec![first, second]);
    run.assert_unharmed();
    run.assert_exactly_once();
}

#[test]
fn a_sandbox_that_is_never_invoked_ends_in_order() {
    let run = run_sandbox(setup(echo()), 0);
    run.assert_orderly_end();
    assert_eq!(run.count("invocations"), 0);
    assert_eq!(run.count("init_duration"), 1);
    assert_eq!(run.count_messages("INIT_START "), 1);
}

#[test]
fn logs_carry_function_and_account_tags() {
    let variables = [
        ("DD_ENV", "prod"),
        ("DD_SERVICE", "Shop"),
        ("DD_VERSION", "1.10"),
        ("DD_TAGS", "team:a,layer:b"),
        ("DD_API_KEY", "0123456789abcdef0123456789abcdef"),
    ];
    let run = run_sandbox(Setup { function_name: "My-Function".to_owned(), ..setup_with(echo(), &variables) }, 1);
    run.assert_no_problems();
    let logs = run.intake.logs();
    let line = logs.iter().find(|log| text(log).starts_with("0 ")).unwrap();
    assert_eq!(request_id(line), Some(run.invocations[0].request_id.as_str()));
    assert_eq!(line["service"], "shop");
    assert_eq!(line["ddsource"], "lambda");
    assert_eq!(line["hostname"], "arn:aws:lambda:us-east-1:123456789012:function:my-function");
    assert_eq!(line["message"]["lambda"]["arn"], line["hostname"]);
    assert_eq!(line["message"]["status"], "info");
    let tags: Vec<_> = line["ddtags"].as_str().unwrap().split(',').collect();
    for tag in
        ["env:prod", "service:shop", "version:1.10", "team:a", "layer:b", "functionname:My-Function", "memorysize:1024"]
    {
        assert!(tags.contains(&tag), "{tag} in {tags:?}");
    }
    let duration = &run.intake.points("aws.lambda.enhanced.duration")[0];
    for tag in ["env:prod", "team:a", "cold_start:true", "region:us-east-1", "account_id:123456789012"] {
        assert!(duration.tags.contains(&tag.to_owned()), "{tag} in {:?}", duration.tags);
    }
    for request in run.intake.requests() {
        assert_eq!(request.api_key.as_deref(), Some("0123456789abcdef0123456789abcdef"));
        assert_eq!(request.encoding, "zstd");
    }
}

#[test]
fn a_line_that_names_a_foreign_request_belongs_to_the_invocation_that_wrote_it() {
    let function = Function::from_fn(|call| {
        call.print(r#"{"requestId":"8f0c2f0e-1111-2222-3333-444444444444","text":"foreign"}"#);
        call.print(format!(r#"{{"requestId":"{}","text":"own"}}"#, call.request_id));
        function::HandlerOutcome::Response(b"null".to_vec())
    });
    let run = run_sandbox(setup(function), 2);
    let logs = run.intake.logs();
    for invocation in &run.invocations {
        for line in ["\"foreign\"", "\"own\""] {
            let mine = logs
                .iter()
                .filter(|log| request_id(log) == Some(invocation.request_id.as_str()) && text(log).contains(line));
            assert_eq!(mine.count(), 1, "{line}");
        }
    }
}

#[test]
fn the_account_of_one_invocation_is_complete() {
    let run = run_sandbox(setup(echo()), 1);
    for metric in [
        "invocations",
        "duration",
        "billed_duration",
        "runtime_duration",
        "post_runtime_duration",
        "response_latency",
        "response_duration",
        "produced_bytes",
        "init_duration",
        "max_memory_used",
        "memorysize",
        "estimated_cost",
    ] {
        assert_eq!(run.count(metric), 1, "{metric}\n{}", run.own_lines());
    }
    let one = |metric: &str| run.intake.points(&format!("aws.lambda.enhanced.{metric}"))[0].sum;
    assert!((one("memorysize") - 1024.0).abs() < f64::EPSILON);
    assert!(one("duration") * 1000.0 >= one("runtime_duration"));
    assert!(one("estimated_cost") > 0.000_000_2);
}

#[test]
fn logs_and_metrics_can_be_turned_off() {
    let run = run_sandbox(setup_with(echo(), &[("DD_SERVERLESS_LOGS_ENABLED", "false")]), 3);
    assert!(run.intake.logs().is_empty());
    assert_eq!(run.count("invocations"), 3);
    let run = run_sandbox(setup_with(echo(), &[("DD_ENHANCED_METRICS", "false")]), 3);
    assert_eq!(run.count_messages("REPORT "), 3);
    let enhanced = run.intake.delivered().into_iter().flat_map(|request| match request.payload {
        Payload::Sketches(all) => all.into_iter().map(|sketch| sketch.metric).collect::<Vec<_>>(),
        Payload::Series(all) => all.into_iter().map(|series| series.metric).collect(),
        _ => Vec::new(),
    });
    assert_eq!(enhanced.collect::<Vec<_>>(), [""; 0], "of these, none is the customer's own");
}

#[test]
fn managed_instances_and_snapshots_are_served() {
    for (initialization, name) in [
        (Initialization::ManagedInstances, "lambda-managed-instances"),
        (Initialization::SnapStart, "snap-start"),
        (Initialization::ProvisionedConcurrency, "provisioned-concurrency"),
    ] {
        let run = run_sandbox(Setup { initialization, ..setup(echo()) }, 3);
        run.assert_unharmed();
        assert_eq!(run.count("invocations"), 3, "{name}\n{}", run.own_lines());
        assert_eq!(run.count("duration"), 3, "{name}");
        assert_eq!(run.count_messages("REPORT "), 3, "{name}");
        let tag = format!("init_type:{name}");
        assert!(run.intake.points("aws.lambda.enhanced.duration")[0].tags.contains(&tag), "{tag}");
    }
}
