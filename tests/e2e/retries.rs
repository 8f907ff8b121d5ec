//! Asynchronous invocations that Lambda retries: each attempt has the request id of the first, and is an invocation of its own.

use std::{collections::BTreeMap, time::Duration};

use matrix::sandbox::{
    Function, Sandbox, Setup,
    function::HandlerOutcome,
    journal::JournalEvent,
    setup::{Delivery, Order},
};

use crate::support::{Run, echo, end, eventually, request_id, setup_with, text};

/// Prints its attempt, and fails at the first two.
fn flaky() -> Function {
    let attempts = std::sync::Mutex::new(BTreeMap::new());
    Function::from_fn(move |call| {
        let mut attempts = attempts.lock().unwrap();
        let attempt = attempts.entry(call.request_id.to_owned()).or_insert(0);
        *attempt += 1;
        call.print(format!("attempt {attempt} of {}", call.request_id));
        if *attempt < 3 {
            return HandlerOutcome::Error { error_type: "Busy".to_owned(), message: "later".to_owned() };
        }
        HandlerOutcome::Response(b"null".to_vec())
    })
}

/// Two asynchronous events, of which each needs three attempts.
fn run_sandbox(setup: Setup) -> Run {
    let sandbox = Sandbox::start(setup).unwrap();
    let invocations = (0..2).flat_map(|_| sandbox.invoke_async(b"{}").unwrap()).collect();
    end(sandbox, invocations)
}

fn assert_every_attempt_counted(run: &Run, what: &str) {
    assert_eq!(run.invocations.len(), 6);
    run.assert_orderly_end();
    run.assert_no_problems();
    for (metric, expected) in [
        ("invocations", 6),
        ("errors", 4),
        ("duration", 6),
        ("runtime_duration", 6),
        ("post_runtime_duration", 6),
        ("billed_duration", 6),
        ("estimated_cost", 6),
    ] {
        assert_eq!(run.count(metric), expected, "{metric} with {what}\n{}", run.own_lines());
    }
    let logs = run.intake.logs();
    let of = |id: &str, line: &str| {
        logs.iter().filter(|log| request_id(log) == Some(id) && text(log).starts_with(line)).count()
    };
    for number in [0, 3] {
        let id = run.invocations[number].request_id.as_str();
        for line in ["START RequestId: ", "END RequestId: ", "REPORT RequestId: "] {
            assert_eq!(of(id, &format!("{line}{id}")), 3, "{line} with {what}");
        }
        for attempt in 1..=3 {
            assert_eq!(of(id, &format!("attempt {attempt} of {id}")), 1, "attempt {attempt} with {what}");
        }
    }
}

#[test]
fn every_attempt_is_counted_with_every_flush_strategy() {
    for strategy in ["default", "end", "periodically,1", "continuously,1", "continuously,600000"] {
        let run = run_sandbox(setup_with(flaky(), &[("DD_SERVERLESS_FLUSH_STRATEGY", strategy)]));
        assert_every_attempt_counted(&run, strategy);
    }
}

#[test]
fn every_attempt_is_counted_in_every_order_of_telemetry() {
    let orders = [Order::Rapid, Order::InitAfterInvoke, Order::Shuffled { seed: 1 }, Order::Shuffled { seed: 2 }];
    for (order, delay) in orders.into_iter().flat_map(|order| [(order, 0), (order, 60)]) {
        let delivery = Delivery { order, delay: Duration::from_millis(delay), ..Delivery::default() };
        for strategy in ["end", "continuously,1"] {
            let setup = setup_with(flaky(), &[("DD_SERVERLESS_FLUSH_STRATEGY", strategy)]);
            let run = run_sandbox(Setup { delivery: delivery.clone(), ..setup });
            assert_every_attempt_counted(&run, &format!("{order:?}, {delay} ms, {strategy}"));
        }
    }
}

/// Whether our extension asked for its next event only after the runtime was done, invocation by invocation.
fn assert_waits_for_each_end(run: &Run) {
    let mut running = false;
    for entry in &run.ending.journal {
        match &entry.what {
            JournalEvent::Invoked { .. } => running = true,
            JournalEvent::Answered { .. } => running = false,
            JournalEvent::ExtensionNext { name } if name == "datadog-agent" => {
                assert!(!running, "asked while the function runs: {:#?}", run.ending.journal);
            }
            _ => {}
        }
    }
}

#[test]
fn at_the_end_of_an_attempt_its_data_has_left_and_next_waits_for_that_end() {
    let slow = Function::from_fn(|call| {
        call.print("at work");
        std::thread::sleep(Duration::from_millis(150));
        HandlerOutcome::Error { error_type: "Busy".to_owned(), message: "later".to_owned() }
    });
    let sandbox = Sandbox::start(setup_with(slow, &[("DD_SERVERLESS_FLUSH_STRATEGY", "end")])).unwrap();
    let mut invocations = vec![sandbox.invoke(b"{}").unwrap()];
    for attempt in 1..=3 {
        let logs = sandbox.intake().unwrap().logs();
        assert_eq!(logs.iter().filter(|log| text(log) == "at work").count(), attempt);
        if attempt < 3 {
            invocations.push(sandbox.retry(b"{}", &invocations[attempt - 1]).unwrap());
        }
    }
    let run = end(sandbox, invocations);
    assert_waits_for_each_end(&run);
}

#[test]
fn the_end_of_another_request_does_not_end_the_wait() {
    // What a function prints during its invocation is delivered before it ends, so the foreign end before it has been seen by then.
    let (delivered, awaited) = std::sync::mpsc::channel::<()>();
    let awaited = std::sync::Mutex::new(awaited);
    let function = Function::from_fn(move |call| {
        if call.event == b"wait" {
            awaited.lock().unwrap().recv().unwrap();
        }
        HandlerOutcome::Response(b"null".to_vec())
    });
    let sandbox = Sandbox::start(setup_with(function, &[("DD_SERVERLESS_FLUSH_STRATEGY", "end")])).unwrap();
    let first = sandbox.invoke(b"go").unwrap();
    let batches = || {
        let is_delivery = |what: &JournalEvent| matches!(what, JournalEvent::Delivered { .. });
        sandbox.journal().iter().filter(|entry| is_delivery(&entry.what)).count()
    };
    let second = std::thread::scope(|scope| {
        let second = scope.spawn(|| sandbox.invoke(b"wait").unwrap());
        let invoked = || {
            let is_invoke = |what: &JournalEvent| matches!(what, JournalEvent::Invoked { .. });
            sandbox.journal().iter().filter(|entry| is_invoke(&entry.what)).count()
        };
        eventually("the second event arrives", || invoked() == 2);
        // Each batch gives an extension that has taken the end for its own the time to ask for its next event.
        for number in 0..5 {
            let before = batches();
            for id in [first.request_id.as_str(), "8f0c2f0e-1111-2222-3333-444444444444"] {
                let time = format!("2026-11-23T09:45:46.{number:03}Z");
                let record = serde_json::json!({"requestId": id, "status": "success", "metrics": {"durationMs": 1.0}});
                let event = serde_json::json!({"time": time, "type": "platform.runtimeDone", "record": record});
                assert!(sandbox.inject("datadog-agent", &[event]));
            }
            eventually("the batch is delivered", || batches() > before);
        }
        delivered.send(()).unwrap();
        second.join().unwrap()
    });
    let run = end(sandbox, vec![first, second]);
    run.assert_unharmed();
    assert_waits_for_each_end(&run);
}

#[test]
fn an_event_that_succeeds_is_not_sent_again() {
    let sandbox = Sandbox::start(setup_with(echo(), &[])).unwrap();
    let invocations = sandbox.invoke_async(b"0").unwrap();
    assert_eq!(invocations.len(), 1);
    end(sandbox, invocations).assert_exactly_once();
}
