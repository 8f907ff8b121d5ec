//! What the function's own code measures, from its datagrams to the intake.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use matrix::sandbox::{
    Function, Sandbox, Setup,
    function::{Call, Handler, HandlerOutcome, InitError},
    intake::{self, Kind, Payload, Plan, Route, Series, Window},
    isolation,
    journal::JournalEvent,
    setup::{Initialization, Network, Origin},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use socket2::{Domain, Socket, Type};

use crate::{
    launcher::launched,
    support::{self, Run, agent, babble, end, has_short_order, invoke, setup, setup_with},
};

/// Sends every item as a datagram of its own, from whatever network the calling thread is in.
fn send(datagrams: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for datagram in datagrams {
        socket.send_to(datagram.as_ref(), (Ipv4Addr::LOCALHOST, 8125)).unwrap();
    }
}

/// A function that sends these datagrams at every event.
fn sending(datagrams: &'static [&'static str]) -> Function {
    Function::from_fn(move |_| {
        send(datagrams);
        HandlerOutcome::Response(b"null".to_vec())
    })
}

/// Starts a sandbox. None on a machine that gives it no network of its own: the port of one test would be another's there.
fn start(setup: Setup) -> Option<Sandbox> {
    let sandbox = Sandbox::start(setup).unwrap();
    let isolated = sandbox.journal().iter().any(|entry| entry.what == JournalEvent::NetworkIsolated);
    if !isolated {
        isolation::skip("this machine gives a sandbox no network of its own");
    }
    isolated.then_some(sandbox)
}

/// Starts a sandbox, invokes the function so many times, and ends the sandbox; the intake may find nothing wrong.
fn run_sandbox(setup: Setup, times: usize) -> Option<Run> {
    let sandbox = start(setup)?;
    let invocations = invoke(&sandbox, 0..times);
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    run.assert_no_problems();
    Some(run)
}

/// All delivered series of a metric.
fn series(intake: &intake::Intake, metric: &str) -> Vec<Series> {
    let of = |payload: Payload| if let Payload::Series(all) = payload { all } else { Vec::new() };
    let all = intake.delivered().into_iter().flat_map(|request| of(request.payload));
    all.filter(|series| series.metric == metric).collect()
}

/// The sum of all delivered points of a metric.
fn sum(intake: &intake::Intake, metric: &str) -> f64 {
    intake.points(metric).iter().map(|point| point.sum).sum()
}

fn assert_sum(run: &Run, metric: &str, expected: f64) {
    let found = sum(&run.intake, metric);
    assert!((found - expected).abs() < 1e-6, "{metric}: {found} instead of {expected}\n{}", run.own_lines());
}

/// The number before these words in the extension's last account; 0 if it does not have them.
fn given_up(run: &Run, what: &str) -> u32 {
    let own = run.own_lines();
    let account = own.lines().find(|line| line.contains("were dropped or not confirmed")).unwrap_or_default();
    let words: Vec<_> = account.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    words.windows(2).find(|pair| pair[1] == what).map_or(0, |pair| pair[0].parse().unwrap())
}

const WITH_DATADOGS_CLIENT: &str = r#"
from datadog import initialize, statsd

initialize(statsd_host="127.0.0.1", statsd_port=8125, statsd_constant_tags=["team:shop"])

def handler(event, context):
    statsd.increment("shop.orders", tags=["store:berlin", "kind:web"])
    statsd.increment("shop.orders", 4, tags=["kind:web", "store:berlin"])
    statsd.decrement("shop.orders", 2, tags=["kind:web", "store:berlin"])
    statsd.gauge("shop.stock", 17)
    statsd.gauge("shop.stock", 12.5)
    statsd.histogram("shop.basket", 30)
    statsd.distribution("shop.basket", 50)
    statsd.timing("shop.latency", 120)
    with statsd.timed("shop.block"):
        pass
    for customer in ["ann", "bob", "ann"]:
        statsd.set("shop.customers", customer)
    statsd.gauge_with_timestamp("shop.then", 3, 1600000005)
    statsd.count_with_timestamp("shop.then.count", 4, 1600000005)
    statsd.event("a title", "a text", tags=["x:y"])
    statsd.service_check("shop.up", 0, message="all well")
    statsd.flush()
    return event
"#;

#[test]
fn datadogs_own_client_is_understood() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("requirements.txt"), "datadog==0.56.0\n").unwrap();
    let function = support::python(&directory, WITH_DATADOGS_CLIENT);
    let variables = [("DD_TAGS", "layer:api")];
    let Some(run) = run_sandbox(Setup { timeout: Duration::from_secs(30), ..setup_with(function, &variables) }, 3)
    else {
        return;
    };

    assert_sum(&run, "shop.orders", 9.0);
    let orders = &series(&run.intake, "shop.orders")[0];
    assert_eq!((orders.kind, orders.interval), (Kind::Count, 10));
    assert_eq!(orders.origin.map(|origin| (origin.product, origin.category, origin.service)), Some((1, 38, 472)));
    for tag in ["store:berlin", "kind:web", "team:shop", "layer:api", "functionname:function", "region:us-east-1"] {
        assert!(orders.tags.contains(&tag.to_owned()), "{tag} in {:?}", orders.tags);
    }
    let stock = series(&run.intake, "shop.stock");
    assert!(stock.iter().all(|series| series.kind == Kind::Gauge));
    assert!((stock.last().unwrap().points.last().unwrap().value - 12.5).abs() < f64::EPSILON);
    assert_eq!(run.intake.points("shop.basket").iter().map(|point| point.cnt).sum::<i64>(), 6);
    assert_sum(&run, "shop.basket", 240.0);
    assert_sum(&run, "shop.latency", 360.0);
    assert_eq!(run.intake.points("shop.block").iter().map(|point| point.cnt).sum::<i64>(), 3);
    let customers = series(&run.intake, "shop.customers");
    assert!(customers.iter().all(|set| set.kind == Kind::Gauge), "{customers:?}");
    let most = customers.iter().flat_map(|set| &set.points).map(|point| point.value).fold(0.0, f64::max);
    assert!((most - 2.0).abs() < f64::EPSILON, "ann and bob: {customers:?}");
    assert_eq!(run.intake.points("shop.then")[0].ts, 1_600_000_000);
    assert_sum(&run, "shop.then.count", 12.0);
    let own = run.own_lines();
    for what in ["events", "service checks"] {
        assert_eq!(own.matches(&format!("{what} are not supported and are ignored")).count(), 1, "{own}");
    }
    assert!(!own.contains("DOGSTATSD | the line"), "{own}");
}

#[test]
fn what_was_sent_before_the_end_has_arrived_before_the_freeze() {
    let function = sending(&["a:1|c\nb:2|g", "c:3:4|ms", "d:x|s", "nonsense", "e:1|c|@0.25"]);
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let Some(sandbox) = start(setup_with(function, &variables)) else { return };
    for times in 1..=3 {
        let invocation = sandbox.invoke(b"0").unwrap();
        let intake = sandbox.intake().unwrap();
        for (metric, value) in [("a", 1.0), ("b", 2.0), ("c", 7.0), ("d", 1.0), ("e", 4.0)] {
            // Each flush sends what it has of an interval, so that there is a point for each.
            let found = sum(intake, metric);
            assert!((found - value * f64::from(times)).abs() < 1e-9, "{metric}: {found} after {times}, {invocation:?}");
        }
    }
    let run = end(sandbox, Vec::new());
    run.assert_orderly_end();
    run.assert_no_problems();
}

#[test]
fn unparsable_lines_are_one_warning_that_counts_them() {
    let function = sending(&["first\x1b nonsense", "a:1|c\nb:x|c", "c:1"]);
    let Some(run) = run_sandbox(setup_with(function, &[("DD_SERVERLESS_FLUSH_STRATEGY", "end")]), 1) else { return };
    assert_sum(&run, "a", 1.0);
    let own = run.own_lines();
    let warnings: Vec<_> = own.lines().filter(|line| line.contains("DOGSTATSD | the line")).collect();
    let [warning] = warnings[..] else { panic!("{own}") };
    assert!(warning.contains(r#""status":"WARN""#), "{warning}");
    assert!(
        warning.contains(r#"\"first\\u{1b} nonsense\" has no name and is ignored, and so are 2 other"#),
        "{warning}"
    );
}

#[test]
fn out_of_range_sample_rates_are_ignored() {
    const VALUES: i64 = 4_000;
    let datagram = format!("rare{}|d|@0.000001", ":1".repeat(4_000));
    let function = Function::from_fn(move |_| {
        send(std::iter::repeat_n(&datagram, 100));
        send(["usual:1|c"]);
        HandlerOutcome::Response(b"null".to_vec())
    });
    let Some(run) = run_sandbox(setup(function), 1) else { return };
    let lost = i64::from(given_up(&run, "datagrams"));
    let points = run.intake.points("rare");
    let counted: i64 = points.iter().map(|point| point.cnt).sum();
    // The last one may be among those that the system could not keep.
    let usual = i64::from(sum(&run.intake, "usual") > 0.0);
    assert_eq!(counted, (101 - lost - usual) * VALUES * 1_000_000, "{lost} lost\n{}", run.own_lines());
    assert!(counted > 0 && run.sent_bytes("/api/beta/sketches") < 100_000);
}

#[test]
fn every_strategy_and_kind_of_sandbox_delivers_every_count_once() {
    let strategies = ["default", "end,1", "periodically,1", "continuously,1", "continuously,600000"];
    let setups = strategies
        .map(|strategy| setup_with(sending(&["a:1|c"; 3]), &[("DD_SERVERLESS_FLUSH_STRATEGY", strategy)]))
        .into_iter()
        .chain(
            [Initialization::ManagedInstances, Initialization::SnapStart, Initialization::ProvisionedConcurrency]
                .map(|initialization| Setup { initialization, ..setup(sending(&["a:1|c"; 3])) }),
        );
    for setup in setups {
        let Some(run) = run_sandbox(setup, 10) else { return };
        assert_sum(&run, "a", 30.0);
    }
}

/// Sends as soon as there is somebody to send to, which is before the first event.
struct DogStatsdAtInit;

impl Handler for DogStatsdAtInit {
    fn init(&self, _: &Call<'_>) -> Result<(), InitError> {
        // No real runtime is there as fast as a thread of this process. 1F BD is 8125.
        let bound = || std::fs::read_to_string("/proc/thread-self/net/udp").unwrap().contains(":1FBD ");
        let began = Instant::now();
        while !bound() && began.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_micros(100));
        }
        send(["early:1|c"; 20]);
        Ok(())
    }

    fn handle(&self, _: &Call<'_>) -> HandlerOutcome {
        HandlerOutcome::Response(b"null".to_vec())
    }
}

#[test]
fn what_is_sent_before_the_first_event_waits_for_us() {
    let mut extensions = vec![agent()];
    extensions.extend(has_short_order("the launcher").then(launched));
    for extension in extensions {
        let setup = setup(Function::InProcess(Arc::new(DogStatsdAtInit)));
        let Some(run) = run_sandbox(Setup { extensions: vec![extension], ..setup }, 1) else { return };
        assert_sum(&run, "early", 20.0);
    }
}

#[test]
fn a_flood_is_survived_and_every_datagram_accounted_for() {
    const SENT: u32 = 30_000;
    let agent = Arc::new(OnceLock::<Pid>::new());
    let stopped = agent.clone();
    let function = Function::from_fn(move |_| {
        // What stands still reads nothing, however fast it is otherwise.
        kill(*stopped.wait(), Signal::SIGSTOP).unwrap();
        send(std::iter::repeat_n("flood:1|c|#some:tag,another:tag", SENT as usize));
        kill(*stopped.wait(), Signal::SIGCONT).unwrap();
        HandlerOutcome::Response(b"null".to_vec())
    });
    let variables = [("DD_DOGSTATSD_QUEUE_SIZE", "4")];
    let setup = Setup { timeout: Duration::from_mins(1), ..setup_with(function, &variables) };
    let Some(sandbox) = start(setup) else { return };
    let pid = sandbox.journal().iter().find_map(|entry| match entry.what {
        JournalEvent::Executed { origin: Origin::Extension(_), pid } => Some(Pid::from_raw(pid)),
        _ => None,
    });
    agent.set(pid.unwrap()).unwrap();
    let invocations = invoke(&sandbox, 0..2);
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    run.assert_no_problems();
    let lost = given_up(&run, "datagrams");
    assert!(lost > 0, "neither the queue nor the socket has room for so many\n{}", run.own_lines());
    assert_sum(&run, "flood", f64::from(2 * SENT - lost));
    assert!(run.own_lines().contains("datagrams came faster than they could be read"), "{}", run.own_lines());
    assert_eq!(run.count("invocations"), 2);
}

#[test]
fn taken_port_disables_dogstatsd_only() {
    support::in_own_network(|| {
        let _holder = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 8125)).unwrap();
        let mut extensions = vec![agent()];
        extensions.extend(has_short_order("the launcher").then(launched));
        for extension in extensions {
            let setup = Setup { network: Network::Host, extensions: vec![extension], ..setup(support::echo()) };
            let run = support::run_sandbox(setup, 3);
            run.assert_unharmed();
            run.assert_exactly_once();
            assert!(run.own_lines().contains("cannot bind port 8125"), "{}", run.own_lines());
        }
    });
}

#[test]
fn names_and_tags_are_as_the_customer_set_them() {
    let variables = [
        ("DD_STATSD_METRIC_NAMESPACE", "shop"),
        ("DD_LAMBDA_CUSTOMER_METRICS_EXCLUDE_TAGS", "function_arn,region"),
        ("DD_METRICS_CONFIG_COMPRESSION_LEVEL", "1"),
    ];
    let Some(run) = run_sandbox(setup_with(sending(&["orders:1|c", "basket:2|d"]), &variables), 1) else { return };
    let has = |tags: &[String], key: &str| tags.iter().any(|tag| tag.starts_with(&format!("{key}:")));
    let orders = &series(&run.intake, "shop.orders")[0];
    let basket = &run.intake.points("shop.basket")[0];
    for tags in [&orders.tags, &basket.tags] {
        assert!(!has(tags, "function_arn") && !has(tags, "region"), "{tags:?}");
        assert!(has(tags, "functionname") && has(tags, "account_id"), "{tags:?}");
    }
    assert!(orders.origin.is_some(), "it is still known where this comes from");
    let enhanced = &run.intake.points("aws.lambda.enhanced.duration")[0];
    assert!(has(&enhanced.tags, "function_arn") && has(&enhanced.tags, "region"), "{:?}", enhanced.tags);
}

#[test]
fn an_outage_of_the_series_intake_loses_and_repeats_nothing() {
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let plan = Plan::rule(Route::Series, Window::first(5), intake::RuleResponse::status(503));
    let setup = Setup { intake: Some(plan), ..setup_with(sending(&["a:1|c", "b:1|d"]), &variables) };
    let Some(run) = run_sandbox(setup, 5) else { return };
    assert_sum(&run, "a", 5.0);
    assert_sum(&run, "b", 5.0);
}

/// Another account's intake, opened by the function in the sandbox's network before its first event.
struct FunctionWithIntake {
    plan: Plan,
    intake: Mutex<Option<intake::Intake>>,
}

const ANOTHER: u16 = 28_125;
/// Nobody accepts connections here, and as many wait already as may: further ones get no answer at all.
const SWALLOWING: u16 = 28_124;

fn swallow_connections() -> impl Sized {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, SWALLOWING));
    listener.bind(&address.into()).unwrap();
    listener.listen(0).unwrap();
    (listener, TcpStream::connect(address).unwrap())
}

impl FunctionWithIntake {
    fn new(plan: Plan) -> Self {
        Self { plan, intake: Mutex::default() }
    }
}

impl Handler for FunctionWithIntake {
    fn init(&self, _: &Call<'_>) -> Result<(), InitError> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let plan = self.plan.clone();
        thread::spawn(move || {
            let _swallowing = swallow_connections();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                sender.send(intake::Intake::start((Ipv4Addr::LOCALHOST, ANOTHER).into(), plan).await.unwrap()).unwrap();
                std::future::pending::<()>().await;
            });
        });
        *self.intake.lock().unwrap() = receiver.recv().ok();
        Ok(())
    }

    fn handle(&self, _: &Call<'_>) -> HandlerOutcome {
        send(["a:1|c", "b:2|d"]);
        HandlerOutcome::Response(b"null".to_vec())
    }
}

#[test]
fn every_account_gets_all_metrics_under_its_own_key() {
    let plan = Plan::rule(Route::Sketches, Window::first(1), intake::RuleResponse::status(500));
    let another = Arc::new(FunctionWithIntake::new(plan));
    let endpoints =
        format!(r#"{{"http://127.0.0.1:{ANOTHER}": ["first", "second"], "http://127.0.0.1:1": ["nobody"]}}"#);
    let variables = [("DD_ADDITIONAL_ENDPOINTS", endpoints.as_str())];
    let setup = setup_with(Function::InProcess(another.clone()), &variables);
    let Some(sandbox) = start(Setup { timeout: Duration::from_secs(30), ..setup }) else { return };
    let invocations = invoke(&sandbox, 0..3);
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    assert_sum(&run, "a", 3.0);
    assert_sum(&run, "b", 6.0);
    assert_eq!(run.count("invocations"), 3);
    let delivered = another.intake.lock().unwrap().clone().unwrap().delivered();
    for key in ["first", "second"] {
        let payloads =
            || delivered.iter().filter(|request| request.api_key.as_deref() == Some(key)).map(|it| &it.payload);
        let a: f64 = payloads().map(total_of_a).sum();
        let b: i64 = payloads().map(samples_of_b).sum();
        assert!((a - 3.0).abs() < 1e-9 && b == 3, "{key}: {a} {b}\n{}", run.own_lines());
    }
    assert!(given_up(&run, "series") > 0, "nobody answers for the third key\n{}", run.own_lines());
}

/// One account refuses connections, never answers, or is not reached at all; the other is slow, and still gets everything before the function's answer counts, and
/// what is left at the end.
#[test]
fn failing_organization_delays_no_other() {
    for port in [1, ANOTHER, SWALLOWING] {
        for strategy in ["end", "continuously,1"] {
            let another = Arc::new(FunctionWithIntake::new(Plan::rule(
                Route::Any,
                Window::ALWAYS,
                intake::RuleResponse::Silence,
            )));
            let endpoints = format!(r#"{{"http://127.0.0.1:{port}": ["another"]}}"#);
            let variables =
                [("DD_ADDITIONAL_ENDPOINTS", endpoints.as_str()), ("DD_SERVERLESS_FLUSH_STRATEGY", strategy)];
            let slow = Plan::rule(Route::Any, Window::ALWAYS, intake::RuleResponse::Delay(Duration::from_millis(400)));
            let setup = setup_with(Function::InProcess(another), &variables);
            let Some(sandbox) = start(Setup { intake: Some(slow), timeout: Duration::from_secs(3), ..setup }) else {
                return;
            };
            let mut invocations = Vec::new();
            for times in 1..=6 {
                support::invoke_next(&sandbox, &mut invocations);
                let delivered = sum(sandbox.intake().unwrap(), "a");
                let all = (delivered - f64::from(times)).abs() < 1e-9;
                assert!(all || strategy != "end", "{port}: {delivered} of {times}, {invocations:?}");
            }
            let run = end(sandbox, invocations);
            run.assert_unharmed();
            assert_sum(&run, "a", 6.0);
            for invocation in &run.invocations[1..] {
                let quick = invocation.duration < Duration::from_millis(1500);
                assert!(quick, "{port} {strategy}: only the first waits for the other account: {invocation:?}");
            }
        }
    }
}

fn total_of_a(payload: &Payload) -> f64 {
    let Payload::Series(all) = payload else { return 0.0 };
    let points = all.iter().filter(|series| series.metric == "a").flat_map(|series| &series.points);
    points.map(|point| point.value).sum()
}

fn samples_of_b(payload: &Payload) -> i64 {
    let Payload::Sketches(all) = payload else { return 0 };
    let points = all.iter().filter(|sketch| sketch.metric == "b").flat_map(|sketch| &sketch.distributions);
    points.map(|point| point.cnt).sum()
}

#[test]
fn function_without_metrics_sends_no_metrics_request() {
    let run = support::run_sandbox(setup(support::echo()), 3);
    run.assert_unharmed();
    assert_eq!(run.count("invocations"), 3, "requests of other kinds have arrived");
    assert!(run.ending.requests.iter().all(|request| request.path != "/api/v2/series"));
}

#[test]
fn metrics_are_compressed_as_hard_as_is_asked_for() {
    let lines: Vec<_> = (0..1_800).map(|number| format!("{}:1|c", babble(number))).collect();
    let datagrams: Vec<_> = lines.chunks(60).map(|lines| lines.join("\n")).collect();
    let sent = |variable: &str, level: &str| {
        let datagrams = datagrams.clone();
        let function = Function::from_fn(move |_| {
            send(&datagrams);
            HandlerOutcome::Response(b"null".to_vec())
        });
        let run = run_sandbox(setup_with(function, &[(variable, level)]), 1)?;
        assert_sum(&run, &babble(1_799), 1.0);
        Some(run.sent_bytes("/api/v2/series"))
    };
    for variable in ["DD_METRICS_CONFIG_COMPRESSION_LEVEL", "DD_COMPRESSION_LEVEL"] {
        let Some((little, much)) = sent(variable, "1").zip(sent(variable, "19")) else { return };
        assert!(much < little / 20 * 19, "{variable}: {little} and {much} bytes");
    }
}
