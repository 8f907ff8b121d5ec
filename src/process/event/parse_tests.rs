use super::*;
use crate::process::event::{Platform, ReportMetrics, Status};

fn one(element: &str) -> Event {
    let batch = parse(format!("[{element}]").as_bytes(), 5);
    assert_eq!((batch.unknown, batch.malformed), (0, 0), "{element}");
    batch.events.into_iter().next().unwrap()
}

#[test]
fn malformed_item_leaves_its_neighbours_intact() {
    let batch = parse(
        br#"[{"time":"2026-11-23T09:45:46.221Z","type":"function","record":"a"},
             {"time":"2026-11-23T09:45:46.221Z","type":"platform.somethingNew","record":{}},
             {"time":"2026-11-23T09:45:46.221Z","type":"platform.start","record":{"version":"1"}},
             {"type":"function","record":null}, 42, {"record":"no type"},
             {"time":"2026-11-23T09:45:46.222Z","type":"function","record":"b"}]"#,
        0,
    );
    assert_eq!(batch.events.len(), 2);
    assert_eq!(batch.unknown, 1);
    assert_eq!(batch.malformed, 4);
}

#[test]
fn records_of_an_invocation_are_its_start_its_end_and_its_report() {
    let of_invocation = |kind: &str| {
        let record = r#"{"requestId":"3f1b4c6e-8a2d-4e5f-9b7a-1c2d3e4f5a6b","status":"success"}"#;
        let event = one(&format!(r#"{{"time":"2026-11-23T09:45:46.221Z","type":"{kind}","record":{record}}}"#));
        event.record.is_of_invocation()
    };
    for kind in ["platform.start", "platform.runtimeDone", "platform.report"] {
        assert!(of_invocation(kind), "{kind}");
    }
    for kind in ["platform.initStart", "platform.initRuntimeDone", "platform.initReport", "function", "extension"] {
        assert!(!of_invocation(kind), "{kind}");
    }
}

#[test]
fn what_is_no_array_is_one_malformed_element() {
    for body in [&b""[..], b"{}", b"[", b"\xff\xfe", b"null"] {
        assert_eq!(parse(body, 0), Batch { malformed: 1, ..Batch::default() }, "{body:?}");
    }
}

#[test]
fn invalid_utf8_in_a_line_is_replaced() {
    let batch = parse(b"[{\"type\":\"function\",\"record\":\"a\xffb\"}]", 9);
    assert_eq!(batch.events, [Event { time: 9, record: Record::Function(Text::Plain("a\u{fffd}b".to_owned())) }]);
}

#[test]
fn half_of_a_surrogate_pair_is_replaced() {
    for (record, expected) in [
        (r#""a\ud83db""#, "a\u{fffd}b"),
        (r#""\udc00\ud800 \ud83d\ude00\n""#, "\u{fffd}\u{fffd} \u{1f600}\n"),
        (r#""\ud800\u0041\ud800""#, "\u{fffd}A\u{fffd}"),
        (r#""\u00ed\ud800é\ufffd""#, "\u{ed}\u{fffd}é\u{fffd}"),
    ] {
        let event = one(&format!(r#"{{"type":"function","record":{record}}}"#));
        assert_eq!(event.record, Record::Function(Text::Plain(expected.to_owned())), "{record}");
    }
    let object = r#"{"level":"error","text":"a\ud83d"}"#;
    let event = one(&format!(r#"{{"type":"extension","record":{object}}}"#));
    assert_eq!(event.record, Record::Extension(Text::Object(object.to_owned())));
}

#[test]
fn times_are_epoch_milliseconds_and_an_unreadable_one_is_the_arrival() {
    assert_eq!(one(r#"{"time":"2022-10-21T14:05:03.165Z","type":"function","record":""}"#).time, 1_666_361_103_165);
    assert_eq!(
        one(r#"{"time":"2022-10-21T16:05:03.165999+02:00","type":"function","record":""}"#).time,
        1_666_361_103_165
    );
    assert_eq!(one(r#"{"time":"yesterday","type":"function","record":""}"#).time, 5);
    assert_eq!(one(r#"{"time":null,"type":"function","record":""}"#).time, 5);
    assert_eq!(one(r#"{"type":"function","record":""}"#).time, 5);
}

#[test]
fn the_usual_form_of_a_time_is_read_as_any_other() {
    let read = |time: &str| (usual_epoch_ms(time), epoch_ms(time));
    for time in ["1970-01-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z", "9999-12-31T12:30:15.001Z"] {
        let other_form = time.replace('Z', "+00:00");
        assert_eq!(usual_epoch_ms(&other_form), None);
        assert_eq!(usual_epoch_ms(time), epoch_ms(&other_form), "{time}");
    }
    for no_time in [
        "2023-02-29T00:00:00.000Z",
        "2023-01-01T24:00:00.000Z",
        "2023-01-01T00:00:00.0x0Z",
        "2023-13-01T00:00:00.000Z",
        "",
    ] {
        assert_eq!(read(no_time), (None, None), "{no_time}");
    }
}

#[test]
fn a_line_that_is_neither_text_nor_object_is_its_json() {
    for line in ["17", "[1, 2]", "true", "-1.50"] {
        let event = one(&format!(r#"{{"type":"function","record":{line}}}"#));
        assert_eq!(event.record, Record::Function(Text::Plain(line.to_owned())));
    }
}

#[test]
fn of_a_field_of_the_envelope_that_comes_twice_the_last_one_counts() {
    let event = one(r#"{"type":"extension","type":"function","record":"a","record":"b","time":null}"#);
    assert_eq!(event, Event { time: 5, record: Record::Function(Text::Plain("b".to_owned())) });
}

#[test]
fn an_object_line_is_kept_as_it_is() {
    let Record::Function(Text::Object(object)) = one(r#"{"type":"function","record":{"z":1, "a":2.50}}"#).record else {
        panic!("not an object")
    };
    assert_eq!(object, r#"{"z":1, "a":2.50}"#);
}

#[test]
fn an_on_demand_report_carries_the_bill_and_a_managed_one_does_not() {
    let on_demand = one(r#"{"type":"platform.report","record":{"requestId":"r","status":"success","metrics":
        {"durationMs":1.5,"billedDurationMs":2,"memorySizeMB":128,"maxMemoryUsedMB":90,"initDurationMs":7.25}}}"#);
    let managed =
        one(r#"{"type":"platform.report","record":{"requestId":"r","status":"timeout","metrics":{"durationMs":1.398},
        "spans":[{"name":"responseLatency","start":"2026-11-23T09:45:47.721Z","durationMs":1.095}]}}"#);
    let Record::Platform(Platform::Report(on_demand)) = on_demand.record else { panic!("no report") };
    let Record::Platform(Platform::Report(managed)) = managed.record else { panic!("no report") };
    assert_eq!(
        on_demand.metrics,
        ReportMetrics {
            duration_ms: Some(1.5),
            billed_duration_ms: Some(2.0),
            memory_size_mb: Some(128.0),
            max_memory_used_mb: Some(90.0),
            init_duration_ms: Some(7.25)
        }
    );
    assert_eq!(managed.metrics, ReportMetrics { duration_ms: Some(1.398), ..ReportMetrics::default() });
    assert_eq!(managed.status, Status::Timeout);
    assert_eq!(managed.spans.len(), 1);
}

#[test]
fn every_platform_type_of_the_schema_is_known() {
    for kind in [
        r#""platform.initStart","record":{"initializationType":"on-demand","phase":"init","runtimeVersion":"python:3.12.v10"}"#,
        r#""platform.initRuntimeDone","record":{"initializationType":"on-demand","status":"success"}"#,
        r#""platform.initReport","record":{"initializationType":"on-demand","phase":"init","metrics":{"durationMs":1}}"#,
        r#""platform.restoreStart","record":{}"#,
        r#""platform.restoreRuntimeDone","record":{"status":"success"}"#,
        r#""platform.restoreReport","record":{"status":"success","metrics":{"durationMs":1}}"#,
        r#""platform.start","record":{"requestId":"r","version":"$LATEST","tracing":{"type":"X-Amzn-Trace-Id"}}"#,
        r#""platform.runtimeDone","record":{"requestId":"r","status":"failure","errorType":"Runtime.ExitError"}"#,
        r#""platform.report","record":{"requestId":"r","status":"error","metrics":{"durationMs":1}}"#,
        r#""platform.extension","record":{"name":"x","state":"Ready","events":["INVOKE"]}"#,
        r#""platform.telemetrySubscription","record":{"name":"x","state":"Subscribed","types":["platform"]}"#,
        r#""platform.logsDropped","record":{"reason":"slow","droppedRecords":3,"droppedBytes":99}"#,
    ] {
        assert!(matches!(one(&format!(r#"{{"type":{kind}}}"#)).record, Record::Platform(_)), "{kind}");
    }
}
