//! Tests of the long poll against a real socket, with paused time.

use std::sync::atomic::Ordering;

use tokio::time::timeout;

use super::*;
use crate::platform::{Transport, raw::RawTransport};
use crate::run::loop_tests::{INVOKE, REFUSED, platform};

#[tokio::test(start_paused = true)]
async fn thirty_seconds_of_silence_warn_once_and_polling_continues() {
    let (mut next, requests) = platform(|number| (number > 60).then_some(INVOKE)).await;
    let began = Instant::now();
    assert!(next.event().await.is_err());
    assert!(began.elapsed() >= UNREACHABLE_AFTER && began.elapsed() < UNREACHABLE_AFTER * 2);
    let before = requests.load(Ordering::Relaxed);
    assert!(matches!(next.event().await, Ok(Event::Invoke(_))));
    assert!(requests.load(Ordering::Relaxed) > before && requests.load(Ordering::Relaxed) == 61);
}

#[tokio::test(start_paused = true)]
async fn next_retries_forever_on_http_errors() {
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
        // Waits of various lengths end before, after and during requests and pauses.
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
async fn no_answer_is_waited_for_until_it_is_here() {
    // Connections are established, and nobody reads from them.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = crate::platform::RuntimeApi(listener.local_addr().unwrap().to_string());
    let platform = ExtensionsApi::over(Transport::Raw(RawTransport::new(api)));
    let mut next = NextPoller::new(platform, ExtensionId("id-1".to_owned()));
    assert!(timeout(Duration::from_secs(1), next.answered()).await.is_err());
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
