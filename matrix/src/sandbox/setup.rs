//! What a sandbox is made of: the function, its extensions, its limits and everything that may go wrong in it.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::faults::Fault;
use super::function::Function;
use super::intake;
use crate::emulator;

/// A function with its extensions, as it would be deployed. `Setup::default()` is the null function alone.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What answers the events.
    pub function: Function,
    /// What stands in `/opt/extensions`, at most ten.
    pub extensions: Vec<Extension>,
    /// A directory that is the sandbox's `/opt` with all that the function's layers have put there; none if there is nothing but the extensions. An
    /// extension whose program stands in its `extensions` already, under its name, is started from there.
    pub opt: Option<PathBuf>,
    /// The memory of the function in MB, 128..=10240.
    pub memory_mb: u32,
    /// The timeout of the function, 1 s..=900 s.
    pub timeout: Duration,
    /// The customer's variables, for the function and for the extensions.
    pub environment: BTreeMap<String, String>,
    /// The name of the function.
    pub function_name: String,
    /// The region that the sandbox claims to be in.
    pub region: String,
    /// The account, told to extensions that accept the `accountId` feature, and part of the function's ARN.
    pub account_id: Option<String>,
    /// The version of the function's runtime in telemetry, such as `python:3.13.DurableFunction.v40` of a durable function; the function's own when
    /// absent. Lambda names none for container images.
    pub runtime_version: Option<String>,
    /// How the environment came to be.
    pub initialization: Initialization,
    /// How lines of the function become telemetry.
    pub log_format: LogFormat,
    /// Whose ports the processes use.
    pub network: Network,
    /// The budgets of the phases.
    pub limits: Limits,
    /// How telemetry is ordered and disturbed.
    pub delivery: Delivery,
    /// What goes wrong at Lambda's endpoints.
    pub faults: Vec<Fault>,
    /// Whether all processes are stopped between invocations, as on Lambda. Managed instances are never stopped.
    pub freeze: bool,
    /// The intake that stands in for Datadog; none when absent.
    pub intake: Option<intake::Plan>,
    /// Where lines of the function and of the extensions go as they come.
    pub output: Output,
    /// How much CPU the processes have. Functions of this process always have all of it.
    pub cpu: Cpu,
    /// Directories that only the sandbox sees where the machine has others. Where that is refused the sandbox sees the machine's and says so in
    /// its journal.
    pub mounts: Vec<Mount>,
    /// Whether the footprint of every extension is taken when it first asks for an event. The kernel stops the extension at that moment, and for
    /// some ten microseconds at everything else that it sends to the APIs before, so its gates are later than without. Where that cannot be, or
    /// where there are several extensions, the footprint is taken a little later, and the journal says so.
    pub footprints: bool,
    /// Whether the files of every extension are dropped from the page cache before its first exec, after everything that reads them. What stays in memory
    /// nevertheless is in the journal.
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
            footprints: false,
            cold: false,
        }
    }
}

impl Setup {
    /// Refuses what Lambda would refuse at deployment, and programs that aren't there.
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
            for companion in &extension.layer_files {
                if !companion.place.components().all(|part| matches!(part, Component::Normal(_))) {
                    return refuse("a companion's place is a path below /opt");
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

    /// The time an init may take. Only on-demand functions have the short limit ("Understanding the Lambda execution
    /// environment lifecycle", Init phase).
    pub(crate) fn init_limit(&self) -> Duration {
        match self.initialization {
            Initialization::OnDemand => self.limits.init,
            _ => self.limits.long_init.max(self.timeout),
        }
    }
}

/// Extensions per function, internal ones included ("Using the Lambda Extensions API to create extensions").
pub(crate) const MAX_EXTENSIONS: usize = 10;

/// An external extension.
#[derive(Clone, Debug)]
pub struct Extension {
    /// The name of its file in `/opt/extensions`, which is also the name it must register with.
    pub name: String,
    /// The program. It is run through a link called `name`, and `argv[0]` is the path of that link.
    pub program: PathBuf,
    /// Variables for this extension alone, on top of all others.
    pub environment: BTreeMap<String, String>,
    /// Files that its layer brings along.
    pub layer_files: Vec<LayerFile>,
}

/// A file of an extension's layer beside the extension itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerFile {
    /// Where it stands below `/opt`, such as `bottlecap/agent`.
    pub place: PathBuf,
    /// The file that is linked there.
    pub source: PathBuf,
}

impl Extension {
    /// An extension without variables or files of its own.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), program: program.into(), environment: BTreeMap::new(), layer_files: Vec::new() }
    }

    /// The program and what its layer brings along.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.program)
            .chain(self.layer_files.iter().map(|companion| &companion.source))
            .map(PathBuf::as_path)
    }
}

/// How an execution environment is initialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialization {
    /// By the first request, within 10 s.
    OnDemand,
    /// Ahead of requests.
    ProvisionedConcurrency,
    /// At publication; every environment is then restored from a snapshot. The sandbox restores itself at its start.
    SnapStart,
    /// On an instance of the customer's: no freeze, no INVOKE events, timeouts reported and not enforced.
    ManagedInstances,
}

impl Initialization {
    /// As in `AWS_LAMBDA_INITIALIZATION_TYPE` and in telemetry.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::ProvisionedConcurrency => "provisioned-concurrency",
            Self::SnapStart => "snap-start",
            Self::ManagedInstances => "lambda-managed-instances",
        }
    }
}

/// The log format that is configured for the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Every line is a string.
    Text,
    /// Lines that are JSON objects are objects, other lines are strings.
    Json,
}

/// Where the sockets of the sandbox live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// In a network namespace of the sandbox's own, with Lambda's interface, which leads nowhere. Where that is refused the sandbox falls back to
    /// the host's network, or does without the interface, and says so in its journal.
    Isolated,
    /// On the host: two sandboxes at once fight over fixed ports.
    Host,
}

/// How much CPU the processes of a sandbox have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// All that this machine has.
    Unlimited,
    /// The visible CPUs of the memory tier during the init phase, its share of CPU time from then on, as on Lambda.
    Boosted,
    /// The share of the memory tier from exec on, as in an init inside an invocation.
    Throttled,
}

/// A directory that is seen in another's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The directory that is seen.
    pub source: PathBuf,
    /// Where it is seen. It need not exist; its nearest ancestor that does must not be the root.
    pub target: PathBuf,
}

/// The budgets of a sandbox. The defaults are Lambda's.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The init phase of on-demand functions.
    pub init: Duration,
    /// The init phase of everything else; the function's timeout when that is longer.
    pub long_init: Duration,
    /// The shutdown phase with external extensions.
    pub shutdown_external: Duration,
    /// The shutdown phase with internal extensions only.
    pub shutdown_internal: Duration,
    /// The shutdown phase without extensions.
    pub shutdown_none: Duration,
    /// The runtime's part of the shutdown phase, in percent: from SIGTERM to SIGKILL.
    pub shutdown_runtime_percent: u32,
    /// Bytes of a line; a longer line goes on in a further record. Log events are at most 1 MB ("`CloudWatch` Logs quotas").
    pub line_bytes: usize,
    /// Bytes of a buffered response ("Lambda quotas").
    pub response_bytes: usize,
    /// How often a batch of telemetry is offered before it is dropped, 1 or more.
    pub telemetry_attempts: u32,
    /// The pause after the first refused offer; it doubles with each further one.
    pub telemetry_pause: Duration,
    /// Bytes of telemetry that may wait for one subscriber; what comes on top is dropped.
    pub telemetry_backlog_bytes: usize,
    /// How often the memory of the function's processes is looked at.
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
    /// The order.
    pub order: Order,
    /// Every so-manieth accepted batch is delivered a second time, as if its answer had been lost with its connection.
    pub duplicate_every: Option<NonZeroU32>,
    /// Events wait at least this long, whatever the subscriber's own buffering says.
    pub delay: Duration,
    /// Whether there is telemetry at all. Without it a subscription is answered as by the public Runtime Interface Emulator:
    /// 202, an error body, and never an event.
    pub supported: bool,
}

impl Default for Delivery {
    fn default() -> Self {
        Self { order: Order::Rapid, duplicate_every: None, delay: Duration::ZERO, supported: true }
    }
}

/// In which order telemetry is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As emitted; the emission follows that of the public Runtime Interface Emulator.
    Rapid,
    /// As emitted, except that the telemetry of the init phase is held back until the first INVOKE is handed out, which is
    /// what happens on Lambda more often than not.
    InitAfterInvoke,
    /// Any order within a batch that the schema allows: `platform.start`, `runtimeDone` and `report` of one request, the
    /// three `init` and the three `restore` events stay in their order, lines of one origin stay in theirs, and
    /// `platform.start` keeps its place among the function's lines. A `Delivery::delay` makes batches larger.
    Shuffled {
        /// The same seed and the same batches give the same order.
        seed: u64,
    },
}

/// Who wrote a line or owns a process.
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

/// One of the two pipes of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipe {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A stream of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Who writes.
    pub origin: Origin,
    /// To which pipe.
    pub pipe: Pipe,
}

/// Takes lines as text; bytes that are none are replaced.
pub type LineSink = Arc<dyn Fn(&Stream, &str) + Send + Sync>;

/// Where lines go as they come.
#[derive(Clone)]
pub enum Output {
    /// Nowhere; they can still be read from the sandbox.
    Discard,
    /// To a function, which is called on the sandbox's thread (or on that of an in-process function) and should be quick.
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
