use super::*;
use crate::{
    config::{Rule, RuleKind},
    process::event::{InitReport, InitStart, LogsDropped, ReportMetrics, RestoreReport, RuntimeMetrics, parse},
};

const ON_DEMAND: Settings = Settings {
    managed: false,
    snap_start: false,
    enhanced_metrics: true,
    logs: true,
    telemetry: true,
    init_type_tagged: true,
    architecture: "x86_64",
};

/// A processor with all of its output.
struct Bench {
    processor: Processor,
    out: Output,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Self { processor: Processor::new(settings, Rules::default(), 0), out: Output::default() }
    }

    fn invoke(&mut self, id: &str, time: Timestamp) -> &mut Self {
        self.processor.invoke(&id.into(), time, &mut self.out);
        self
    }

    fn is_done(&self, id: &str, attempt: u32) -> bool {
        self.processor.is_done(&AttemptId { request_id: id.into(), attempt })
    }

    fn platform(&mut self, time: Timestamp, platform: Platform) -> &mut Self {
        self.processor.event(Event { time, record: Record::Platform(platform) }, &mut self.out);
        self
    }

    fn line(&mut self, time: Timestamp, text: &str) -> &mut Self {
        let record = Record::Function(Text::Plain(text.to_owned()));
        self.processor.event(Event { time, record }, &mut self.out);
        self
    }

    fn start(&mut self, id: &str, time: Timestamp) -> &mut Self {
        self.platform(time, Platform::Start(InvocationStart { request_id: id.into(), version: None }))
    }

    fn done(&mut self, id: &str, time: Timestamp, status: Status) -> &mut Self {
        self.platform(time, done(id, status))
    }

    fn report(&mut self, id: &str, time: Timestamp, status: Status) -> &mut Self {
        self.platform(time, report(id, status))
    }

    fn end(&mut self, time: Timestamp) -> &mut Self {
        self.processor.ending(time, &mut self.out);
        self.processor.ended(time, &mut self.out);
        self
    }

    /// `name=value tag,tag` of every point, sorted.
    fn points(&self) -> Vec<String> {
        let mut points: Vec<_> = self
            .out
            .points
            .iter()
            .map(|point| {
                let name = point.name.trim_start_matches("aws.lambda.enhanced.");
                format!("{name}={} {}", point.value, point.tags.join(",")).trim_end().to_owned()
            })
            .collect();
        points.sort();
        points
    }

    fn count(&self, name: &str) -> usize {
        self.out.points.iter().filter(|point| point.name == name).count()
    }

    /// `id: message` of every log, in order.
    fn logs(&self) -> Vec<String> {
        let id = |log: &Log| log.request_id.as_ref().map_or("-", |id| id.as_str()).to_owned();
        self.out.logs.iter().map(|log| format!("{}: {}", id(log), log.message)).collect()
    }
}

fn done(id: &str, status: Status) -> Platform {
    let span = |name: &str, duration_ms| PhaseSpan { name: name.to_owned(), duration_ms };
    Platform::RuntimeDone(RuntimeDone {
        request_id: id.into(),
        status,
        error_type: None,
        metrics: RuntimeMetrics { duration_ms: Some(100.0), produced_bytes: Some(42.0) },
        spans: vec![span("responseLatency", 90.0), span("responseDuration", 1.0), span("runtimeOverhead", 9.0)],
    })
}

fn report(id: &str, status: Status) -> Platform {
    let metrics = ReportMetrics {
        duration_ms: Some(150.0),
        billed_duration_ms: Some(200.0),
        memory_size_mb: Some(1024.0),
        max_memory_used_mb: Some(64.0),
        init_duration_ms: None,
    };
    Platform::Report(Report { request_id: id.into(), status, error_type: None, metrics, spans: vec![] })
}

fn whole(bench: &mut Bench, id: &str, time: Timestamp) {
    bench.invoke(id, time).start(id, time + 1).line(time + 2, "hello");
    bench.done(id, time + 3, Status::Success).report(id, time + 4, Status::Success);
}

#[test]
fn one_invocation_sends_every_metric_once() {
    let mut bench = Bench::new(ON_DEMAND);
    whole(&mut bench, "r", 0);
    assert_eq!(
        bench.points(),
        [
            "billed_duration=0.2 cold_start:true",
            "duration=0.15 cold_start:true",
            "estimated_cost=0.00000353334 cold_start:true",
            "invocations=1 cold_start:true",
            "max_memory_used=64 cold_start:true",
            "memorysize=1024 cold_start:true",
            "post_runtime_duration=50 cold_start:true",
            "produced_bytes=42 cold_start:true",
            "response_duration=1 cold_start:true",
            "response_latency=90 cold_start:true",
            "runtime_duration=100 cold_start:true",
        ]
    );
    assert_eq!(
        bench.logs(),
        [
            "r: START RequestId: r Version: $LATEST",
            "r: hello",
            "r: END RequestId: r",
            "r: REPORT RequestId: r Duration: 150.00 ms Runtime Duration: 100.00 ms Post Runtime Duration: 50.00 ms \
             Billed Duration: 200 ms Memory Size: 1024 MB Max Memory Used: 64 MB",
        ]
    );
}

#[test]
fn event_order_does_not_change_metrics() {
    type Step = fn(&mut Bench);
    let steps: [Step; 5] = [
        |bench| {
            bench.invoke("r", 10);
        },
        |bench| {
            bench.start("r", 11);
        },
        |bench| {
            bench.done("r", 12, Status::Timeout);
        },
        |bench| {
            bench.report("r", 13, Status::Timeout);
        },
        |bench| {
            bench.platform(5, init_report(2500.0));
        },
    ];
    let expected = order(&steps, &[0, 1, 2, 3, 4]);
    assert!(expected.contains(&"init_duration=2.5 cold_start:true".to_owned()), "{expected:?}");
    assert_eq!(expected.iter().filter(|point| point.starts_with("timeouts=")).count(), 1);
    let mut permutation = [0, 1, 2, 3, 4];
    permute(&mut permutation, 0, &mut |permutation| {
        assert_eq!(order(&steps, permutation), expected, "{permutation:?}");
    });
}

fn init_report(duration_ms: f64) -> Platform {
    Platform::InitReport(InitReport {
        initialization_type: Some("on-demand".to_owned()),
        duration_ms: Some(duration_ms),
    })
}

fn order(steps: &[fn(&mut Bench)], permutation: &[usize]) -> Vec<String> {
    let mut bench = Bench::new(ON_DEMAND);
    for &step in permutation {
        steps[step](&mut bench);
    }
    bench.points()
}

fn permute(items: &mut [usize], from: usize, visit: &mut impl FnMut(&[usize])) {
    if from == items.len() {
        return visit(items);
    }
    for index in from..items.len() {
        items.swap(from, index);
        permute(items, from + 1, visit);
        items.swap(from, index);
    }
}

#[test]
fn repeated_telemetry_counts_once() {
    let mut bench = Bench::new(ON_DEMAND);
    whole(&mut bench, "r", 0);
    let (points, logs) = (bench.points(), bench.logs());
    bench.start("r", 1).done("r", 3, Status::Success).report("r", 4, Status::Success).start("r", 1);
    assert_eq!(bench.points(), points);
    assert_eq!(bench.logs(), logs);
}

#[test]
fn error_metric_counts_once_in_any_event_order() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.invoke("r", 0).done("r", 1, Status::Timeout).report("r", 2, Status::Timeout);
    bench.invoke("s", 3).report("s", 4, Status::Failure).done("s", 5, Status::Failure);
    assert_eq!(bench.count(metric::ERRORS), 2);
    assert_eq!(bench.count(metric::TIMEOUTS), 1);
}

#[test]
fn only_the_first_invocation_is_a_cold_start_however_late_reports_come() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.invoke("a", 0).start("a", 0).done("a", 1, Status::Success);
    bench.invoke("b", 2).start("b", 2).report("a", 3, Status::Success).done("b", 4, Status::Success);
    bench.end(5);
    assert_eq!(bench.count(metric::UNUSED_INIT), 0);
    assert!(bench.points().contains(&"shutdowns=1 cold_start:false".to_owned()));
    let durations: Vec<_> = bench
        .points()
        .into_iter()
        .filter(|point| point.starts_with("invocations") || point.starts_with("duration"))
        .collect();
    assert_eq!(
        durations,
        ["duration=0.15 cold_start:true", "invocations=1 cold_start:false", "invocations=1 cold_start:true"]
    );
}

#[test]
fn init_duration_counts_once_for_two_events() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.invoke("r", 0).platform(-9, Platform::InitStart(InitStart::default()));
    let mut with_init = report("r", Status::Success);
    if let Platform::Report(report) = &mut with_init {
        report.metrics.init_duration_ms = Some(80.0);
    }
    bench.platform(1, with_init).platform(2, init_report(80.0));
    assert_eq!(bench.count(metric::INIT_DURATION), 1);
}

#[test]
fn out_of_memory_counts_once_an_invocation_whichever_of_three_signs_shows_it() {
    let mut bench = Bench::new(ON_DEMAND);
    bench
        .invoke("r", 0)
        .start("r", 0)
        .line(1, "[ERROR] MemoryError\nTraceback")
        .line(2, "JavaScript heap out of memory");
    let mut killed = done("r", Status::Error);
    if let Platform::RuntimeDone(done) = &mut killed {
        done.error_type = Some("Runtime.OutOfMemory".to_owned());
    }
    let mut full = report("r", Status::Error);
    if let Platform::Report(report) = &mut full {
        report.metrics.max_memory_used_mb = report.metrics.memory_size_mb;
    }
    bench.platform(3, killed).platform(4, full).line(2, "java.lang.OutOfMemoryError");
    assert_eq!(bench.count(metric::OUT_OF_MEMORY), 1);
    bench.invoke("s", 5).start("s", 5).line(6, "java.lang.OutOfMemoryError");
    assert_eq!(bench.count(metric::OUT_OF_MEMORY), 2);
}

#[test]
fn a_report_of_full_memory_is_a_sign_by_itself() {
    let mut bench = Bench::new(ON_DEMAND);
    for (id, time, left, expected) in [("r", 0, 1.0, 0), ("s", 5, 0.0, 1)] {
        let mut ended = report(id, Status::Success);
        if let Platform::Report(report) = &mut ended {
            report.metrics.memory_size_mb = Some(128.0);
            report.metrics.max_memory_used_mb = Some(128.0 - left);
        }
        bench.invoke(id, time).start(id, time).done(id, time + 1, Status::Success).platform(time + 2, ended);
        assert_eq!(bench.count(metric::OUT_OF_MEMORY), expected);
    }
}

#[test]
fn a_runtime_that_was_not_measured_still_ends_its_invocation() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.invoke("r", 0).start("r", 0);
    assert!(!bench.is_done("r", 1));
    let mut unmeasured = done("r", Status::Failure);
    if let Platform::RuntimeDone(done) = &mut unmeasured {
        done.metrics = RuntimeMetrics::default();
    }
    bench.platform(1, unmeasured);
    assert!(bench.is_done("r", 1));
    assert!(bench.processor.awaits_report(0));
    bench.report("r", 2, Status::Failure);
    assert!(!bench.processor.awaits_report(0));
    assert_eq!(bench.count(metric::POST_RUNTIME_DURATION), 0);
    assert_eq!(bench.count(metric::ERRORS), 1);
}

#[test]
fn switches_turn_logs_and_metrics_off_but_not_the_bookkeeping() {
    let mut bench = Bench::new(Settings { enhanced_metrics: false, logs: false, ..ON_DEMAND });
    whole(&mut bench, "r", 0);
    assert_eq!(bench.out, Output::default());
    assert!(bench.is_done("r", 1));
}

#[test]
fn what_lambda_dropped_becomes_a_warning() {
    let mut bench = Bench::new(ON_DEMAND);
    let lost = LogsDropped { reason: Some("slow".to_owned()), dropped_records: Some(3.0), dropped_bytes: None };
    bench.platform(0, Platform::LogsDropped(lost));
    assert_eq!(bench.out.warnings.len(), 1);
    assert!(bench.out.warnings[0].contains('3') && bench.out.warnings[0].contains("slow"));
}

/// Two overlapping invocations, with the events of AWS's own emulator.
#[test]
fn managed_instances_count_from_start_and_report_and_guess_no_request_id() {
    let batch = parse(
        br#"[
        {"time":"2026-11-23T09:45:46.221Z","type":"platform.initStart","record":{"initializationType":"lambda-managed-instances","runtimeVersion":"","phase":"init"}},
        {"time":"2026-11-23T09:45:47.721Z","type":"platform.start","record":{"requestId":"a","version":"$LATEST"}},
        {"time":"2026-11-23T09:45:47.721Z","type":"platform.start","record":{"requestId":"b","version":"$LATEST"}},
        {"time":"2026-11-23T09:45:47.722Z","type":"function","record":"whose?"},
        {"time":"2026-11-23T09:45:47.722Z","type":"function","record":{"requestId":"b","level":"ERROR"}},
        {"time":"2026-11-23T09:45:47.723Z","type":"platform.report","record":{"requestId":"a","status":"success","metrics":{"durationMs":1.5},
            "spans":[{"name":"responseLatency","start":"2026-11-23T09:45:47.721Z","durationMs":1.25}]}},
        {"time":"2026-11-23T09:45:47.724Z","type":"platform.report","record":{"requestId":"b","status":"timeout","metrics":{"durationMs":9}}}
    ]"#,
        0,
    );
    assert_eq!(batch.malformed + batch.unknown, 0);
    let mut bench = Bench::new(Settings { managed: true, ..ON_DEMAND });
    for event in batch.events {
        bench.processor.event(event, &mut bench.out);
    }
    assert_eq!(bench.count(metric::INVOCATIONS), 2);
    assert_eq!(bench.count(metric::TIMEOUTS), 1);
    let runtime: Vec<_> = bench
        .out
        .points
        .iter()
        .filter(|point| point.name == metric::RUNTIME_DURATION)
        .map(|point| point.value)
        .collect();
    assert_eq!(runtime, [1.25, 9.0]);
    assert_eq!(
        bench.logs(),
        [
            "-: INIT_START Runtime Version: ? Runtime Version ARN: ?",
            "a: START RequestId: a Version: $LATEST",
            "b: START RequestId: b Version: $LATEST",
            "-: whose?",
            r#"b: {"requestId":"b","level":"ERROR"}"#,
            "a: REPORT RequestId: a Runtime Duration: 1.50 ms",
            "b: REPORT RequestId: b Runtime Duration: 9.00 ms Task timed out after 0.01 seconds",
        ]
    );
    assert!(!bench.processor.awaits_report(0));
}

mod attempts;
mod lines;
mod sandbox_lifecycle;
