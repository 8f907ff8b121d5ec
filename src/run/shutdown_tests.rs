//! Tests of shutdown with paused time, where each pause is exactly as long as what it waits for.

use std::sync::Arc;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;
use crate::{
    ingest::{otlp, telemetry::test_batches::Sender, trace_agent::TraceAgentListener},
    platform::Environment,
    process::{
        event::{Batch, parse},
        tags::FunctionTags,
    },
    run::{
        loop_tests::{engine, long_trace},
        traces::TracePipeline,
    },
};

const MS: Duration = Duration::from_millis(1);
const TOLERANCE: Duration = Duration::from_millis(2);

fn batch(kind: &str) -> Batch {
    let metrics = json!({"durationMs": 1.0, "billedDurationMs": 1, "memorySizeMB": 128, "maxMemoryUsedMB": 1});
    let record = json!({"requestId": "r", "status": "success", "metrics": metrics});
    let event = json!([{"time": "2022-10-21T14:05:03.165Z", "type": kind, "record": record}]);
    parse(event.to_string().as_bytes(), 0)
}

/// How long the shutdown waits if these events arrive at these times.
async fn waits(
    engine: &mut Engine,
    telemetry: Sender,
    reason: &str,
    events: &'static [(u64, &'static str)],
) -> Duration {
    let before_report = silence_before_report(&Shutdown { shutdown_reason: reason.to_owned(), deadline_ms: 0 });
    let began = Instant::now();
    tokio::spawn(async move {
        for (at_ms, kind) in events {
            tokio::time::sleep_until(began + Duration::from_millis(*at_ms)).await;
            assert!(telemetry.send(batch(kind)).await);
        }
        // Keeps Lambda's side open.
        std::future::pending::<()>().await;
        drop(telemetry);
    });
    await_telemetry(engine, began + Duration::from_secs(1), before_report).await;
    began.elapsed()
}

fn assert_about(took: Duration, expected: Duration) {
    assert!(took >= expected && took <= expected + TOLERANCE, "{took:?} instead of {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_the_report_and_then_only_for_what_is_buffered() {
    let (mut engine, telemetry) = engine();
    engine.invoked(&"r".into());
    let took =
        waits(&mut engine, telemetry, "timeout", &[(200, "platform.runtimeDone"), (450, "platform.report")]).await;
    assert_about(took, MS * (450 + 50));
}

#[tokio::test(start_paused = true)]
async fn shutdown_gives_up_on_a_report_that_does_not_come() {
    let (mut engine, telemetry) = engine();
    engine.invoked(&"r".into());
    let took = waits(&mut engine, telemetry, "timeout", &[(100, "platform.runtimeDone")]).await;
    assert_about(took, MS * (100 + 300));
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_is_not_needed_any_more_waits_longer_for_the_report() {
    let (mut engine, telemetry) = engine();
    engine.invoked(&"r".into());
    let took = waits(&mut engine, telemetry, "spindown", &[(700, "platform.report")]).await;
    assert_about(took, MS * (700 + 50));
}

#[tokio::test(start_paused = true)]
async fn missing_report_delays_shutdown_within_the_budget() {
    let (mut engine, telemetry) = engine();
    engine.invoked(&"r".into());
    assert_about(waits(&mut engine, telemetry, "spindown", &[]).await, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn shutdown_without_an_open_invocation_waits_only_for_what_is_buffered() {
    let (mut engine, telemetry) = engine();
    assert_about(waits(&mut engine, telemetry, "timeout", &[]).await, MS * 50);
}

#[tokio::test(start_paused = true)]
async fn shutdown_without_telemetry_waits_for_nothing() {
    let (mut engine, _telemetry) = engine();
    engine.invoked(&"r".into());
    engine.telemetry = None;
    let began = Instant::now();
    await_telemetry(&mut engine, began + Duration::from_secs(1), SILENCE_BEFORE_REPORT).await;
    assert_about(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn telemetry_that_never_stops_ends_with_the_budget() {
    let (mut engine, telemetry) = engine();
    engine.invoked(&"r".into());
    let began = Instant::now();
    tokio::spawn(async move {
        while telemetry.send(batch("platform.telemetrySubscription")).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    await_telemetry(&mut engine, began + Duration::from_secs(1), SILENCE_BEFORE_REPORT).await;
    assert_about(began.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn the_budget_ends_before_the_deadline_and_is_never_shorter_than_its_minimum() {
    let budget_of = |left_ms: i64| {
        let deadline_ms = clock::epoch_ms() + left_ms;
        budget(&Shutdown { shutdown_reason: String::new(), deadline_ms }, Instant::now())
    };
    for left_ms in [-3000, -1, 0, 500] {
        assert_eq!(budget_of(left_ms), MS * 500, "{left_ms}");
    }
    let usual = budget_of(2000);
    assert!(usual <= MS * 1850 && usual > MS * 1000, "{usual:?}");
    assert_eq!(budget_of(i64::MIN / 2), MS * 500);
}

#[tokio::test(start_paused = true)]
async fn shutdown_budget_is_within_lambdas_limit() {
    let now = clock::epoch_ms();
    for deadline_ms in [now + 10_000, now + 86_400_000, i64::MAX] {
        let event = Shutdown { shutdown_reason: "spindown".to_owned(), deadline_ms };
        assert_eq!(budget(&event, Instant::now()), MS * 1850, "{deadline_ms}");
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_stays_within_two_seconds_without_report() {
    for deadline_ms in [i64::MAX, clock::epoch_ms() + 10_000] {
        let (mut engine, _telemetry) = engine();
        engine.invoked(&"r".into());
        let began = Instant::now();
        run(engine, &Shutdown { shutdown_reason: "spindown".to_owned(), deadline_ms }).await;
        assert_about(began.elapsed(), MS * 1150);
    }
}

/// Sends a trace of one span. Returns the status.
async fn send_trace(connection: &mut TcpStream) -> String {
    let body = b"\x91\x91\x82\xa8trace_id\x07\xa7span_id\x07";
    let head = format!("POST /v0.4/traces HTTP/1.1\r\nhost: agent\r\ncontent-length: {}\r\n\r\n", body.len());
    connection.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = vec![0; 1024];
    let length = connection.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn traces_that_come_after_the_last_flush_are_refused() {
    let (mut engine, _telemetry) = engine();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let tags = FunctionTags::collect(&Environment::read(|_| None), None, &engine.config);
    let listener = Some(TraceAgentListener::from_handover(listener));
    let otlp = otlp::Listeners::bind(&engine.config.otlp);
    engine.traces = TracePipeline::start(listener, otlp, &engine.config, &tags, Arc::default());
    let mut connection = TcpStream::connect(address).await.unwrap();
    assert_eq!(send_trace(&mut connection).await, "200");
    start_last_flush(&mut engine, Instant::now() + MS * 1000, Instant::now() + MS * 2000).await;
    assert_eq!(send_trace(&mut connection).await, "503");
    assert_eq!(engine.traces.refused(), DropCounts { refused: 1, ..DropCounts::default() });
    // Without a client, it is dropped at once.
    assert_eq!(engine.flusher.drop_unconfirmed().spans, 1);
}

#[tokio::test(start_paused = true)]
async fn unprocessed_spans_counted_as_dropped_at_shutdown() {
    let (mut engine, _telemetry) = engine();
    for _ in 0..3 {
        engine.traces.take_invocation(long_trace());
    }
    engine.logs.push(b"{}");
    let now = Instant::now();
    start_last_flush(&mut engine, now, now).await;
    let lost = engine.flusher.drop_unconfirmed();
    assert_eq!((lost.logs, lost.spans, engine.traces.is_processing()), (1, 3, false));
}
