//! Requests beside the sockets: what becomes of them when a thread, the tracer, or the loop is not there.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{Request, State},
};
use tokio::time::timeout;

use super::*;
use crate::ingest::trace_agent::{Inbox, QUEUE, routes::MAX_TRACE_BODY_BYTES, server, tests};

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

/// How many spans came with the next request.
async fn spans(inbox: &mut Inbox) -> usize {
    match timeout(LONG, inbox.recv()).await {
        Ok(Some(Received::Traces(output))) => output.payloads.iter().map(|payload| payload.spans).sum(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn traces_are_processed_on_the_runtime_where_no_thread_can_be_started() {
    let (agent, mut inbox) = Agent::new(tests::pipeline());
    let bytes = tests::spans(2 * MAX_INLINE_BYTES);
    assert!(!is_inline(TRACES, bytes.len()));
    let received = body(&agent, bytes);
    let refused = |_: Job| Err(io::ErrorKind::WouldBlock.into());
    let answer = agent.traces(Version::V04, TracerHeaders::default(), received, refused).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(spans(&mut inbox).await > 0);
}

#[tokio::test(start_paused = true)]
async fn spans_of_a_tracer_that_gave_up_are_sent_once_and_their_memory_counts() {
    let (agent, mut inbox) = Agent::new(tests::pipeline());
    for _ in 0..QUEUE {
        server::answer(State(Arc::clone(&agent)), request(vec![0x90])).await;
    }
    // There is no place in the queue, and the tracer disconnects: its future is dropped.
    let answer = timeout(LONG, server::answer(State(Arc::clone(&agent)), request(tests::span(7)))).await;
    assert!(answer.is_err() && inbox.is_receiving());
    assert!(agent.room.available_permits() <= MAX_TRACE_BODY_BYTES - tests::span(7).len());
    for _ in 0..QUEUE {
        assert_eq!(spans(&mut inbox).await, 0);
    }
    assert_eq!(spans(&mut inbox).await, 1);
    assert!(!inbox.is_receiving());
    // The tracer sends them again.
    server::answer(State(agent), request(tests::span(7))).await;
    assert_eq!(spans(&mut inbox).await, 0);
}

#[test]
fn only_what_takes_little_time_is_processed_on_the_runtime() {
    for (route, max) in [(TRACES, 64 << 10), (Route::Traces(Version::V05), 4 << 10), (Route::Stats, 64 << 10)] {
        assert!(is_inline(route, max) && !is_inline(route, max + 1), "{route:?}");
    }
}
