//! The init phase, as in "Understanding the Lambda execution environment lifecycle".

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::agents::{Agent, Body};
use super::events::{self, End};
use super::in_process::InProcess;
use super::lifecycle::{EnvironmentLifecycle, Member, RunningRuntime};
use super::memory::MemoryLimit;
use super::{Fatal, State, wrapper};
use crate::emulator::{self, Start};
use crate::sandbox::environment::{self, Code};
use crate::sandbox::function::{Function, Handler, Null};
use crate::sandbox::invocation::Status;
use crate::sandbox::journal::JournalEvent;
use crate::sandbox::page_cache;
use crate::sandbox::process::{Launch, Process, Sink};
use crate::sandbox::settings_file::SettingsFile;
use crate::sandbox::setup::{Cpu, Extension, Initialization, Origin};

/// The phase in which an init runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Ahead of the first event.
    Init,
    /// Inside an invocation, because the first init has failed or the environment has ended.
    Invoke,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Invoke => "invoke",
        }
    }
}

/// Why an init has failed.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Fatal(Fatal),
    Timeout,
}

impl Failure {
    pub(crate) fn end(&self) -> End {
        match self {
            Self::Fatal(fatal) => End { status: Status::Error, error_type: Some(fatal.error_type().to_owned()) },
            Self::Timeout => End { status: Status::Timeout, error_type: Some("Sandbox.Timedout".to_owned()) },
        }
    }
}

/// What is prepared before an init begins.
struct InitPreparation {
    /// The thread of an in-process function.
    thread: Option<InProcess>,
    /// The command that starts each extension.
    starts: Vec<Start>,
    /// Whether the files of the extensions were dropped from the page cache.
    is_cold: bool,
}

impl EnvironmentLifecycle {
    /// Starts all processes and waits until they are ready, for at most `limit`. Ends the environment if that fails.
    pub(crate) async fn init(&mut self, phase: Phase, limit: Duration) -> Result<(), Failure> {
        let platform = Arc::clone(&self.platform);
        let initialization = platform.setup.initialization;
        // The thread of an in-process function is made before the measurement begins. Everything that reads the extensions' files happens before they are
        // dropped.
        let prepared = self.prepare(phase);
        let began = Instant::now();
        platform.telemetry.open();
        platform.journal.write_at(began, JournalEvent::InitStarted { phase: phase.name() });
        platform.telemetry.emit("platform.initStart", events::init_start(&platform.setup, phase.name()));

        let result = match tokio::time::timeout(limit, self.bring_up(prepared)).await {
            Ok(result) => result.map_err(Failure::Fatal),
            Err(_) => Err(Failure::Timeout),
        };
        if let Some(next_breakpoint) = &platform.next_breakpoint {
            next_breakpoint.end();
        }
        let took = began.elapsed();
        let end = result.as_ref().err().map_or_else(End::success, Failure::end);
        platform.journal.write(JournalEvent::InitOver { phase: phase.name(), status: end.status.name() });
        self.drain();
        platform.change(|state| state.subscription_open = false);
        platform.telemetry.close();
        self.end_boost();
        let done = events::init_runtime_done(initialization, phase.name(), &end);
        platform.telemetry.emit("platform.initRuntimeDone", done);
        self.tell_extensions(&end);
        let report = events::init_report(initialization, phase.name(), &end, took);
        platform.telemetry.emit("platform.initReport", report);
        self.ready = result.is_ok();
        self.init_took = (result.is_ok() && phase == Phase::Init).then_some(took);
        result
    }

    /// Executes the extensions, waits for their registrations, starts the runtime, and waits for everyone's first next.
    async fn bring_up(&mut self, prepared: Result<InitPreparation, Fatal>) -> Result<(), Fatal> {
        let platform = Arc::clone(&self.platform);
        let setup = &platform.setup;
        let agents = setup.extensions.iter().map(|extension| Agent::new(&extension.name, false)).collect();
        platform.change(|state| {
            *state = State { registration_open: true, subscription_open: true, agents, ..State::default() };
        });
        let InitPreparation { thread, starts, is_cold } = prepared?;
        for (extension, start) in setup.extensions.iter().zip(&starts) {
            self.execute(extension, start, is_cold)?;
        }
        platform.until(|state| completion(state, |state| state.agents.iter().all(|agent| agent.registered))).await?;
        platform.journal.write(JournalEvent::RuntimeStarted);
        self.function = Some(match thread {
            Some(thread) => {
                thread.go();
                RunningRuntime::Thread(thread)
            }
            None => self.execute_function()?,
        });
        let waits = |state: &State| state.runtime.parked.is_some() || state.runtime.awaits_restore;
        platform.until(|state| completion(state, waits)).await?;
        platform.until(|state| completion(state, |state| state.agents.iter().all(|agent| agent.ready))).await
    }

    fn prepare(&self, phase: Phase) -> Result<InitPreparation, Fatal> {
        let thread = self.prepare_thread()?;
        let extensions = &self.platform.setup.extensions;
        let start = |extension: &Extension| {
            let program = self.opt.join("extensions").join(&extension.name);
            emulator::start(&program).map_err(|_| Fatal::NotExecuted { name: extension.name.clone() })
        };
        let starts = extensions.iter().map(start).collect::<Result<Vec<_>, _>>()?;
        let is_cold = self.platform.setup.cold && phase == Phase::Init;
        for extension in extensions.iter().filter(|_| is_cold) {
            if let Err(error) = extension.files().try_for_each(page_cache::drop_pages) {
                let (name, reason) = (extension.name.clone(), error.to_string());
                self.platform.journal.write(JournalEvent::PagesNotDropped { name, reason });
            }
        }
        Ok(InitPreparation { thread, starts, is_cold })
    }

    /// Records how much of the files is in memory. It checks right before the exec, so that it notices anything that has read the files since they were
    /// dropped. The check itself reads none of them.
    fn check_pages(&self, extension: &Extension) {
        let name = extension.name.clone();
        let remaining = extension.files().map(page_cache::resident).sum::<std::io::Result<u64>>();
        self.platform.journal.write(match remaining {
            Ok(remaining) => JournalEvent::PagesDropped { name, remaining },
            Err(error) => JournalEvent::PagesNotDropped { name, reason: error.to_string() },
        });
    }

    fn prepare_thread(&self) -> Result<Option<InProcess>, Fatal> {
        let handler: Arc<dyn Handler> = match &self.platform.setup.function {
            Function::Null => Arc::new(Null),
            Function::InProcess(handler) => Arc::clone(handler),
            Function::Process { .. } => return Ok(None),
        };
        // The Lambda Web Adapter goes to Lambda through a proxy where it is told to.
        let proxy = self.platform.setup.environment.get("AWS_LWA_LAMBDA_RUNTIME_API_PROXY");
        let proxy = proxy.and_then(|address| address.parse().ok());
        let runtime_api = proxy.unwrap_or_else(|| self.runtime_api());
        let prepared = InProcess::prepare(Arc::clone(&self.platform), handler, runtime_api);
        prepared.map(Some).map_err(|error| Fatal::RuntimeExit { status: error.to_string() })
    }

    fn execute(&mut self, extension: &Extension, start: &Start, is_cold: bool) -> Result<(), Fatal> {
        let name: Arc<str> = Arc::from(extension.name.as_str());
        let file = self.settings_file.as_ref();
        let task_root = file.and_then(SettingsFile::task_root).unwrap_or_else(|| self.task_root()).to_string_lossy();
        let mut own = file.map(|file| file.variables(self.addresses.intake)).unwrap_or_default();
        own.extend(extension.environment.clone());
        let variables = environment::of_extension(&self.platform.setup, self.addresses, &task_root, &own);
        let launch = Launch {
            program: &start.program,
            arguments: &start.arguments,
            environment: &variables,
            directory: Path::new("/"),
            line_bytes: self.platform.setup.limits.line_bytes,
            cgroup_entry: self.cgroup_entry.as_ref(),
            next_breakpoint: self.platform.next_breakpoint.as_ref(),
            processes: self.processes.as_ref(),
            system_files: self.system_files.as_ref(),
            user: self.user,
            has_log_pipe: false,
        };
        if is_cold {
            self.check_pages(extension);
        }
        match self.start(&Origin::Extension(Arc::clone(&name)), &launch) {
            Some(process) => {
                if let Some(next_breakpoint) = &self.platform.next_breakpoint {
                    next_breakpoint.watch(process.pid, process.baseline_usage);
                }
                let body = Body { pid: process.pid, baseline_usage: process.baseline_usage };
                self.platform.change(|state| {
                    if let Some(agent) = state.agents.iter_mut().find(|agent| *agent.name == *name) {
                        agent.process = Some(body);
                    }
                });
                self.extensions.push(Member { name, process });
                Ok(())
            }
            None => Err(Fatal::NotExecuted { name: name.to_string() }),
        }
    }

    fn execute_function(&self) -> Result<RunningRuntime, Fatal> {
        let Function::Process { program, arguments, task_root, handler, environment: own } =
            &self.platform.setup.function
        else {
            return Err(Fatal::RuntimeExit { status: "the function is no program".to_owned() });
        };
        // A program in the code's directory is executed from where that is mounted.
        let place = self.task_root();
        let in_place = program.strip_prefix(task_root).map(|program| place.join(program));
        let (program, task_root) = (in_place.as_ref().unwrap_or(program), place);
        let task_root_text = task_root.to_string_lossy();
        let code = Code { task_root: &task_root_text, handler };
        let variables = environment::of_function(&self.platform.setup, self.addresses, code, own);
        let wrapped = wrapper::command(&variables, &self.opt, program, arguments);
        let (program, arguments) = match &wrapped {
            Some(command) => (command.program.as_path(), &command.arguments),
            None => (program.as_path(), arguments),
        };
        let launch = Launch {
            program,
            arguments,
            environment: &variables,
            directory: task_root,
            line_bytes: self.platform.setup.limits.line_bytes,
            cgroup_entry: self.cgroup_entry.as_ref(),
            next_breakpoint: None,
            processes: self.processes.as_ref(),
            system_files: self.system_files.as_ref(),
            user: self.user,
            has_log_pipe: true,
        };
        let process = self.start(&Origin::Function, &launch);
        let process = process.ok_or_else(|| Fatal::RuntimeInitError {
            error_type: "Runtime.InvalidEntrypoint".to_owned(),
            body: Vec::new(),
        })?;
        let (platform, table) = (Arc::clone(&self.platform), Arc::clone(&self.table));
        let memory = MemoryLimit::start(platform, table, process.pid, self.system_files.clone());
        Ok(RunningRuntime::Process { process, memory })
    }

    fn start(&self, origin: &Origin, launch: &Launch<'_>) -> Option<Process> {
        let (printer, writer) = (Arc::clone(&self.platform), origin.clone());
        let sink: Sink = Arc::new(move |record| printer.print(&writer, record));
        let (mourner, dead) = (Arc::clone(&self.platform), origin.clone());
        match Process::start(launch, &sink, move |status, used| mourner.exited(&dead, status, used)) {
            Ok(process) => {
                let executed = JournalEvent::Executed { origin: origin.clone(), pid: process.pid.as_raw() };
                self.platform.journal.write_at(process.executed, executed);
                Some(process)
            }
            Err(error) => {
                let not = JournalEvent::NotExecuted { origin: origin.clone(), reason: error.to_string() };
                self.platform.journal.write(not);
                None
            }
        }
    }

    /// Emits one `platform.extension` event for each extension.
    fn tell_extensions(&self, end: &End) {
        let state = self.platform.lock();
        for agent in &state.agents {
            let (name, error_type) = match agent {
                Agent { ready: true, .. } => ("Ready", None),
                Agent { registered: true, .. } => ("Registered", end.error_type.as_deref()),
                _ => ("Started", end.error_type.as_deref()),
            };
            let record = events::extension(&agent.name, name, &agent.wants.names(), error_type);
            self.platform.telemetry.emit("platform.extension", record);
        }
    }

    /// Ends the CPU boost, which only the first init has.
    fn end_boost(&self) {
        let Some(group) = self.group.as_ref().filter(|_| self.platform.setup.cpu == Cpu::Boosted) else { return };
        match group.throttle() {
            Ok(()) => self.platform.journal.write(JournalEvent::Throttled),
            Err(error) => self.platform.journal.write(JournalEvent::CpuUnlimited { reason: error.to_string() }),
        }
    }

    /// Restores a SnapStart environment from its snapshot; does nothing for others.
    pub(crate) async fn restore(&mut self) -> Result<(), Failure> {
        let platform = Arc::clone(&self.platform);
        if platform.setup.initialization != Initialization::SnapStart {
            return Ok(());
        }
        let began = Instant::now();
        platform.journal.write_at(began, JournalEvent::RestoreStarted);
        platform.telemetry.emit("platform.restoreStart", events::restore_start(&platform.setup));
        let waiting = platform.change(|state| state.runtime.restore.take());
        if let Some(waiting) = waiting {
            let _ = waiting.send(());
        }
        // "Lambda SnapStart runtime hooks": restore hooks have ten seconds.
        let restored = platform.until(|state| completion(state, |state| state.runtime.parked.is_some()));
        let result = match tokio::time::timeout(Duration::from_secs(10), restored).await {
            Ok(result) => result.map_err(Failure::Fatal),
            Err(_) => Err(Failure::Timeout),
        };
        let end = result.as_ref().err().map_or_else(End::success, Failure::end);
        platform.telemetry.emit("platform.restoreRuntimeDone", events::restore_runtime_done(&end));
        platform.telemetry.emit("platform.restoreReport", events::restore_report(&end, began.elapsed()));
        platform.journal.write(JournalEvent::RestoreOver);
        self.ready = result.is_ok();
        result
    }
}

/// A fatal failure takes precedence over the awaited condition.
pub(crate) fn completion(state: &State, done: impl Fn(&State) -> bool) -> Option<Result<(), Fatal>> {
    match &state.fatal {
        Some(fatal) => Some(Err(fatal.clone())),
        None => done(state).then_some(Ok(())),
    }
}
