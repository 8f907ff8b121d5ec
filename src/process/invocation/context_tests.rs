use super::*;

fn record(contexts: &mut Contexts, id: &str, input: Input, time: Timestamp) -> Option<AttemptId> {
    contexts.record(&id.into(), input, time).map(|context| context.id().clone())
}

fn complete(contexts: &mut Contexts, id: &str) {
    for input in [Input::Invoke, Input::Start, Input::RuntimeDone, Input::Report] {
        record(contexts, id, input, 0);
    }
}

fn attempt(id: &str, attempt: u32) -> AttemptId {
    AttemptId { request_id: id.into(), attempt }
}

#[test]
fn memory_is_bounded_and_the_oldest_complete_one_gives_way() {
    let mut contexts = Contexts::default();
    record(&mut contexts, "long", Input::Invoke, 0);
    for number in 0..2000 {
        complete(&mut contexts, &number.to_string());
    }
    assert_eq!(contexts.iter().count(), CAPACITY);
    assert!(contexts.find(&attempt("1999", 1)).is_some());
    assert!(contexts.find(&attempt("1000", 1)).is_none());
    assert!(contexts.find(&attempt("long", 1)).is_some(), "it is under way");
    for number in 0..CAPACITY {
        record(&mut contexts, &format!("open {number}"), Input::Invoke, 0);
    }
    assert_eq!(contexts.iter().count(), CAPACITY);
    assert!(contexts.find(&attempt("long", 1)).is_none(), "the oldest, where none is complete");
}

#[test]
fn an_invocation_is_over_when_it_was_invoked_done_and_reported() {
    for last in [Input::Invoke, Input::RuntimeDone, Input::Report] {
        let mut contexts = Contexts::default();
        for input in [Input::Start, Input::Invoke, Input::RuntimeDone, Input::Report] {
            if input != last {
                record(&mut contexts, "r", input, 0);
            }
        }
        assert!(!contexts.find(&attempt("r", 1)).unwrap().is_over(), "{last:?}");
        record(&mut contexts, "r", last, 0);
        assert!(contexts.find(&attempt("r", 1)).unwrap().is_over(), "{last:?}");
    }
}

#[test]
fn an_input_that_an_attempt_lacks_is_its_own_and_one_that_it_has_begins_the_next() {
    let mut contexts = Contexts::default();
    record(&mut contexts, "r", Input::Invoke, 0);
    record(&mut contexts, "r", Input::RuntimeDone, 3);
    record(&mut contexts, "r", Input::Report, 4);
    assert_eq!(record(&mut contexts, "r", Input::Invoke, 60_000), Some(attempt("r", 2)));
    assert_eq!(record(&mut contexts, "r", Input::Start, 1), Some(attempt("r", 1)), "late, but its own");
    assert_eq!(record(&mut contexts, "r", Input::Start, 60_001), Some(attempt("r", 2)));
    assert_eq!(record(&mut contexts, "r", Input::Start, 60_001), None, "the same event again");
    assert_eq!(record(&mut contexts, "r", Input::Start, 180_001), Some(attempt("r", 3)));
    assert_eq!(record(&mut contexts, "s", Input::Start, 180_001), Some(attempt("s", 1)));
}

#[test]
fn events_of_a_retry_go_to_it_whichever_events_of_the_first_attempt_were_lost() {
    let events = [(Input::Start, 1), (Input::RuntimeDone, 3), (Input::Report, 4)];
    for lost in 0..8 {
        for invoke_delay in [0, 500] {
            let mut contexts = Contexts::default();
            record(&mut contexts, "r", Input::Invoke, 0);
            for (number, (input, time)) in events.into_iter().enumerate() {
                if lost & (1 << number) == 0 {
                    assert_eq!(record(&mut contexts, "r", input, time), Some(attempt("r", 1)));
                }
            }
            assert_eq!(record(&mut contexts, "r", Input::Invoke, 60_000 + invoke_delay), Some(attempt("r", 2)));
            for (input, time) in events {
                let owner = record(&mut contexts, "r", input, 60_000 + time);
                assert_eq!(owner, Some(attempt("r", 2)), "{input:?} without {lost:03b} after {invoke_delay} ms");
            }
        }
    }
}

#[test]
fn an_end_in_the_millisecond_of_the_next_invoke_is_that_of_the_attempt_before() {
    let mut contexts = Contexts::default();
    record(&mut contexts, "r", Input::Invoke, 0);
    record(&mut contexts, "r", Input::Start, 0);
    record(&mut contexts, "r", Input::Invoke, 5);
    for input in [Input::RuntimeDone, Input::Report] {
        assert_eq!(record(&mut contexts, "r", input, 5), Some(attempt("r", 1)), "{input:?}");
    }
}

#[test]
fn a_repeated_event_is_recorded_in_no_attempt_however_far_the_retry_is() {
    let events = [(Input::Start, 1), (Input::RuntimeDone, 3), (Input::Report, 4)];
    for events_of_retry in 0..=events.len() {
        let mut contexts = Contexts::default();
        complete(&mut contexts, "s");
        record(&mut contexts, "r", Input::Invoke, 0);
        for (input, time) in events {
            record(&mut contexts, "r", input, time);
        }
        record(&mut contexts, "r", Input::Invoke, 60_000);
        for (input, time) in events.into_iter().take(events_of_retry) {
            record(&mut contexts, "r", input, 60_000 + time);
        }
        for (input, time) in events {
            assert_eq!(record(&mut contexts, "r", input, time), None, "{input:?} after {events_of_retry} events");
        }
        let retry = contexts.find(&attempt("r", 2)).unwrap();
        assert_eq!(retry.inputs_seen(), 1 + events_of_retry);
        assert!(contexts.find(&attempt("r", 3)).is_none());
    }
}

#[test]
fn only_the_first_of_all_is_the_first() {
    let mut contexts = Contexts::default();
    for (id, is_first) in [("r", true), ("r", false), ("s", false)] {
        assert_eq!(contexts.record(&id.into(), Input::Invoke, 0).unwrap().is_first, is_first);
    }
}
