//! Managed instances, which run many invocations at a time.

use super::*;
use crate::process::invocation::context::CAPACITY;

const MANAGED: Settings = Settings { managed: true, ..ON_DEMAND };

fn end() -> Step {
    attempt().into_iter().find(|step| matches!(step, Step::EndCall(_))).unwrap()
}

#[test]
fn an_invocation_that_is_forgotten_is_built_first_or_counted() {
    let mut bench = Bench::new(MANAGED);
    bench.steps("whole", 1000, [Step::Start, Step::StartCall, end()]);
    bench.steps("unended", 1000, [Step::Start, Step::StartCall]);
    for number in 2..CAPACITY {
        bench.step(&format!("n{number}"), 2000, Step::Start);
    }
    bench.step("n2", 2000, Step::Report);
    assert!(bench.take().is_empty() && bench.out.lost_spans == 0, "nothing is forgotten yet");
    // The one that is complete gives way first.
    for number in 0..3 {
        bench.step(&format!("later{number}"), 3000, Step::Start);
    }
    assert_eq!(tag(lambda(&bench.take()), "request_id"), Some("whole"));
    assert_eq!(bench.out.lost_spans, 1);
}
