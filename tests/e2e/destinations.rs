//! Where logs go besides Datadog's intake, or in its place.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, mpsc},
    thread,
};

use matrix::sandbox::{
    Function, Setup,
    function::{Call, Handler, HandlerOutcome, InitError},
    intake::{self, Intake, Payload, Plan, Request, Route, Window},
    setup::Initialization,
};
use serde_json::Value;

use crate::support::{Run, echo, request_id, run_sandbox, setup, setup_with, text};

/// A function that echoes, with other intakes in the sandbox's network.
#[derive(Default)]
pub struct EchoWithIntakes {
    plans: Vec<(u16, Plan)>,
    intakes: Mutex<Vec<Intake>>,
}

impl EchoWithIntakes {
    pub fn new<const N: usize>(plans: [(u16, Plan); N]) -> Arc<Self> {
        Arc::new(Self { plans: plans.into(), ..Self::default() })
    }

    pub fn delivered(&self, index: usize) -> Vec<Request> {
        self.intakes.lock().unwrap()[index].delivered()
    }
}

impl Handler for EchoWithIntakes {
    /// A thread is in the network of the thread that started it.
    fn init(&self, _: &Call<'_>) -> Result<(), InitError> {
        let (sender, receiver) = mpsc::channel();
        let plans = self.plans.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for (port, plan) in plans {
                    sender.send(Intake::start((Ipv4Addr::LOCALHOST, port).into(), plan).await.unwrap()).unwrap();
                }
                drop(sender);
                std::future::pending::<()>().await;
            });
        });
        *self.intakes.lock().unwrap() = receiver.iter().collect();
        Ok(())
    }

    fn handle(&self, call: &Call<'_>) -> HandlerOutcome {
        call.print(format!("{} {}", String::from_utf8_lossy(call.event), call.request_id));
        HandlerOutcome::Response(call.event.to_vec())
    }
}

/// The texts under one key, sorted: each is to come once, in whatever order.
fn texts_under(requests: &[Request], key: &str) -> Vec<String> {
    let of_key = requests.iter().filter(|request| request.api_key.as_deref() == Some(key));
    let mut texts: Vec<_> = of_key.flat_map(logs).map(|log| text(log).to_owned()).collect();
    texts.sort_unstable();
    texts
}

fn logs(request: &Request) -> &[Value] {
    match &request.payload {
        intake::Payload::Logs(logs) => logs,
        _ => &[],
    }
}

fn sorted(run: &Run) -> Vec<String> {
    let mut texts = run.messages();
    texts.sort_unstable();
    texts
}

#[test]
fn every_account_gets_all_logs_under_its_own_key() {
    const PORT: u16 = 28_126;
    let busy = Plan::rule(Route::Logs, Window::first(1), intake::RuleResponse::status(500));
    let handler = EchoWithIntakes::new([(PORT, busy)]);
    let endpoint = |key: &str, port: u16| {
        format!(r#"{{"api_key":"{key}","Host":"http://127.0.0.1","Port":{port},"is_reliable":true}}"#)
    };
    let all = format!("[{},{},{}]", endpoint("first", PORT), endpoint("second", PORT), endpoint("nobody", 1));
    let variables = [("DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS", all.as_str()), ("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let run = run_sandbox(setup_with(Function::InProcess(handler.clone()), &variables), 3);
    run.assert_unharmed();
    run.assert_exactly_once();
    let delivered = handler.delivered(0);
    for key in ["first", "second"] {
        assert_eq!(texts_under(&delivered, key), sorted(&run), "{key}");
    }
    assert!(delivered.iter().all(|request| request.encoding == "zstd" && request.problems.is_empty()));
    assert!(run.own_lines().contains("logs were dropped or not confirmed"), "{}", run.own_lines());
}

#[test]
fn a_worker_gets_the_logs_as_they_are_in_place_of_datadog() {
    const WORKER: u16 = 28_127;
    const ANOTHER: u16 = 28_128;
    let handler = EchoWithIntakes::new([(WORKER, Plan::default()), (ANOTHER, Plan::default())]);
    // The fake worker reads logs under this path only; the real one takes whatever path it is configured with.
    let url = format!("http://127.0.0.1:{WORKER}/api/v2/logs");
    let additional = format!(r#"[{{"api_key":"theirs","Host":"http://127.0.0.1","Port":{ANOTHER}}}]"#);
    let variables = [
        ("DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED", "true"),
        ("DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL", url.as_str()),
        ("DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS", additional.as_str()),
        ("DD_API_KEY", "ours"),
    ];
    let run = run_sandbox(setup_with(Function::InProcess(handler.clone()), &variables), 3);
    run.assert_unharmed();
    assert!(run.intake.logs().is_empty(), "nothing reaches Datadog by another way");
    assert_eq!(run.count("invocations"), 3, "metrics still do");
    let (at_worker, at_another) = (handler.delivered(0), handler.delivered(1));
    assert_eq!(texts_under(&at_worker, "ours"), texts_under(&at_another, "theirs"));
    assert!(texts_under(&at_worker, "ours").iter().any(|text| text.starts_with("REPORT ")));
    for request in &at_worker {
        assert_eq!((request.encoding.as_str(), request.header("dd-protocol")), ("identity", None));
    }
    for request in &at_another {
        assert_eq!((request.encoding.as_str(), request.header("dd-protocol")), ("zstd", Some("agent-json")));
    }
}

#[test]
fn a_worker_that_cannot_be_found_gets_nothing_and_neither_does_datadog() {
    let run = run_sandbox(setup_with(echo(), &[("DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED", "true")]), 2);
    run.assert_unharmed();
    assert!(run.intake.logs().is_empty());
    assert_eq!(run.count("invocations"), 2);
    assert!(run.own_lines().contains("DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL"), "{}", run.own_lines());
}

#[test]
fn managed_instance_lines_have_request_id_only_from_json() {
    let function = Function::from_fn(|call| {
        call.print("plain");
        call.print(format!(r#"{{"requestId":"{}","text":"own"}}"#, call.request_id));
        HandlerOutcome::Response(b"null".to_vec())
    });
    let run = run_sandbox(Setup { initialization: Initialization::ManagedInstances, ..setup(function) }, 2);
    run.assert_unharmed();
    let logs = run.intake.logs();
    let ids = |has: &str| logs.iter().filter(|log| text(log).contains(has)).map(request_id).collect::<Vec<_>>();
    assert_eq!(ids("plain"), [None, None]);
    let mut own = ids("\"own\"");
    let mut known: Vec<_> = run.invocations.iter().map(|invocation| Some(invocation.request_id.as_str())).collect();
    own.sort_unstable();
    known.sort_unstable();
    assert_eq!(own, known);
    let plain = logs.iter().find(|log| text(log) == "plain").unwrap();
    assert!(plain["message"]["lambda"].as_object().unwrap().contains_key("request_id"), "the key is always there");
}

#[test]
fn logs_go_where_the_intake_is_under_the_headers_that_it_wants() {
    let run = run_sandbox(setup_with(echo(), &[("DD_API_KEY", "ours")]), 2);
    run.assert_unharmed();
    run.assert_exactly_once();
    let logs: Vec<_> = run.ending.requests.iter().filter(|it| matches!(it.payload, Payload::Logs(_))).collect();
    assert!(!logs.is_empty());
    for request in logs {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/v2/logs"));
        for (name, value) in [
            ("dd-api-key", "ours"),
            ("dd-protocol", "agent-json"),
            ("content-type", "application/json"),
            ("content-encoding", "zstd"),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        assert_eq!(request.problems, Vec::<String>::new());
    }
}
