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
