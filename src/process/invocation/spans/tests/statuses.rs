//! What the status code of a response makes of the spans.

use super::*;

#[test]
fn only_a_status_code_of_a_failing_server_is_an_error() {
    for (code, is_error) in [(200, 0), (404, 0), (499, 0), (500, 1), (599, 1), (600, 0), (50, 0), (-500, 0)] {
        let mut steps = attempt();
        for step in &mut steps {
            if let Step::EndCall(end) = step {
                end.status_code = Some(code);
            }
        }
        let mut bench = Bench::new(ON_DEMAND);
        bench.steps("a", 1000, [Step::InitStart, Step::InitReport]);
        let spans = bench.steps("a", 1000, steps).flush();
        let queue = spans.iter().find(|span| span.name == "aws.sqs").unwrap();
        for span in [lambda(&spans), queue] {
            assert_eq!((span.error, tag(span, "http.status_code")), (is_error, Some(&*code.to_string())), "{code}");
        }
        let counted = usize::try_from(is_error).unwrap();
        assert_eq!(bench.count("aws.lambda.enhanced.errors"), counted, "{code}");
    }
}
