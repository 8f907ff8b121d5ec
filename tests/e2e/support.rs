//! A sandbox with our extension in it, and the questions that every test asks of what arrived.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use bottlecap::features;
use matrix::sandbox::{
    Extension, Function, Invocation, Outcome, Sandbox, SandboxRecord, Setup, Status,
    function::{HandlerOutcome, python::PythonEnvironment},
    intake::{Intake, Plan},
    isolation,
    journal::JournalEvent,
    setup::{Limits, Origin},
};
use serde_json::Value;

/// Datadog's library for functions in Python, with its tracer.
pub const TRACED_PYTHON: &str = include_str!("../../examples/traced-python/requirements.txt");

/// Our extension, under the name that it must have.
pub fn agent() -> Extension {
    Extension::new("datadog-agent", env!("CARGO_BIN_EXE_bottlecap"))
}

/// A function with our extension and an intake beside it.
pub fn setup(function: Function) -> Setup {
    // The extension takes 1.85 s of the shutdown phase at most, of which Lambda has 2 s: a machine that is busy with other tests may need longer for the end of a
    // process, which is no fault of the extension's.
    let limits = Limits { shutdown_external: Duration::from_secs(5), ..Limits::default() };
    Setup { function, extensions: vec![agent()], intake: Some(Plan::default()), limits, ..Setup::default() }
}

/// The same with variables of the customer's.
pub fn setup_with(function: Function, variables: &[(&str, &str)]) -> Setup {
    let environment = variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Setup { environment, ..setup(function) }
}

/// A function of this process that prints `<event> <request id>` and answers with the event.
pub fn echo() -> Function {
    Function::from_fn(|call| {
        call.print(format!("{} {}", String::from_utf8_lossy(call.event), call.request_id));
        HandlerOutcome::Response(call.event.to_vec())
    })
}

/// A function in real Python under the real runtime client; `source` defines `handler`, and a `requirements.txt` in the directory is installed. The directory
/// lives as long as the function is used.
pub fn python(directory: &tempfile::TempDir, source: &str) -> Function {
    python_through(directory, source, "function.handler")
}

/// The same, with a handler of a library's in front of it.
pub fn python_through(directory: &tempfile::TempDir, source: &str, handler: &str) -> Function {
    std::fs::write(directory.path().join("function.py"), source).unwrap();
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let environment = PythonEnvironment::ensure(&target, |_| {}).unwrap();
    let packages = environment.packages(directory.path(), |_| {}).unwrap();
    let path = packages.map(|packages| ("PYTHONPATH".to_owned(), packages.display().to_string()));
    let command = environment.command(handler);
    Function::Process {
        program: command.program,
        arguments: command.arguments,
        task_root: directory.path().to_owned(),
        handler: handler.to_owned(),
        environment: path.into_iter().collect(),
    }
}

/// Runs a test whose sandboxes have the network of their host in a network of its own, so that no port of another test's or of the machine's is in its way.
pub fn in_own_network(test: impl FnOnce() + Send) {
    if let Err(refused) = matrix::sandbox::in_own_network(test) {
        isolation::skip(&format!("this machine gives a test no network of its own: {refused}"));
    }
}

/// How long a test waits for an event. Much longer than a loaded machine needs, since only a failing test waits that long.
const PATIENCE: Duration = Duration::from_mins(1);

/// Polls until something has happened; fails after a minute.
pub fn eventually(what: &str, mut has_happened: impl FnMut() -> bool) {
    let latest = Instant::now() + PATIENCE;
    while !has_happened() {
        assert!(Instant::now() < latest, "did not happen: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether this build has the short startup order, without which there is no launcher either. Prints what is not tested otherwise.
pub fn has_short_order(what: &str) -> bool {
    if !features::EARLY_NEXT {
        eprintln!("not tested: {what}: this build does not have the short startup order");
    }
    features::EARLY_NEXT
}

/// Whether a request waits for its response. Right after an invocation: whether one is open while the sandbox is frozen.
pub fn has_open_request(sandbox: &Sandbox) -> bool {
    sandbox.intake().unwrap().requests().iter().any(|request| request.ended.is_none())
}

/// Invokes the function until a request is open while the sandbox is frozen, which needs a flush in the background.
pub fn invoke_until_request_is_open(sandbox: &Sandbox, invocations: &mut Vec<Invocation>) {
    eventually("a request is open while the sandbox is frozen", || {
        invoke_next(sandbox, invocations);
        has_open_request(sandbox)
    });
}

/// Sends one more event, which holds its number.
pub fn invoke_next(sandbox: &Sandbox, invocations: &mut Vec<Invocation>) {
    let number = invocations.len();
    invocations.extend(invoke(sandbox, number..number + 1));
}

/// The run of one sandbox: its invocations, what the intake received, and how it ended.
pub struct Run {
    pub invocations: Vec<Invocation>,
    pub intake: Intake,
    pub ending: SandboxRecord,
}

/// Starts the sandbox, sends `times` events that hold their number, and ends the sandbox.
pub fn run_sandbox(setup: Setup, times: usize) -> Run {
    let sandbox = Sandbox::start(setup).unwrap();
    let invocations = invoke(&sandbox, 0..times);
    end(sandbox, invocations)
}

/// Sends events that hold these numbers.
pub fn invoke(sandbox: &Sandbox, numbers: std::ops::Range<usize>) -> Vec<Invocation> {
    numbers.map(|number| sandbox.invoke(number.to_string().as_bytes()).unwrap()).collect()
}

/// Ends the sandbox.
pub fn end(sandbox: Sandbox, invocations: Vec<Invocation>) -> Run {
    let intake = sandbox.intake().unwrap().clone();
    let ending = sandbox.shutdown().unwrap();
    Run { invocations, intake, ending }
}

impl Run {
    /// The texts of all delivered logs.
    pub fn messages(&self) -> Vec<String> {
        self.intake.logs().iter().map(|log| text(log).to_owned()).collect()
    }

    /// How often delivered logs have a text that begins like this.
    pub fn count_messages(&self, beginning: &str) -> usize {
        self.messages().iter().filter(|message| message.starts_with(beginning)).count()
    }

    /// How many samples of an enhanced metric were delivered.
    pub fn count(&self, metric: &str) -> i64 {
        self.intake.points(&format!("aws.lambda.enhanced.{metric}")).iter().map(|point| point.cnt).sum()
    }

    /// Every invocation succeeded, for the caller and in the platform's report; no extension was started twice; the sandbox ended once, because it was no
    /// longer needed; and our extension ended by itself when it was asked to.
    pub fn assert_unharmed(&self) {
        for invocation in &self.invocations {
            assert_eq!(invocation.outcome, Outcome::Success, "{}", self.own_lines());
            let reported = (invocation.status, invocation.error_type.as_deref());
            assert_eq!(reported, (Status::Success, None), "{invocation:?}\n{}", self.own_lines());
        }
        let starts = self.extension_starts();
        assert!(!starts.is_empty() && starts.values().all(|count| *count == 1), "{starts:?}\n{}", self.own_lines());
        assert_eq!(self.shutdown_reasons(), ["spindown"], "{}", self.own_lines());
        self.assert_orderly_end();
    }

    /// How often each extension was executed.
    fn extension_starts(&self) -> BTreeMap<String, usize> {
        let mut starts = BTreeMap::new();
        for entry in &self.ending.journal {
            match &entry.what {
                JournalEvent::Executed { origin: Origin::Extension(name), .. } => {
                    *starts.entry(name.to_string()).or_default() += 1;
                }
                JournalEvent::NotExecuted { origin, reason } => panic!("{origin:?} was not executed: {reason}"),
                _ => {}
            }
        }
        starts
    }

    fn shutdown_reasons(&self) -> Vec<&'static str> {
        let reason = |what: &JournalEvent| {
            if let JournalEvent::ShutdownStarted { reason } = what { Some(*reason) } else { None }
        };
        self.ending.journal.iter().filter_map(|entry| reason(&entry.what)).collect()
    }

    /// A request was open when our extension got its SHUTDOWN event, and the extension waited for its answer.
    pub fn assert_shutdown_waited_for_an_open_request(&self) {
        let is_sent =
            |what: &JournalEvent| matches!(what, JournalEvent::ShutdownSent { name } if name == "datadog-agent");
        let sent = self.ending.journal.iter().find(|entry| is_sent(&entry.what)).unwrap().wall;
        let open: Vec<_> = self.ending.requests.iter().filter(|request| request.is_open_at(sent)).collect();
        assert!(!open.is_empty(), "no request was open at the shutdown, so nothing is tested");
        for request in open {
            assert!(request.delivered(), "{} {:?}\n{}", request.path, request.answer, self.own_lines());
        }
    }

    /// Our extension ended by itself when it was asked to.
    pub fn assert_orderly_end(&self) {
        let agent = self.ending.extensions.iter().find(|exit| exit.name == "datadog-agent").unwrap();
        assert!(!agent.killed && agent.status == "exit status: 0", "{agent:?}\n{}", self.own_lines());
    }

    /// The intake found nothing wrong with any request.
    pub fn assert_no_problems(&self) {
        for request in &self.ending.requests {
            assert_eq!(request.problems, Vec::<String>::new(), "{} {}", request.method, request.path);
        }
    }

    /// Every invocation left `<number> <its own request id>` once, under its own request id and no other, and so its START, END and REPORT lines; and was
    /// counted once, with its own durations.
    pub fn assert_exactly_once(&self) {
        let logs = self.intake.logs();
        let ids_of = |is_wanted: &dyn Fn(&str) -> bool| {
            logs.iter()
                .filter(|log| is_wanted(text(log)))
                .map(|log| request_id(log).map(str::to_owned))
                .collect::<Vec<_>>()
        };
        for (number, invocation) in self.invocations.iter().enumerate() {
            let id = &invocation.request_id;
            let own = [Some(id.clone())];
            assert_eq!(ids_of(&|text| text == format!("{number} {id}")), own, "line {number}\n{}", self.own_lines());
            for beginning in ["START", "END", "REPORT"] {
                let line = format!("{beginning} RequestId: {id}");
                assert_eq!(ids_of(&|text| text.starts_with(&line)), own, "{line}\n{}", self.own_lines());
            }
        }
        let times = self.invocations.len();
        for beginning in ["START RequestId: ", "END RequestId: ", "REPORT RequestId: "] {
            assert_eq!(self.count_messages(beginning), times, "{beginning}");
        }
        for metric in ["invocations", "duration", "runtime_duration", "billed_duration", "estimated_cost"] {
            assert_eq!(self.count(metric), i64::try_from(times).unwrap(), "{metric}");
        }
        self.assert_measured("duration", 0.001, "platform.report", "durationMs");
        self.assert_measured("billed_duration", 0.001, "platform.report", "billedDurationMs");
        self.assert_measured("runtime_duration", 1.0, "platform.runtimeDone", "durationMs");
    }

    /// An enhanced metric has the values that the platform's telemetry has for these invocations. Points of one second are one sketch, so what can be compared
    /// is their sum: a value that is missing and another that is there twice make a difference.
    fn assert_measured(&self, metric: &str, unit: f64, kind: &str, field: &str) {
        let value = |id: &str| {
            let of = |event: &&Value| event["type"] == kind && event["record"]["requestId"] == id;
            let event = self.ending.telemetry.iter().find(of).unwrap();
            event["record"]["metrics"][field].as_f64().unwrap() * unit
        };
        let expected: f64 = self.invocations.iter().map(|invocation| value(&invocation.request_id)).sum();
        let points = self.intake.points(&format!("aws.lambda.enhanced.{metric}"));
        let found: f64 = points.iter().map(|point| point.sum).sum();
        assert!((found - expected).abs() <= 1e-9 * expected, "{metric}: {found} instead of {expected}");
    }

    /// How much was sent to a path, in bytes of bodies as they were sent.
    pub fn sent_bytes(&self, path: &str) -> usize {
        self.ending.requests.iter().filter(|request| request.path == path).map(|request| request.wire_bytes).sum()
    }

    /// What our extension printed, for messages of failed assertions and for tests of its words.
    pub fn own_lines(&self) -> String {
        let lines = self.ending.output.iter().filter(|line| line.origin.to_string() == "datadog-agent");
        lines.map(|line| String::from_utf8_lossy(&line.bytes).into_owned() + "\n").collect()
    }
}

/// Five words that are the same for the same number, and such that many of them compress the better the harder one tries.
pub fn babble(number: u32) -> String {
    const WORDS: [&str; 16] = [
        "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "islet", "jetty", "knoll", "ledge",
        "marsh", "notch", "orbit", "plain",
    ];
    let mixed = number.wrapping_mul(0x9E37_79B1).rotate_left(13).wrapping_mul(0x85EB_CA6B);
    [0, 7, 13, 19, 27].map(|shift| WORDS[(mixed >> shift) as usize % WORDS.len()]).join(".")
}

/// The text of a delivered log.
pub fn text(log: &Value) -> &str {
    log["message"]["message"].as_str().unwrap()
}

/// The request id of a delivered log.
pub fn request_id(log: &Value) -> Option<&str> {
    log["message"]["lambda"]["request_id"].as_str()
}

/// A function whose answers are given one by one.
pub fn scripted(answers: impl IntoIterator<Item = HandlerOutcome>) -> Function {
    let answers = Arc::new(Mutex::new(answers.into_iter().collect::<std::collections::VecDeque<_>>()));
    Function::from_fn(move |_| {
        answers.lock().unwrap().pop_front().unwrap_or_else(|| HandlerOutcome::Response(b"null".to_vec()))
    })
}
