//! A sandbox with our extension in it, and the questions that every test asks of what arrived.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use matrix::sandbox::{
    Ending, Extension, Function, Invocation, Outcome, Sandbox, Setup,
    function::{Answer, python::PythonEnvironment},
    intake::{Intake, Plan},
    isolation,
};
use serde_json::Value;

/// Our extension, under the name that it must have.
pub fn agent() -> Extension {
    Extension::new("datadog-agent", env!("CARGO_BIN_EXE_bottlecap"))
}

/// A function with our extension and an intake beside it.
pub fn setup(function: Function) -> Setup {
    Setup { function, extensions: vec![agent()], intake: Some(Plan::default()), ..Setup::default() }
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
        Answer::Response(call.event.to_vec())
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
        assert!(!isolation::is_required(), "no network of its own: {refused}");
        eprintln!("not tested: this machine gives a test no network of its own: {refused}");
    }
}

/// Everything about one sandbox's life.
pub struct Life {
    pub invocations: Vec<Invocation>,
    pub intake: Intake,
    pub ending: Ending,
}

/// Starts the sandbox, sends `times` events that hold their number, and ends the sandbox.
pub fn live(setup: Setup, times: usize) -> Life {
    let sandbox = Sandbox::start(setup).unwrap();
    let invocations = invoke(&sandbox, 0..times);
    end(sandbox, invocations)
}

/// Sends events that hold these numbers.
pub fn invoke(sandbox: &Sandbox, numbers: std::ops::Range<usize>) -> Vec<Invocation> {
    numbers.map(|number| sandbox.invoke(number.to_string().as_bytes()).unwrap()).collect()
}

/// Ends the sandbox.
pub fn end(sandbox: Sandbox, invocations: Vec<Invocation>) -> Life {
    let intake = sandbox.intake().unwrap().clone();
    let ending = sandbox.shutdown().unwrap();
    Life { invocations, intake, ending }
}

impl Life {
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

    /// Every invocation succeeded, and our extension ended by itself when it was asked to.
    pub fn assert_unharmed(&self) {
        for invocation in &self.invocations {
            assert_eq!(invocation.outcome, Outcome::Success, "{}", self.own_lines());
        }
        self.assert_orderly_end();
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

    /// Every invocation left `<number> <its own request id>` exactly once, under its own request id, and was counted exactly once.
    pub fn assert_exactly_once(&self) {
        let mut seen = BTreeMap::new();
        for log in self.intake.logs() {
            *seen.entry((text(&log).to_owned(), request_id(&log).map(str::to_owned))).or_insert(0) += 1;
        }
        for (number, invocation) in self.invocations.iter().enumerate() {
            let id = Some(invocation.request_id.clone());
            let line = format!("{number} {}", invocation.request_id);
            assert_eq!(seen.get(&(line.clone(), id)), Some(&1), "{line}\n{}", self.own_lines());
        }
        let times = self.invocations.len();
        for beginning in ["START RequestId: ", "END RequestId: ", "REPORT RequestId: "] {
            assert_eq!(self.count_messages(beginning), times, "{beginning}");
        }
        for metric in ["invocations", "duration", "runtime_duration", "billed_duration", "estimated_cost"] {
            assert_eq!(self.count(metric), i64::try_from(times).unwrap(), "{metric}");
        }
    }

    /// How much was sent to a path, in bytes of bodies as they were sent.
    pub fn sent_bytes(&self, path: &str) -> usize {
        self.ending.requests.iter().filter(|request| request.path == path).map(|request| request.wire_bytes).sum()
    }

    /// What our extension printed, for messages of failed assertions and for tests of its words.
    pub fn own_lines(&self) -> String {
        let lines = self.ending.output.iter().filter(|line| line.stream.origin.to_string() == "datadog-agent");
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
pub fn scripted(answers: impl IntoIterator<Item = Answer>) -> Function {
    let answers = Arc::new(Mutex::new(answers.into_iter().collect::<std::collections::VecDeque<_>>()));
    Function::from_fn(move |_| {
        answers.lock().unwrap().pop_front().unwrap_or_else(|| Answer::Response(b"null".to_vec()))
    })
}
