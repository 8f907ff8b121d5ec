//! The thread of a sandbox, which starts everything in it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use axum::body::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::cpu::{CgroupEntry, Group};
use super::datagrams::Datagrams;
use super::disk::{Contents, PrivateDisk};
use super::environment::Addresses;
use super::function::Function;
use super::invocation::{Attempt, ExitOf, Invocation};
use super::journal::{Journal, JournalEvent};
use super::lambda_user::{LambdaUser, LambdaUserError};
use super::network::PeerNamespace;
use super::next_breakpoint::NextBreakpoint;
use super::platform::init::{Failure, Phase};
use super::platform::lifecycle::{EnvironmentLifecycle, ProcessResources};
use super::platform::shutdown::Reason;
use super::platform::{Platform, router};
use super::processes::Processes;
use super::settings_file::SettingsFile;
use super::setup::{Cpu, Disk, Mount, Network, Setup};
use super::system_files::SystemFiles;
use super::{Error, intake, isolation, mounts, network, ports};
use crate::terminal::chain_in_line;

/// A command from the handle.
pub(crate) enum Command {
    Invoke { event: Bytes, attempt: Attempt, answer: mpsc::SyncSender<Invocation> },
    Within { work: Box<dyn FnOnce() + Send> },
    Shutdown { answer: mpsc::SyncSender<Vec<ExitOf>> },
}

/// What the handle needs after the start.
pub(crate) struct RunningSandbox {
    pub commands: UnboundedSender<Command>,
    pub platform: Arc<Platform>,
    pub intake: Option<intake::Intake>,
    /// What is sent to DogStatsD, if that can be seen.
    pub datagrams: Option<Arc<Datagrams>>,
}

/// Builds the sandbox, reports to the handle, and executes its commands until the handle is gone.
pub(crate) fn run(setup: Setup, directory: &Path, started_tx: &mpsc::SyncSender<Result<RunningSandbox, Error>>) {
    let journal = Arc::new(Journal::start());
    let opt = match lay_out(&setup, directory) {
        Ok(opt) => opt,
        Err(source) => return send_started(started_tx, Err(Error::System { what: "link the extensions", source })),
    };
    let isolated = set_up_network(setup.network, &journal);
    let peer = if isolated { set_up_interface(&setup, &journal) } else { None };
    let group = set_up_cpu(&setup, &journal);
    let watches = isolated && !setup.extensions.is_empty();
    let datagrams = watches.then(|| Datagrams::watch().ok()).flatten();
    if !isolated {
        ports::check(&setup, &journal);
    }
    let settings_file = match SettingsFile::write(&setup, &directory.join("settings")) {
        Ok(file) => file,
        Err(source) => {
            return send_started(started_tx, Err(Error::System { what: "write the extension's settings", source }));
        }
    };
    let user = find_user(&setup);
    let system_files = write_system_files(&setup, directory, matches!(user, Some(Ok(_))), &journal);
    let disk = set_up_mounts(&setup, directory, &opt, &journal);
    // Without its own mounts, no file can be put in the place of another one.
    let system_files = system_files.filter(|_| disk.is_some()).and_then(|files| mount_system_files(files, &journal));
    let settings_file = settings_file.map(|mut file| {
        if disk.is_some() {
            file.mount();
        }
        file
    });
    let processes = set_up_processes(&setup, &journal);
    let user = user
        .and_then(|user| set_up_user(user, disk.is_some(), processes.is_some() || !starts_programs(&setup), &journal));
    if let Some(reason) = isolation::refusal(&journal).filter(|_| isolation::is_required()) {
        return send_started(started_tx, Err(Error::Isolation { reason }));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime.map_err(|source| Error::System { what: "build the sandbox's runtime", source }) {
        Ok(runtime) => runtime,
        Err(error) => return send_started(started_tx, Err(error)),
    };
    let resources = IsolationResources {
        journal,
        opt,
        isolated,
        peer,
        group,
        processes,
        disk,
        system_files,
        settings_file,
        user,
        datagrams,
    };
    runtime.block_on(async {
        match SandboxRuntime::build(setup, resources).await {
            Ok(runtime) => runtime.run(started_tx).await,
            Err(error) => send_started(started_tx, Err(error)),
        }
    });
}

/// The isolation that the thread has set up before anything runs on it.
struct IsolationResources {
    journal: Arc<Journal>,
    /// The directory that serves as `/opt`.
    opt: PathBuf,
    /// Whether it has a network of its own.
    isolated: bool,
    peer: Option<PeerNamespace>,
    group: Option<Group>,
    processes: Option<Processes>,
    disk: Option<PrivateDisk>,
    system_files: Option<Arc<SystemFiles>>,
    settings_file: Option<SettingsFile>,
    user: Option<LambdaUser>,
    datagrams: Option<Arc<Datagrams>>,
}

fn send_started(started_tx: &mpsc::SyncSender<Result<RunningSandbox, Error>>, result: Result<RunningSandbox, Error>) {
    let _ = started_tx.send(result);
}

/// Moves the thread into its own network. Returns whether that succeeded.
fn set_up_network(wanted: Network, journal: &Journal) -> bool {
    if wanted == Network::Host {
        return false;
    }
    match network::isolate() {
        Ok(()) => {
            journal.write(JournalEvent::NetworkIsolated);
            true
        }
        Err(refused) => {
            journal.write(JournalEvent::NetworkShared { reason: refused.to_string() });
            false
        }
    }
}

/// Adds the interface of the sandbox's own network.
fn set_up_interface(setup: &Setup, journal: &Journal) -> Option<PeerNamespace> {
    let connected = network::connect(setup.initialization);
    connected.map_err(|refused| journal.write(JournalEvent::InterfaceMissing { reason: refused.to_string() })).ok()
}

/// Makes the control group of the memory tier, if it is requested and possible.
fn set_up_cpu(setup: &Setup, journal: &Journal) -> Option<Group> {
    let throttle = match setup.cpu {
        Cpu::Unlimited => return None,
        Cpu::Boosted => false,
        Cpu::Throttled => true,
    };
    let group = Group::make(setup.memory_mb).map_err(|refused| refused.reason());
    let group = group.and_then(|group| match throttle.then(|| group.throttle()) {
        Some(Err(error)) => Err(error.to_string()),
        _ => Ok(group),
    });
    match group {
        Ok(group) => {
            journal.write(JournalEvent::CpuOfTier);
            Some(group)
        }
        Err(reason) => {
            journal.write(JournalEvent::CpuUnlimited { reason });
            None
        }
    }
}

/// Mounts the sandbox's own directories over the machine's. Returns its disk, if it has one.
fn set_up_mounts(setup: &Setup, directory: &Path, opt: &Path, journal: &Journal) -> Option<PrivateDisk> {
    let limited = setup.cpu != Cpu::Unlimited;
    let layers = layers_in_place(setup, opt);
    if setup.mounts.is_empty() && layers.is_none() && !limited && setup.disk == Disk::Machine {
        return None;
    }
    let staging = directory.join("mounts");
    let mounted = mounts::mount_all(&setup.mounts, layers.as_ref(), &staging);
    let mounted = mounted.and_then(|()| if limited { mounts::hide_control_groups() } else { Ok(()) });
    match mounted {
        Ok(()) => {
            journal.write(JournalEvent::MountsPrivate);
            set_up_disk(setup, directory, opt, journal)
        }
        Err(refused) => {
            journal.write(JournalEvent::MountsShared { reason: refused.reason() });
            None
        }
    }
}

/// Makes the sandbox's own disk in the thread's mount namespace, if it is requested and possible.
fn set_up_disk(setup: &Setup, directory: &Path, opt: &Path, journal: &Journal) -> Option<PrivateDisk> {
    let Disk::Private { tmp_mb } = setup.disk else { return None };
    let needed: Vec<PathBuf> = setup.programs().chain([directory.to_owned(), opt.to_owned()]).collect();
    let contents = Contents { task_root: setup.function.task_root(), tmp_mb, needed: &needed };
    match PrivateDisk::make(&contents, &directory.join("task")) {
        Ok(disk) => {
            journal.write(JournalEvent::DiskPrivate);
            Some(disk)
        }
        Err(refused) => {
            journal.write(JournalEvent::DiskShared { reason: refused.reason() });
            None
        }
    }
}

/// Finds out whether processes can run as Lambda's user, if the files that they see are those of Lambda too.
fn find_user(setup: &Setup) -> Option<Result<LambdaUser, LambdaUserError>> {
    if setup.disk == Disk::Machine {
        return None;
    }
    let function = match &setup.function {
        Function::Process { program, .. } => Some(program),
        _ => None,
    };
    let programs = setup.extensions.iter().map(|extension| &extension.program).chain(function);
    Some(LambdaUser::set_up(programs.map(PathBuf::as_path)))
}

/// The user as whom processes run, when it is known whether they have a disk and a process namespace of their own.
fn set_up_user(
    found: Result<LambdaUser, LambdaUserError>,
    has_disk: bool,
    has_processes: bool,
    journal: &Journal,
) -> Option<LambdaUser> {
    let reason = match found {
        Ok(user) if has_disk && has_processes => {
            journal.write(JournalEvent::UserOfLambda);
            return Some(user);
        }
        Ok(_) if has_disk => "the processes are the machine's, where the same number may be another user's".to_owned(),
        Ok(_) => "the files are the machine's, where the same number may be another user's".to_owned(),
        Err(refused) => chain_in_line(&refused),
    };
    journal.write(JournalEvent::UserShared { reason });
    None
}

/// Writes the environment's own system files, if it has its own disk, while files can be written.
fn write_system_files(setup: &Setup, directory: &Path, has_own_user: bool, journal: &Journal) -> Option<SystemFiles> {
    if setup.disk == Disk::Machine {
        return None;
    }
    let written = SystemFiles::write(&directory.join("system"), setup.memory_mb, has_own_user);
    written.map_err(|refused| journal.write(JournalEvent::FiguresShared { reason: refused.to_string() })).ok()
}

fn mount_system_files(files: SystemFiles, journal: &Journal) -> Option<Arc<SystemFiles>> {
    match files.mount() {
        Ok(()) => {
            journal.write(JournalEvent::FiguresPrivate);
            Some(Arc::new(files))
        }
        Err(refused) => {
            journal.write(JournalEvent::FiguresShared { reason: refused.reason() });
            None
        }
    }
}

/// Whether processes may be started.
fn starts_programs(setup: &Setup) -> bool {
    !setup.extensions.is_empty() || setup.opt.is_some() || matches!(setup.function, Function::Process { .. })
}

/// Makes the process namespace, if any processes are to be started.
fn set_up_processes(setup: &Setup, journal: &Journal) -> Option<Processes> {
    if !starts_programs(setup) {
        return None;
    }
    Processes::isolate()
        .map_err(|refused| journal.write(JournalEvent::ProcessesShared { reason: refused.to_string() }))
        .ok()
}

/// The mount of the layers at `/opt`, where Datadog's libraries look for the extension. `None` if no program could look, or if the machine has no `/opt`.
fn layers_in_place(setup: &Setup, opt: &Path) -> Option<Mount> {
    let holds_something = !setup.extensions.is_empty() || setup.opt.is_some();
    let looks = matches!(setup.function, Function::Process { .. }) && holds_something;
    let target = PathBuf::from("/opt");
    (looks && target.is_dir()).then(|| Mount { source: opt.to_owned(), target })
}

/// Prepares the breakpoint that stops the extension for its footprint, if it is requested and possible.
fn set_up_breakpoint(setup: &Setup, listener: &TcpListener, journal: &Journal) -> Option<Arc<NextBreakpoint>> {
    if !setup.footprints {
        return None;
    }
    let next_breakpoint = match setup.extensions.len() {
        0 | 1 => NextBreakpoint::new(listener.as_fd()).map_err(|error| error.to_string()),
        _ => Err("several extensions".to_owned()),
    };
    next_breakpoint.map_err(|reason| journal.write(JournalEvent::FootprintsLate { reason })).ok()
}

/// Everything that exists before the first process is started.
struct SandboxRuntime {
    platform: Arc<Platform>,
    intake: Option<intake::Intake>,
    lifecycle: EnvironmentLifecycle,
    datagrams: Option<Arc<Datagrams>>,
    /// Dropping it removes the interface.
    _peer: Option<PeerNamespace>,
}

impl SandboxRuntime {
    async fn build(setup: Setup, resources: IsolationResources) -> Result<Self, Error> {
        let IsolationResources {
            journal,
            opt,
            isolated,
            peer,
            group,
            processes,
            disk,
            system_files,
            settings_file,
            user,
            datagrams,
        } = resources;
        let system = |what| move |source| Error::System { what, source };
        let cgroup_entry = match setup.cpu {
            Cpu::Unlimited => None,
            _ => Some(CgroupEntry::new(setup.memory_mb, group.as_ref()).map_err(system("choose the visible CPUs"))?),
        };
        let listener = router::bind(isolated).await.map_err(system("bind the Runtime API"))?;
        let runtime_api = listener.local_addr().map_err(system("read the address of the Runtime API"))?;
        let next_breakpoint = set_up_breakpoint(&setup, &listener, &journal);
        let intake = match setup.intake.clone() {
            Some(plan) => {
                let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                Some(intake::Intake::start(any, plan).await.map_err(Error::Intake)?)
            }
            None => None,
        };
        let addresses = Addresses { runtime_api, intake: intake.as_ref().map(intake::Intake::address) };
        let platform = Arc::new(Platform::new(setup, journal, next_breakpoint).map_err(Error::Client)?);
        tokio::spawn(router::serve(listener, Arc::clone(&platform)));
        let lifecycle = EnvironmentLifecycle::new(
            Arc::clone(&platform),
            addresses,
            ProcessResources { opt, cgroup_entry, group, processes, disk, system_files, settings_file, user },
        );
        Ok(Self { platform, intake, lifecycle, datagrams, _peer: peer })
    }

    async fn run(mut self, started_tx: &mpsc::SyncSender<Result<RunningSandbox, Error>>) {
        let limit = self.platform.setup.init_limit();
        let mut started = self.lifecycle.init(Phase::Init, limit).await;
        if started.is_ok() {
            self.lifecycle.freeze();
            started = self.lifecycle.thaw_for_restore().await;
        }
        match started {
            Ok(()) => {}
            Err(Failure::Timeout) => self.lifecycle.shutdown(Reason::Timeout).await,
            Err(Failure::Fatal(_)) => self.lifecycle.shutdown(Reason::Failure).await,
        }
        let (commands, commands_rx) = unbounded_channel();
        let platform = Arc::clone(&self.platform);
        let (intake, datagrams) = (self.intake.clone(), self.datagrams.clone());
        send_started(started_tx, Ok(RunningSandbox { commands, platform, intake, datagrams }));
        self.handle_commands(commands_rx).await;
        self.lifecycle.abandon().await;
    }

    async fn handle_commands(&mut self, mut commands: UnboundedReceiver<Command>) {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Invoke { event, attempt, answer } => {
                    let _ = answer.send(self.lifecycle.invoke(event, attempt).await);
                }
                // A new thread inherits the network of the thread that starts it.
                Command::Within { work } => {
                    let _ = std::thread::Builder::new().name("within".to_owned()).spawn(work);
                }
                Command::Shutdown { answer } => {
                    self.lifecycle.shutdown(Reason::Spindown).await;
                    let _ = answer.send(std::mem::take(&mut self.lifecycle.exits));
                }
            }
        }
    }
}

/// Fills the sandbox's `/opt`: the contents of the layers, and in `extensions` a link for each extension that is not in the layers, named after it. Other files
/// of an extension's layer are linked as well.
fn lay_out(setup: &Setup, directory: &Path) -> io::Result<PathBuf> {
    let opt = setup.opt.as_ref().map_or_else(|| Ok(directory.join("opt")), std::path::absolute)?;
    let extensions = opt.join("extensions");
    std::fs::create_dir_all(&extensions)?;
    for extension in &setup.extensions {
        let (program, place) = (std::path::absolute(&extension.program)?, extensions.join(&extension.name));
        if program != place {
            symlink(program, place)?;
        }
        for file in &extension.layer_files {
            let place = opt.join(&file.place);
            place.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            symlink(std::path::absolute(&file.source)?, place)?;
        }
    }
    Ok(opt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_has_the_user_as_whom_processes_run() {
        let user = match LambdaUser::set_up(std::iter::empty()) {
            Ok(user) => user,
            Err(refused) => return isolation::skip(&refused.to_string()),
        };
        for (has_disk, has_processes) in [(true, true), (false, true), (true, false)] {
            let journal = Journal::start();
            let chosen = set_up_user(Ok(user), has_disk, has_processes, &journal);
            assert_eq!(chosen.is_some(), has_disk && has_processes);
            let entries = journal.read();
            let is_own = matches!(&entries[..], [entry] if matches!(entry.what, JournalEvent::UserOfLambda));
            assert_eq!(is_own, chosen.is_some(), "{entries:?}");
        }
    }
}
