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
    assert_eq!(record(&mut contexts, "r", Input::Invoke, 100), Some(attempt("r", 2)));
    assert_eq!(record(&mut contexts, "r", Input::Start, 1), Some(attempt("r", 1)), "late, but its own");
    assert_eq!(record(&mut contexts, "r", Input::Start, 101), Some(attempt("r", 2)));
    assert_eq!(record(&mut contexts, "r", Input::Start, 101), None, "the same event again");
    assert_eq!(record(&mut contexts, "r", Input::Start, 201), Some(attempt("r", 3)));
    assert_eq!(record(&mut contexts, "s", Input::Start, 201), Some(attempt("s", 1)));
}

#[test]
fn only_the_first_of_all_is_the_first() {
    let mut contexts = Contexts::default();
    for (id, is_first) in [("r", true), ("r", false), ("s", false)] {
        assert_eq!(contexts.record(&id.into(), Input::Invoke, 0).unwrap().is_first, is_first);
    }
}
