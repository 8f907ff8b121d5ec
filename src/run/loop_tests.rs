//! Tests of the loops with a platform on a real socket, with paused time.

use std::{
    cell::Cell,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::Instant,
};

use super::{
    dogstatsd_pipeline::DogStatsdPipeline,
    engine::{Engine, Progress},
    managed,
    next::NextPoller,
    on_demand,
    traces::TracePipeline,
};
use crate::{
    aggregate::{EncodedBatches, Points, encoded::EncodedBatch},
    config::{Config, FlushStrategy},
    flush::{DropCounts, Flusher},
    ingest::{
        otlp,
        telemetry::test_batches::{Sender, channel},
        trace_agent::TracerData,
    },
    intake,
    platform::{Environment, ExtensionId, ExtensionsApi, RuntimeApi, Transport, raw::RawTransport},
    process::{
        event::{Batch, parse},
        invocation::{InvocationTrace, Processor, Settings},
        log::{LogEncoder, Rules},
        metric::Point,
        tags::FunctionTags,
        trace::{Pipeline, Source, Span, TraceSettings, TracerHeaders, stats::Keys},
    },
};

pub const INVOKE: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 53\r\n\r\n{\"eventType\":\"INVOKE\",\"deadlineMs\":1,\"requestId\":\"r\"}";
pub const SHUTDOWN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 39\r\n\r\n{\"eventType\":\"SHUTDOWN\",\"deadlineMs\":1}";
pub const REFUSED: &str = "HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\nno";

/// Answers the only request of each connection; closes it without a response if `answer` returns None.
pub async fn platform(
    answer: impl Fn(usize) -> Option<&'static str> + Send + 'static,
) -> (NextPoller, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = RuntimeApi(listener.local_addr().unwrap().to_string());
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            if let Some(answer) = answer(number) {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    let platform = ExtensionsApi::over(Transport::Raw(RawTransport::new(api)));
    (NextPoller::new(platform, ExtensionId("id-1".to_owned())), requests)
}

/// An engine without a client, and the sender of its telemetry.
pub fn engine() -> (Engine, Sender) {
    let config = Config::default();
    let tags = FunctionTags::collect(&Environment::read(|_| None), None, &config);
    let settings = Settings {
        managed: false,
        enhanced_metrics: true,
        logs: true,
        telemetry: true,
        init_type_tagged: false,
        snap_start: false,
        architecture: "x86_64",
    };
    let (sender, receiver) = channel();
    let engine = Engine {
        processor: Processor::new(settings, Rules::default(), 0),
        logs: EncodedBatches::new(intake::logs::FORMAT),
        points: Points::default(),
        dogstatsd_pipeline: DogStatsdPipeline::new(None, None),
        traces: TracePipeline::start(None, otlp::Listeners::bind(&config.otlp), &config, &tags, Arc::default()),
        log_encoder: LogEncoder::new(tags, &config),
        usage_metrics: None,
        lifecycle: None,
        flusher: Flusher::new(None, None),
        telemetry: Some(receiver),
        awaits_runtime: false,
        silent_since_loss: None,
        pending: Vec::new().into_iter(),
        config,
    };
    (engine, sender)
}

/// An outage of more than 30 s, and then SHUTDOWN. Returns the engine, which had a log to send and no other occasion for a flush.
async fn outage(strategy: FlushStrategy, managed: bool) -> Engine {
    let (mut engine, _telemetry) = engine();
    engine.config.flush_strategy = strategy;
    engine.logs.push(b"{}");
    let (next, _requests) = platform(|number| (number > 60).then_some(SHUTDOWN)).await;
    let shutdown =
        if managed { managed::run(&mut engine, next).await } else { on_demand::run(&mut engine, next).await };
    assert_eq!(shutdown.deadline_ms, 1);
    engine
}

#[tokio::test(start_paused = true)]
async fn unreachable_platform_flushes_after_30_s_and_retries_next() {
    const NEVER: Duration = Duration::from_hours(1);
    for (strategy, managed) in [(FlushStrategy::Periodically(NEVER), false), (FlushStrategy::Continuously(NEVER), true)]
    {
        let mut engine = outage(strategy, managed).await;
        assert_eq!(engine.logs.drain().len(), 0, "flushed; managed: {managed}");
    }
}

/// The platform sends only an INVOKE after 15 s and SHUTDOWN after this many. Returns the number of log batches that were not flushed.
async fn left_after(seconds: u64) -> usize {
    let (mut engine, _telemetry) = engine();
    engine.config.flush_strategy = FlushStrategy::EndPeriodically(Duration::from_secs(20));
    engine.logs.push(b"{}");
    let (began, invoked) = (Instant::now(), Cell::new(false));
    let (next, _requests) = platform(move |_| {
        let elapsed = began.elapsed().as_secs();
        match (invoked.get(), elapsed) {
            (false, 15..) => {
                invoked.set(true);
                Some(INVOKE)
            }
            (true, elapsed) if elapsed >= seconds => Some(SHUTDOWN),
            _ => None,
        }
    })
    .await;
    on_demand::run(&mut engine, next).await;
    engine.logs.drain().len()
}

#[tokio::test(start_paused = true)]
async fn a_long_invocation_flushes_once_an_interval_after_its_beginning() {
    assert_eq!(left_after(30).await, 1, "the interval does not count from the start of the sandbox");
    assert_eq!(left_after(40).await, 0);
}

#[tokio::test(start_paused = true)]
async fn race_timer_starts_no_flush_while_another_is_under_way() {
    let (mut engine, _telemetry) = engine();
    engine.config.flush_strategy = FlushStrategy::EndPeriodically(Duration::from_millis(20));
    let (flusher, building) = waiting_to_be_built();
    engine.flusher = flusher;
    engine.logs.push(b"{}");
    let began = Instant::now();
    let (next, _requests) = platform(move |_| (began.elapsed() >= Duration::from_secs(3)).then_some(SHUTDOWN)).await;
    on_demand::run(&mut engine, next).await;
    assert_eq!(engine.logs.drain().len(), 1, "the client is being built all the time");
    drop(building);
}

#[tokio::test(start_paused = true)]
async fn metrics_with_little_room_left_leave_at_once_without_loss() {
    let (mut engine, _telemetry) = engine();
    for number in 0..20_000 {
        let tags = Arc::from([number.to_string()]);
        engine.points.push(&Point { name: "m", value: 1.0, time: 0, tags });
        if engine.points.is_nearly_full() {
            assert_eq!(engine.progress().await, Progress::Metrics);
            assert!(!engine.points.is_nearly_full());
        }
    }
    assert_eq!(engine.points.take_dropped(), 0);
    // Sent data is dropped and counted here, because there is no client.
    assert_eq!(engine.flusher.drop_unconfirmed().sketches, 15_360);
}

fn log_line() -> Batch {
    parse(br#"[{"time": "2022-10-21T14:05:03.165Z", "type": "function", "record": "hello"}]"#, 0)
}

#[tokio::test(start_paused = true)]
async fn points_that_do_not_fit_are_counted_with_the_next_flush() {
    let (mut engine, _telemetry) = engine();
    for number in 0..10_242 {
        let tags = Arc::from([number.to_string()]);
        engine.points.push(&Point { name: "m", value: 1.0, time: 0, tags });
    }
    engine.points.drain(0);
    engine.start_flush();
    assert_eq!(engine.flusher.drop_unconfirmed(), DropCounts { sketches: 2, ..DropCounts::default() });
}

#[tokio::test(start_paused = true)]
async fn runtime_is_named_at_the_first_invocation() {
    let (mut engine, _telemetry) = engine();
    assert!(engine.processor.wants_runtime());
    engine.invoked(&"r".into());
    assert!(!engine.processor.wants_runtime());
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_logs_that_is_full_leaves_at_once_and_what_is_not_waits() {
    let (mut engine, telemetry) = engine();
    engine.invoked(&"r".into());
    let line = br#"{"time": "2022-10-21T14:05:03.165Z", "type": "function", "record": "hello"}"#;
    let lines = |count| parse(format!("[{}]", vec![String::from_utf8_lossy(line); count].join(",")).as_bytes(), 0);
    let start = br#"[{"time": "2022-10-21T14:05:03.165Z", "type": "platform.start", "record": {"requestId": "r"}}]"#;
    assert!(telemetry.send(parse(start, 0)).await);
    assert_eq!(engine.progress().await, Progress::Telemetry);
    engine.logs.drain();
    let mut left = Vec::new();
    for count in [999, 1002] {
        assert!(telemetry.send(lines(count)).await);
        assert_eq!(engine.progress().await, Progress::Telemetry);
        // Sent data is dropped and counted here, because there is no client.
        left.push(engine.flusher.drop_unconfirmed().logs);
    }
    assert_eq!(left, [0, 2000]);
    assert_eq!(engine.logs.drain().iter().map(|batch| batch.entries).sum::<usize>(), 1);
}

/// A flusher whose client is never built.
fn waiting_to_be_built() -> (Flusher, std::sync::mpsc::Sender<()>) {
    let (building, built) = std::sync::mpsc::channel::<()>();
    let build = move || {
        let _ = built.recv();
        None
    };
    (Flusher::building(build, None), building)
}

/// A full flusher whose client is never built.
pub fn full() -> (Flusher, std::sync::mpsc::Sender<()>) {
    let (mut flusher, building) = waiting_to_be_built();
    let batch = || EncodedBatch { body: vec![b' '; 4 << 20], entries: 1 };
    flusher.start([(); 5].map(|()| intake::logs::unsealed(batch(), &Config::default().logs)));
    assert!(!flusher.has_room());
    (flusher, building)
}

#[tokio::test(start_paused = true)]
async fn telemetry_is_read_although_nothing_that_is_held_leaves() {
    let (mut engine, telemetry) = engine();
    let (flusher, _building) = full();
    engine.flusher = flusher;
    assert!(telemetry.send(log_line()).await);
    let read = async { while engine.progress().await != Progress::Telemetry {} };
    tokio::time::timeout(Duration::from_secs(10), read).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn telemetry_that_has_arrived_is_read_before_held_lines_are_released() {
    let (mut engine, telemetry) = engine();
    assert!(telemetry.send(log_line()).await);
    engine.ended();
    assert_eq!(engine.logs.drain().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_of_what_has_arrived_is_read_than_there_is_room_for() {
    let (mut engine, telemetry) = engine();
    let (flusher, _building) = full();
    engine.flusher = flusher;
    assert!(telemetry.send(log_line()).await);
    engine.start_flush();
    assert!(engine.telemetry.as_mut().unwrap().try_recv().is_ok(), "it waits");
}

#[tokio::test(start_paused = true)]
async fn telemetry_is_read_at_shutdown_with_any_memory_held() {
    let (mut engine, telemetry) = engine();
    let (flusher, _building) = full();
    engine.flusher = flusher;
    assert!(telemetry.send(log_line()).await);
    engine.ending();
    assert_eq!(engine.progress().await, Progress::Telemetry);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_ingested_only_as_far_as_there_is_room() {
    let (mut engine, telemetry) = engine();
    engine.invoked(&"r".into());
    let (flusher, _building) = waiting_to_be_built();
    engine.flusher = flusher;
    let record = "x".repeat(900_000);
    let line = format!(r#"{{"time": "2022-10-21T14:05:03.165Z", "type": "function", "record": "{record}"}}"#);
    let start = r#"{"time": "2022-10-21T14:05:03.165Z", "type": "platform.start", "record": {"requestId": "r"}}"#;
    let lines = [vec![start.to_owned()], vec![line; 40]].concat().join(",");
    assert!(telemetry.send(parse(format!("[{lines}]").as_bytes(), 0)).await);
    assert_eq!(engine.progress().await, Progress::Telemetry);
    assert!(engine.is_ingesting(), "{} events wait", engine.pending.len());
    // Five batches of five lines, the first also with the START line. The sixth batch would not fit.
    assert_eq!((engine.flusher.drop_unconfirmed().logs, engine.pending.len()), (26, 14));
}

/// What requests of tracers have become: one span of so many bytes each.
fn spans_of(bytes: usize, count: usize) -> Vec<TracerData> {
    let tags = FunctionTags::collect(&Environment::read(|_| None), None, &Config::default());
    let (pipeline, _) = Pipeline::new(TraceSettings::default(), &tags, Keys::default());
    let output = |_| {
        let source = Source { headers: &TracerHeaders::default(), now: 0, room: usize::MAX };
        let span = Span { trace_id: 1, span_id: 1, resource: "x".repeat(bytes).into(), ..Span::default() };
        TracerData::Traces(Box::new(pipeline.run(source, [Ok::<_, Infallible>(vec![span])]).unwrap()))
    };
    (0..count).map(output).collect()
}

#[tokio::test(start_paused = true)]
async fn spans_that_do_not_fit_beside_logs_stay_until_there_is_room() {
    let (mut engine, _telemetry) = engine();
    let (flusher, _building) = waiting_to_be_built();
    engine.flusher = flusher;
    // Batches of their own, all but the last of them full.
    for received in spans_of(10_000_000, 3) {
        engine.traces.take(received);
    }
    let log = vec![b'x'; 90_000];
    for _ in 0..100 {
        engine.logs.push(&log);
    }
    engine.start_flush();
    assert!(engine.traces.full_bytes().is_some());
    let started = engine.flusher.drop_unconfirmed();
    assert_eq!(started, DropCounts { logs: 100, ..DropCounts::default() }, "and no span");
    assert_eq!(engine.progress().await, Progress::Traces, "there is room again");
    assert_eq!(engine.progress().await, Progress::NoRoom, "not for a second one");
    engine.ending();
    engine.start_flush();
    assert_eq!(engine.traces.full_bytes(), None, "at the end there is nothing to wait for");
    let lost = engine.flusher.drop_unconfirmed();
    assert_eq!((lost.logs, lost.spans), (100, 3));
}

#[tokio::test(start_paused = true)]
async fn spans_of_invocations_are_dropped_and_counted_while_too_much_waits() {
    let (mut engine, _telemetry) = engine();
    let trace = || {
        let span = Span { trace_id: 1, span_id: 1, ..Span::default() };
        InvocationTrace { spans: vec![span], computed_stats: false, bytes: 0 }
    };
    engine.traces.take_invocation(trace());
    for received in spans_of(10_000_000, 2) {
        engine.traces.take(received);
    }
    assert_eq!(engine.traces.take_dropped().spans, 0);
    engine.traces.take_invocation(trace());
    assert_eq!(engine.traces.take_dropped().spans, 1);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_is_full_leaves_before_the_last_spans_of_invocations_come() {
    let (mut engine, _telemetry) = engine();
    for received in spans_of(10_000_000, 2) {
        engine.traces.take(received);
    }
    engine.ending();
    engine.ended();
    let span = Span { trace_id: 1, span_id: 1, ..Span::default() };
    engine.traces.take_invocation(InvocationTrace { spans: vec![span], computed_stats: false, bytes: 0 });
    assert_eq!(engine.traces.take_dropped().spans, 0);
}

/// Spans of an invocation whose processing takes a thread.
pub fn long_trace() -> InvocationTrace {
    let meta = [("function.request", "x".repeat(1 << 20).into())].into_iter().collect();
    let span = Span { name: "aws.lambda".into(), trace_id: 1, span_id: 1, meta, ..Span::default() };
    InvocationTrace { spans: vec![span], computed_stats: false, bytes: 1 << 20 }
}

#[tokio::test]
async fn a_flush_takes_along_spans_that_are_processed() {
    let (mut engine, _telemetry) = engine();
    engine.traces.take_invocation(long_trace());
    let mut flushed = 0;
    // As often as it takes the thread to end.
    for _ in 0..10_000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        engine.start_flush();
        flushed = engine.flusher.drop_unconfirmed().spans;
        if flushed > 0 {
            break;
        }
    }
    assert_eq!((flushed, engine.traces.is_processing()), (1, false));
}
