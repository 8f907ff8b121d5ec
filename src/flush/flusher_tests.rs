//! Tests of the flusher against intakes on loopback, with paused time.

use std::sync::Arc;

use super::{super::test_intake::*, *};
use crate::{
    config::{Config, Endpoint, Secret},
    intake::{Kind, key::Function},
};

#[path = "flusher_memory_tests.rs"]
mod memory;

/// Uncompressed logs for the primary intake and these additional endpoints.
fn batch(name: impl Into<Vec<u8>>, bytes: usize, others: &[Arc<Endpoint>]) -> UnsealedPayload {
    let mut body = name.into();
    body.resize(bytes.max(body.len()), b' ');
    let (to, plain_to) = (Target::all(others), Vec::new());
    UnsealedPayload { kind: Kind::Logs, head: None, body: body.into(), level: None, items: 1, to, plain_to }
}

fn named(name: &str) -> UnsealedPayload {
    batch(name, 0, &[])
}

fn numbered(numbers: std::ops::Range<u32>, others: &[Arc<Endpoint>]) -> Vec<UnsealedPayload> {
    numbers.map(|number| batch(format!("{number:08}"), 0, others)).collect()
}

/// Runs everything that can run without time passing.
async fn run_until_idle(flusher: &mut Flusher) {
    tokio::select! {
        () = async { loop { flusher.handle_next_completion().await } } => {}
        () = let_everything_happen() => {}
    }
}

/// Advances time, in steps too short to be taken for a freeze, and runs everything that can run.
async fn pass(flusher: &mut Flusher, time: Duration) {
    let mut left = time;
    loop {
        let step = left.min(SECOND);
        tokio::time::advance(step).await;
        run_until_idle(flusher).await;
        left -= step;
        if left.is_zero() {
            return;
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn flush_retries_three_times_then_requeues() {
    let intake = TestIntake::start(Reply::Status(500)).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.start([named("a")]);
    assert!(!flusher.lacks_key(), "what waits has one");
    let mut requests = Vec::new();
    for pause in [0, 35, 10, 70, 15, 10_000] {
        pass(&mut flusher, Duration::from_millis(pause)).await;
        requests.push(intake.requests());
    }
    assert_eq!(requests, [1, 1, 2, 2, 3, 3]);
    intake.reply(Reply::Status(202));
    flusher.start([]);
    run_until_idle(&mut flusher).await;
    assert_eq!((intake.requests(), intake.arrived()), (4, 1));
    assert_eq!(flusher.drop_unconfirmed(), DropCounts::default());
}

#[tokio::test(start_paused = true)]
async fn no_attempt_follows_in_a_flush_once_a_second_has_passed() {
    for (milliseconds, attempts) in [(200, 3), (600, 2), (980, 2), (1020, 1)] {
        let intake = TestIntake::start(Reply::After(milliseconds, 500)).await;
        let mut flusher = Flusher::new(Some(intake.client()), None);
        flusher.start([named("a")]);
        for _ in 0..200 {
            run_until_idle(&mut flusher).await;
            tokio::time::advance(SECOND / 50).await;
        }
        assert_eq!(intake.requests(), attempts, "{milliseconds} ms for each answer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_destination_gets_one_request_with_one_attempt() {
    let intake = TestIntake::start(Reply::Status(500)).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.start([named("a")]);
    for _ in 0..4 {
        pass(&mut flusher, SECOND / 10).await;
    }
    assert_eq!(intake.requests(), 3);
    flusher.start(numbered(0..5, &[]));
    assert_eq!(flusher.hold(), Hold::Short);
    for _ in 0..4 {
        pass(&mut flusher, SECOND / 10).await;
    }
    assert_eq!(intake.requests(), 4);
    intake.reply(Reply::Status(202));
    flusher.start([]);
    run_until_idle(&mut flusher).await;
    assert_eq!(intake.arrived(), 6, "one that arrives shows that the others will");
    assert_eq!(flusher.hold(), Hold::None);
}

#[tokio::test(start_paused = true)]
async fn silent_destination_delays_no_other() {
    let intake = TestIntake::start(Reply::Status(202)).await;
    let silent = TestIntake::start(Reply::Silence).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    let mut expected = 0;
    for flush in 0..6 {
        flusher.start(numbered(flush * 10..flush * 10 + 10, &[silent.endpoint()]));
        assert_eq!(flusher.hold(), Hold::Full);
        run_until_idle(&mut flusher).await;
        expected += 10;
        assert_eq!(intake.arrived(), expected);
        flusher.stop_waiting(HoldEnd::TimeUp);
        assert_eq!(flusher.hold(), Hold::None, "what waits for it holds nobody");
    }
    assert_eq!(silent.requests(), 4, "its own share");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_left_behind_is_never_waited_for_again() {
    let intake = TestIntake::start(Reply::Silence).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.start([named("hangs")]);
    run_until_idle(&mut flusher).await;
    assert_eq!(flusher.hold(), Hold::Full);
    assert!(flusher.is_flushing());
    flusher.stop_waiting(HoldEnd::TimeUp);
    intake.reply(Reply::Status(202));
    for flush in 1..6 {
        assert_eq!(flusher.hold(), Hold::None);
        assert!(!flusher.is_flushing());
        flusher.start([named("a")]);
        run_until_idle(&mut flusher).await;
        assert_eq!(intake.arrived(), flush);
    }
    assert_eq!(flusher.drop_unconfirmed().logs, 1, "only the first is not confirmed");
}

#[tokio::test(start_paused = true)]
async fn a_destination_with_an_overdue_request_is_tried_again_after_a_pause() {
    let intake = TestIntake::start(Reply::Silence).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.start([named("hangs")]);
    pass(&mut flusher, SECOND * 2).await;
    assert!(!flusher.is_flushing(), "longer than any request took");
    intake.reply(Reply::Status(202));
    flusher.start([named("a")]);
    pass(&mut flusher, SECOND / 2).await;
    flusher.start([named("b")]);
    run_until_idle(&mut flusher).await;
    assert_eq!(intake.requests(), 1);
    pass(&mut flusher, SECOND).await;
    flusher.start([named("c")]);
    run_until_idle(&mut flusher).await;
    assert_eq!((intake.requests(), intake.arrived()), (4, 3));
}

#[tokio::test(start_paused = true)]
async fn recovered_intake_gets_what_waits_although_requests_hang_that_were_frozen() {
    let intake = TestIntake::start(Reply::Silence).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.start(numbered(0..20, &[]));
    // Time that advances in one step is a freeze, which timeouts do not count.
    let freezes = async |flusher: &mut Flusher, count| {
        for _ in 0..count {
            run_until_idle(flusher).await;
            flusher.start([]);
            run_until_idle(flusher).await;
            tokio::time::advance(SECOND * 40).await;
        }
    };
    freezes(&mut flusher, 8).await;
    assert!(intake.requests() > 5, "{} requests", intake.requests());
    assert_eq!(flusher.tasks.len(), 5, "no more are in flight at a time");
    intake.reply(Reply::Status(202));
    freezes(&mut flusher, 3).await;
    assert_eq!((intake.arrived(), flusher.tasks.len()), (16, 4));
}

#[tokio::test(start_paused = true)]
async fn retry_waits_for_retry_after() {
    let intake = TestIntake::start(Reply::RetryAfter(5)).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.start([named("a")]);
    run_until_idle(&mut flusher).await;
    intake.reply(Reply::Status(202));
    pass(&mut flusher, SECOND * 4).await;
    flusher.start([]);
    run_until_idle(&mut flusher).await;
    assert_eq!(intake.requests(), 1);
    pass(&mut flusher, SECOND).await;
    flusher.start([]);
    run_until_idle(&mut flusher).await;
    assert_eq!((intake.requests(), intake.arrived()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_payload_is_dropped_after_two_requests_without_an_answer() {
    let intake = TestIntake::start(Reply::Silence).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.start([named("a")]);
    for _ in 0..10 {
        run_until_idle(&mut flusher).await;
        pass(&mut flusher, SECOND * 31).await;
        flusher.start([]);
    }
    assert_eq!(intake.times()["a"], 2, "it may have arrived twice");
    assert_eq!(flusher.drops.total().logs, 1);
}

#[tokio::test(start_paused = true)]
async fn payload_is_sent_twice_at_most_if_connections_break_before_the_answer() {
    let intake = TestIntake::start(Reply::Close).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.start([named("a")]);
    pass(&mut flusher, SECOND).await;
    assert_eq!(intake.times()["a"], 1, "it is not repeated at once");
    for _ in 0..3 {
        pass(&mut flusher, SECOND * 31).await;
        flusher.start([]);
        run_until_idle(&mut flusher).await;
    }
    assert_eq!((intake.times()["a"], flusher.drops.total().logs), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_fails_in_sixteen_flushes_is_dropped() {
    let intake = TestIntake::start(Reply::Status(500)).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.start([named("poison")]);
    for _ in 0..4 {
        pass(&mut flusher, SECOND / 10).await;
    }
    for _ in 0..20 {
        pass(&mut flusher, SECOND * 31).await;
        flusher.start([]);
        run_until_idle(&mut flusher).await;
    }
    assert_eq!(flusher.drops.total().logs, 1);
    assert_eq!(intake.times()["poison"], 3 + 15, "three attempts in the first of sixteen flushes");
}

#[tokio::test(start_paused = true)]
async fn logs_are_dropped_after_18_hours_and_sent_before() {
    let intake = TestIntake::start(Reply::Status(503)).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.start([named("old")]);
    for _ in 0..4 {
        pass(&mut flusher, SECOND).await;
    }
    intake.reply(Reply::Status(202));
    // The first attempt comes at once: nothing is retried before the next flush.
    tokio::time::advance(SECOND * 3600 * 18).await;
    flusher.start([named("new")]);
    run_until_idle(&mut flusher).await;
    assert_eq!(*intake.accepted.lock().unwrap(), ["new"]);
    assert_eq!(flusher.drop_unconfirmed().logs, 1);
}

#[tokio::test(start_paused = true)]
async fn finish_sends_what_pauses_while_another_request_hangs() {
    let intake = TestIntake::start(Reply::RetryAfter(1)).await;
    let silent = TestIntake::start(Reply::Silence).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.start(numbered(0..1, &[silent.endpoint()]));
    run_until_idle(&mut flusher).await;
    let until = Instant::now() + SECOND * 2;
    let recovers = async {
        tokio::time::sleep(SECOND / 2).await;
        intake.reply(Reply::Status(202));
        std::future::pending::<()>().await;
    };
    in_small_steps(async {
        tokio::select! {
            () = flusher.finish(until) => {}
            () = recovers => {}
        }
    })
    .await;
    assert_eq!(intake.arrived(), 1);
    assert!(intake.requests() > 3, "{} requests: again and again", intake.requests());
    assert!(Instant::now() >= until, "the other may still be answered");
    assert_eq!(flusher.drop_unconfirmed().logs, 1, "it was not");
}

#[tokio::test(start_paused = true)]
async fn finish_ends_at_once_if_everything_has_arrived_and_at_its_deadline_if_not() {
    let intake = TestIntake::start(Reply::Status(202)).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.start(numbered(0..20, &[]));
    let begin = Instant::now();
    in_small_steps(flusher.finish(begin + SECOND * 2)).await;
    assert!(Instant::now() < begin + SECOND);
    assert_eq!((intake.arrived(), flusher.drop_unconfirmed()), (20, DropCounts::default()));

    intake.reply(Reply::Status(503));
    flusher.start(numbered(20..21, &[]));
    let until = Instant::now() + SECOND * 2;
    in_small_steps(flusher.finish(until)).await;
    assert!(Instant::now() >= until && Instant::now() < until + SECOND / 10);
    assert_eq!(flusher.drop_unconfirmed().logs, 1);
}

#[tokio::test(start_paused = true)]
async fn finish_does_not_wait_for_a_new_key_once_everything_has_arrived() {
    let intake = TestIntake::start(Reply::Status(202)).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.tasks.spawn(std::future::pending());
    flusher.start([named("a")]);
    let begin = Instant::now();
    in_small_steps(flusher.finish(begin + SECOND * 2)).await;
    assert!(Instant::now() < begin + SECOND);
    assert_eq!((intake.arrived(), flusher.drop_unconfirmed()), (1, DropCounts::default()));
}

#[tokio::test(start_paused = true)]
async fn shutdown_during_outage_of_another_destination_loses_nothing() {
    let intake = TestIntake::start(Reply::Status(202)).await;
    let silent = TestIntake::start(Reply::Silence).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    for flush in 0..10 {
        flusher.start(numbered(flush * 10..flush * 10 + 10, &[silent.endpoint()]));
    }
    let until = Instant::now() + SECOND;
    in_small_steps(flusher.finish(until)).await;
    assert_eq!(intake.arrived(), 100);
    assert_eq!(flusher.drop_unconfirmed().logs, 100, "the other got none");
}

/// A flusher whose client is not ready, so that all payloads are queued.
fn waiting() -> (Flusher, std::sync::mpsc::Sender<()>) {
    let (flusher, building) = waiting_with_busy_worker();
    (Flusher { worker: Worker::default(), ..flusher }, building)
}

/// A flusher that also compresses nothing as long as the sender lives.
fn waiting_with_busy_worker() -> (Flusher, std::sync::mpsc::Sender<()>) {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    (Flusher::building(move || receiver.recv().ok().and(None), None), sender)
}

#[tokio::test(start_paused = true)]
async fn key_is_asked_for_again_at_the_beginning_of_the_end() {
    crate::intake::tls::install_provider();
    let config = Config { secret: Some(Secret::Kms(String::new())), ..Config::default() };
    let function = Function { region: String::new(), name: String::new() };
    let client = Client::build(&config, function).unwrap().client;
    let mut flusher = Flusher::new(Some(client), None);
    assert!(!flusher.lacks_key(), "nothing is to be sent");
    flusher.start([named("a")]);
    assert!(flusher.lacks_key());
    flusher.handle(TaskResult::KeyResolved(Err(key::Error::Format)));
    flusher.start([]);
    assert_eq!(flusher.tasks.len(), 1, "it pauses");
    flusher.start_finishing();
    flusher.start([]);
    assert_eq!(flusher.tasks.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn finish_ends_at_its_deadline_although_completions_never_stop() {
    let intake = TestIntake::start(Reply::Silence).await;
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.start([named("a")]);
    let until = Instant::now() + SECOND;
    // The deadline passes before the first of them is handled.
    (0..100).for_each(|_| drop(flusher.tasks.spawn(async { TaskResult::Nothing })));
    let_everything_happen().await;
    tokio::time::advance(SECOND).await;
    flusher.finish(until).await;
    assert!(flusher.tasks.len() > 90, "{} are left", flusher.tasks.len());
}

#[tokio::test(start_paused = true)]
async fn without_a_client_everything_is_dropped_and_counted() {
    let mut flusher = Flusher::new(None, None);
    flusher.start(numbered(0..3, &[]));
    assert_eq!((flusher.hold(), flusher.drop_unconfirmed().logs), (Hold::None, 3));
    let (mut flusher, building) = waiting();
    flusher.start(numbered(0..3, &[]));
    assert_eq!(flusher.hold(), Hold::Full);
    drop(building);
    flusher.handle_next_completion().await;
    assert_eq!((flusher.hold(), flusher.drops.total().logs), (Hold::None, 3));
}

#[tokio::test]
async fn one_batch_is_compressed_at_a_time_and_a_backlog_at_a_fast_level() {
    let (mut flusher, _building) = waiting();
    let word = |number: u32| (number.wrapping_mul(0x9E37_79B1) >> 20).to_string().into_bytes();
    let text: Vec<u8> = (0..200_000).flat_map(|number: u32| word(number ^ number >> 7)).collect();
    let batch = || UnsealedPayload { level: Some(9), ..batch(text.clone(), 0, &[]) };
    let sizes = async |flusher: &mut Flusher| {
        while flusher.compressing.is_some() {
            flusher.handle_next_completion().await;
        }
        let destination = flusher.destinations.get_mut(0).unwrap();
        destination.queued().drain().map(|queued| queued.payload.body.len()).collect::<Vec<_>>()
    };
    flusher.start([batch()]);
    assert_eq!(flusher.hold(), Hold::Full);
    let slow = sizes(&mut flusher).await[0];
    flusher.start((0..5).map(|_| batch()));
    assert_eq!(flusher.unsealed.len(), 4, "the others wait for the first");
    let sizes = sizes(&mut flusher).await;
    assert_eq!(sizes.len(), 5);
    assert!(sizes[0] > slow && sizes[4] == slow, "{slow} {sizes:?}");
}
