use super::*;
use crate::process::log::{Execution, Status};

fn id(name: &str) -> AttemptId {
    AttemptId { request_id: name.into(), attempt: 1 }
}

fn of(name: &str) -> LogOwner {
    LogOwner::Invocation(id(name))
}

fn line(time: Timestamp, message: String) -> HeldLog {
    Log { message, status: Status::Info, time, request_id: None, tags: None, execution: None }.into()
}

fn line_of(name: &str, time: Timestamp) -> HeldLog {
    HeldLog { request_ids: vec!["other".into(), name.into()], ..line(time, time.to_string()) }
}

fn messages(logs: &[Log]) -> Vec<&str> {
    logs.iter().map(|log| log.message.as_str()).collect()
}

#[test]
fn lines_belong_to_the_invocation_during_which_they_were_written() {
    let mut attribution = Attribution::new(false);
    assert_eq!(attribution.owner_at(5), LogOwner::NextInvocation);
    attribution.begin(&id("a"), 10);
    assert_eq!(attribution.owner_at(11), of("a"));
    assert_eq!(attribution.owner_at(5), of("a"), "init lines that come late are the first invocation's");
    attribution.end(&id("a"), 20);
    assert_eq!(attribution.owner_at(15), of("a"), "a line that comes after the end but was written before it");
    assert_eq!(attribution.owner_at(25), LogOwner::NextInvocation);
    attribution.begin(&id("b"), 30);
    assert_eq!(attribution.owner_at(25), of("b"), "what was written between two belongs to the next");
    assert_eq!(attribution.owner_at(15), of("a"));
    assert_eq!(attribution.owner_at(31), of("b"));
    attribution.end(&id("b"), 40);
    attribution.begin(&id("c"), 50);
    assert_eq!(
        [attribution.owner_at(15), attribution.owner_at(25), attribution.owner_at(45)],
        [of("a"), of("b"), of("c")]
    );
    assert_eq!(attribution.latest(), Some(&id("c")));
}

#[test]
fn lines_of_background_threads_belong_to_the_invocation_until_its_report() {
    let mut attribution = Attribution::new(false);
    attribution.begin(&id("a"), 10);
    attribution.end(&id("a"), 20);
    assert!(attribution.hold_log(line(25, "background".to_owned())).is_empty());
    assert!(attribution.hold_log(line(31, "next".to_owned())).is_empty());
    let claimed = attribution.report(&id("a"), 30);
    assert_eq!((messages(&claimed), claimed[0].request_id.clone()), (vec!["background"], Some("a".into())));
    assert_eq!(attribution.owner_at(30), of("a"), "a line that comes after the report but was written before it");
    assert_eq!(attribution.owner_at(31), LogOwner::NextInvocation);
    assert_eq!(messages(&attribution.begin(&id("b"), 40)), ["next"]);
    assert_eq!([attribution.owner_at(25), attribution.owner_at(31)], [of("a"), of("b")]);
}

#[test]
fn a_report_that_comes_after_the_next_start_takes_no_lines_of_the_next_invocation() {
    let mut attribution = Attribution::new(false);
    attribution.begin(&id("a"), 10);
    attribution.end(&id("a"), 20);
    attribution.begin(&id("b"), 30);
    attribution.end(&id("b"), 40);
    attribution.report(&id("a"), 35);
    assert_eq!([attribution.owner_at(25), attribution.owner_at(32)], [of("a"), of("b")]);
    attribution.report(&id("b"), 38);
    assert_eq!(attribution.owner_at(40), of("b"), "a report that comes out of order does not shorten the invocation");
}

#[test]
fn an_end_that_comes_before_its_beginning_leaves_nothing_open() {
    let mut attribution = Attribution::new(false);
    attribution.end(&id("a"), 20);
    attribution.begin(&id("a"), 10);
    assert_eq!(attribution.owner_at(15), of("a"));
    assert_eq!(attribution.owner_at(25), LogOwner::NextInvocation);
}

#[test]
fn late_end_does_not_claim_next_invocations_lines() {
    let mut attribution = Attribution::new(false);
    attribution.begin(&id("a"), 10);
    attribution.begin(&id("b"), 30);
    assert_eq!([attribution.owner_at(29), attribution.owner_at(30)], [of("a"), of("b")]);
    attribution.end(&id("a"), 20);
    assert_eq!(
        [attribution.owner_at(20), attribution.owner_at(21), attribution.owner_at(35)],
        [of("a"), of("b"), of("b")]
    );
    attribution.end(&id("c"), 50);
    attribution.begin(&id("c"), 40);
    assert_eq!([attribution.owner_at(35), attribution.owner_at(41)], [of("b"), of("c")]);
    assert_eq!(attribution.owner_at(51), LogOwner::NextInvocation);
}

#[test]
fn invocations_within_one_millisecond_keep_their_order() {
    let mut attribution = Attribution::new(false);
    for name in ["a", "b"] {
        attribution.begin(&id(name), 10);
        assert_eq!(attribution.owner_at(10), of(name));
        attribution.end(&id(name), 10);
    }
}

#[test]
fn line_of_concurrent_invocations_has_no_owner() {
    let mut attribution = Attribution::new(true);
    attribution.begin(&id("a"), 10);
    assert_eq!(attribution.owner(&line(11, String::new())), LogOwner::Unknown);
    assert_eq!(attribution.owner(&line_of("b", 11)), LogOwner::NextInvocation);
}

#[test]
fn where_invocations_overlap_lines_wait_for_the_one_that_they_name() {
    let mut attribution = Attribution::new(true);
    for (name, time) in [("b", 1), ("a", 2), ("b", 3)] {
        assert!(attribution.hold_log(line_of(name, time)).is_empty());
    }
    let claimed = attribution.begin(&id("b"), 5);
    assert_eq!(messages(&claimed), ["1", "3"]);
    assert!(claimed.iter().all(|log| log.request_id == Some("b".into())));
    let claimed = attribution.end(&id("a"), 6);
    assert_eq!((messages(&claimed), attribution.held_bytes), (vec!["2"], 0));
}

#[test]
fn line_with_unknown_id_is_held_for_limited_time_on_managed_instances() {
    let mut attribution = Attribution::new(true);
    assert!(attribution.hold_log(line_of("a", 0)).is_empty());
    assert!(attribution.hold_log(line_of("b", 10_000)).is_empty());
    let evicted = attribution.hold_log(line_of("c", 10_001));
    assert_eq!((messages(&evicted), evicted[0].request_id.clone()), (vec!["0"], None));
    // The start or end of any invocation also evicts lines that were held for too long.
    let evicted = attribution.begin(&id("d"), MAX_HELD_MS * 2 + 1);
    assert_eq!((messages(&evicted), evicted[0].request_id.clone()), (vec!["10000"], None));
    let evicted = attribution.end(&id("d"), MAX_HELD_MS * 2 + 2);
    assert_eq!((messages(&evicted), attribution.held_bytes), (vec!["10001"], 0));
}

#[test]
fn the_past_is_bounded() {
    let mut attribution = Attribution::new(false);
    for number in 0..1000 {
        attribution.begin(&id(&number.to_string()), number * 10);
        attribution.end(&id(&number.to_string()), number * 10 + 5);
    }
    assert_eq!(attribution.windows.len(), WINDOWS);
    assert_eq!(attribution.owner_at(9_985), of("998"));
}

#[test]
fn held_lines_that_were_written_after_an_end_stay_for_the_next_invocation() {
    let mut attribution = Attribution::new(false);
    for time in [15, 25] {
        assert!(attribution.hold_log(line(time, time.to_string())).is_empty());
    }
    let claimed = attribution.end(&id("a"), 20);
    assert_eq!(messages(&claimed), ["15"]);
    assert_eq!(claimed[0].request_id, Some("a".into()));
    let claimed = attribution.begin(&id("b"), 30);
    assert_eq!(messages(&claimed), ["25"]);
    assert_eq!(attribution.held_bytes, 0);
}

#[test]
fn a_held_line_counts_with_its_text_and_the_ids_that_it_names() {
    assert_eq!(line_of("abc", 10).bytes(), "10".len() + "other".len() + "abc".len());
}

#[test]
fn held_lines_are_bounded_in_number() {
    let mut attribution = Attribution::new(false);
    for number in 0..1000 {
        assert!(attribution.hold_log(line(0, number.to_string())).is_empty());
    }
    assert_eq!(attribution.hold_log(line(0, "more".to_owned()))[0].message, "0");
    assert_eq!(attribution.take_held_logs().count(), 1000);
}

/// A line of that length. `place` selects what its text is: message, tags, request ids, or name or id of the execution.
fn with_text_somewhere(place: usize, text: String) -> HeldLog {
    let mut held = line(0, String::new());
    match place % 5 {
        0 => held.log.message = text,
        1 => held.log.tags = Some(text),
        2 => held.request_ids = vec![text.as_str().into()],
        3 => held.log.execution = Some(Box::new(Execution { id: text, ..Execution::default() })),
        _ => held.log.execution = Some(Box::new(Execution { name: text, ..Execution::default() })),
    }
    held
}

#[test]
fn held_lines_of_mixed_sizes_never_exceed_the_bound_in_bytes_and_none_is_lost() {
    /// 2 MiB.
    const MOST: usize = 2_097_152;
    let mut attribution = Attribution::new(false);
    let sizes = [1, MOST / 3, 7, 700_000, 1, MOST, 0, 500_000, MOST + 1, 2, 1_999_999];
    let mut evicted = 0;
    for round in 0..5 {
        for (number, size) in sizes.into_iter().enumerate() {
            evicted += attribution.hold_log(with_text_somewhere(round + number, "x".repeat(size))).len();
            let held: usize = attribution.held_logs.iter().map(HeldLog::bytes).sum();
            assert!(held <= MOST && held == attribution.held_bytes, "{held} after line {number} of round {round}");
        }
    }
    assert_eq!(evicted + attribution.take_held_logs().count(), 5 * sizes.len());
}
