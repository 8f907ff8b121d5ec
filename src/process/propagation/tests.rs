use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::*;

const TRACE: u64 = 0x1122_10f4_7de9_8115;
const HIGH: u64 = 0x66f1_a2b3_0000_0000;
const SPAN: u64 = 0x208b_2f3a_4c5d_6e7f;
const PARENT: &str = "00-66f1a2b300000000112210f47de98115-208b2f3a4c5d6e7f-01";

fn extract_in(styles: &[PropagationStyle], headers: &[(&str, &str)]) -> Option<TraceContext> {
    let settings = config::Propagation { styles: styles.to_vec(), extract_first: false, http_baggage: false };
    Propagator::new(settings).extract(&Carrier::collect(headers.iter().copied()))
}

/// With the default styles.
fn extract_default(headers: &[(&str, &str)]) -> Option<TraceContext> {
    extract_in(&config::Propagation::default().styles, headers)
}

fn w3c(headers: &[(&str, &str)]) -> Option<TraceContext> {
    extract_in(&[PropagationStyle::TraceContext], headers)
}

fn tags(context: &TraceContext) -> BTreeMap<&str, &str> {
    context.tags.iter().map(|(key, value)| (key, &**value)).collect()
}

#[test]
fn datadog_headers_give_ids_priority_origin_and_tags() {
    let context = extract_default(&[
        ("X-Datadog-Trace-Id", "18446744073709551615"),
        ("X-Datadog-Parent-Id", " 7 "),
        ("X-Datadog-Sampling-Priority", "-1"),
        ("X-Datadog-Origin", "synthetics"),
        ("X-Datadog-Tags", "_dd.p.dm=-4, _dd.p.usr.id=YQ==,_dd.p.tid=00000000000000ff,other=1,_dd.p.=2,odd"),
    ]);
    let context = context.unwrap();
    assert_eq!((context.trace_id, context.span_id, context.priority), (u64::MAX, 7, Some(-1)));
    assert_eq!((context.origin.as_deref(), context.high_half()), (Some("synthetics"), 255));
    let expected = [("_dd.p.dm", "-4"), ("_dd.p.usr.id", "YQ=="), ("_dd.p.tid", "00000000000000ff")];
    assert_eq!(tags(&context), expected.into());
}

#[test]
fn invalid_datadog_header_dropped_alone_except_trace_id() {
    for id in ["", "0", "-1", "18446744073709551616", "abc", "1.5"] {
        assert_eq!(extract_default(&[("x-datadog-trace-id", id), ("x-datadog-parent-id", "7")]), None, "{id}");
    }
    let context = extract_default(&[
        ("x-datadog-trace-id", "5"),
        ("x-datadog-parent-id", "x"),
        ("x-datadog-sampling-priority", "300"),
        ("x-datadog-origin", ""),
        ("x-datadog-tags", "_dd.p.dm=4,_dd.p.tid=66F1A2B300000000"),
    ]);
    let context = context.unwrap();
    assert_eq!((context.trace_id, context.span_id, context.priority, &context.origin), (5, 0, None, &None));
    assert_eq!(tags(&context), [("_dd.propagation_error", "malformed_tid 66F1A2B300000000")].into());
    let fraction = extract_default(&[("x-datadog-trace-id", "5"), ("x-datadog-sampling-priority", "2.0")]);
    assert_eq!(fraction.unwrap().priority, Some(2), "JSON carriers have numbers");
}

#[test]
fn tags_are_read_up_to_512_bytes() {
    let header = |length: usize| format!("_dd.p.a={}", "x".repeat(length - 8));
    assert_eq!(propagation_tags(&header(512)).get("_dd.p.a").map(|text| text.len()), Some(504));
    for length in [513, 100_000] {
        let header = header(length);
        let context = extract_default(&[("x-datadog-trace-id", "5"), ("x-datadog-tags", &header)]).unwrap();
        assert_eq!(tags(&context), [("_dd.propagation_error", "extract_max_size")].into());
    }
}

#[test]
fn traceparent_is_read_strictly() {
    let context = w3c(&[("traceparent", PARENT)]).unwrap();
    assert_eq!((context.trace_id, context.span_id, context.high_half()), (TRACE, SPAN, HIGH));
    let expected = [("traceparent", PARENT), ("_dd.p.dm", "-0"), ("_dd.p.tid", "66f1a2b300000000")];
    assert_eq!(tags(&context), expected.into());
    for (parent, is_read) in [
        (PARENT.replace("-01", "-00"), true),
        (PARENT.replace("-01", "-03"), true),
        (format!("01{}-more-of-it", &PARENT[2..]), true),
        (format!("{PARENT}-more"), false),
        (format!("ff{}", &PARENT[2..]), false),
        (PARENT.to_uppercase(), false),
        (PARENT.replace("66f1", "66g1"), false),
        (PARENT.replace("208b2f3a4c5d6e7f", "0000000000000000"), false),
        (PARENT.replace("66f1a2b300000000112210f47de98115", &"0".repeat(32)), false),
        (PARENT.replace("112210f47de98115", "0000000000000000"), false),
        (PARENT.replace("-01", "-1"), false),
        (PARENT.replace('-', ""), false),
        ("é".repeat(30), false),
    ] {
        assert_eq!(w3c(&[("traceparent", &parent)]).is_some(), is_read, "{parent}");
    }
}

#[test]
fn the_dd_member_of_tracestate_has_what_datadogs_headers_have() {
    let state =
        "other=1, dd=s:2;o:rum~x;p:00000000000000ff;t.dm:-4;t.usr.id:baz64~~;t.tid:0123456789abcdef;odd;t.:x,more=2";
    let context = w3c(&[("traceparent", PARENT), ("tracestate", state)]).unwrap();
    assert_eq!((context.priority, context.origin.as_deref()), (Some(2), Some("rum=x")));
    let expected = [
        ("traceparent", PARENT),
        ("tracestate", state),
        ("_dd.parent_id", "00000000000000ff"),
        ("_dd.p.dm", "-4"),
        ("_dd.p.usr.id", "baz64=="),
        ("_dd.p.tid", "66f1a2b300000000"),
    ];
    assert_eq!(tags(&context), expected.into());
    let many = vec!["a=1"; 33].join(",");
    let context = w3c(&[("traceparent", PARENT), ("tracestate", &many)]).unwrap();
    assert!(!context.tags.contains("tracestate"), "more members than are allowed");
}

#[test]
fn the_flag_of_traceparent_and_the_priority_of_tracestate_agree_in_the_end() {
    for (flag, state, priority, decision) in [
        ("01", "dd=s:2;t.dm:-4", 2, Some("-4")),
        ("01", "dd=s:0;t.dm:-4", 1, Some("-0")),
        ("01", "dd=s:-1", 1, Some("-0")),
        ("01", "dd=t.dm:-4", 1, Some("-0")),
        ("01", "", 1, Some("-0")),
        ("00", "dd=s:-1;t.dm:-4", -1, Some("-4")),
        ("00", "dd=s:1;t.dm:-4", 0, None),
        ("00", "dd=s:x", 0, None),
        ("00", "", 0, None),
    ] {
        let parent = PARENT.replace("-01", &format!("-{flag}"));
        let context = w3c(&[("traceparent", &parent), ("tracestate", state)]).unwrap();
        let found = (context.priority, context.tags.get(DECISION).map(|text| &**text));
        assert_eq!(found, (Some(priority), decision), "{flag} {state}");
    }
}

#[test]
fn b3_comes_in_one_header_or_in_several() {
    let id = format!("{HIGH:016x}{TRACE:016x}");
    let span = format!("{SPAN:016x}");
    for (sampled, flags, priority) in
        [(Some("1"), None, Some(1)), (Some("0"), None, Some(0)), (None, None, None), (Some("0"), Some("1"), Some(2))]
    {
        let mut headers = vec![("X-B3-TraceId", &*id), ("X-B3-SpanId", &*span)];
        headers.extend(sampled.map(|sampled| ("X-B3-Sampled", sampled)));
        headers.extend(flags.map(|flags| ("X-B3-Flags", flags)));
        let context = extract_in(&[PropagationStyle::B3Multi], &headers).unwrap();
        assert_eq!((context.trace_id, context.span_id, context.high_half()), (TRACE, SPAN, HIGH));
        assert_eq!((context.priority, tags(&context)), (priority, [("_dd.p.tid", "66f1a2b300000000")].into()));
    }
    let single = |text: &str| extract_in(&[PropagationStyle::B3], &[("b3", text)]);
    for (text, priority) in [
        (format!("{id}-{span}"), None),
        (format!("{id}-{span}-1"), Some(1)),
        (format!("{id}-{span}-d-{span}"), Some(2)),
        (format!("{}-{span}-0", id.to_uppercase()), Some(0)),
    ] {
        let context = single(&text).unwrap();
        assert_eq!((context.trace_id, context.span_id, context.priority), (TRACE, SPAN, priority));
    }
    assert_eq!(single(&format!("{TRACE:016x}-{span}")).unwrap().tags.len(), 0, "an id of 64 bits");
    for text in ["0", "1", "d", "", "-", "0-0", "x-1", &*format!("{id}0-{span}"), "+1-2"] {
        assert_eq!(single(text), None, "{text}");
    }
}

#[test]
fn the_first_style_with_a_context_decides_and_w3c_adds_to_its_own_trace() {
    let parent = format!("00-{HIGH:016x}{TRACE:016x}-00000000000000aa-01");
    let (trace, span) = (TRACE.to_string(), SPAN.to_string());
    let datadog = [
        ("x-datadog-trace-id", &*trace),
        ("x-datadog-parent-id", &*span),
        ("x-datadog-sampling-priority", "2"),
        ("x-datadog-tags", "_dd.p.tid=66f1a2b300000000"),
    ];
    let both = |state: &'static str| [&datadog[..], &[("traceparent", &*parent), ("tracestate", state)]].concat();
    let context = extract_default(&both("other=1")).unwrap();
    assert_eq!((context.trace_id, context.span_id, context.priority), (TRACE, 0xaa, Some(2)));
    let expected =
        [("_dd.p.tid", "66f1a2b300000000"), ("tracestate", "other=1"), ("_dd.parent_id", &*format!("{SPAN:016x}"))];
    assert_eq!(tags(&context), expected.into(), "others were called in between");
    let context = extract_default(&both("dd=p:00000000000000bb")).unwrap();
    assert_eq!((context.span_id, context.tags.get(LAST_PARENT).map(|text| &**text)), (0xaa, Some("00000000000000bb")));

    let other = both("other=1").into_iter().map(|(name, value)| (name, value.replace("112210f4", "112210f5")));
    let other: Vec<_> = other.collect();
    let other: Vec<_> = other.iter().map(|(name, value)| (*name, &**value)).collect();
    let context = extract_default(&other).unwrap();
    assert_eq!((context.trace_id, context.span_id, context.tags.len()), (TRACE, SPAN, 1), "another trace adds nothing");

    let first = config::Propagation { extract_first: true, ..config::Propagation::default() };
    let carrier = Carrier::collect(both("other=1"));
    let context = Propagator::new(first.clone()).extract(&carrier).unwrap();
    assert_eq!((context.span_id, context.tags.len()), (SPAN, 1));
    let only_w3c = Propagator::new(first).extract(&Carrier::collect([("traceparent", PARENT)]));
    assert_eq!(only_w3c.map(|context| context.span_id), Some(SPAN), "the first style that finds one");

    let reversed = extract_in(&[PropagationStyle::TraceContext, PropagationStyle::Datadog], &both("dd=s:1")).unwrap();
    assert_eq!((reversed.span_id, reversed.priority, reversed.tags.contains(LAST_PARENT)), (0xaa, Some(1), false));
}

#[test]
fn no_style_no_context() {
    let headers = [("x-datadog-trace-id", "5"), ("traceparent", PARENT), ("b3", "5-6"), ("baggage", "a=b")];
    for styles in [&[][..], &[PropagationStyle::None], &[PropagationStyle::Baggage], &[PropagationStyle::B3Multi]] {
        assert_eq!(extract_in(styles, &headers), None, "{styles:?}");
    }
    assert_eq!(extract_in(&[PropagationStyle::Baggage, PropagationStyle::B3], &headers).unwrap().trace_id, 5);
}

#[test]
fn baggage_becomes_tags_if_the_customer_says_so() {
    let headers = [("x-datadog-trace-id", "5"), ("OT-Baggage-User", "anna"), ("ot-baggage-", "none")];
    for http_baggage in [false, true] {
        let settings = config::Propagation { http_baggage, ..config::Propagation::default() };
        let context = Propagator::new(settings).extract(&Carrier::collect(headers)).unwrap();
        let expected = if http_baggage { [("user", "anna")].into() } else { BTreeMap::new() };
        assert_eq!(tags(&context), expected);
    }
}

#[test]
fn xray_header_keeps_the_sampling_decision_of_its_writer() {
    let header = |root: &str, sampled: &str| format!("Root=1-665aee20-{root};Parent=208b2f3a4c5d6e7f{sampled}");
    let (own, planted) = ("66f1a2b3112210f47de98115", "00000000112210f47de98115");
    for (root, sampled, is_merged, priority) in [
        (own, ";Sampled=1", false, Some(1)),
        (own, ";Sampled=0", false, None),
        (own, "", false, None),
        (own, ";Sampled=0", true, Some(0)),
        (planted, ";Sampled=1", false, Some(1)),
        (planted, ";Sampled=0", false, Some(0)),
        (planted, ";Lineage=a:1", true, Some(0)),
    ] {
        let context = xray_context(&header(root, sampled), is_merged).unwrap();
        assert_eq!((context.trace_id, context.span_id, context.priority), (TRACE, SPAN, priority), "{root}{sampled}");
        assert!(context.tags.is_empty());
    }
    let whole = header(own, ";Sampled=1");
    for length in 0..whole.len() - ";Sampled=1".len() {
        assert_eq!(xray_context(&whole[..length], true), None, "cut off after {length}");
    }
    for text in [
        format!("Self=1;{whole}"),
        header(&"0".repeat(24), ""),
        whole.replace("208b2f3a4c5d6e7f", "0000000000000000"),
        whole.replace("112210f4", "11221éf4"),
        whole.replace("Parent", "Other"),
    ] {
        assert_eq!(xray_context(&text, true), None, "{text}");
    }
}

/// Writes a context as a tracer does, in one style.
fn inject(style: PropagationStyle, context: &TraceContext) -> Vec<(&'static str, String)> {
    let (trace, span, high) = (context.trace_id, context.span_id, context.high_half());
    let priority = context.priority.unwrap();
    let is_sampled = u8::from(priority > 0);
    match style {
        PropagationStyle::Datadog => vec![
            ("x-datadog-trace-id", trace.to_string()),
            ("x-datadog-parent-id", span.to_string()),
            ("x-datadog-sampling-priority", priority.to_string()),
            ("x-datadog-tags", format!("_dd.p.tid={high:016x}")),
        ],
        PropagationStyle::TraceContext => vec![
            ("traceparent", format!("00-{high:016x}{trace:016x}-{span:016x}-{is_sampled:02x}")),
            ("tracestate", format!("dd=s:{priority};p:{span:016x}")),
        ],
        PropagationStyle::B3 => vec![("b3", format!("{high:016x}{trace:016x}-{span:016x}-{is_sampled}"))],
        _ => vec![
            ("x-b3-traceid", format!("{high:016x}{trace:016x}")),
            ("x-b3-spanid", format!("{span:016x}")),
            ("x-b3-sampled", is_sampled.to_string()),
        ],
    }
}

#[test]
fn every_id_survives_every_style_and_the_reply() {
    use PropagationStyle::{B3, B3Multi, Datadog};
    let mut random = StdRng::seed_from_u64(1);
    let edges = [1, 2, u64::from(u32::MAX), 1 << 63, u64::MAX - 1, u64::MAX];
    for round in 0..2_000 {
        let mut id = || {
            if random.random_bool(0.2) {
                edges[random.random_range(0..edges.len())]
            } else {
                random.random_range(1..=u64::MAX)
            }
        };
        let (trace_id, span_id, high) = (id(), id(), id());
        let priority = Some([1, 0][round % 2]);
        let mut context = TraceContext { trace_id, span_id, priority, ..TraceContext::default() };
        context.set_high_half(high);
        for style in [Datadog, PropagationStyle::TraceContext, B3, B3Multi] {
            let found = extract_in(
                &[style],
                &inject(style, &context).iter().map(|(name, value)| (*name, &**value)).collect::<Vec<_>>(),
            );
            let found = found.unwrap();
            assert_eq!(
                (found.trace_id, found.span_id, found.high_half(), found.priority),
                (trace_id, span_id, high, priority),
                "{style:?}"
            );
            let reply = reply_headers(&found);
            let back = extract_in(&[Datadog], &reply.iter().map(|(name, value)| (*name, &**value)).collect::<Vec<_>>())
                .unwrap();
            assert_eq!((back.trace_id, back.span_id, back.high_half(), back.priority), (trace_id, 0, high, priority));
        }
    }
}

#[test]
fn info_reply_lists_endpoints_and_settings() {
    let mut context = TraceContext { trace_id: 5, span_id: 6, ..TraceContext::default() };
    assert_eq!(reply_headers(&context), [("x-datadog-trace-id", "5".to_owned())]);
    context.priority = Some(-1);
    context.tags.set(HIGH_HALF, "1f".into());
    let expected =
        [("x-datadog-trace-id", "5"), ("x-datadog-sampling-priority", "-1"), ("x-datadog-tags", "_dd.p.tid=1f")];
    assert_eq!(reply_headers(&context), expected.map(|(name, value)| (name, value.to_owned())));
}
