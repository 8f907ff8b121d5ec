//! `cargo matrix invoke`: runs a function with the extension in a sandbox and shows what would reach Datadog.

mod arguments;
pub mod build;
mod correlation;
mod deployment;
mod document;
mod error;
mod events;
mod expected;
mod handlers;
mod layers;
mod limits;
mod log;
mod observe;
mod outputs;
mod page;
mod render;
pub mod run_summary;
pub mod security;
mod session;
mod stream;
mod target;
mod template;
mod text;
pub mod timeline;
pub mod traces;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use arguments::Arguments;
pub use error::Error;

use arguments::{Init, Network};
use document::Document;
use layers::LayerContents;
use observe::RunRecord;
use page::page;
use render::{Page, render};
use run_summary::{Assertions, ExpectedTelemetry, RunSummary, Verdict};
use session::{End, Load};
use stream::Printer;
use target::Target;
use timeline::timeline;

use crate::files;
use crate::sandbox::destinations::Destinations;
use crate::sandbox::function::node::{self, FunctionCopy, NodeEnvironment};
use crate::sandbox::function::python::PythonEnvironment;
use crate::sandbox::setup::{self, Cpu, Disk, Extension, Initialization, LayerFile, Output, Setup};
use crate::sandbox::{Function, intake};
use crate::terminal;

/// The name with which bottlecap registers, which has to be the name of its file.
const AGENT: &str = "datadog-agent";

/// The memory of a function of which nothing else is said, in MB.
const MEMORY_MB: u32 = 1024;
/// The size of its `/tmp` in MB.
const TMP_MB: u32 = 512;
/// Its timeout in seconds.
const TIMEOUT_SECONDS: u32 = 30;

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

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    let printer = Arc::new(Printer::new(arguments.json, arguments.quiet));
    let resolved = outputs::check(arguments).and_then(|()| deployment::resolved(arguments));
    let plan = resolved.and_then(|(arguments, notes)| {
        outputs::check(&arguments)?;
        Ok((Plan::of(&arguments, notes, &printer)?, arguments))
    });
    let (mut plan, arguments) = match plan {
        Ok(plan) => plan,
        Err(error) => {
            let status = if error.is_usage() { status::USAGE } else { status::SETUP_FAILED };
            return terminal::exit_with_error(&error, status);
        }
    };
    let (expected, of_settings) = expected::of(&plan.setup);
    plan.setup.ports = expected::otlp_ports(&plan.setup);
    let context =
        Context { expected, notes: [plan.notes, of_settings].concat(), requires_isolation: plan.requires_isolation };
    let noticed = || eprintln!("Interrupted: waiting for this invocation and its flush; once more ends it at once.");
    let load = Load { events: plan.events, times: arguments.times, asynchronous: arguments.asynchronous };
    match session::run(plan.setup, load, noticed) {
        End::Seen(seen) => report(&arguments, &seen, context, &printer),
        End::Nothing => ExitCode::from(status::INTERRUPTED),
        End::Failed(error) => terminal::exit_with_error(&error, status::SETUP_FAILED),
    }
}

/// What is known of a run besides its record.
struct Context {
    expected: ExpectedTelemetry,
    notes: Vec<String>,
    requires_isolation: bool,
}

fn report(arguments: &Arguments, seen: &RunRecord, context: Context, printer: &Printer) -> ExitCode {
    let mut run = seen.run(context.expected);
    run.notes.splice(0..0, context.notes);
    run.assertions = Assertions {
        logs: arguments.expected_logs.clone(),
        metrics: arguments.expected_metrics.clone(),
        nothing: arguments.expects_nothing,
    };
    run.network_refusal = seen.network_refusal().filter(|_| context.requires_isolation);
    let run_summary = RunSummary::of(&run);
    let timeline = timeline(&seen.record.journal, &seen.record.requests);
    if arguments.json {
        let function = arguments.function.display().to_string();
        let _ = terminal::print_json(&Document::new(&function, &run_summary, &timeline, seen));
    } else {
        let page = Page {
            width: printer.width(),
            colours: printer.colours(),
            all_logs: arguments.all_logs,
            tags: arguments.tags,
            logs: !arguments.no_logs,
            enhanced: !arguments.no_enhanced,
            brief: arguments.quiet,
        };
        printer.text(&render(&run_summary, page));
    }
    // Last, because a page that cannot be written is no reason to keep the run from its reader.
    if let Some(path) = &arguments.html
        && let Err(source) = files::write(path, page(&name(&arguments.function), &run_summary, &timeline))
    {
        return terminal::exit_with_error(&Error::Html { path: path.clone(), source }, status::SETUP_FAILED);
    }
    match run_summary.verdict {
        Verdict::Delivered => ExitCode::SUCCESS,
        Verdict::FunctionFailed => status::FUNCTION_FAILED.into(),
        Verdict::ExtensionCrashed => status::EXTENSION_CRASHED.into(),
        Verdict::PayloadLost => status::PAYLOAD_LOST.into(),
        Verdict::NotIsolated => status::SETUP_FAILED.into(),
        Verdict::Interrupted => status::INTERRUPTED.into(),
    }
}

/// What the command line asks for, with its dependencies built.
struct Plan {
    setup: Setup,
    events: Vec<Vec<u8>>,
    /// Notes for the reader.
    notes: Vec<String>,
    /// Whether a network of the machine's is a failure.
    requires_isolation: bool,
    _unpacked: Option<LayerContents>,
    _deployed: Option<FunctionCopy>,
}

impl Plan {
    fn of(arguments: &Arguments, mut notes: Vec<String>, printer: &Arc<Printer>) -> Result<Self, Error> {
        let environment: BTreeMap<String, String> =
            arguments.environment.iter().map(|all| (all.name.clone(), all.value.clone())).collect();
        limits::check_variables(&environment)?;
        let target = Target::of(arguments)?;
        let events = target.events(&arguments.events)?;
        events.iter().try_for_each(|event| check_event(event, arguments.asynchronous))?;
        let unpacked = layers::unpacked(&arguments.layers)?;
        let image = arguments.opt.as_deref().map(layers::of_image).transpose()?;
        let opt = image.or_else(|| unpacked.as_ref().map(|unpacked| unpacked.opt.clone()));
        let extensions = extensions(arguments, opt.as_deref())?;
        let destinations = if arguments.allow_network { Destinations::AsSet } else { Destinations::Intake };
        let mut preparation = Preparation { arguments, opt: opt.as_deref(), function_copy: None };
        let function = preparation.function(target, &mut notes)?;
        let deployed = preparation.function_copy;
        let mut setup = Setup {
            function,
            extensions,
            opt,
            memory_mb: arguments.memory.unwrap_or(MEMORY_MB),
            timeout: Duration::from_secs(arguments.timeout.unwrap_or(TIMEOUT_SECONDS).into()),
            environment,
            destinations,
            function_name: arguments.function_name.clone().unwrap_or_else(|| name(&arguments.function)),
            region: arguments.region.clone(),
            account_id: Some(arguments.account.clone()),
            initialization: initialization(arguments.init),
            network: network(arguments),
            cpu: Cpu::Boosted,
            disk: Disk::Private { tmp_mb: arguments.ephemeral_storage.unwrap_or(TMP_MB) },
            intake: Some(intake::Plan::default()),
            output: output(printer),
            ..Setup::default()
        };
        if expected::evaluates_requests(&setup) {
            add_waf(&mut setup, arguments.extension.is_some(), build::waf_files, &mut notes)?;
        }
        // Last, because the extension and the packages may have taken minutes, and the events are of the last seconds.
        let samples = arguments.sample_events.iter().map(|sample| sample.until(SystemTime::now()).into_bytes());
        let events = if arguments.sample_events.is_empty() { events } else { samples.collect() };
        let requires_isolation = arguments.network == Some(Network::Isolated);
        Ok(Self { setup, events, notes, requires_isolation, _unpacked: unpacked, _deployed: deployed })
    }
}

/// Adds what an agent evaluates requests with, unless the agent is of a layer, which has that itself. A program that the command line names does without it where it
/// cannot be built.
fn add_waf(
    setup: &mut Setup,
    is_named: bool,
    build: impl FnOnce() -> Result<Vec<LayerFile>, Error>,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let opt = setup.opt.as_deref();
    let is_ours = |extension: &&mut Extension| {
        extension.name == AGENT && opt.is_none_or(|opt| !extension.program.starts_with(opt))
    };
    let Some(agent) = setup.extensions.iter_mut().find(is_ours) else { return Ok(()) };
    match build() {
        Ok(files) => agent.layer_files = files,
        Err(Error::Build(output)) if is_named => {
            notes.push(format!("No request is evaluated, because the WAF worker could not be built: {output}"));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn check_event(event: &[u8], asynchronous: bool) -> Result<(), Error> {
    let limit = if asynchronous { limits::ASYNCHRONOUS_EVENT } else { limits::EVENT };
    if event.len() > limit { Err(Error::LargeEvent { bytes: event.len(), limit }) } else { Ok(()) }
}

/// The extensions that the command line asks for. Bottlecap is built unless it is excluded or replaced.
fn extensions(arguments: &Arguments, opt: Option<&Path>) -> Result<Vec<Extension>, Error> {
    let mut extensions = match opt {
        Some(opt) => layers::extensions(opt, arguments.opt.is_some())?,
        None => Vec::new(),
    };
    let has_agent = extensions.iter().any(|extension| extension.name == AGENT);
    if let Some(program) = &arguments.extension {
        let own = extension(target::executable(program)?);
        extensions.retain(|other| other.name != own.name);
        extensions.push(own);
    } else if !(arguments.no_extension || has_agent || arguments.opt.is_some()) {
        extensions.push(Extension::new(AGENT, build::extension(arguments.profile)?));
    }
    Ok(extensions)
}

/// What a function is prepared with.
struct Preparation<'a> {
    arguments: &'a Arguments,
    opt: Option<&'a Path>,
    /// The copy in which the function runs, if it does.
    function_copy: Option<FunctionCopy>,
}

impl Preparation<'_> {
    /// The function with what it needs installed.
    fn function(&mut self, target: Target, notes: &mut Vec<String>) -> Result<Function, Error> {
        match target {
            Target::Null => Ok(Function::null()),
            Target::Program { directory, program, handler } => Ok(Function::Process {
                program,
                arguments: Vec::new(),
                task_root: directory,
                handler,
                environment: BTreeMap::new(),
            }),
            Target::Python { directory, handler } => self.python(directory, handler, notes),
            Target::Node { directory, handler } => self.node(directory, handler, notes),
        }
    }

    fn node(&mut self, directory: PathBuf, handler: String, notes: &mut Vec<String>) -> Result<Function, Error> {
        let spinner = build::spinner();
        let progress = |step: &str| spinner.set_message(step.to_owned());
        let environment = NodeEnvironment::ensure(&crate::workspace::target_directory(), progress)?;
        let own = format!("nodejs{}.x", environment.version());
        self.require_runtime("nodejs", "Node")?;
        if let Some(wanted) = self.arguments.runtime.as_deref().filter(|wanted| *wanted != own) {
            notes.push(format!("The function runs with Node {}: this machine has no {wanted}.", environment.version()));
        }
        let packages = environment.packages(&directory, progress)?;
        spinner.finish_and_clear();
        if packages.as_ref().is_some_and(|packages| packages.has_sdk) {
            notes.push("AWS's SDK was installed for it, as Lambda's runtimes for Node have it.".to_owned());
        }
        self.function_copy = packages.map(|packages| node::deployed(&directory, &packages.directory)).transpose()?;
        let command = environment.command(&handler);
        Ok(Function::Process {
            program: command.program,
            arguments: command.arguments,
            task_root: self.function_copy.as_ref().map_or(directory, |deployed| deployed.directory.clone()),
            handler,
            environment: target::node_variables(environment.version(), self.variable("NODE_PATH"), self.opt),
        })
    }

    /// The customer's own value of a variable.
    fn variable(&self, name: &str) -> Option<&str> {
        let named = self.arguments.environment.iter().rev().find(|variable| variable.name == name);
        named.map(|variable| variable.value.as_str())
    }

    /// Refuses a runtime of another language, in which Lambda would not find the handler.
    fn require_runtime(&self, prefix: &str, language: &'static str) -> Result<(), Error> {
        match self.arguments.runtime.as_deref().filter(|wanted| !wanted.starts_with(prefix)) {
            Some(wanted) => Err(Error::OtherRuntime { wanted: wanted.to_owned(), language }),
            None => Ok(()),
        }
    }

    fn python(&self, directory: PathBuf, handler: String, notes: &mut Vec<String>) -> Result<Function, Error> {
        self.require_runtime("python", "Python")?;
        let spinner = build::spinner();
        let progress = |step: &str| spinner.set_message(step.to_owned());
        let wanted = self.arguments.runtime.as_deref();
        let python = PythonEnvironment::of_runtime(&crate::workspace::target_directory(), wanted, progress)?;
        if let Some(wanted) = wanted.filter(|wanted| **wanted != format!("python{}", python.version())) {
            notes.push(format!("The function runs with Python {}: this machine has no {wanted}.", python.version()));
        }
        let packages = python.packages(&directory, progress)?;
        let sdk = if target::uses_sdk(&directory) {
            notes.push("boto3 was installed for it, as Lambda's runtimes for Python have it.".to_owned());
            Some(python.sdk(progress)?)
        } else {
            None
        };
        spinner.finish_and_clear();
        let path = target::PythonPath {
            customer: self.variable("PYTHONPATH"),
            packages: packages.as_deref(),
            opt: self.opt,
            sdk: sdk.as_deref(),
        };
        let command = python.command(&handler);
        Ok(Function::Process {
            program: command.program,
            arguments: command.arguments,
            task_root: directory,
            handler,
            environment: target::python_variables(python.version(), &path),
        })
    }
}

/// The extension of a program. A build of bottlecap is named as it registers, any other extension after its file.
fn extension(program: PathBuf) -> Extension {
    let file = name(&program);
    let name = if file == "bottlecap" { AGENT.to_owned() } else { file };
    Extension::new(name, program)
}

fn output(printer: &Arc<Printer>) -> Output {
    let printer = Arc::clone(printer);
    Output::To(Arc::new(move |origin, line| {
        printer.line(&origin.to_string(), *origin == setup::Origin::Function, line);
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

fn network(arguments: &Arguments) -> setup::Network {
    if arguments.allow_network || arguments.network == Some(Network::Host) {
        setup::Network::Host
    } else {
        setup::Network::Isolated
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

    #[test]
    fn builds_of_bottlecap_are_called_by_the_name_they_register_with() {
        assert_eq!(extension(PathBuf::from("/target/debug/bottlecap")).name, AGENT);
        assert_eq!(extension(PathBuf::from("/opt/extensions/other")).name, "other");
    }

    #[test]
    fn a_program_that_is_named_does_without_the_waf_worker_if_it_cannot_be_built() {
        for is_named in [true, false] {
            let mut setup = Setup { extensions: vec![Extension::new(AGENT, "/bottlecap")], ..Setup::default() };
            let mut notes = Vec::new();
            let failed = || Err(Error::Build("there is no pip".to_owned()));
            assert_eq!(add_waf(&mut setup, is_named, failed, &mut notes).is_ok(), is_named);
            assert_eq!(notes.iter().any(|note| note.contains("there is no pip")), is_named, "{notes:?}");
        }
    }
}
