//! Tests of the flusher's memory limit.

use super::{room::FULL_BYTES, *};

const MEBIBYTE: usize = 1 << 20;

#[tokio::test]
async fn a_body_that_two_destinations_share_counts_once() {
    let (mut flusher, _building) = waiting();
    let other = Arc::new(Endpoint { url: "http://other".into(), api_key: ApiKey::clean("other").unwrap() });
    flusher.start((0..3).map(|_| batch("", 3 * MEBIBYTE, std::slice::from_ref(&other))));
    assert_eq!(flusher.drops.total(), DropCounts::default());
    assert!((9 * MEBIBYTE..10 * MEBIBYTE).contains(&flusher.budget.used()));
}

#[tokio::test]
async fn logs_for_a_worker_and_another_endpoint_count_for_what_they_hold() {
    let (mut flusher, _building) = waiting();
    let other = Arc::new(Endpoint { url: "http://other".into(), api_key: ApiKey::clean("other").unwrap() });
    let to = Target::others(&[other]).collect::<Vec<_>>();
    let batch = || {
        let (to, plain_to) = (to.clone(), vec![Target::Primary]);
        UnsealedPayload { level: Some(3), to, plain_to, ..batch("", 5 * MEBIBYTE, &[]) }
    };
    flusher.start([batch(), batch()]);
    while flusher.compressing.is_some() {
        flusher.handle_next_completion().await;
    }
    assert_eq!(flusher.drops.total(), DropCounts::default());
    assert!((10 * MEBIBYTE..11 * MEBIBYTE).contains(&flusher.budget.used()), "plain for one, compressed for the other");
}

#[tokio::test]
async fn logs_of_sixteen_mebibytes_and_ten_thousand_metrics_fit() {
    let (mut flusher, _building) = waiting();
    let logs = (0..4).map(|_| batch("", 4 * MEBIBYTE, &[]));
    let series = (0..10).map(|_| UnsealedPayload { kind: Kind::Series, items: 1000, ..batch("", 400 << 10, &[]) });
    flusher.start(logs.chain(series));
    assert_eq!(flusher.drops.total(), DropCounts::default());
}

#[tokio::test]
async fn only_what_is_above_the_bound_is_dropped_and_of_that_the_oldest() {
    let (mut flusher, _building) = waiting();
    let items = [1, 2, 4, 8, 16, 32, 64];
    flusher.start(items.map(|items| UnsealedPayload { items, ..batch("", 4 * MEBIBYTE, &[]) }));
    assert_eq!(flusher.drops.total().logs, 1 + 2, "six of four MiB do not fit into 24 with what they take besides");
    assert!(flusher.budget.used() <= 24 * MEBIBYTE);
    flusher.start([UnsealedPayload { items: 128, ..batch("", MEBIBYTE, &[]) }]);
    assert_eq!(flusher.drops.total().logs, 1 + 2, "there is room again");
    assert!(flusher.budget.used() > 18 * MEBIBYTE && !flusher.has_room());
    assert_eq!(flusher.drop_unconfirmed().logs, 255);
    assert_eq!(flusher.budget.used(), 0, "all memory is free again");
}

#[tokio::test]
async fn exactly_as_much_as_the_bound_fits_and_nothing_more() {
    let (mut flusher, _building) = waiting();
    flusher.start([batch("", MEBIBYTE, &[])]);
    let overhead = flusher.budget.used() - MEBIBYTE;
    let (mut flusher, _building) = waiting();
    flusher.start((0..6).map(|_| batch("", 4 * MEBIBYTE - overhead, &[])));
    assert_eq!((flusher.budget.used(), flusher.drops.total()), (24 * MEBIBYTE, DropCounts::default()));
    flusher.start([named("a")]);
    assert_eq!(flusher.drops.total().logs, 1);
}

fn compressible(items: usize, bytes: usize) -> UnsealedPayload {
    UnsealedPayload { items, level: Some(ORDINARY_LEVEL), ..batch("", bytes, &[]) }
}

#[tokio::test]
async fn only_small_bodies_are_compressed_at_once() {
    let (mut flusher, _building) = waiting();
    flusher.start([compressible(1, 16 << 10)]);
    assert!(flusher.compressing.is_none());
    flusher.start([compressible(1, (16 << 10) + 1)]);
    assert!(flusher.compressing.is_some());
}

#[tokio::test]
async fn the_oldest_is_dropped_whether_it_waits_to_be_sent_or_to_be_compressed() {
    // Compression takes other memory than waiting, for a time that depends on the machine.
    let (mut flusher, _building) = waiting_with_busy_worker();
    let sent_as_it_is = UnsealedPayload { items: 1, ..batch("", 4 * MEBIBYTE, &[]) };
    let compressed = [2, 4, 8, 16, 32, 64].map(|items| compressible(items, 4 * MEBIBYTE));
    flusher.start(std::iter::once(sent_as_it_is).chain(compressed));
    assert_eq!(flusher.drops.total().logs, 1 + 4, "the second is being compressed");
}

#[tokio::test(start_paused = true)]
async fn telemetry_waits_a_second_at_most_for_room_that_is_not_made() {
    let (mut flusher, _building) = waiting();
    flusher.start((0..4).map(|_| batch("", 4 * MEBIBYTE, &[])));
    assert!(flusher.has_room(), "16 of 24 MiB");
    flusher.start([batch("", 4 * MEBIBYTE, &[])]);
    assert!(!flusher.has_room(), "20 of 24 MiB");
    tokio::time::advance(SECOND).await;
    assert!(flusher.has_room());
    flusher.handle(TaskResult::Compressed(Vec::new()));
    assert!(!flusher.has_room(), "something leaves");
    flusher.stop_waiting(HoldEnd::Deadline);
    assert!(!flusher.has_room(), "it can still be expected to end");
    flusher.stop_waiting(HoldEnd::TimeUp);
    assert!(flusher.has_room());
}

#[tokio::test(start_paused = true)]
async fn everything_is_taken_in_at_the_end() {
    let (mut flusher, _building) = waiting();
    flusher.start((0..5).map(|_| batch("", 4 * MEBIBYTE, &[])));
    assert!(!flusher.has_room());
    flusher.start_finishing();
    assert!(flusher.has_room());
}

/// A full flusher with requests to this intake in flight.
async fn full_and_sending(intake: &TestIntake) -> Flusher {
    let mut flusher = Flusher::new(Some(intake.client()), None);
    flusher.start((0..5).map(|_| batch("", 4 * MEBIBYTE, &[])));
    run_until_idle(&mut flusher).await;
    assert!(flusher.budget.used() > FULL_BYTES);
    flusher
}

#[tokio::test(start_paused = true)]
async fn telemetry_waits_while_a_slow_intake_may_still_answer() {
    let intake = TestIntake::start(Reply::Silence).await;
    let mut flusher = full_and_sending(&intake).await;
    for _ in 0..5 {
        assert!(!flusher.has_room());
        flusher.start([]);
        pass(&mut flusher, SECOND).await;
    }
    pass(&mut flusher, SECOND / 10).await;
    assert!(flusher.has_room(), "longer than an intake may take");
    flusher.start([]);
    pass(&mut flusher, SECOND).await;
    assert!(flusher.has_room(), "another request changes nothing as long as the first hangs");
}

#[tokio::test(start_paused = true)]
async fn telemetry_does_not_wait_for_an_intake_that_fails() {
    let intake = TestIntake::start(Reply::Status(500)).await;
    let mut flusher = full_and_sending(&intake).await;
    for _ in 0..4 {
        pass(&mut flusher, SECOND / 10).await;
    }
    assert_eq!(intake.requests(), 3);
    intake.reply(Reply::Silence);
    flusher.start([]);
    run_until_idle(&mut flusher).await;
    assert!(flusher.has_room());
}

fn spans(items: usize, bytes: usize) -> UnsealedPayload {
    UnsealedPayload { kind: Kind::Traces, items, ..batch("", bytes, &[]) }
}

#[tokio::test]
async fn spans_give_way_before_logs_and_metrics_however_old_those_are() {
    let (mut flusher, _building) = waiting();
    let metrics = UnsealedPayload { kind: Kind::Series, items: 1, ..batch("", MEBIBYTE, &[]) };
    flusher.start((0..2).map(|_| batch("", 4 * MEBIBYTE, &[])).chain([metrics]));
    for items in [1, 2, 4] {
        flusher.start([spans(items, 11 * MEBIBYTE)]);
    }
    assert_eq!(flusher.drops.total(), DropCounts { spans: 1 + 2, ..DropCounts::default() }, "the oldest of them first");
    flusher.start((0..3).map(|_| batch("", 4 * MEBIBYTE, &[])));
    assert_eq!(flusher.drops.total(), DropCounts { spans: 1 + 2 + 4, ..DropCounts::default() });
    flusher.start([batch("", 4 * MEBIBYTE, &[])]);
    assert_eq!(flusher.drops.total(), DropCounts { logs: 1, spans: 7, ..DropCounts::default() });
}

#[tokio::test]
async fn queued_spans_give_way_before_logs_that_wait_to_be_compressed() {
    let (mut flusher, _building) = waiting_with_busy_worker();
    flusher.start((0..3).map(|_| compressible(2, 4 * MEBIBYTE)));
    flusher.start([spans(1, 8 * MEBIBYTE)]);
    flusher.start((0..2).map(|_| compressible(2, 4 * MEBIBYTE)));
    assert_eq!(flusher.drops.total(), DropCounts { spans: 1, ..DropCounts::default() });
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_spans_waits_for_room_as_long_as_some_can_be_expected() {
    let (mut flusher, _building) = waiting();
    assert!(flusher.has_room_for(12_000_000));
    flusher.start([spans(1, 12_000_000)]);
    assert!(flusher.has_room() && flusher.has_room_for(4 * MEBIBYTE), "there is room for other things");
    assert!(!flusher.has_room_for(12_000_000));
    tokio::time::advance(SECOND).await;
    assert!(flusher.has_room_for(12_000_000), "none can be expected any more");
    flusher.handle(TaskResult::Compressed(Vec::new()));
    assert!(!flusher.has_room_for(12_000_000), "something leaves");
    flusher.start_finishing();
    assert!(flusher.has_room_for(12_000_000));
}
