//! Attribution of log lines to invocations.

use super::*;
use crate::process::trace::{DurableContext, SpanObservations};

#[test]
fn lines_from_before_the_first_invocation_belong_to_it() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.platform(-9, Platform::InitStart(InitStart::default())).line(-5, "importing");
    assert!(bench.out.logs.is_empty());
    bench.invoke("r", 0).start("r", 1);
    assert_eq!(
        bench.logs(),
        [
            "r: START RequestId: r Version: $LATEST",
            "r: INIT_START Runtime Version: ? Runtime Version ARN: ?",
            "r: importing"
        ]
    );
    bench.line(-4, "importing more");
    assert_eq!(bench.logs().last().unwrap(), "r: importing more");
}

#[test]
fn a_sandbox_that_is_never_invoked_still_ships_its_lines() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.line(1, "importing").platform(2, init_report(7.0));
    bench.end(3);
    assert_eq!(bench.logs(), ["-: importing"]);
    assert_eq!(bench.points(), ["init_duration=0.007", "shutdowns=1", "unused_init=1"]);
}

fn with_durable_logs() -> Bench {
    with_durable_logs_of(ON_DEMAND)
}

fn with_durable_logs_of(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings);
    bench.processor.durable = DurableLogs::new(5);
    bench
}

#[test]
fn lines_that_wait_for_their_execution_leave_at_the_end_of_the_sandbox() {
    let mut bench = with_durable_logs();
    let init = InitStart { runtime_version: Some("python:3.13.DurableFunction.v7".to_owned()), ..InitStart::default() };
    bench.platform(-9, Platform::InitStart(init));
    whole(&mut bench, "r", 0);
    assert!(bench.logs().is_empty(), "no span has named the execution");
    bench.end(9);
    let last = ["r: hello", "r: END RequestId: r"];
    assert!(last.into_iter().all(|line| bench.logs().contains(&line.to_owned())), "{:?}", bench.logs());
}

#[test]
fn later_log_lines_not_held_without_init_start() {
    let mut bench = with_durable_logs();
    bench.invoke("r", 0).start("r", 1).line(2, "hello").done("r", 3, Status::Success);
    assert!(bench.logs().is_empty(), "it may be told yet");
    bench.report("r", 4, Status::Success);
    assert!(bench.logs().contains(&"r: hello".to_owned()), "{:?}", bench.logs());
    bench.invoke("s", 10).start("s", 11).line(12, "later");
    assert_eq!(bench.logs().last().unwrap(), "s: later");
    let context = DurableContext { request_id: "s".to_owned(), ..DurableContext::default() };
    let observed = SpanObservations { durable: vec![context], ..SpanObservations::default() };
    bench.processor.observed(observed, 13, &mut bench.out);
    bench.line(14, "of an execution").start("t", 21).line(22, "of another");
    assert_eq!(bench.logs().last().unwrap(), "s: of an execution", "a span has shown that the function is durable");
}

#[test]
fn first_report_ends_the_wait_for_init_report() {
    let mut bench = with_durable_logs();
    bench.invoke("r", 0).start("r", 1).line(2, "hello").done("r", 3, Status::Success);
    bench.invoke("s", 10).start("s", 11).line(12, "later").done("s", 13, Status::Success);
    assert!(bench.logs().is_empty(), "the first report is lost");
    bench.report("s", 14, Status::Success);
    for line in ["r: hello", "s: later"] {
        assert!(bench.logs().contains(&line.to_owned()), "{:?}", bench.logs());
    }

    let mut managed = with_durable_logs_of(Settings { managed: true, ..ON_DEMAND });
    managed.start("r", 1);
    assert!(managed.logs().is_empty(), "it may be told yet");
    managed.report("r", 4, Status::Success);
    assert!(managed.logs().len() > 1, "{:?}", managed.logs());
    managed.start("s", 11);
    assert!(managed.logs().last().unwrap().starts_with("s: START"), "{:?}", managed.logs());
}

#[test]
fn rules_hold_for_lines_of_every_origin() {
    let rule = Rule {
        kind: RuleKind::ExcludeAtMatch,
        name: "no START".to_owned(),
        pattern: "^START|secret".to_owned(),
        placeholder: String::new(),
    };
    let mut bench = Bench::new(ON_DEMAND);
    bench.processor.rules = Rules::compile(&[rule]).0;
    bench.line(0, "secret of init").line(0, "init").start("r", 1).line(2, "secret").line(3, "kept");
    assert_eq!(bench.logs(), ["r: init", "r: kept"]);
}

/// The request id of each line that a function printed.
fn owners(bench: &Bench) -> Vec<String> {
    let printed = bench.logs().into_iter().filter(|log| log.contains(": line "));
    printed.map(|log| log.split(':').next().unwrap().to_owned()).collect()
}

#[test]
fn a_line_finds_its_invocation_in_every_order_of_start_end_and_report() {
    type Step = fn(&mut Bench);
    let steps: [Step; 4] = [
        |bench| {
            bench.start("b", 21);
        },
        |bench| {
            bench.line(22, "line b");
        },
        |bench| {
            bench.done("b", 23, Status::Success);
        },
        |bench| {
            bench.report("b", 24, Status::Success);
        },
    ];
    let mut order = [0, 1, 2, 3];
    permute(&mut order, 0, &mut |order| {
        let mut bench = Bench::new(ON_DEMAND);
        bench.invoke("a", 10).start("a", 11).line(12, "line a").done("a", 13, Status::Success);
        bench.report("a", 14, Status::Success).invoke("b", 20);
        for &step in order {
            steps[step](&mut bench);
        }
        bench.invoke("c", 30).start("c", 31).line(32, "line c").done("c", 33, Status::Success);
        assert_eq!(owners(&bench), ["a", "b", "c"], "{order:?}");
        assert_eq!(bench.logs().iter().filter(|log| log.starts_with("b: START ")).count(), 1, "{order:?}");
    });
}

#[test]
fn a_line_between_two_invocations_belongs_to_the_next_however_late_that_starts() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.invoke("a", 10).start("a", 11).done("a", 13, Status::Success);
    bench.invoke("b", 20).line(22, "line b").done("b", 23, Status::Success).line(25, "line c").start("b", 21);
    assert_eq!(owners(&bench), ["b"]);
    bench.invoke("c", 30).start("c", 31);
    assert_eq!(owners(&bench), ["b", "c"]);
}

#[test]
fn a_request_id_in_a_line_counts_only_if_it_is_one_of_this_sandbox() {
    let line = |id: &str| format!(r#"{{"requestId":"{id}","message":": line "}}"#);
    let mut bench = Bench::new(ON_DEMAND);
    bench.invoke("a", 10).start("a", 11).line(12, &line("a")).line(12, &line("of-another-function"));
    bench.done("a", 13, Status::Success).invoke("b", 20).start("b", 21);
    bench.line(22, &line("a")).line(22, &line("of-another-function"));
    assert_eq!(owners(&bench), ["a", "a", "a", "b"]);

    let mut bench = Bench::new(Settings { managed: true, ..ON_DEMAND });
    bench.start("a", 10).start("b", 10).line(11, &line("b")).line(11, &line("of-another-function")).end(12);
    assert_eq!(owners(&bench), ["b", "-"]);
}

#[test]
fn an_application_id_does_not_hide_the_id_of_the_invocation() {
    let line = r#"{"requestId":"of-the-application","AWSRequestId":"b","message":": line "}"#;
    for settings in [ON_DEMAND, Settings { managed: true, ..ON_DEMAND }] {
        let mut bench = Bench::new(settings);
        bench.start("a", 10).start("b", 20).line(15, line);
        assert_eq!(owners(&bench), ["b"]);
    }
}

#[test]
fn line_before_its_concurrent_start_gets_its_request_id() {
    let line = r#"{"requestId":"b","message":": line "}"#;
    for ends in [false, true] {
        let mut bench = Bench::new(Settings { managed: true, ..ON_DEMAND });
        bench.start("a", 10).line(21, line).line(22, r#"{"requestId":"other","message":": line "}"#);
        assert!(owners(&bench).is_empty());
        if ends {
            bench.report("b", 30, Status::Success);
        } else {
            bench.start("b", 20);
        }
        assert_eq!(owners(&bench), ["b"]);
        bench.end(40);
        assert_eq!(owners(&bench), ["b", "-"]);
    }
}

#[test]
fn lines_of_every_attempt_at_a_request_have_its_id_and_lines_around_it_their_own() {
    let mut bench = Bench::new(ON_DEMAND);
    for attempt in 0..3 {
        let time = attempt * 100;
        bench.invoke("a", time).start("a", time + 1).line(time + 2, "line").line(time + 2, "line again");
        bench.done("a", time + 3, Status::Error).report("a", time + 4, Status::Error);
        let other = format!("b{attempt}");
        bench.invoke(&other, time + 50).start(&other, time + 51).line(time + 52, "line of another");
        bench.done(&other, time + 53, Status::Success).report(&other, time + 54, Status::Success);
    }
    let logs = bench.logs();
    for (line, count) in
        [("a: line", 3), ("a: line again", 3), ("b1: line of another", 1), ("a: END RequestId: a Task failed: \"\"", 3)]
    {
        assert_eq!(logs.iter().filter(|log| *log == line).count(), count, "{line} in {logs:#?}");
    }
}
