//! The sandbox setups of a condition, prepared once for all of its starts.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::measured_cell::MeasuredCell;
use super::produced::Refusals;
use super::{Error, exercise, phases, trust, writing};
use crate::plan::{Cache, Condition, DELIVERY, InjectedFault, Latency, Regime};
use crate::sandbox::faults::{Calls, Effect, Endpoint, Fault};
use crate::sandbox::function::python::PythonEnvironment;
use crate::sandbox::function::{Call, Handler, HandlerOutcome, InitError};
use crate::sandbox::setup::{Cpu, Delivery, Mount, Order, Setup};
use crate::sandbox::{Function, Sandbox, intake};
use crate::workspace::target_directory;

/// The event of every invocation.
pub(super) const EVENT: &[u8] = br#"{"measured": true}"#;
/// The line that every function but the null function prints in each invocation, so that there is a log to deliver.
const LINE: &str = "the function has been invoked";
/// Latencies of the platform, as measured on Lambda by the authors of public extensions.
const REGISTER: Duration = Duration::from_micros(2500);
const SUBSCRIBE: Duration = Duration::from_millis(25);
/// The delay of a platform with an injected fault.
const SLOW: Duration = Duration::from_millis(20);
/// The duration of an invocation of a settled extension.
const WORK: Duration = Duration::from_millis(50);
/// The function timeout, long enough for the smallest memory tier with a throttled init.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A condition with everything that its sandboxes need.
#[derive(Debug)]
pub(super) struct Scenario {
    pub condition: Condition,
    function: Function,
    mounts: Vec<Mount>,
    /// The file for the extension's checkpoints.
    trace: PathBuf,
}

impl Scenario {
    /// Prepares the scenario below `directory`. `notice` is called before slow steps.
    pub(super) fn prepare(condition: &Condition, directory: &Path, notice: &dyn Fn(&str)) -> Result<Self, Error> {
        let directory = std::path::absolute(directory).map_err(writing(directory))?;
        Ok(Self {
            condition: condition.clone(),
            function: function(&condition.runtime, &directory.join("function"), notice)?,
            mounts: trust::mounts(
                condition.trust_store,
                &directory.join("trust").join(format!("{:?}", condition.trust_store)),
            )?,
            trace: directory.join("trace"),
        })
    }

    /// Removes the checkpoints of an earlier start and returns the path for new ones.
    pub(super) fn clear_trace(&self) -> &Path {
        let _ = fs::remove_file(&self.trace);
        &self.trace
    }

    /// The setup of an untimed start, which checks deliveries.
    pub(super) fn delivery_setup(&self, cell: &MeasuredCell) -> Setup {
        Setup {
            extensions: vec![cell.extension(self.condition.appsec)],
            intake: Some(intake(self.condition.fault)),
            // Statistics are computed of what tracers do not count themselves.
            environment: [(COMPUTE_STATS.to_owned(), "true".to_owned())].into(),
            timeout: exercise::TIMEOUT,
            cpu: Cpu::Unlimited,
            ..self.empty()
        }
    }

    /// A setup without extensions.
    fn empty(&self) -> Setup {
        Setup {
            function: self.function.clone(),
            memory_mb: self.condition.memory_mb,
            timeout: TIMEOUT,
            cpu: match self.condition.regime {
                Regime::Boosted => Cpu::Boosted,
                Regime::Throttled => Cpu::Throttled,
            },
            mounts: self.mounts.clone(),
            faults: [latencies(self.condition.platform), faults(self.condition.fault)].concat(),
            delivery: delivery(self.condition.fault),
            // On Lambda the first event of an on-demand environment follows the init at once. Here the shutdown follows the last event.
            freeze: false,
            ..Setup::default()
        }
    }

    /// The setup of one start. Taking footprints costs time, so no time may be measured in a sandbox with `footprints`.
    pub(super) fn setup(&self, cell: &MeasuredCell, footprints: bool) -> Setup {
        let mut extension = cell.extension(self.condition.appsec);
        if cell.ours {
            extension.environment.insert(phases::VARIABLE.to_owned(), self.trace.display().to_string());
        }
        Setup {
            extensions: vec![extension],
            intake: Some(intake(self.condition.fault)),
            footprints,
            cold: self.condition.cache == Cache::Cold,
            function: match &self.function {
                Function::Null if footprints => Function::from_fn(work),
                function => function.clone(),
            },
            ..self.empty()
        }
    }

    /// The refusals of this machine under this condition.
    pub(super) fn refusals(&self) -> Result<Refusals, Error> {
        let setup = Setup { function: Function::Null, footprints: true, ..self.empty() };
        Ok(Refusals::of(&self.condition, &Sandbox::start(setup)?.shutdown()?.journal))
    }
}

/// With it an extension computes the statistics of spans.
const COMPUTE_STATS: &str = "DD_LAMBDA_EXTENSION_COMPUTE_STATS";

fn delay(endpoint: Endpoint, delay: Duration) -> Fault {
    Fault { endpoint, calls: Calls::Every, effect: Effect::Delay(delay) }
}

fn latencies(latency: Latency) -> Vec<Fault> {
    match latency {
        Latency::Loopback => Vec::new(),
        Latency::Lambda => vec![delay(Endpoint::Register, REGISTER), delay(Endpoint::Subscribe, SUBSCRIBE)],
    }
}

fn faults(fault: InjectedFault) -> Vec<Fault> {
    match fault {
        InjectedFault::Platform => vec![
            delay(Endpoint::Register, SLOW),
            delay(Endpoint::Subscribe, SLOW),
            Fault { endpoint: Endpoint::ExtensionNext, calls: Calls::Only(2), effect: Effect::Reset },
        ],
        InjectedFault::None | InjectedFault::Intake | InjectedFault::Telemetry => Vec::new(),
    }
}

fn delivery(fault: InjectedFault) -> Delivery {
    match fault {
        InjectedFault::Telemetry => Delivery {
            order: Order::Shuffled { seed: 1 },
            duplicate_every: NonZeroU32::new(2),
            delay: SLOW,
            ..Delivery::default()
        },
        InjectedFault::None | InjectedFault::Intake | InjectedFault::Platform => Delivery::default(),
    }
}

/// The plan of the intake. With an injected fault, two requests fail before the first payload is accepted, so both have to be sent again.
fn intake(fault: InjectedFault) -> intake::Plan {
    let rule = |skip, answer| intake::Rule {
        route: intake::Route::Any,
        window: intake::Window::Requests { skip, take: Some(1) },
        response: answer,
    };
    match fault {
        InjectedFault::Intake => intake::Plan {
            rules: vec![rule(0, intake::RuleResponse::Reset), rule(1, intake::RuleResponse::status(503))],
            ..intake::Plan::default()
        },
        InjectedFault::None | InjectedFault::Telemetry | InjectedFault::Platform => intake::Plan::default(),
    }
}

fn function(runtime: &str, directory: &Path, notice: &dyn Fn(&str)) -> Result<Function, Error> {
    let unknown = || Error::Runtime(runtime.to_owned());
    match (runtime, runtime.strip_prefix("sleep:")) {
        ("null", _) => Ok(Function::Null),
        ("python", _) => python(directory, notice),
        (DELIVERY, _) => Ok(Function::InProcess(Arc::new(exercise::Exercise))),
        (_, Some(milliseconds)) => {
            let milliseconds = milliseconds.parse().map_err(|_| unknown())?;
            Ok(Function::InProcess(Arc::new(DelayedRuntime(Duration::from_millis(milliseconds)))))
        }
        _ => Err(unknown()),
    }
}

/// A function that works for [`WORK`], the duration for which the cost of an invocation is stated. Its runtime needs no time to start.
fn work(_call: &Call<'_>) -> HandlerOutcome {
    std::thread::sleep(WORK);
    HandlerOutcome::Response(b"null".to_vec())
}

/// A runtime that initializes for this long and answers every event with `null`.
struct DelayedRuntime(Duration);

impl Handler for DelayedRuntime {
    fn init(&self, _init: &Call<'_>) -> Result<(), InitError> {
        std::thread::sleep(self.0);
        Ok(())
    }

    fn handle(&self, call: &Call<'_>) -> HandlerOutcome {
        call.print(LINE);
        HandlerOutcome::Response(b"null".to_vec())
    }
}

fn python(directory: &Path, notice: &dyn Fn(&str)) -> Result<Function, Error> {
    let environment = PythonEnvironment::ensure(&target_directory(), notice)?;
    let handler = "function.handler".to_owned();
    let command = environment.command(&handler);
    let file = directory.join("function.py");
    fs::create_dir_all(directory).map_err(writing(directory))?;
    fs::write(&file, format!("def handler(event, context):\n    print({LINE:?})\n")).map_err(writing(&file))?;
    let variables = [
        // Bytecode left behind would speed up the next start.
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ("AWS_EXECUTION_ENV", format!("AWS_Lambda_python{}", environment.version())),
    ];
    Ok(Function::Process {
        program: command.program,
        arguments: command.arguments,
        task_root: directory.to_owned(),
        handler,
        environment: variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_are_named_and_others_refused() {
        let of = |name: &str| function(name, Path::new("/nonexistent"), &|_| {});
        assert!(matches!(of("null"), Ok(Function::Null)));
        assert!(matches!(of("sleep:12"), Ok(Function::InProcess(_))));
        for name in ["sleep:", "sleep:x", "node", ""] {
            assert!(matches!(of(name), Err(Error::Runtime(refused)) if refused == name), "{name}");
        }
    }

    #[test]
    fn lambdas_latencies_delay_two_endpoints() {
        assert_eq!(latencies(Latency::Loopback), []);
        let endpoints: Vec<_> = latencies(Latency::Lambda).iter().map(|fault| fault.endpoint).collect();
        assert_eq!(endpoints, [Endpoint::Register, Endpoint::Subscribe]);
    }
}
