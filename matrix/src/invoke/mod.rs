//! `cargo matrix invoke`: runs a function with the extension in a sandbox and shows what would reach Datadog.

mod arguments;
pub mod build;
mod correlation;
mod document;
mod error;
mod layers;
mod observe;
mod page;
mod render;
pub mod run_summary;
mod session;
mod stream;
mod target;
pub mod timeline;
pub mod traces;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

pub use arguments::Arguments;
pub use error::Error;

use arguments::{Init, Network};
use document::Document;
use observe::Seen;
use page::page;
use render::{Page, render};
use run_summary::{Expected, RunSummary, Verdict};
use session::{End, Load};
use stream::Printer;
use target::Target;
use tempfile::TempDir;
use timeline::timeline;

use crate::sandbox::function::node::{self, NodeEnvironment};
use crate::sandbox::function::python::PythonEnvironment;
use crate::sandbox::setup::{self, Extension, Initialization, Output, Setup};
use crate::sandbox::{Function, intake};
use crate::terminal;

/// The name with which bottlecap registers, which has to be the name of its file.
const AGENT: &str = "datadog-agent";

/// Exit statuses, as in the help.
mod status {
    pub(super) const USAGE: u8 = 2;
    pub(super) const FUNCTION_FAILED: u8 = 3;
    pub(super) const EXTENSION_CRASHED: u8 = 4;
    pub(super) const PAYLOAD_LOST: u8 = 5;
    pub(super) const SETUP_FAILED: u8 = 6;
    /// The status with which shells report a process that SIGINT has ended.
    pub(super) const INTERRUPTED: u8 = 130;
}

/// Runs the verb and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    let printer = Arc::new(Printer::new(arguments.json));
    let plan = match Plan::of(arguments, &printer) {
        Ok(plan) => plan,
        Err(error) => {
            let status = if error.is_usage() { status::USAGE } else { status::SETUP_FAILED };
            return terminal::exit_with_error(&error, status);
        }
    };
    let expected = expected(&plan.setup);
    let noticed = || eprintln!("Interrupted: waiting for this invocation and its flush; once more ends it at once.");
    let load = Load { event: plan.event, times: arguments.times, asynchronous: arguments.asynchronous };
    match session::run(plan.setup, load, noticed) {
        End::Seen(seen) => report(arguments, &seen, expected, &printer),
        End::Nothing => ExitCode::from(status::INTERRUPTED),
        End::Failed(error) => terminal::exit_with_error(&error, status::SETUP_FAILED),
    }
}

fn report(arguments: &Arguments, seen: &Seen, expected: Expected, printer: &Printer) -> ExitCode {
    let run_summary = RunSummary::of(&seen.run(expected));
    let timeline = timeline(&seen.ending.journal, &seen.ending.requests);
    if let Some(path) = &arguments.html {
        let text = page(&name(&arguments.function), &run_summary, &timeline);
        if let Err(source) = std::fs::write(path, text) {
            return terminal::exit_with_error(&Error::Html { path: path.clone(), source }, status::SETUP_FAILED);
        }
    }
    if arguments.json {
        let function = arguments.function.display().to_string();
        let _ = terminal::print_json(&Document::new(&function, &run_summary, &timeline, seen));
    } else {
        let page = Page { width: printer.width(), colours: printer.colours() };
        printer.text(&render(&run_summary, page));
    }
    match run_summary.verdict {
        Verdict::Delivered => ExitCode::SUCCESS,
        Verdict::FunctionFailed => status::FUNCTION_FAILED.into(),
        Verdict::ExtensionCrashed => status::EXTENSION_CRASHED.into(),
        Verdict::PayloadLost => status::PAYLOAD_LOST.into(),
        Verdict::Interrupted => status::INTERRUPTED.into(),
    }
}

/// What the command line asks for, with its dependencies built.
struct Plan {
    setup: Setup,
    event: Vec<u8>,
    /// The directories with the unpacked layers and with the function beside its packages; dropping them removes them.
    _unpacked: [Option<TempDir>; 2],
}

impl Plan {
    fn of(arguments: &Arguments, printer: &Arc<Printer>) -> Result<Self, Error> {
        let target = Target::of(arguments)?;
        let event = target.event(arguments.event.as_deref())?;
        let program = arguments.extension.as_deref().map(target::executable).transpose()?;
        let unpacked = layers::unpacked(&arguments.layers)?;
        let image = arguments.opt.as_deref().map(layers::of_image).transpose()?;
        let opt = image.or_else(|| unpacked.as_ref().map(|opt| opt.path().to_owned()));
        let extensions = match (program, &opt) {
            (Some(program), _) => vec![extension(program)],
            (None, Some(opt)) => layers::extensions(opt, arguments.opt.is_some())?,
            (None, None) if arguments.no_extension => Vec::new(),
            (None, None) => vec![Extension::new(AGENT, build::extension(arguments.profile)?)],
        };
        let (function, deployed) = function(target)?;
        let setup = Setup {
            function,
            extensions,
            opt,
            memory_mb: arguments.memory,
            timeout: Duration::from_secs(arguments.timeout.into()),
            environment: arguments.environment.iter().map(|all| (all.name.clone(), all.value.clone())).collect(),
            function_name: name(&arguments.function),
            initialization: initialization(arguments.init),
            network: network(arguments.network),
            intake: Some(intake::Plan::default()),
            output: output(printer),
            ..Setup::default()
        };
        Ok(Self { setup, event, _unpacked: [unpacked, deployed] })
    }
}

/// The function with what it needs installed, and the copy of its directory, if it runs in one.
fn function(target: Target) -> Result<(Function, Option<TempDir>), Error> {
    let function = match target {
        Target::Null => Function::null(),
        Target::Program { directory, program, handler } => Function::Process {
            program,
            arguments: Vec::new(),
            task_root: directory,
            handler,
            environment: std::collections::BTreeMap::new(),
        },
        Target::Node { directory, handler } => return node_function(directory, handler),
        Target::Python { directory, handler } => {
            let spinner = build::spinner();
            let progress = |step: &str| spinner.set_message(step.to_owned());
            let python = PythonEnvironment::ensure(&crate::workspace::target_directory(), progress)?;
            let packages = python.packages(&directory, progress)?;
            spinner.finish_and_clear();
            let command = python.command(&handler);
            Function::Process {
                program: command.program,
                arguments: command.arguments,
                task_root: directory,
                handler,
                environment: target::python_variables(python.version(), packages.as_deref()),
            }
        }
    };
    Ok((function, None))
}

fn node_function(directory: PathBuf, handler: String) -> Result<(Function, Option<TempDir>), Error> {
    let spinner = build::spinner();
    let progress = |step: &str| spinner.set_message(step.to_owned());
    let environment = NodeEnvironment::ensure(&crate::workspace::target_directory(), progress)?;
    let packages = environment.packages(&directory, progress)?;
    spinner.finish_and_clear();
    let deployed = packages.map(|packages| node::deployed(&directory, &packages)).transpose()?;
    let command = environment.command(&handler);
    let function = Function::Process {
        program: command.program,
        arguments: command.arguments,
        task_root: deployed.as_ref().map_or(directory, |deployed| deployed.path().to_owned()),
        handler,
        environment: target::node_variables(environment.version()),
    };
    Ok((function, deployed))
}

/// The extension of a program. A build of bottlecap is named as it registers, any other extension after its file.
fn extension(program: PathBuf) -> Extension {
    let file = name(&program);
    let name = if file == "bottlecap" { AGENT.to_owned() } else { file };
    Extension::new(name, program)
}

/// What a Datadog extension has to send with these variables. Nothing is expected of other extensions.
fn expected(setup: &Setup) -> Expected {
    let switch = |variable: &str| {
        setup.environment.get(variable).map(|value| matches!(value.trim().to_lowercase().as_str(), "true" | "1"))
    };
    // Both names are one setting: logs are on if either is set to true, or if neither is set.
    let logs: Vec<bool> = ["DD_SERVERLESS_LOGS_ENABLED", "DD_LOGS_ENABLED"].into_iter().filter_map(switch).collect();
    let agent = setup.extensions.iter().any(|extension| extension.name == AGENT);
    Expected {
        logs: agent && (logs.is_empty() || logs.contains(&true)),
        enhanced_metrics: agent && switch("DD_ENHANCED_METRICS").unwrap_or(true),
    }
}

fn output(printer: &Arc<Printer>) -> Output {
    let printer = Arc::clone(printer);
    Output::To(Arc::new(move |stream, line| {
        printer.line(&stream.origin.to_string(), stream.origin == setup::Origin::Function, line);
    }))
}

fn initialization(init: Init) -> Initialization {
    match init {
        Init::OnDemand => Initialization::OnDemand,
        Init::ProvisionedConcurrency => Initialization::ProvisionedConcurrency,
        Init::SnapStart => Initialization::SnapStart,
        Init::ManagedInstances => Initialization::ManagedInstances,
    }
}

fn network(network: Network) -> setup::Network {
    match network {
        Network::Host => setup::Network::Host,
        Network::Isolated => setup::Network::Isolated,
    }
}

/// The last component of a path, also for `.`.
fn name(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.file_name().map_or_else(|| "function".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected_with(name: &str, variables: &[(&str, &str)]) -> (bool, bool) {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let extensions = vec![Extension::new(name, "/bin/true")];
        let expected = expected(&Setup { extensions, environment, ..Setup::default() });
        (expected.logs, expected.enhanced_metrics)
    }

    #[test]
    fn what_is_expected_follows_the_switches_of_the_agent() {
        assert_eq!(expected_with(AGENT, &[]), (true, true));
        assert_eq!(expected_with("another", &[]), (false, false));
        assert_eq!(expected_with(AGENT, &[("DD_ENHANCED_METRICS", "FALSE")]), (true, false));
        assert_eq!(expected_with(AGENT, &[("DD_LOGS_ENABLED", "false")]), (false, true));
        let both = [("DD_SERVERLESS_LOGS_ENABLED", "false"), ("DD_LOGS_ENABLED", "true")];
        assert_eq!(expected_with(AGENT, &both), (true, true), "either name switches logs on");
    }

    #[test]
    fn builds_of_bottlecap_are_called_by_the_name_they_register_with() {
        assert_eq!(extension(PathBuf::from("/target/debug/bottlecap")).name, AGENT);
        assert_eq!(extension(PathBuf::from("/opt/extensions/other")).name, "other");
    }
}
