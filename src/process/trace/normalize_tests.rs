use super::*;

const NOW: i64 = 1_700_000_000_000_000_000;

fn normal(change: impl FnOnce(&mut Span<'static>)) -> Span<'static> {
    let mut span = Span { trace_id: 7, span_id: 8, start: NOW, ..Span::default() };
    span.service = "service".into();
    span.name = "name".into();
    change(&mut span);
    let mut spans = [span];
    assert_eq!(trace(&mut spans, NOW), Ok(()));
    let [span] = spans;
    span
}

#[test]
fn services_are_lower_case_tags() {
    for (service, expected) in [
        ("", "unnamed-service"),
        ("shop", "shop"),
        ("My Shop!", "my_shop"),
        ("9lives", "lives"),
        ("a__b--c", "a_b--c"),
        ("tail_", "tail"),
        ("_", "unnamed-service"),
        ("Ünïcode™Näme", "ünïcode_näme"),
        ("x²³", "x²³"),
        ("²x", "x"),
        (":colon", ":colon"),
    ] {
        assert_eq!(normal(|span| span.service = service.into()).service, expected, "{service:?}");
    }
    assert_eq!(normal(|span| span.service = "é".repeat(80).into()).service, "é".repeat(50), "100 bytes");
    assert_eq!(normal(|span| span.service = format!("{}é", "a".repeat(99)).into()).service, "a".repeat(99));
}

#[test]
fn tags_that_need_no_change_are_found_and_others_are_not() {
    for text in ["", "a", "abc:d/e.f-g_h", ":x", "a1", &"a".repeat(200)] {
        assert!(is_tag(text.as_bytes()) && normal_tag(text) == text, "{text}");
    }
    for text in ["1a", "_a", "a_", "a__b", "A", "a b", "ä", &"a".repeat(201)] {
        assert!(!is_tag(text.as_bytes()), "{text}");
    }
}

#[test]
fn names_follow_the_rule_of_metric_names() {
    for (name, expected) in [
        ("", "unnamed_operation"),
        ("aws.lambda", "aws.lambda"),
        ("web-request", "web_request"),
        ("GET /users", "GET_users"),
        ("a  b", "a_b"),
        ("  9.lead ing", "lead_ing"),
        ("a_.b._c", "a.b.c"),
        ("a..b__c", "a..b_c"),
        ("a.-b_-c--d", "a.b_c_d"),
        ("end-", "end"),
        ("end.", "end."),
        ("日本", "unnamed_operation"),
        ("a日b", "a_b"),
    ] {
        assert_eq!(normal(|span| span.name = name.into()).name, expected, "{name:?}");
    }
    assert_eq!(normal(|span| span.name = "x".repeat(150).into()).name.len(), 100);
}

#[test]
fn an_empty_resource_is_the_normal_name() {
    let span = normal(|span| span.name = "web request".into());
    assert_eq!(span.resource, "web_request");
    assert_eq!(normal(|span| span.resource = "GET /".into()).resource, "GET /");
}

#[test]
fn impossible_times_are_replaced() {
    let times = |start, duration| {
        let span = normal(|span| (span.start, span.duration) = (start, duration));
        (span.start, span.duration)
    };
    assert_eq!(times(NOW, 5), (NOW, 5));
    assert_eq!(times(NOW, -5), (NOW, 0));
    assert_eq!(times(i64::MAX, 1), (i64::MAX, 0));
    assert_eq!(times(0, 1000), (NOW - 1000, 1000));
    assert_eq!(times(0, i64::MAX), (NOW, i64::MAX));
    assert_eq!(times(YEAR_2000, 1), (YEAR_2000, 1));
    assert_eq!(times(YEAR_2000 - 1, 1), (NOW - 1, 1));
}

#[test]
fn a_root_that_is_its_own_parent_has_none() {
    let parent = |span_id| normal(|span| (span.span_id, span.parent_id) = (span_id, 7)).parent_id;
    assert_eq!((parent(7), parent(9)), (0, 7));
}

#[test]
fn impossible_status_codes_are_removed_and_environments_are_tags() {
    let code = |code: &'static str| {
        let span = normal(|span| span.meta.set("http.status_code", code.into()));
        span.meta.get("http.status_code").map(|code| code.clone().into_owned())
    };
    assert_eq!(
        (code("404").as_deref(), code("99"), code("600"), code("x"), code("")),
        (Some("404"), None, None, None, None)
    );
    let span = normal(|span| span.meta.set("env", "Pre Prod".into()));
    assert_eq!(span.meta.get("env").map(|env| &**env), Some("pre_prod"));
    assert_eq!(normal(|span| span.kind = "t".repeat(150).into()).kind.len(), 100);
}

#[test]
fn spans_after_the_first_malformed_one_stay_as_they_came() {
    let span = |trace_id, span_id| Span { trace_id, span_id, name: "a b".into(), ..Span::default() };
    for (middle, expected) in [(span(7, 0), NormalizeError::ZeroSpanId), (span(8, 3), NormalizeError::ForeignSpan)] {
        let mut spans = [span(7, 1), middle, span(7, 2)];
        assert_eq!(trace(&mut spans, NOW), Err(expected));
        assert_eq!(spans.map(|span| span.name.into_owned()), ["a_b", "a b", "a b"]);
    }
    assert_eq!(trace(&mut [span(0, 1)], NOW), Err(NormalizeError::ZeroTraceId));
    assert_eq!(trace(&mut [], NOW), Ok(()));
}
