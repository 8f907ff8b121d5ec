//! Requests that Lambda sends again.

use super::*;

#[test]
fn a_start_that_comes_long_after_an_attempt_was_done_is_that_of_the_next() {
    let mut bench = Bench::new(ON_DEMAND);
    // Nobody reports the start of the first attempt, and the second one's comes before its INVOKE.
    bench.steps("a", 1000, [Step::Invoke, Step::Start, Step::Done(Status::Timeout), Step::Report]);
    let (start, steps): (Vec<_>, Vec<_>) = attempt().into_iter().partition(|step| *step == Step::StartCall);
    let spans = bench.steps("a", 61_000, start).steps("a", 61_000, steps).flush();
    assert_eq!(spans.iter().filter(|span| span.name == "aws.lambda").count(), 1, "{spans:?}");
    assert_eq!((lambda(&spans).start, lambda(&spans).trace_id), (61_001 * 1_000_000, trace_id("a")));
}

#[test]
fn frozen_end_call_without_id_stays_with_its_invocation() {
    for flushes_before_freeze in [false, true] {
        let mut bench = Bench::new(ON_DEMAND);
        let call = |bench: &mut Bench, call: Call| bench.processor.call(call, &mut bench.out);
        let start = |time| Call::Start(Box::new(StartCall { time, ..StartCall::default() }));
        let end = |time, id| {
            Call::End(Box::new(EndCall { time, trace_id: Some(5), span_id: Some(id), ..EndCall::default() }))
        };
        bench.step("a", 1000, Step::Invoke);
        call(&mut bench, start(1001));
        bench.step("a", 1000, Step::Done(Status::Success));
        if flushes_before_freeze {
            assert!(bench.flush().is_empty());
            bench.step("a", 1000, Step::Report);
            assert!(bench.flush().is_empty(), "nobody has told its ids");
        }
        bench.step("b", 61_000, Step::Invoke);
        call(&mut bench, end(61_000, 1));
        call(&mut bench, start(61_002));
        call(&mut bench, end(61_005, 2));
        bench.step("b", 61_000, Step::Done(Status::Success));
        let spans = bench.flush();
        let found: Vec<_> = spans.iter().map(|span| (tag(span, "request_id").unwrap(), span.span_id)).collect();
        let expected = [("a", 1), ("b", 2)];
        assert_eq!(found, expected[usize::from(flushes_before_freeze)..], "{flushes_before_freeze}");
    }
}
