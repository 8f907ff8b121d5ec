//! The long poll against a real socket, in virtual time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};

use super::*;
use crate::platform::{RuntimeApi, raw::Raw};

const INVOKE: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 53\r\n\r\n{\"eventType\":\"INVOKE\",\"deadlineMs\":1,\"requestId\":\"r\"}";
const REFUSED: &str = "HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\nno";

/// Answers each connection's only request: without an answer while `answer` says so.
async fn platform(
    answer: impl Fn(usize) -> Option<&'static str> + Send + 'static,
) -> (NextPoller<Raw>, Arc<AtomicUsize>) {
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
    let platform = Control::<Raw>::new(api).unwrap();
    (NextPoller::new(platform, ExtensionId("id-1".to_owned())), requests)
}

#[tokio::test(start_paused = true)]
async fn thirty_seconds_of_silence_are_reported_once_and_asking_goes_on() {
    let (mut next, requests) = platform(|number| (number > 60).then_some(INVOKE)).await;
    let began = Instant::now();
    assert!(next.event().await.is_err());
    assert!(began.elapsed() >= UNREACHABLE_AFTER && began.elapsed() < UNREACHABLE_AFTER * 2);
    let before = requests.load(Ordering::Relaxed);
    assert!(matches!(next.event().await, Ok(Event::Invoke(_))));
    assert!(requests.load(Ordering::Relaxed) > before && requests.load(Ordering::Relaxed) == 61);
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_refuses_is_asked_for_ever_and_is_not_unreachable() {
    let (mut next, _requests) = platform(|number| Some(if number > 300 { INVOKE } else { REFUSED })).await;
    let began = Instant::now();
    assert!(matches!(next.event().await, Ok(Event::Invoke(_))));
    assert!(began.elapsed() > UNREACHABLE_AFTER * 5);
}

#[tokio::test(start_paused = true)]
async fn an_outage_after_a_recovery_is_another_one() {
    let (mut next, _requests) = platform(|number| (number % 50 == 0).then_some(INVOKE)).await;
    for _ in 0..3 {
        assert!(next.event().await.is_err());
        assert!(matches!(next.event().await, Ok(Event::Invoke(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_may_be_dropped_at_any_moment_and_goes_on() {
    let (mut next, requests) = platform(|number| (number > 40).then_some(INVOKE)).await;
    let mut unreachable = 0;
    let event = loop {
        // Waits of many lengths end before, after and in the middle of requests and pauses.
        for micros in (0..200).step_by(7) {
            next.send().await;
            let _ = timeout(Duration::from_micros(micros), next.answered()).await;
        }
        match timeout(Duration::from_millis(11), next.event()).await {
            Ok(Ok(event)) => break event,
            Ok(Err(PlatformUnreachable)) => unreachable += 1,
            Err(_) => {}
        }
    };
    assert!(matches!(event, Event::Invoke(_)));
    assert_eq!(requests.load(Ordering::Relaxed), 41, "no request was given up or sent twice");
    assert!(unreachable <= 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_waited_for_is_not_lost() {
    let (mut next, requests) = platform(|_| Some(INVOKE)).await;
    next.answered().await;
    next.answered().await;
    next.send().await;
    assert!(matches!(next.event().await, Ok(Event::Invoke(_))));
    assert_eq!(requests.load(Ordering::Relaxed), 1);
}
