//! What tracers send to port 8126, from their requests to the intake.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bottlecap::features::BIND_FIRST;
use matrix::{
    measure,
    sandbox::{
        Function, Sandbox, Setup,
        function::{Call, Handler, HandlerOutcome, InitError},
        intake::{
            self, ClientStats, Intake, Payload, Plan, Route, Rule, Span, StatsBucket, StatsGroup, TracerPayload, Window,
        },
        isolation,
        journal::JournalEvent,
        tracer::{self, Reply},
    },
};

use crate::{
    destinations::EchoWithIntakes,
    launcher::launched,
    support::{Run, agent, end, eventually, has_short_order, invoke, setup_with},
};

/// What a tracer says about itself in every request.
const TRACER: [(&str, &str); 4] = [
    ("content-type", "application/msgpack"),
    ("datadog-meta-lang", "rust"),
    ("datadog-meta-lang-version", "1.95"),
    ("datadog-meta-tracer-version", "7"),
];

/// The products whose data is passed on: where a tracer sends it, and where it arrives in the sandbox.
const PROXIED: [[&str; 2]; 9] = [
    ["/v0.1/pipeline_stats", "/api/v0.1/pipeline_stats"],
    ["/profiling/v1/input", "/api/v2/profile"],
    ["/evp_proxy/v2/api/intake/llm-obs/v1/eval-metric", "/api/intake/llm-obs/v1/eval-metric"],
    ["/evp_proxy/v2/api/intake/llm-obs/v2/eval-metric", "/api/intake/llm-obs/v2/eval-metric"],
    ["/evp_proxy/v2/api/v2/llmobs", "/api/v2/llmobs"],
    ["/debugger/v1/input?ddtags=a:b", "/api/v2/debugger"],
    ["/debugger/v2/input", "/api/v2/debugger"],
    ["/debugger/v1/diagnostics", "/api/v2/debugger"],
    ["/telemetry/proxy/api/v2/apmtelemetry", "/api/v2/apmtelemetry"],
];

pub fn post(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let headers = [&TRACER[..], headers].concat();
    tracer::Request { method: "POST", path, headers: &headers, body }.send().unwrap()
}

/// A span of that trace; a parent of 0 makes it a root.
fn span([trace_id, span_id, parent_id]: [u64; 3], name: &str) -> Span {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Span {
        service: "Shop".to_owned(),
        name: name.to_owned(),
        resource: format!("GET /{name}"),
        kind: "web".to_owned(),
        trace_id,
        span_id,
        parent_id,
        start: i64::try_from(now.as_nanos()).unwrap(),
        duration: 1_000_000,
        meta: BTreeMap::from([("own".to_owned(), name.to_owned())]),
        metrics: BTreeMap::from([("_sampling_priority_v1".to_owned(), 1.0)]),
        ..Span::default()
    }
}

/// A trace of two spans whose ids follow from the number.
fn trace(number: u64) -> Vec<Span> {
    vec![span([number + 1, 10 * number + 1, 0], "root"), span([number + 1, 10 * number + 2, 10 * number + 1], "child")]
}

fn number(call: &Call<'_>) -> u64 {
    std::str::from_utf8(call.event).unwrap().parse().unwrap()
}

/// A function that sends what it is told to at every event, by its number.
pub fn sending(send: impl Fn(u64) + Send + Sync + 'static) -> Function {
    Function::from_fn(move |call| {
        send(number(call));
        HandlerOutcome::Response(b"null".to_vec())
    })
}

fn accepted(reply: &Reply) {
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"rate_by_service":{}}"#), "{reply:?}");
}

/// Starts a sandbox. None on a machine that gives it no network of its own: the port of one test would be another's there.
pub fn start(setup: Setup) -> Option<Sandbox> {
    let sandbox = Sandbox::start(setup).unwrap();
    let isolated = sandbox.journal().iter().any(|entry| entry.what == JournalEvent::NetworkIsolated);
    if !isolated {
        isolation::skip("this machine gives a sandbox no network of its own");
    }
    isolated.then_some(sandbox)
}

pub fn run_sandbox(setup: Setup, times: usize) -> Option<Run> {
    let sandbox = start(setup)?;
    let invocations = invoke(&sandbox, 0..times);
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    run.assert_no_problems();
    Some(run)
}

pub fn with(function: Function, variables: &[(&str, &str)]) -> Setup {
    let end = ("DD_SERVERLESS_FLUSH_STRATEGY", "end");
    setup_with(function, &[&[end], variables].concat())
}

/// Fails the first two requests of a route: the first without an answer that counts, the second without any.
pub fn failing_twice(route: Route) -> Plan {
    let rule = |skip, response| Rule { route, window: Window::Requests { skip, take: Some(1) }, response };
    Plan {
        rules: vec![rule(0, intake::RuleResponse::status(503)), rule(1, intake::RuleResponse::Reset)],
        ..Plan::default()
    }
}

/// How often each span was delivered.
fn times(intake: &Intake) -> BTreeMap<(u64, u64), usize> {
    let mut times = BTreeMap::new();
    intake.spans().iter().for_each(|span| *times.entry((span.trace_id, span.span_id)).or_default() += 1);
    times
}

/// Both spans of so many traces, once each.
fn once(traces: u64) -> BTreeMap<(u64, u64), usize> {
    (0..traces).flat_map(trace).map(|span| ((span.trace_id, span.span_id), 1)).collect()
}

fn requests(run: &Run, route: Route) -> Vec<intake::Request> {
    run.ending.requests.iter().filter(|request| request.route() == Some(route)).cloned().collect()
}

fn tracer_payloads(run: &Run) -> Vec<TracerPayload> {
    let payload = |request: intake::Request| match request.payload {
        Payload::Traces(payload) => payload.tracer_payloads,
        _ => Vec::new(),
    };
    run.intake.delivered().into_iter().flat_map(payload).collect()
}

#[test]
fn traces_of_both_formats_arrive_with_the_tags_of_the_function() {
    let function = sending(|number| {
        let (path, body) = match number {
            0 => ("/v0.4/traces", tracer::v04(&[trace(0)])),
            _ => ("/v0.5/traces", tracer::v05(&[trace(1)])),
        };
        accepted(&post(path, &[], &body));
    });
    let Some(run) = run_sandbox(with(function, &[("DD_ENV", "prod"), ("DD_TAGS", "team:a")]), 2) else { return };
    assert_eq!(times(&run.intake), once(2));
    for span in run.intake.spans() {
        let tag = |key: &str| span.meta.get(key).map(String::as_str);
        assert_eq!((span.service.as_str(), span.kind.as_str(), span.duration), ("shop", "web", 1_000_000));
        assert_eq!((tag("own"), tag("env"), tag("team")), (Some(span.name.as_str()), Some("prod"), Some("a")));
        assert_eq!((tag("_dd.compute_stats"), tag("_dd.origin")), (Some("1"), Some("lambda")));
        assert!(tag("function_arn").is_some() && tag("functionname").is_some(), "{:?}", span.meta);
    }
    for payload in tracer_payloads(&run) {
        assert_eq!((payload.language_name.as_str(), payload.tracer_version.as_str()), ("rust", "7"));
        assert!(payload.tags["_dd.tags.function"].contains("functionname:"));
        assert!(payload.chunks.iter().all(|chunk| chunk.priority == 1 && chunk.spans.len() == 2));
    }
    for request in requests(&run, Route::Traces) {
        assert_eq!((request.encoding.as_str(), request.header("datadog-send-real-http-status")), ("zstd", Some("1")));
    }
    assert_eq!(run.intake.stats(), [], "nobody has computed any");
}

#[test]
fn spans_arrive_once_after_two_failures_of_the_intake() {
    let function = sending(|number| accepted(&post("/v0.4/traces", &[], &tracer::v04(&[trace(number)]))));
    let setup = Setup { intake: Some(failing_twice(Route::Traces)), ..with(function, &[]) };
    let Some(run) = run_sandbox(setup, 3) else { return };
    assert_eq!(times(&run.intake), once(3), "{}", run.own_lines());
    assert!(requests(&run, Route::Traces).iter().filter(|request| !request.delivered()).count() == 2);
}

#[test]
fn a_request_that_comes_twice_is_sent_once() {
    let function = sending(|_| {
        for _ in 0..2 {
            accepted(&post("/v0.4/traces", &[], &tracer::v04(&[trace(0)])));
        }
    });
    let Some(run) = run_sandbox(with(function, &[]), 2) else { return };
    assert_eq!(times(&run.intake), once(1));
}

#[test]
fn trace_statistics_arrive_once_after_two_intake_failures() {
    let group = |number: u64| StatsGroup {
        service: "client".to_owned(),
        name: "query".to_owned(),
        resource: format!("statement {number}"),
        hits: 3,
        ..StatsGroup::default()
    };
    let function = sending(move |number| {
        accepted(&post("/v0.4/traces", &[], &tracer::v04(&[trace(number)])));
        let bucket = StatsBucket { start: 1, duration: 10_000_000_000, groups: vec![group(number)] };
        let stats = ClientStats { env: "prod".to_owned(), buckets: vec![bucket], ..ClientStats::default() };
        let reply = post("/v0.6/stats", &[], &tracer::stats(&stats));
        assert_eq!((reply.status, reply.body.as_str()), (202, "Successfully buffered stats to be aggregated."));
        let reply = post("/v0.6/stats", &[], &tracer::stats(&ClientStats::default()));
        assert_eq!((reply.status, reply.body.as_str()), (202, "Empty stats payload; nothing to aggregate."));
    });
    let variables = [("DD_LAMBDA_EXTENSION_COMPUTE_STATS", "true")];
    let setup = Setup { intake: Some(failing_twice(Route::Stats)), ..with(function, &variables) };
    let Some(run) = run_sandbox(setup, 3) else { return };
    let mut of_client: Vec<_> = run.intake.stats().into_iter().filter(|group| group.service == "client").collect();
    of_client.sort_by(|left, right| left.resource.cmp(&right.resource));
    let found: Vec<_> = of_client.iter().map(|group| (group.resource.as_str(), group.hits)).collect();
    assert_eq!(found, [("statement 0", 3), ("statement 1", 3), ("statement 2", 3)], "{}", run.own_lines());
    let ours: Vec<_> = run.intake.stats().into_iter().filter(|group| group.service == "shop").collect();
    let hits = ours.iter().map(|group| group.hits).sum::<u64>();
    assert_eq!((hits, ours.iter().all(|group| group.name == "root")), (3, true), "the roots alone count: {ours:?}");
    assert!(run.intake.spans().iter().all(|span| !span.meta.contains_key("_dd.compute_stats")));
    for request in requests(&run, Route::Stats) {
        assert_eq!((request.encoding.as_str(), request.header("content-type")), ("gzip", Some("application/msgpack")));
    }
}

#[test]
fn only_202_says_that_statistics_have_arrived() {
    let function = sending(|number| accepted(&post("/v0.4/traces", &[], &tracer::v04(&[trace(number)]))));
    let plan = Plan::rule(Route::Stats, Window::first(1), intake::RuleResponse::status(200));
    let variables = [("DD_LAMBDA_EXTENSION_COMPUTE_STATS", "true")];
    let Some(run) = run_sandbox(Setup { intake: Some(plan), ..with(function, &variables) }, 1) else { return };
    let answers: Vec<_> = requests(&run, Route::Stats).into_iter().map(|request| request.answer).collect();
    let status = |code| intake::RequestOutcome::Status { code, delay_ms: 0 };
    assert_eq!(answers, [status(200), status(202)]);
}

#[test]
fn data_of_other_products_is_passed_on_as_it_is_and_arrives_once_after_two_failures() {
    let body = |number: u64, index: usize| format!("\0\u{1f}{number} {index}").into_bytes();
    let function = sending(move |number| {
        for (index, [path, _]) in PROXIED.into_iter().enumerate() {
            let headers = [("dd-evp-origin", "tracer"), ("content-encoding", "made-up"), ("dd-api-key", "none")];
            let reply = post(path, &headers, &body(number, index));
            assert!(reply.status == 200 && reply.body.starts_with("Acknowledged request for "), "{reply:?}");
        }
    });
    let setup = Setup { intake: Some(failing_twice(Route::Proxied)), ..with(function, &[]) };
    let Some(run) = run_sandbox(setup, 2) else { return };
    let delivered = requests(&run, Route::Proxied).into_iter().filter(intake::Request::delivered);
    let mut found: Vec<_> = delivered
        .map(|request| {
            let Payload::Proxied(content) = &request.payload else { panic!("{request:?}") };
            let tags = request.header("x-datadog-additional-tags").unwrap();
            assert!(tags.starts_with("_dd.origin:lambda;functionname:"), "{tags}");
            assert_eq!((request.header("dd-evp-origin"), request.encoding.as_str()), (Some("tracer"), "made-up"));
            assert!(request.header("connection").is_none() && request.api_key.as_deref() != Some("none"));
            (request.path.clone(), content.start.clone())
        })
        .collect();
    found.sort();
    let sent = |number| {
        PROXIED
            .into_iter()
            .enumerate()
            .map(move |(index, [_, path])| (path.to_owned(), String::from_utf8(body(number, index)).unwrap()))
    };
    let mut expected: Vec<_> = (0..2).flat_map(sent).collect();
    expected.sort();
    assert_eq!(found, expected, "{}", run.own_lines());
}

#[test]
fn other_accounts_get_all_spans_and_statistics_compressed_and_under_their_own_keys() {
    const PORT: u16 = 28_130;
    struct TracerWithIntakes(Arc<EchoWithIntakes>);
    impl Handler for TracerWithIntakes {
        fn init(&self, call: &Call<'_>) -> Result<(), InitError> {
            self.0.init(call)
        }

        fn handle(&self, call: &Call<'_>) -> HandlerOutcome {
            accepted(&post("/v0.4/traces", &[], &tracer::v04(&[trace(number(call))])));
            HandlerOutcome::Response(b"null".to_vec())
        }
    }
    let handler = EchoWithIntakes::new([(PORT, failing_twice(Route::Traces))]);
    let endpoints = format!(r#"{{"http://127.0.0.1:{PORT}": ["first", "second"]}}"#);
    let variables =
        [("DD_APM_ADDITIONAL_ENDPOINTS", endpoints.as_str()), ("DD_LAMBDA_EXTENSION_COMPUTE_STATS", "true")];
    let function = Function::InProcess(Arc::new(TracerWithIntakes(handler.clone())));
    let Some(run) = run_sandbox(with(function, &variables), 3) else { return };
    assert_eq!(times(&run.intake), once(3));
    let delivered = handler.delivered(0);
    for key in ["first", "second"] {
        let of_key = || delivered.iter().filter(|request| request.api_key.as_deref() == Some(key));
        let spans: usize = of_key().map(|request| spans_of(&request.payload)).sum();
        let hits: u64 = of_key().map(|request| hits_of(&request.payload)).sum();
        assert_eq!((spans, hits), (6, 3), "{key}\n{}", run.own_lines());
        let is_compressed = |request: &intake::Request| matches!(request.encoding.as_str(), "zstd" | "gzip");
        assert!(of_key().all(|request| is_compressed(request) && request.problems.is_empty()), "{delivered:?}");
    }
}

fn spans_of(payload: &Payload) -> usize {
    let Payload::Traces(payload) = payload else { return 0 };
    payload.tracer_payloads.iter().flat_map(|tracer| &tracer.chunks).map(|chunk| chunk.spans.len()).sum()
}

fn hits_of(payload: &Payload) -> u64 {
    let Payload::Stats(payload) = payload else { return 0 };
    let buckets = payload.stats.iter().flat_map(|client| &client.buckets);
    buckets.flat_map(|bucket| &bucket.groups).map(|group| group.hits).sum()
}

#[test]
fn settings_filter_obfuscate_and_replace() {
    let function = sending(|_| {
        let tagged = |ids, key: &str, value: &str| {
            let mut span = span(ids, "root");
            span.meta.insert(key.to_owned(), value.to_owned());
            vec![span]
        };
        let mut traces = [
            tagged([1, 1, 0], "http.url", "http://user:secret@shop/orders/17?token=abc"),
            tagged([2, 2, 0], "team", "noisy"),
            tagged([3, 3, 0], "card", "number 1234-5678"),
            tagged([4, 4, 0], "path", "/health"),
        ];
        let [_, _, card, _] = &mut traces;
        card[0].metrics.insert("card.number".to_owned(), 4_111_111_111_111_111.0);
        for (key, value) in [("db.system", "mysql"), ("db.statement", "SELECT 'it\\' , secret' FROM t")] {
            card[0].meta.insert(key.to_owned(), value.to_owned());
        }
        accepted(&post("/v0.4/traces", &[], &tracer::v04(&traces)));
    });
    let variables = [
        ("DD_APM_FILTER_TAGS_REJECT", "team:noisy other"),
        ("DD_APM_FILTER_TAGS_REGEX_REJECT", "path:^/heal"),
        ("DD_APM_CONFIG_OBFUSCATION_HTTP_REMOVE_QUERY_STRING", "true"),
        ("DD_APM_CONFIG_OBFUSCATION_HTTP_REMOVE_PATHS_WITH_DIGITS", "true"),
        (
            "DD_APM_REPLACE_TAGS",
            r#"[{"name":"card","pattern":"[0-9]{4}","repl":"****"},{"name":"card.number","pattern":".+","repl":"****"}]"#,
        ),
    ];
    let Some(run) = run_sandbox(with(function, &variables), 1) else { return };
    let found: BTreeMap<u64, Span> = run.intake.spans().into_iter().map(|span| (span.trace_id, span)).collect();
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(found[&1].meta["http.url"], "http://shop/orders/??");
    let [card, number, query] = ["card", "card.number", "db.statement"].map(|key| &*found[&3].meta[key]);
    assert_eq!([card, number, query], ["number ****-****", "****", "SELECT ? FROM t"]);
    assert!(!found[&3].metrics.contains_key("card.number"), "{:?}", found[&3].metrics);
    assert!(!run.own_lines().contains("not supported"), "{}", run.own_lines());
}

/// Sends spans before its runtime asks for the first event.
struct TracerAtInit(Mutex<Vec<Reply>>);

impl Handler for TracerAtInit {
    fn init(&self, _: &Call<'_>) -> Result<(), InitError> {
        // No real runtime is there as fast as a thread of this process. 1F BE is 8126, and 0A is the state of a listener.
        let is_bound =
            || std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap().contains(":1FBE 00000000:0000 0A");
        eventually("the port is bound", is_bound);
        let info = tracer::Request { method: "GET", path: "/info", headers: &[], body: b"" }.send().unwrap();
        let traces = post("/v0.4/traces", &[], &tracer::v04(&[trace(0)]));
        self.0.lock().unwrap().extend([info, traces]);
        Ok(())
    }

    fn handle(&self, _: &Call<'_>) -> HandlerOutcome {
        HandlerOutcome::Response(b"null".to_vec())
    }
}

#[test]
fn early_tracer_connections_wait_and_are_served() {
    let programs = [Some(agent()), has_short_order("the launcher").then(launched)];
    for extension in programs.into_iter().flatten() {
        if !BIND_FIRST {
            eprintln!("not tested: this build binds its ports late");
            return;
        }
        let early = Arc::new(TracerAtInit(Mutex::default()));
        let setup = Setup { extensions: vec![extension], ..with(Function::InProcess(early.clone()), &[]) };
        let Some(run) = run_sandbox(setup, 1) else { return };
        let replies = early.0.lock().unwrap();
        assert!(replies[0].status == 200 && replies[0].body.contains(r#""/evp_proxy/v2/""#), "{replies:?}");
        accepted(&replies[1]);
        assert_eq!(times(&run.intake), once(1));
    }
}

#[test]
fn rejected_payloads_are_counted_and_logged_at_shutdown() {
    let function = sending(|number| {
        accepted(&post("/v0.4/traces", &[], &tracer::v04(&[trace(number)])));
        post("/profiling/v1/input", &[], b"profile");
    });
    let refuse = |route| Rule { route, window: Window::ALWAYS, response: intake::RuleResponse::status(400) };
    let rules = [Route::Traces, Route::Stats, Route::Proxied].map(refuse).to_vec();
    let plan = Plan { rules, ..Plan::default() };
    let variables = [("DD_LAMBDA_EXTENSION_COMPUTE_STATS", "true")];
    let Some(sandbox) = start(Setup { intake: Some(plan), ..with(function, &variables) }) else { return };
    let invocations = invoke(&sandbox, 0..2);
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    let expected = "4 spans, 1 trace statistics, 2 requests of tracers were dropped or not confirmed";
    assert!(run.own_lines().contains(expected), "{}", run.own_lines());
}

#[test]
fn an_oversized_span_is_logged_once_with_the_limit() {
    let function = sending(|_| {
        let mut large = span([1, 1, 0], "large");
        large.meta.insert("blob".to_owned(), "x".repeat(12_100_000));
        accepted(&post("/v0.4/traces", &[], &tracer::v04(&[vec![large, span([1, 2, 1], "small")]])));
    });
    let Some(run) = run_sandbox(Setup { timeout: Duration::from_secs(30), ..with(function, &[]) }, 1) else { return };
    assert_eq!(times(&run.intake), BTreeMap::from([((1, 2), 1)]));
    let lines = run.own_lines();
    let dropped: Vec<_> = lines.lines().filter(|line| line.contains("FLUSH |") || line.contains("TRACES |")).collect();
    assert_eq!(dropped.len(), 1, "{lines}");
    assert!(dropped[0].contains("| FLUSH | 1 spans were dropped: each is larger than 12000000 bytes\""), "{lines}");
}

#[test]
fn a_dropped_span_and_a_dropped_statistic_each_change_the_digest() {
    let function = sending(|number| accepted(&post("/v0.4/traces", &[], &tracer::v04(&[trace(number)]))));
    let variables = [("DD_LAMBDA_EXTENSION_COMPUTE_STATS", "true")];
    let Some(run) = run_sandbox(with(function, &variables), 2) else { return };
    let digest = |requests: &[intake::Request]| measure::digest(requests, &run.ending.output);
    let whole = digest(&run.ending.requests);
    let planted = |drop: fn(&mut Payload) -> bool| {
        let mut requests = run.ending.requests.clone();
        assert!(requests.iter_mut().any(|request| drop(&mut request.payload)), "there is nothing to be dropped");
        digest(&requests)
    };
    let without_span = planted(|payload| match payload {
        Payload::Traces(payload) => payload.tracer_payloads[0].chunks[0].spans.pop().is_some(),
        _ => false,
    });
    let without_statistic = planted(|payload| match payload {
        Payload::Stats(payload) => payload.stats[0].buckets[0].groups.pop().is_some(),
        _ => false,
    });
    assert!(whole != without_span && whole != without_statistic && without_span != without_statistic);
}

#[test]
fn every_strategy_delivers_every_span_once() {
    for strategy in ["default", "end", "periodically,1", "continuously,1", "continuously,600000"] {
        let function = sending(|number| accepted(&post("/v0.4/traces", &[], &tracer::v04(&[trace(number)]))));
        let setup = setup_with(function, &[("DD_SERVERLESS_FLUSH_STRATEGY", strategy)]);
        let Some(run) = run_sandbox(setup, 4) else { return };
        assert_eq!(times(&run.intake), once(4), "{strategy}");
    }
}

/// Ten megabytes of spans, as they are stated for the payload of one invocation at most.
#[test]
fn a_large_trace_arrives_as_a_whole() {
    let function = sending(|_| {
        let spans = (0..400).map(|number| {
            let mut span = span([1, number + 2, u64::from(number > 0) * 2], "order.process");
            span.meta.insert("blob".to_owned(), format!("{number} ").repeat(6_000));
            span
        });
        accepted(&post("/v0.4/traces", &[], &tracer::v04(&[spans.collect()])));
    });
    let setup = Setup { timeout: Duration::from_secs(30), ..with(function, &[("DD_LOG_LEVEL", "debug")]) };
    let Some(run) = run_sandbox(setup, 1) else { return };
    let spans = times(&run.intake);
    assert_eq!((spans.len(), spans.values().sum::<usize>()), (400, 400));
    let size = |marker: &str, lines: &str| {
        let at = lines.find(marker).unwrap() + marker.len();
        lines[at..].chars().take_while(char::is_ascii_digit).collect::<String>().parse::<usize>().unwrap()
    };
    let lines = run.own_lines();
    assert!(size("TRACES | trace payload size after enrichment: ", &lines) > 8_000_000, "{lines}");
    assert!(size("payload(s) totaling ", &lines) > 8_000_000, "{lines}");
}
