//! Lambda retries an asynchronous request under the same id in the same sandbox: each attempt is an invocation of its own.

use super::*;

type Step = fn(&mut Bench, Timestamp, Status);

/// The inputs of an attempt that started at a time.
const STEPS: [Step; 4] = [
    |bench, time, _| {
        bench.invoke("r", time);
    },
    |bench, time, _| {
        bench.start("r", time + 1);
    },
    |bench, time, status| {
        bench.done("r", time + 3, status);
    },
    |bench, time, status| {
        bench.report("r", time + 4, status);
    },
];

fn orders() -> Vec<[usize; 4]> {
    let mut orders = Vec::new();
    permute(&mut [0, 1, 2, 3], 0, &mut |order| orders.push(order.try_into().unwrap()));
    orders
}

fn began(attempt: usize) -> Timestamp {
    60_000 * i64::try_from(attempt).unwrap()
}

/// The number of points of each metric and of lines of each kind.
fn counts(bench: &Bench) -> Vec<(&'static str, usize)> {
    let metrics = [
        metric::INVOCATIONS,
        metric::ERRORS,
        metric::TIMEOUTS,
        metric::DURATION,
        metric::RUNTIME_DURATION,
        metric::POST_RUNTIME_DURATION,
        metric::BILLED_DURATION,
        metric::ESTIMATED_COST,
    ];
    let lines = ["r: START ", "r: END ", "r: REPORT "];
    let of_line = |line: &str| bench.logs().iter().filter(|log| log.starts_with(line)).count();
    let metrics = metrics.into_iter().map(|metric| (metric, bench.count(metric)));
    metrics.chain(lines.into_iter().map(|line| (line, of_line(line)))).collect()
}

fn expected(attempts: usize, errors: usize, timeouts: usize) -> Vec<(&'static str, usize)> {
    let count = |name| match name {
        metric::ERRORS => errors,
        metric::TIMEOUTS => timeouts,
        _ => attempts,
    };
    counts(&Bench::new(ON_DEMAND)).into_iter().map(|(name, _)| (name, count(name))).collect()
}

#[test]
fn three_attempts_count_three_times_in_every_order_of_each() {
    let statuses = [Status::Timeout, Status::Error, Status::Success];
    let orders = orders();
    for first in &orders {
        for second in &orders {
            for third in &orders {
                let mut bench = Bench::new(ON_DEMAND);
                for (attempt, order) in [first, second, third].into_iter().enumerate() {
                    for &step in order {
                        STEPS[step](&mut bench, began(attempt), statuses[attempt]);
                    }
                }
                assert_eq!(counts(&bench), expected(3, 2, 1), "{first:?} {second:?} {third:?}");
                assert!(!bench.processor.awaits_report(0));
            }
        }
    }
}

/// Deterministic pseudo-random numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[test]
fn three_attempts_count_three_times_however_they_are_interleaved() {
    let mut numbers = Numbers(7);
    let inputs: Vec<(usize, usize)> = (0..3).flat_map(|attempt| (0..4).map(move |step| (attempt, step))).collect();
    for _ in 0..20_000 {
        let mut shuffled = inputs.clone();
        for index in (1..shuffled.len()).rev() {
            shuffled.swap(index, numbers.below(index + 1));
        }
        let mut bench = Bench::new(ON_DEMAND);
        for &(attempt, step) in &shuffled {
            STEPS[step](&mut bench, began(attempt), Status::Error);
        }
        assert_eq!(counts(&bench), expected(3, 3, 0), "{shuffled:?}");
        assert!(!bench.processor.awaits_report(0));
    }
}

#[test]
fn a_telemetry_event_that_comes_again_begins_no_attempt() {
    for again in STEPS.into_iter().skip(1) {
        let mut bench = Bench::new(ON_DEMAND);
        for attempt in 0..3 {
            for step in STEPS {
                step(&mut bench, began(attempt), Status::Error);
            }
            for earlier in 0..=attempt {
                again(&mut bench, began(earlier), Status::Error);
            }
        }
        assert_eq!(counts(&bench), expected(3, 3, 0));
    }
}

#[test]
fn only_the_end_of_an_attempt_ends_the_wait_for_it() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.invoke("r", 0).start("r", 1);
    bench.done("another", 2, Status::Success).report("another", 2, Status::Success);
    assert!(!bench.is_done("r", 1));
    bench.done("r", 3, Status::Error);
    assert!(bench.is_done("r", 1));
    bench.invoke("r", 60_000).start("r", 60_001).report("r", 4, Status::Error);
    assert_eq!((bench.is_done("r", 1), bench.is_done("r", 2)), (true, false));
}

#[test]
fn an_end_that_comes_after_the_next_invoke_is_that_of_the_attempt_before() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.invoke("r", 0).start("r", 1).invoke("r", 60_000).done("r", 3, Status::Error).report("r", 4, Status::Error);
    assert_eq!((bench.is_done("r", 1), bench.is_done("r", 2)), (true, false));
    bench.start("r", 60_001).done("r", 60_003, Status::Success);
    assert!(bench.is_done("r", 2));
}

#[test]
fn an_end_belongs_to_the_running_attempt_without_an_end_of_the_previous_one() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.invoke("r", 0).start("r", 1).invoke("r", 60_000).start("r", 60_001).done("r", 60_003, Status::Success);
    assert_eq!((bench.is_done("r", 1), bench.is_done("r", 2)), (false, true));
}

#[test]
fn retry_ends_with_own_runtime_done_after_lost_first_attempt() {
    for is_reported in [false, true] {
        let mut bench = Bench::new(ON_DEMAND);
        bench.invoke("r", 0);
        if is_reported {
            bench.report("r", 4, Status::Error);
        }
        bench.invoke("r", 60_000).start("r", 60_001);
        assert!(!bench.is_done("r", 2));
        bench.done("r", 60_003, Status::Success);
        assert_eq!((bench.is_done("r", 1), bench.is_done("r", 2)), (is_reported, true));
    }
}

#[test]
fn a_repeated_end_of_the_first_attempt_does_not_end_the_retry() {
    for is_started in [false, true] {
        let mut bench = Bench::new(ON_DEMAND);
        bench
            .invoke("r", 0)
            .start("r", 1)
            .done("r", 3, Status::Error)
            .report("r", 4, Status::Error)
            .invoke("r", 60_000);
        if is_started {
            bench.start("r", 60_001);
        }
        bench.start("r", 1).done("r", 3, Status::Error).report("r", 4, Status::Error);
        assert!(!bench.is_done("r", 2));
        assert_eq!(bench.count(metric::DURATION), 1);
    }
}

#[test]
fn without_telemetry_every_invoke_is_an_invocation() {
    let mut bench = Bench::new(Settings { telemetry: false, ..ON_DEMAND });
    bench.invoke("r", 0).invoke("r", 60_000).invoke("r", 120_000);
    assert_eq!(bench.count(metric::INVOCATIONS), 3);
}

#[test]
fn attempts_on_managed_instances_are_counted_by_telemetry_only() {
    let mut bench = Bench::new(Settings { managed: true, ..ON_DEMAND });
    for attempt in 0..3 {
        bench.start("r", began(attempt)).report("r", began(attempt) + 4, Status::Error);
    }
    for (metric, count) in [(metric::INVOCATIONS, 3), (metric::ERRORS, 3), (metric::DURATION, 3)] {
        assert_eq!(bench.count(metric), count, "{metric}");
    }
}
