//! The setup of a sandbox: the function, its extensions, its limits and its faults.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::destinations::Destinations;
use super::faults::Fault;
use super::function::Function;
use super::intake;
use crate::emulator;

/// A function with its extensions, as it would be deployed. `Setup::default()` is the null function without extensions.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The function that handles the events.
    pub function: Function,
    /// The extensions in `/opt/extensions`, at most ten.
    pub extensions: Vec<Extension>,
    /// A directory that serves as `/opt`, with the contents of the function's layers; `None` if there are only extensions. An extension whose file is in its
    /// `extensions` already, under its name, is started from there.
    pub opt: Option<PathBuf>,
    /// The memory of the function in MB, 128..=10240.
    pub memory_mb: u32,
    /// The timeout of the function, 1 s..=900 s.
    pub timeout: Duration,
    /// The customer's variables, for the function and for the extensions.
    pub environment: BTreeMap<String, String>,
    /// Where the extension sends its data, if there is an intake.
    pub destinations: Destinations,
    /// The name of the function.
    pub function_name: String,
    /// The region that the sandbox claims to be in.
    pub region: String,
    /// The account id, which is sent to extensions that accept the `accountId` feature, and is part of the function's ARN.
    pub account_id: Option<String>,
    /// The runtime version in telemetry, such as `python:3.13.DurableFunction.v40` for a durable function; the function's own if absent. Lambda has none for
    /// container images.
    pub runtime_version: Option<String>,
    /// The initialization type of the environment.
    pub initialization: Initialization,
    /// How lines of the function become telemetry.
    pub log_format: LogFormat,
    /// The network of the processes.
    pub network: Network,
    /// The time and size limits.
    pub limits: Limits,
    /// The order and faults of telemetry delivery.
    pub delivery: Delivery,
    /// Faults of Lambda's endpoints.
    pub faults: Vec<Fault>,
    /// Whether all processes are frozen between invocations, as on Lambda. Managed instances are never frozen.
    pub freeze: bool,
    /// The plan of the fake intake; there is none if absent.
    pub intake: Option<intake::Plan>,
    /// The destination of lines of the function and the extensions as they arrive.
    pub output: Output,
    /// The CPU of the processes. In-process functions are never limited.
    pub cpu: Cpu,
    /// Directories that are mounted in the sandbox over those of the machine. If that is refused, the sandbox sees the machine's and records that in its
    /// journal.
    pub mounts: Vec<Mount>,
    /// The files that the processes see.
    pub disk: Disk,
    /// TCP ports at which the function reaches an extension, besides those that the libraries expect.
    pub ports: Vec<u16>,
    /// Whether the footprint of every extension is taken at its first next. The kernel stops the extension at that moment, and for some ten microseconds at
    /// everything it sends to the APIs before, so its gates are later than otherwise. If that is impossible, or if there are several extensions, the footprint
    /// is taken a little later, and the journal says so.
    pub footprints: bool,
    /// Whether the files of every extension are dropped from the page cache before its first exec, after everything that reads them. The journal says how much
    /// stays in memory nevertheless.
    pub cold: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            function: Function::null(),
            extensions: Vec::new(),
            opt: None,
            memory_mb: 1024,
            timeout: Duration::from_secs(3),
            environment: BTreeMap::new(),
            destinations: Destinations::AsSet,
            function_name: "function".to_owned(),
            region: "us-east-1".to_owned(),
            account_id: Some("123456789012".to_owned()),
            runtime_version: None,
            initialization: Initialization::OnDemand,
            log_format: LogFormat::Text,
            network: Network::Isolated,
            limits: Limits::default(),
            delivery: Delivery::default(),
            faults: Vec::new(),
            freeze: true,
            intake: None,
            output: Output::Discard,
            cpu: Cpu::Unlimited,
            mounts: Vec::new(),
            disk: Disk::Machine,
            ports: Vec::new(),
            footprints: false,
            cold: false,
        }
    }
}

impl Setup {
    /// Rejects a setup that Lambda would reject at deployment, and programs that do not exist.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |what: &str| Err(Error::Setup { reason: what.to_owned() });
        if !(128..=10_240).contains(&self.memory_mb) {
            return refuse("memory must be 128..=10240 MB");
        }
        if !(Duration::from_secs(1)..=Duration::from_mins(15)).contains(&self.timeout) {
            return refuse("the timeout must be 1 s..=900 s");
        }
        if self.extensions.len() > MAX_EXTENSIONS {
            return refuse("a function has at most ten extensions");
        }
        for (index, extension) in self.extensions.iter().enumerate() {
            if extension.name.is_empty() || extension.name.contains('/') {
                return refuse("the name of an extension is the name of its file");
            }
            if self.extensions.iter().take(index).any(|other| other.name == extension.name) {
                return refuse("two extensions have the same name");
            }
            for file in &extension.layer_files {
                if !file.place.components().all(|part| matches!(part, Component::Normal(_))) {
                    return refuse("a layer file's place is a path below /opt");
                }
            }
            for file in extension.files() {
                std::fs::metadata(file).map_err(|source| Error::Program { path: file.to_owned(), source })?;
            }
            let started = emulator::start(&extension.program);
            started.map_err(|source| Error::Foreign { path: extension.program.clone(), source })?;
        }
        Ok(())
    }

    /// The ARN of the function; an unknown account is `none`.
    pub(crate) fn function_arn(&self) -> String {
        let partition = match self.region.as_str() {
            region if region.starts_with("us-gov-") => "aws-us-gov",
            region if region.starts_with("cn-") => "aws-cn",
            _ => "aws",
        };
        let account = self.account_id.as_deref().unwrap_or("none");
        format!("arn:{partition}:lambda:{}:{account}:function:{}", self.region, self.function_name)
    }

    /// All files and directories that the commands of the extensions and of the function name.
    pub(crate) fn programs(&self) -> impl Iterator<Item = PathBuf> {
        let extensions = self.extensions.iter().flat_map(Extension::files).map(Path::to_owned);
        let mut named = Vec::new();
        if let Function::Process { program, arguments, environment, .. } = &self.function {
            let words = arguments.iter().chain(environment.values()).flat_map(|word| word.split(':'));
            named.push(program.clone());
            named.extend(words.map(PathBuf::from).filter(|path| path.is_absolute() && path.exists()));
        }
        extensions.chain(named)
    }

    /// The time limit of an init. Only on-demand functions have the short limit ("Understanding the Lambda execution environment lifecycle", Init phase).
    pub(crate) fn init_limit(&self) -> Duration {
        match self.initialization {
            Initialization::OnDemand => self.limits.init,
            _ => self.limits.long_init.max(self.timeout),
        }
    }
}

/// Maximum number of extensions per function, internal ones included ("Using the Lambda Extensions API to create extensions").
pub(crate) const MAX_EXTENSIONS: usize = 10;

/// An external extension.
#[derive(Clone, Debug)]
pub struct Extension {
    /// The name of its file in `/opt/extensions`, with which it also has to register.
    pub name: String,
    /// The program. It is executed through a link called `name`, and `argv[0]` is the path of that link.
    pub program: PathBuf,
    /// Variables of this extension alone, which override all others.
    pub environment: BTreeMap<String, String>,
    /// Other files of its layer.
    pub layer_files: Vec<LayerFile>,
}

/// A file of an extension's layer other than the extension itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerFile {
    /// Its path below `/opt`, such as `bottlecap/agent`.
    pub place: PathBuf,
    /// The target of the link at that path.
    pub source: PathBuf,
}

impl Extension {
    /// An extension without variables or files of its own.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), program: program.into(), environment: BTreeMap::new(), layer_files: Vec::new() }
    }

    /// The program and the other files of its layer.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.program).chain(self.layer_files.iter().map(|file| &file.source)).map(PathBuf::as_path)
    }
}

/// The initialization type of an execution environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialization {
    /// By the first request, within 10 s.
    OnDemand,
    /// Ahead of requests.
    ProvisionedConcurrency,
    /// At publication; every environment is then restored from a snapshot. The sandbox restores itself when it starts.
    SnapStart,
    /// On an instance of the customer: no freeze, no INVOKE events, timeouts reported and not enforced.
    ManagedInstances,
}

impl Initialization {
    /// The name in `AWS_LAMBDA_INITIALIZATION_TYPE` and in telemetry.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::ProvisionedConcurrency => "provisioned-concurrency",
            Self::SnapStart => "snap-start",
            Self::ManagedInstances => "lambda-managed-instances",
        }
    }
}

/// The log format of the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Every line is a string.
    Text,
    /// Lines that are JSON objects are objects, other lines are strings.
    Json,
}

/// The network of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// A network namespace of the sandbox's own, with Lambda's interface, which leads nowhere. If that is refused, the sandbox uses the host's network, or has
    /// no interface, and records that in its journal.
    Isolated,
    /// The host's network: two sandboxes at once conflict over fixed ports.
    Host,
}

/// The CPU of a sandbox's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// All CPUs of this machine, without a limit.
    Unlimited,
    /// The visible CPUs of the memory tier during the init phase, its share of CPU time from then on, as on Lambda.
    Boosted,
    /// The share of the memory tier from exec on, as in an init inside an invocation.
    Throttled,
}

/// The files that the processes of a sandbox see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Those of the machine.
    Machine,
    /// As on Lambda: the function's code is at `/var/task`, only `/tmp` can be written to. It is empty at first, and a reset leaves it as it is. If that is
    /// refused, the processes see the machine's files, and the journal says so.
    Private {
        /// The size of `/tmp` in MB, 512..=10240.
        tmp_mb: u32,
    },
}

/// A directory that is mounted over another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The directory that becomes visible.
    pub source: PathBuf,
    /// The path at which it is visible. It need not exist; its nearest existing ancestor must not be the root.
    pub target: PathBuf,
}

/// The time and size limits of a sandbox. The defaults are Lambda's.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Time limit of the init phase of on-demand functions.
    pub init: Duration,
    /// Time limit of the init phase of all other functions; the function's timeout if that is longer.
    pub long_init: Duration,
    /// Time limit of the shutdown phase with external extensions.
    pub shutdown_external: Duration,
    /// Time limit of the shutdown phase with internal extensions only.
    pub shutdown_internal: Duration,
    /// Time limit of the shutdown phase without extensions.
    pub shutdown_none: Duration,
    /// The runtime's part of the shutdown phase in percent, from SIGTERM to SIGKILL.
    pub shutdown_runtime_percent: u32,
    /// Maximum length of a line in bytes; a longer one continues in another record. Log events are at most 1 MB ("`CloudWatch` Logs quotas").
    pub line_bytes: usize,
    /// Maximum size of a buffered response in bytes ("Lambda quotas").
    pub response_bytes: usize,
    /// Number of attempts to deliver a batch of telemetry before it is dropped, 1 or more.
    pub telemetry_attempts: u32,
    /// The pause after the first failed attempt; it doubles with each further one.
    pub telemetry_pause: Duration,
    /// Maximum size in bytes of a subscriber's telemetry queue; further events are dropped.
    pub telemetry_backlog_bytes: usize,
    /// Interval at which the memory of the function's processes is checked.
    pub memory_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            init: Duration::from_secs(10),
            long_init: Duration::from_secs(130),
            shutdown_external: Duration::from_secs(2),
            shutdown_internal: Duration::from_millis(500),
            shutdown_none: Duration::ZERO,
            shutdown_runtime_percent: 30,
            line_bytes: 1024 * 1024,
            response_bytes: 6 * 1024 * 1024 + 100,
            telemetry_attempts: 5,
            telemetry_pause: Duration::from_millis(50),
            telemetry_backlog_bytes: 16 * 1024 * 1024,
            memory_interval: Duration::from_millis(20),
        }
    }
}

/// How telemetry reaches the subscribers.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The order of events.
    pub order: Order,
    /// Every n-th accepted batch is delivered a second time, as if its response had been lost with its connection.
    pub duplicate_every: Option<NonZeroU32>,
    /// Minimum delay of events, independent of the subscriber's buffering.
    pub delay: Duration,
    /// Whether there is telemetry at all. Without it, the response to a subscription is that of the public Runtime Interface Emulator: 202, an error body, and
    /// never an event.
    pub supported: bool,
}

impl Default for Delivery {
    fn default() -> Self {
        Self { order: Order::Rapid, duplicate_every: None, delay: Duration::ZERO, supported: true }
    }
}

/// The order in which telemetry is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As emitted; the emission follows that of the public Runtime Interface Emulator.
    Rapid,
    /// As emitted, except that the telemetry of the init phase is held back until the first INVOKE is sent, which is more common on Lambda.
    InitAfterInvoke,
    /// A random order within a batch, as far as the schema allows. `platform.start`, `runtimeDone` and `report` of one request keep their order, and so do the
    /// three `init` events, the three `restore` events, and the lines of one origin. `platform.start` keeps its place among the function's lines. A
    /// `Delivery::delay` makes batches larger.
    Shuffled {
        /// The seed: the same seed and the same batches give the same order.
        seed: u64,
    },
}

/// The origin of a line or a process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The function.
    Function,
    /// The extension of this name.
    Extension(Arc<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function => formatter.write_str("function"),
            Self::Extension(name) => formatter.write_str(name),
        }
    }
}

/// A callback for lines of text; bytes that are not UTF-8 are replaced.
pub type LineSink = Arc<dyn Fn(&Origin, &str) + Send + Sync>;

/// The destination of lines as they arrive.
#[derive(Clone)]
pub enum Output {
    /// None; they can still be read from the sandbox.
    Discard,
    /// A callback, which is called on the sandbox's thread (or on that of an in-process function) and should be fast.
    To(LineSink),
}

impl fmt::Debug for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Discard => "Discard",
            Self::To(_) => "To(..)",
        })
    }
}
