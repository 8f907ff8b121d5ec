//! Metrics of the sandbox itself, and the times at which resource usage is sampled.

use super::*;

fn init_start(runtime_version: &str) -> Platform {
    Platform::InitStart(InitStart { runtime_version: Some(runtime_version.to_owned()), runtime_version_arn: None })
}

/// Tags and times of all invocation counts, in the order in which they were sent.
fn invocations(bench: &Bench) -> Vec<String> {
    let points = bench.out.points.iter().filter(|point| point.name == metric::INVOCATIONS);
    points.map(|point| format!("{} {}", point.time, point.tags.join(","))).collect()
}

#[test]
fn the_first_invocation_is_counted_when_it_is_known_whether_the_function_is_durable() {
    let durable = "python:3.13.DurableFunction.v7";
    let mut bench = Bench::new(ON_DEMAND);
    bench.invoke("r", 10).start("r", 11);
    assert_eq!(invocations(&bench), [""; 0]);
    bench.platform(5, init_start(durable));
    assert_eq!(invocations(&bench), ["10 cold_start:true,durable_function:true"]);
    bench.invoke("s", 20).platform(5, init_start(durable));
    assert_eq!(invocations(&bench)[1..], ["20 cold_start:false,durable_function:true"]);

    let mut bench = Bench::new(ON_DEMAND);
    bench.platform(5, init_start(durable)).invoke("r", 10);
    assert_eq!(invocations(&bench), ["10 cold_start:true,durable_function:true"], "nothing to wait for");

    let mut bench = Bench::new(ON_DEMAND);
    bench.invoke("r", 10).platform(5, init_start("python:3.13.v7"));
    assert_eq!(invocations(&bench), ["10 cold_start:true"]);
}

#[test]
fn first_invocation_counts_without_init_events() {
    let mut bench = Bench::new(ON_DEMAND);
    whole(&mut bench, "r", 10);
    assert_eq!(invocations(&bench), ["10 cold_start:true"], "it is over");

    let mut bench = Bench::new(ON_DEMAND);
    bench.invoke("r", 10).end(20);
    assert_eq!(invocations(&bench), ["10 cold_start:true"], "the sandbox is over");

    for settings in [Settings { telemetry: false, ..ON_DEMAND }, Settings { managed: true, ..ON_DEMAND }] {
        let mut bench = Bench::new(settings);
        bench.invoke("r", 10);
        assert_eq!(invocations(&bench), ["10 cold_start:true"], "there is nothing to wait for");
    }
}

#[test]
fn the_runtimes_name_is_asked_for_once_and_on_every_metric() {
    let mut bench = Bench::new(ON_DEMAND);
    assert!(bench.processor.wants_runtime());
    bench.processor.learn_runtime("python3.13");
    assert!(!bench.processor.wants_runtime());
    whole(&mut bench, "r", 0);
    bench.end(9);
    assert!(bench.out.points.iter().all(|point| point.tags.contains(&"runtime:python3.13".to_owned())));
    let off = Bench::new(Settings { enhanced_metrics: false, ..ON_DEMAND });
    assert!(!off.processor.wants_runtime());
}

#[test]
fn how_the_sandbox_came_to_be_is_tagged_where_the_functions_own_tags_do_not_say_it() {
    for (init_type_tagged, expected) in [(true, "cold_start:true"), (false, "cold_start:true,init_type:on-demand")] {
        let mut bench = Bench::new(Settings { init_type_tagged, ..ON_DEMAND });
        bench.platform(1, init_report(5.0)).invoke("r", 2).platform(1, init_start("python:3.13.v7"));
        assert!(bench.out.points.iter().all(|point| point.tags.join(",") == expected), "{:?}", bench.points());
    }
}

#[test]
fn a_restoration_counts_once_with_the_tags_of_the_first_invocation() {
    let restored = |duration_ms| Platform::RestoreReport(RestoreReport { duration_ms });
    let measured = || restored(Some(250.0));
    let mut bench = Bench::new(Settings { snap_start: true, ..ON_DEMAND });
    bench.platform(0, init_start("python:3.13.v7")).platform(1, Platform::RestoreStart).platform(1, restored(None));
    assert_eq!(bench.out.warnings.len(), 1);
    bench.platform(1, measured()).platform(1, measured());
    assert_eq!(bench.count(metric::RESTORE_DURATION), 0);
    bench.invoke("r", 2).platform(1, measured());
    assert_eq!(bench.points(), ["invocations=1 cold_start:true", "snapstart_restore_duration=0.25 cold_start:true"]);
}

/// A snapshot may be days older than the sandboxes that are restored from it.
#[test]
fn late_restore_start_sets_cold_start_of_first_invocation() {
    let settings = Settings { snap_start: true, ..ON_DEMAND };
    let restored_at = 86_400_000;
    let mut bench = Bench::new(settings);
    bench.platform(1, init_start("python:3.13.v7")).platform(2, init_report(80.0)).invoke("r", restored_at + 50);
    assert_eq!(bench.points(), [""; 0], "held until it is known when the sandbox started");
    bench.platform(restored_at, Platform::RestoreStart);
    let restored = Platform::RestoreReport(RestoreReport { duration_ms: Some(40.0) });
    bench.platform(restored_at + 40, restored).start("r", restored_at + 49);
    bench.done("r", restored_at + 60, Status::Success).report("r", restored_at + 70, Status::Success);
    assert_eq!(bench.count(metric::INVOCATIONS), 1);
    assert!(bench.out.points.iter().all(|point| *point.tags == ["cold_start:true"]), "{:?}", bench.points());

    let mut bench = Bench::new(settings);
    bench.platform(1, init_start("python:3.13.v7"));
    whole(&mut bench, "r", restored_at);
    assert_eq!(
        bench.count(metric::INVOCATIONS),
        1,
        "a restore that is never told holds the count no longer than the invocation"
    );
    assert!(bench.out.points.iter().all(|point| *point.tags == ["cold_start:true"]), "{:?}", bench.points());

    let mut bench = Bench::new(Settings { telemetry: false, ..settings });
    bench.invoke("r", restored_at);
    assert_eq!(bench.points(), ["invocations=1 cold_start:true"], "nobody tells anything");
}

#[test]
fn the_machine_is_looked_at_once_in_each_phase_of_an_invocation() {
    let tags: Arc<[String]> = Arc::from(["cold_start:true".to_owned()]);
    let id = |attempt| AttemptId { request_id: "r".into(), attempt };
    let begun = || SamplingPoint::Begun(id(1));
    let [done, reported] = [SamplingPoint::Done(id(1), tags.clone()), SamplingPoint::Reported(id(1), tags.clone())];
    let ending = SamplingPoint::Ending(tags);
    let moments = |settings, steps: &dyn Fn(&mut Bench)| {
        let mut bench = Bench::new(settings);
        steps(&mut bench);
        bench.end(9);
        bench.out.moments
    };
    let once = |bench: &mut Bench| whole(bench, "r", 0);
    assert_eq!(moments(ON_DEMAND, &once), [begun(), done.clone(), reported.clone(), ending.clone()]);
    let twice = |bench: &mut Bench| {
        whole(bench, "r", 0);
        whole(bench, "r", 60_000);
    };
    let warm: Arc<[String]> = Arc::from(["cold_start:false".to_owned()]);
    assert_eq!(
        moments(ON_DEMAND, &twice),
        [
            begun(),
            done.clone(),
            reported.clone(),
            SamplingPoint::Begun(id(2)),
            SamplingPoint::Done(id(2), warm.clone()),
            SamplingPoint::Reported(id(2), warm.clone()),
            SamplingPoint::Ending(warm)
        ]
    );
    let started_first = |bench: &mut Bench| {
        bench.start("r", 0).invoke("r", 1);
    };
    assert_eq!(moments(ON_DEMAND, &started_first), [begun(), ending.clone()]);
    let done_first = |bench: &mut Bench| {
        bench.done("r", 0, Status::Success).start("r", 0).invoke("r", 1);
    };
    assert_eq!(moments(ON_DEMAND, &done_first), [done.clone(), ending.clone()]);
    let managed = |bench: &mut Bench| {
        bench.start("r", 0).report("r", 1, Status::Success);
    };
    assert_eq!(moments(Settings { managed: true, ..ON_DEMAND }, &managed), [begun(), done, reported, ending]);
}

#[test]
fn init_duration_of_an_old_init_has_the_time_of_the_first_invocation() {
    const HOUR: Timestamp = 3_600_000;
    for (invoked, expected) in [(60_000, 5), (HOUR, HOUR)] {
        let mut bench = Bench::new(ON_DEMAND);
        let report = InitReport { initialization_type: None, duration_ms: Some(80.0) };
        bench.platform(4, init_start("python:3.13.v7")).platform(5, Platform::InitReport(report)).invoke("r", invoked);
        let point = bench.out.points.iter().find(|point| point.name == metric::INIT_DURATION).unwrap();
        assert_eq!(point.time, expected);
    }
}

#[test]
fn only_the_newest_invocation_awaits_its_report_unless_several_may_run() {
    const QUARTER: Timestamp = 15 * 60 * 1000;
    let mut bench = Bench::new(ON_DEMAND);
    bench.invoke("lost", 0).start("lost", 1).done("lost", 2, Status::Success);
    assert!(bench.processor.awaits_report(3));
    whole(&mut bench, "s", 10);
    assert!(!bench.processor.awaits_report(20), "Lambda reports an invocation before the next one starts");

    let mut bench = Bench::new(Settings { managed: true, ..ON_DEMAND });
    bench.start("lost", 0);
    whole(&mut bench, "s", 10);
    assert!(bench.processor.awaits_report(QUARTER));
    assert!(!bench.processor.awaits_report(QUARTER + 1), "it has reached the longest timeout");
}
