//! Requests beside the sockets: what becomes of them when a thread, the tracer, or the loop is not there.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
};
use tokio::time::timeout;

use super::*;
use crate::{
    ingest::trace_agent::{QUEUE, TraceQueue, routes::MAX_TRACE_BODY_BYTES, server, tests},
    platform::RequestId,
    process::trace::{InvocationSpan, SpanParents},
};

const TRACES: Route = Route::Traces(Version::V04);
/// Longer than anything here takes; the clock is paused.
const LONG: Duration = Duration::from_secs(1);

fn body(agent: &Agent, bytes: Vec<u8>) -> ReceivedBody {
    let room = Arc::clone(&agent.room).try_acquire_many_owned(u32::try_from(bytes.len()).unwrap()).unwrap();
    ReceivedBody { bytes, room }
}

fn request(bytes: Vec<u8>) -> Request {
    Request::post("/v0.4/traces").body(Body::from(bytes)).unwrap()
}

/// A body of so many pieces of 1 MiB that does not say how long it will be, and may never end.
struct Pieces {
    left: usize,
    ends: bool,
}

impl axum::body::HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let Some(left) = self.left.checked_sub(1) else {
            return if self.ends { Poll::Ready(None) } else { Poll::Pending };
        };
        self.left = left;
        Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from(vec![0; 1 << 20])))))
    }
}

async fn send(agent: &Arc<Agent>, path: &str, body: impl Into<Body>) -> StatusCode {
    server::answer(State(Arc::clone(agent)), Request::post(path).body(body.into()).unwrap()).await.status()
}

/// How many spans came with the next request.
async fn spans(inbox: &mut TraceQueue) -> usize {
    match timeout(LONG, inbox.recv()).await {
        Ok(Some(TracerData::Traces(output))) => output.payloads.iter().map(|payload| payload.spans).sum(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn traces_are_processed_on_the_runtime_where_no_thread_can_be_started() {
    let (agent, mut inbox) = Agent::new(tests::test_pipeline(), Arc::default());
    let bytes = tests::spans(2 * MAX_INLINE_BYTES);
    assert!(!is_inline(TRACES, bytes.len()));
    let received = body(&agent, bytes);
    let refused = |_: Job| Err(io::ErrorKind::WouldBlock.into());
    let answer = agent.traces(Version::V04, TracerHeaders::default(), received, refused).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(spans(&mut inbox).await > 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_decoded_names_no_trace_of_an_invocation() {
    let parents = Arc::<SpanParents>::default();
    let (agent, mut inbox) = Agent::new(tests::test_pipeline(), Arc::clone(&parents));
    let request_id: RequestId = "r".into();
    let adopting =
        InvocationSpan { request_id: request_id.clone(), span_id: 1, parent_id: 0, trace_id: None, begun: 0 };
    parents.invocations.add(adopting);
    let good = tests::spans(100);
    // An array of two traces, of which one is a number.
    let bad = [&[0x92], good.get(1..).unwrap(), &[0x05]].concat();
    assert_eq!(good.first(), Some(&0x91));
    assert!(!send(&agent, "/v0.4/traces", bad).await.is_success());
    assert_eq!(parents.invocations.trace_id(&request_id), None);
    assert!(send(&agent, "/v0.4/traces", good).await.is_success());
    assert!(spans(&mut inbox).await > 0);
    assert!(parents.invocations.trace_id(&request_id).is_some());
}

#[tokio::test(start_paused = true)]
async fn traces_wait_briefly_for_start_call() {
    let parents = Arc::<SpanParents>::default();
    let (agent, mut inbox) = Agent::new(tests::test_pipeline(), Arc::clone(&parents));
    let arriving = Arc::new(AtomicUsize::new(1));
    parents.set_arriving(Arc::clone(&arriving));
    let early = tokio::spawn({
        let agent = Arc::clone(&agent);
        async move { send(&agent, "/v0.4/traces", tests::spans(100)).await }
    });
    tokio::task::yield_now().await;
    assert!(inbox.try_recv().is_none());
    arriving.store(0, Ordering::Relaxed);
    assert!(early.await.unwrap().is_success());
    assert!(spans(&mut inbox).await > 0);
    arriving.store(1, Ordering::Relaxed);
    let late = timeout(LONG, send(&agent, "/v0.4/traces", tests::spans(200))).await;
    assert!(late.unwrap().is_success());
}

#[tokio::test(start_paused = true)]
async fn spans_of_a_tracer_that_gave_up_are_sent_once_and_their_memory_counts() {
    let (agent, mut inbox) = Agent::new(tests::test_pipeline(), Arc::default());
    for _ in 0..QUEUE {
        server::answer(State(Arc::clone(&agent)), request(vec![0x90])).await;
    }
    // There is no place in the queue, and the tracer disconnects: its future is dropped.
    let answer = timeout(LONG, server::answer(State(Arc::clone(&agent)), request(tests::span(7)))).await;
    assert!(answer.is_err() && inbox.is_receiving());
    assert!(agent.encoded.available_permits() < MAX_ENCODED_BYTES);
    for _ in 0..QUEUE {
        assert_eq!(spans(&mut inbox).await, 0);
    }
    assert_eq!(spans(&mut inbox).await, 1);
    assert!(!inbox.is_receiving());
    // The tracer sends them again.
    server::answer(State(agent), request(tests::span(7))).await;
    assert_eq!(spans(&mut inbox).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_counts_until_it_is_processed_though_the_tracer_gave_up() {
    let (agent, mut inbox) = Agent::new(tests::test_pipeline(), Arc::default());
    let turn = agent.recent.lock().await;
    let answer = timeout(LONG, send(&agent, "/v0.4/traces", tests::span(7))).await;
    assert!(answer.is_err() && inbox.is_receiving());
    assert_eq!(agent.room.available_permits(), MAX_TRACE_BODY_BYTES - tests::span(7).len());
    drop(turn);
    assert_eq!(spans(&mut inbox).await, 1);
    assert_eq!(agent.room.available_permits(), MAX_TRACE_BODY_BYTES);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_processed_too_late_is_refused_and_counted() {
    let (agent, mut inbox) = Agent::new(tests::test_pipeline(), Arc::default());
    let turn = agent.recent.lock().await;
    let theirs = Arc::clone(&agent);
    let late = tokio::spawn(async move { send(&theirs, "/v0.4/traces", tests::span(7)).await });
    while !inbox.is_receiving() {
        tokio::task::yield_now().await;
    }
    inbox.close();
    drop(turn);
    assert!(late.await.unwrap().is_server_error());
    assert_eq!(inbox.refusals().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_loop_counts_with_its_encoded_length_and_is_bounded() {
    let (agent, mut inbox) = Agent::new(tests::test_pipeline(), Arc::default());
    assert_eq!(send(&agent, "/v0.4/traces", tests::span(1)).await, StatusCode::OK);
    let encoded = MAX_ENCODED_BYTES - agent.encoded.available_permits();
    assert!(encoded > tests::span(1).len());
    // Room for one more, but for a byte.
    let others = u32::try_from(MAX_ENCODED_BYTES - 2 * encoded + 1).unwrap();
    let _others = Arc::clone(&agent.encoded).try_acquire_many_owned(others).unwrap();
    for id in [2, 3] {
        assert!(timeout(LONG, send(&agent, "/v0.4/traces", tests::span(id))).await.is_err());
    }
    assert_eq!(agent.room.available_permits(), MAX_TRACE_BODY_BYTES - tests::span(3).len(), "the third is not decoded");
    assert_eq!(spans(&mut inbox).await, 1);
    assert_eq!(spans(&mut inbox).await, 1);
    assert_eq!(spans(&mut inbox).await, 1);
    assert_eq!(agent.room.available_permits(), MAX_TRACE_BODY_BYTES);
}

#[tokio::test(start_paused = true)]
async fn what_is_observed_counts_while_it_waits_for_the_loop() {
    let (agent, mut inbox) = Agent::new(tests::test_pipeline(), Arc::default());
    let mut body =
        b"\x91\x91\x82\xa8resource\xb9dd-tracer-serverless-span\xa4meta\x82\xaarequest_id\xa1r\xa5large".to_vec();
    body.extend(b"\xda\xc0\x00".iter().copied().chain(std::iter::repeat_n(b'x', 0xc000)));
    assert_eq!(send(&agent, "/v0.4/traces", body).await, StatusCode::OK);
    assert!(agent.encoded.available_permits() < MAX_ENCODED_BYTES - 0xc000);
    assert_eq!(spans(&mut inbox).await, 0, "a placeholder is not sent");
    assert_eq!(agent.encoded.available_permits(), MAX_ENCODED_BYTES);
}

#[tokio::test(start_paused = true)]
async fn a_body_without_a_length_takes_no_more_memory_than_it_has() {
    let (agent, mut inbox) = Agent::new(tests::test_pipeline(), Arc::default());
    let slow = Body::new(Pieces { left: 3, ends: false });
    let request = Request::post("/v0.4/traces").body(slow).unwrap();
    let slow = tokio::spawn(server::answer(State(Arc::clone(&agent)), request));
    let profile = Body::new(Pieces { left: 2, ends: true });
    assert_eq!(send(&agent, "/profiling/v1/input", profile).await, StatusCode::OK);
    assert_eq!(send(&agent, "/profiling/v1/input", vec![0; 2 << 20]).await, StatusCode::OK);
    assert!(!slow.is_finished());
    assert_eq!(agent.room.available_permits(), MAX_TRACE_BODY_BYTES - (3 << 20) - 2 * (2 << 20));
    assert!(inbox.recv().await.is_some() && inbox.recv().await.is_some());
    assert_eq!(slow.await.unwrap().status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(agent.room.available_permits(), MAX_TRACE_BODY_BYTES);
}

#[tokio::test(start_paused = true)]
async fn a_body_for_which_there_is_no_room_is_refused() {
    let (agent, _inbox) = Agent::new(tests::test_pipeline(), Arc::default());
    let taken = u32::try_from(MAX_TRACE_BODY_BYTES - (2 << 20)).unwrap();
    let _others = Arc::clone(&agent.room).try_acquire_many_owned(taken).unwrap();
    let long = |left| Body::new(Pieces { left, ends: true });
    assert_eq!(send(&agent, "/v0.4/traces", long(3)).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(send(&agent, "/v0.4/traces", vec![0; 3 << 20]).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(send(&agent, "/profiling/v1/input", long(2)).await, StatusCode::OK);
}

#[test]
fn only_what_takes_little_time_is_processed_on_the_runtime() {
    for (route, max) in [(TRACES, 64 << 10), (Route::Traces(Version::V05), 4 << 10), (Route::Stats, 64 << 10)] {
        assert!(is_inline(route, max) && !is_inline(route, max + 1), "{route:?}");
    }
}
