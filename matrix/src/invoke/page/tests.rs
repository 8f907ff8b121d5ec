use roxmltree::{Document, Node, ParsingOptions};

use super::*;
use crate::invoke::run_summary::{Extensions, Log, MissingDeliveries, Outcome};
use crate::invoke::security::SecurityEvent;
use crate::invoke::timeline::{Bar, Kind, Lane, Mark};
use crate::invoke::traces::{Trace, TraceSpan};

fn span(depth: usize, id: &str, [starts_ms, duration_ms]: [f64; 2]) -> TraceSpan {
    TraceSpan {
        depth,
        span_id: id.into(),
        name: format!("operation <{id}>"),
        service: "shop & co".into(),
        resource: "GET /".into(),
        starts_ms,
        duration_ms,
        tags: [("http.url".to_owned(), "\"quoted\"".to_owned())].into(),
        ..TraceSpan::default()
    }
}

fn log(message: &str) -> Log {
    Log {
        timestamp: Some(5),
        status: "warn".into(),
        request_id: Some("r1".into()),
        span_id: None,
        message: message.into(),
    }
}

fn run_summary() -> RunSummary {
    let event = SecurityEvent {
        rule: "ua0-600-12x".into(),
        name: "Arachni".into(),
        kind: "attack_tool".into(),
        address: "server.request.headers.no_cookies".into(),
        path: vec!["user-agent".into()],
        value: "<Arachni>".into(),
    };
    let security_events = vec![event];
    let child = TraceSpan { error: true, logs: vec![log("two items")], security_events, ..span(1, "2", [4.0, 2.0]) };
    let spans = vec![span(0, "1", [0.0, 10.0]), child, span(1, "3", [5.0, 5.0])];
    RunSummary {
        verdict: Verdict::PayloadLost,
        invocations: vec![Outcome {
            request_id: "r1".into(),
            attempt: 1,
            succeeded: true,
            outcome: "success".into(),
            response: serde_json::json!({"answer": "</td><script>"}),
            answered_ms: 12.34,
            duration_ms: 20.0,
            init_ms: Some(101.5),
            billed_ms: 122,
            max_memory_mb: 40,
        }],
        gates: Vec::new(),
        routes: Vec::new(),
        logs: vec![log("two items"), log("")],
        metrics: Vec::new(),
        traces: vec![Trace { trace_id: "7".into(), request_id: Some("r1".into()), starts_ms: Some(3.0), spans }],
        operations: Vec::new(),
        missing: MissingDeliveries { lines: vec!["lost".into()], ..MissingDeliveries::default() },
        crash: None,
        exits: Vec::new(),
        notes: vec!["the network is shared".into()],
        extensions: Extensions::Agent,
        not_isolated: Vec::new(),
    }
}

fn timeline() -> Timeline {
    let bar = |kind, name: &str, from_ms, to_ms| Bar { kind, name: name.into(), from_ms, to_ms };
    let sandbox = vec![bar(Kind::Init, "init", 0.0, 50.0), bar(Kind::Invocation, "invocation 1", 60.0, 90.0)];
    let marks = vec![Mark { name: "registered".into(), at_ms: 3.0 }];
    let agent = Lane { name: "agent".into(), bars: vec![bar(Kind::Init, "init of agent", 1.0, 5.0)], marks };
    Timeline { ends_ms: 100.0, lanes: vec![Lane { name: "sandbox".into(), bars: sandbox, marks: Vec::new() }, agent] }
}

fn parsed(page: &str) -> Document<'_> {
    Document::parse_with_options(page, ParsingOptions { allow_dtd: true, ..ParsingOptions::default() }).unwrap()
}

fn elements<'a>(document: &'a Document, class: &str) -> Vec<Node<'a, 'a>> {
    let has_class = |node: &Node| node.attribute("class").is_some_and(|all| all.split(' ').any(|own| own == class));
    document.descendants().filter(has_class).collect()
}

#[test]
fn the_page_is_well_formed_and_needs_nothing_from_elsewhere() {
    let page = page("shop", &run_summary(), &timeline());
    let document = parsed(&page);
    for node in document.descendants().filter(Node::is_element) {
        for foreign in ["src", "href", "srcset", "action", "data", "style"] {
            assert!(!node.has_attribute(foreign), "{node:?}");
        }
        assert!(!node.attributes().any(|attribute| attribute.name().starts_with("on")), "{node:?}");
    }
    for foreign in ["http:", "https:", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(is_head(&page));
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("operation &lt;1&gt;"));
}

#[test]
fn the_verdict_claims_no_more_than_was_checked() {
    let verdict = |extensions, not_isolated| {
        let run_summary = RunSummary {
            verdict: Verdict::Delivered,
            extensions,
            not_isolated,
            missing: MissingDeliveries::default(),
            ..run_summary()
        };
        let page = page("shop", &run_summary, &timeline());
        let document = parsed(&page);
        elements(&document, "verdict")[0].text().unwrap().to_owned()
    };
    assert_eq!(verdict(Extensions::Agent, Vec::new()), "Everything that was expected has arrived.");
    assert!(verdict(Extensions::None, Vec::new()).contains("No extension ran"));
    let unknown = verdict(Extensions::Unknown, vec!["network", "files"]);
    assert!(
        unknown.contains("nothing was checked") && unknown.ends_with("from this machine: network, files."),
        "{unknown}"
    );
}

#[test]
fn every_span_has_a_bar_that_leads_to_what_is_known_of_it() {
    let page = page("shop", &run_summary(), &timeline());
    let document = parsed(&page);
    let bars = elements(&document, "span");
    assert_eq!(bars.len(), 3);
    for word in ["failed", "attacked"] {
        let tips = bars.iter().filter(|bar| bar.attribute("data-tip").unwrap().contains(word));
        assert_eq!(tips.count(), 1, "{word}");
    }
    for bar in bars {
        let id = bar.attribute("data-about").unwrap();
        let article = document.descendants().find(|node| node.attribute("id") == Some(id)).unwrap();
        let text: String = article.descendants().filter_map(|node| node.text()).collect();
        assert!(text.contains("shop & co") && text.contains("http.url"), "{text}");
        assert_eq!(bar.attribute("data-tip").unwrap().contains("failed"), text.contains("two items"), "{text}");
        assert_eq!(bar.attribute("data-tip").unwrap().contains("attacked"), text.contains("ua0-600-12x Arachni"));
        assert!(bar.has_attribute("tabindex") && bar.has_attribute("aria-label"));
    }
}

#[test]
fn the_timeline_is_drawn_whole_and_by_phase() {
    let page = page("shop", &run_summary(), &timeline());
    let document = parsed(&page);
    let tabs: Vec<&str> = document.descendants().filter_map(|node| node.attribute("data-tab")).collect();
    assert_eq!(tabs, ["Whole run", "Init", "Invocation 1"]);
    let tips: Vec<&str> = document.descendants().filter_map(|node| node.attribute("data-tip")).collect();
    assert!(tips.contains(&"agent: registered at 3.00 ms"), "{tips:?}");
    // The extension's init is outside of the invocation.
    assert_eq!(tips.iter().filter(|tip| tip.starts_with("init of agent: 4.00 ms")).count(), 2, "{tips:?}");
}

#[test]
fn a_run_without_anything_still_has_a_page() {
    let empty = RunSummary {
        invocations: Vec::new(),
        logs: Vec::new(),
        traces: Vec::new(),
        missing: MissingDeliveries::default(),
        notes: Vec::new(),
        ..run_summary()
    };
    let page = page("shop", &empty, &Timeline::default());
    assert!(elements(&parsed(&page), "missing").is_empty());
}
