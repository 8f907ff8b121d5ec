//! The steps that both orders take.

use std::{env, io, path::Path, thread};

use tokio::runtime::{Builder, Runtime};

use super::{Error, StartTime, fips};
use crate::{
    build_info::BUILD_INFO,
    config::{self, Config, LoadedConfig},
    features::{self, APPSEC, LAZY_INTAKE, RUNTIME_SIZING},
    ingest::{
        dogstatsd::{self, DatagramQueue},
        lifecycle, otlp,
        telemetry::{Batches, TelemetryListener},
        trace_agent,
    },
    intake::{self, key::Function, tls},
    os::{
        self,
        checkpoints::{Checkpoint, checkpoint},
        error::chain,
        file,
        thread::STACK_BYTES,
    },
    platform::{
        self, Environment, ExtensionRegistration, Initialization, RuntimeApi, Subscription, SubscriptionOutcome,
    },
    process::{
        invocation::{Processor, Settings, SpanSettings, call::Decoder},
        log::Rules,
        propagation::Propagator,
        tags::FunctionTags,
        trigger,
    },
    run::{self, Components, Intake, next::NextPoller},
    runtime_proxy::{self, ProxyListener},
};

/// The async runtime. Where one worker is enough it is the thread that waits for everything anyway: two would wake each other for every event. The same
/// where `threads_can_be_started` says no.
pub fn runtime(
    environment: &Environment,
    threads_can_be_started: impl FnOnce(usize) -> bool,
) -> Result<Runtime, Error> {
    // What is started from here on inherits it.
    os::signal::block();
    let visible = || thread::available_parallelism().map_or(1, usize::from);
    let sized = RUNTIME_SIZING.then(|| workers(environment.memory_size.as_deref()));
    let workers = sized.unwrap_or_else(visible);
    let mut builder = if sized == Some(1) || !threads_can_be_started(workers) {
        Builder::new_current_thread()
    } else {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(workers);
        builder
    };
    let runtime = builder.thread_stack_size(STACK_BYTES).enable_all().build().map_err(Error::Runtime)?;
    checkpoint(Checkpoint::Runtime);
    Ok(runtime)
}

/// One worker for each CPU that the memory tier pays for, at most four; two where the tier is not known.
///
/// Source: AWS Lambda developer guide, "Configure Lambda function memory": at 1,769 MB a function has the equivalent of one vCPU.
fn workers(memory_mb: Option<&str>) -> usize {
    const MB_PER_CPU: usize = 1769;
    let tier = memory_mb.and_then(|memory| memory.trim().parse::<usize>().ok());
    tier.map_or(2, |memory| (memory.saturating_add(MB_PER_CPU / 2) / MB_PER_CPU).clamp(1, 4))
}

/// The largest `datadog.yaml` that is read.
const MAX_SETTINGS_BYTES: usize = 1 << 20;

/// The settings, from the environment and from the function's folder.
pub fn config(environment: &Environment) -> LoadedConfig {
    let path = Path::new(&environment.task_root).join("datadog.yaml");
    let yaml = match file::read_text(&path, MAX_SETTINGS_BYTES) {
        Ok(yaml) => Ok(Some(yaml)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    let mut loaded = config::load(env::vars_os(), yaml.as_ref().ok().and_then(Option::as_deref));
    // Kept until there is a log to say it in.
    loaded.discarded = loaded.discarded.or(yaml.err());
    checkpoint(Checkpoint::Config);
    loaded
}

/// Says what was wrong with the settings, and makes them count for our own log.
pub fn apply_config(loaded: LoadedConfig) -> Config {
    os::log::start(loaded.config.log_level);
    if let Some(why) = loaded.discarded {
        tracing::error!("Failed to load config: datadog.yaml {why}; using the environment and defaults");
    }
    for warning in loaded.warnings {
        tracing::warn!("CONFIG | {warning}");
    }
    if !loaded.unsupported.is_empty() {
        tracing::warn!("CONFIG | not supported yet, and without effect: {}", loaded.unsupported.join(", "));
    }
    tracing::debug!("Flush strategy: {}", loaded.config.flush_strategy);
    loaded.config
}

/// The way to Datadog: now, or in the background once the next event has been asked for. A file that a setting names is read in the background wherever the
/// function can be invoked meanwhile: its file system may be slow.
pub fn intake(config: &Config, environment: &Environment) -> Intake {
    if let Some(disagreement) = fips::disagreement(features::FIPS, config.fips_mode, &environment.region) {
        tracing::warn!("FIPS | {disagreement}");
    }
    if let Some(foreign) = fips::foreign_site(&environment.region, &config.site) {
        tracing::warn!("CONFIG | {foreign}");
    }
    if features::FIPS {
        for warning in fips::warnings(config) {
            tracing::warn!("FIPS | {warning}");
        }
    }
    let function = Function { region: environment.region.clone(), name: environment.function_name.clone() };
    let deferred = LAZY_INTAKE || config.http.tls_cert_file.is_some() || tls::roots_are_in_named_files();
    if deferred && !environment.initialization().is_ahead() {
        let config = config.clone();
        Intake::Deferred(Box::new(move || build_intake(&config, function)))
    } else {
        Intake::Eager(build_intake(config, function))
    }
}

/// The telemetry that comes through a bound listener; None without one.
pub fn start_telemetry(bound: io::Result<TelemetryListener>) -> Option<TelemetryReceiver> {
    let listening = bound.and_then(|bound| Ok(TelemetryReceiver { port: bound.port, batches: bound.serve()? }));
    listening
        .inspect_err(|error| {
            tracing::error!(
                "TELEMETRY | cannot bind a telemetry port: {error}; logs and enhanced metrics are disabled in this sandbox"
            );
        })
        .ok()
}

/// What the function measures; None if its port cannot be had.
pub fn start_dogstatsd(bound: io::Result<dogstatsd::DogStatsdSocket>, config: &Config) -> Option<DatagramQueue> {
    let served = bound.and_then(|bound| bound.serve(&config.dogstatsd)).inspect_err(|error| {
        let port = dogstatsd::PORT;
        tracing::warn!("DOGSTATSD | cannot bind port {port}: {error}; DogStatsD metrics are disabled");
    });
    checkpoint(Checkpoint::Dogstatsd);
    served.ok()
}

/// Where tracers send to, to be served once the next event has been asked for; None if its port cannot be had.
pub fn trace_agent(bound: io::Result<trace_agent::TraceAgentListener>) -> Option<trace_agent::TraceAgentListener> {
    let port = trace_agent::PORT;
    bound
        .inspect_err(|error| tracing::warn!("TRACE_AGENT | cannot bind port {port}: {error}; traces are disabled"))
        .ok()
}

/// Where tracers report invocations to, to be served once the next event has been asked for; None if its port cannot be had.
pub fn lifecycle(bound: io::Result<lifecycle::LifecycleListener>) -> Option<lifecycle::LifecycleListener> {
    let port = lifecycle::PORT;
    let cause = |error: &io::Error| {
        tracing::warn!("LIFECYCLE | cannot bind port {port}: {error}; spans of invocations are left to tracers");
    };
    bound.inspect_err(cause).ok()
}

/// Passes on what the runtime asks of Lambda from now on, where somebody wants that. Where that fails, the port is closed, and the wrapper leaves the runtime at its own API.
pub fn runtime_proxy(
    bound: Option<Result<ProxyListener, runtime_proxy::Error>>,
    api: &RuntimeApi,
) -> Option<RuntimeProxy> {
    let (observer, messages) = lifecycle::runtime::observer();
    let served = bound?.and_then(|bound| {
        if let Some(problem) = bound.problem() {
            tracing::error!("LWA | {problem}");
        }
        let is_web_adapter = bound.is_web_adapter();
        bound.serve(api, is_web_adapter.then_some(observer))?;
        Ok(RuntimeProxy { messages: is_web_adapter.then_some(messages) })
    });
    served.inspect_err(|error| tracing::error!("PROXY | {}; the runtime is not observed", chain(error))).ok()
}

/// A proxy at work.
pub struct RuntimeProxy {
    /// What it reports of invocations; None where tracers do.
    pub messages: Option<lifecycle::runtime::Messages>,
}

/// The service, and the resource, of a function that nobody has named.
const LAMBDA_SERVICE: &str = "aws.lambda";

/// The telemetry listener, bound and served.
pub struct TelemetryReceiver {
    /// Its port.
    pub port: u16,
    /// Batches of telemetry that it has received.
    pub batches: Batches,
}

impl TelemetryReceiver {
    /// The subscription that fits this configuration.
    pub fn subscription(&self, config: &Config, initialization: Initialization) -> Subscription {
        Subscription { port: self.port, logs: config.logs.enabled, initialization }
    }

    /// The telemetry that will come after this answer to the subscription; None if none will.
    pub fn after(self, answer: Result<SubscriptionOutcome, platform::Error>) -> Telemetry {
        checkpoint(Checkpoint::Subscribed);
        match answer {
            Ok(SubscriptionOutcome::Active) => Some(self.batches),
            Ok(SubscriptionOutcome::NotSupported) => {
                tracing::info!("TELEMETRY | This platform has no Telemetry API; only invocations are counted");
                None
            }
            Err(error) if !matches!(error, platform::Error::Status { .. }) && !self.batches.is_empty() => {
                tracing::warn!(
                    "TELEMETRY | the subscription is active, because Lambda sends telemetry: {}",
                    chain(&error)
                );
                Some(self.batches)
            }
            Err(error) => {
                tracing::error!("TELEMETRY | {}", chain(&error));
                None
            }
        }
    }
}

/// Batches of telemetry; `None` without a subscription.
pub type Telemetry = Option<Batches>;

/// The result of the fallible startup steps.
pub struct StartedServices {
    pub next: NextPoller,
    pub registered: ExtensionRegistration,
    pub config: Config,
    pub intake: Intake,
    pub telemetry: Telemetry,
    pub dogstatsd: Option<DatagramQueue>,
    pub trace_agent: Option<trace_agent::TraceAgentListener>,
    pub otlp: otlp::Listeners,
    pub lifecycle: Option<lifecycle::LifecycleListener>,
    pub runtime_proxy: Option<RuntimeProxy>,
}

/// Builds the components from the started services.
pub fn build_components(known: StartedServices, environment: &Environment, start_time: StartTime) -> Components {
    let StartedServices {
        next,
        registered,
        mut config,
        intake,
        telemetry,
        dogstatsd,
        trace_agent,
        lifecycle,
        otlp,
        runtime_proxy,
    } = known;
    // One that failed has been told.
    if config.runtime_proxy && runtime_proxy::is_unwanted() {
        tracing::warn!(
            "PROXY | DD_EXPERIMENTAL_ENABLE_PROXY has no effect without AWS_LAMBDA_EXEC_WRAPPER=/opt/datadog_wrapper"
        );
    }
    intake::compression::limit_levels(&mut config, environment.memory_size.as_deref());
    let initialization = environment.initialization();
    let tags = FunctionTags::collect(environment, registered.account_id.as_deref(), &config);
    let processor = processor(&config, environment, telemetry.is_some(), start_time);
    let processor = match lifecycle {
        Some(_) => processor.with_spans(span_settings(&config, environment)),
        None => processor,
    };
    tracing::debug!("Datadog Next-Gen Extension ready in {}ms", start_time.monotonic.elapsed().as_millis());
    let calls = Decoder {
        capture_depth: config.apm.payloads.wanted_depth(),
        triggers: trigger::Settings::new(&config, environment, tls::sha256),
        propagator: Propagator::new(config.propagation.clone()),
        streams: run::streams(&config, &environment.function_name),
        random: os::random::id,
    };
    Components {
        next,
        initialization,
        config,
        tags,
        processor,
        intake,
        telemetry,
        dogstatsd,
        trace_agent,
        otlp,
        lifecycle,
        calls,
        runtime_messages: runtime_proxy.and_then(|proxy| proxy.messages),
    }
}

fn processor(config: &Config, environment: &Environment, telemetry: bool, start_time: StartTime) -> Processor {
    let (rules, bad) = Rules::compile(&config.logs.rules);
    for rule in bad {
        tracing::warn!("CONFIG | {rule}");
    }
    let settings = Settings {
        managed: environment.initialization() == Initialization::ManagedInstances,
        snap_start: environment.initialization() == Initialization::SnapStart,
        enhanced_metrics: config.metrics.enhanced,
        logs: config.logs.enabled,
        telemetry,
        init_type_tagged: environment.initialization_type.is_some(),
        architecture: BUILD_INFO.architecture(),
    };
    Processor::new(settings, rules, start_time.wall).with_durable_logs(config.logs.durable_invocations)
}

/// What the spans of invocations have in common.
fn span_settings(config: &Config, environment: &Environment) -> SpanSettings {
    let name = Some(&environment.function_name).filter(|name| !name.is_empty());
    let service = config.service.as_ref().or(name).filter(|_| config.apm.service_representation);
    SpanSettings {
        service: service.map_or_else(|| LAMBDA_SERVICE.to_owned(), |service| service.to_lowercase()),
        resource: name.map_or(LAMBDA_SERVICE, String::as_str).to_owned(),
        appsec: APPSEC && config.appsec.enabled,
        standalone: APPSEC && config.appsec.enabled && config.appsec.standalone,
        random: os::random::id,
    }
}

fn build_intake(config: &Config, function: Function) -> Option<intake::Client> {
    tls::install_provider();
    checkpoint(Checkpoint::Crypto);
    os::nss::use_builtin_resolver();
    let built = intake::Client::build(config, function);
    checkpoint(Checkpoint::Intake);
    // Where no client can be made, which module it would have is all the more of interest.
    if let Some(module) = tls::module() {
        let (provider, fips) = (tls::provider_name(), tls::is_approved());
        // Without authentication, clients have another configuration than the one that is asked whether it is approved.
        let clients = format!(", in every client ({provider}, fips: {fips})");
        let clients = if config.http.skip_ssl_validation { "" } else { &clients };
        tracing::info!("FIPS | {module}, in its FIPS mode{clients}");
    }
    match built {
        Ok(built) => {
            if !config.http.skip_ssl_validation {
                tracing::debug!("Trusting the roots that are {}", tls::roots_origin());
            }
            for warning in built.warnings {
                tracing::error!("TLS | {warning}");
            }
            Some(built.client)
        }
        Err(error) => {
            tracing::error!("LOGS | METRICS | Nothing will be sent: {}", chain(&error));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ingest::telemetry::test_batches, process::event::Batch};

    #[test]
    fn workers_follow_the_memory_tier() {
        for (memory, expected) in [
            (None, 2),
            (Some("nonsense"), 2),
            (Some("128"), 1),
            (Some("1769"), 1),
            (Some("2653"), 1),
            (Some("2654"), 2),
            (Some("3538"), 2),
            (Some("10240"), 4),
            (Some("99999999999999999999"), 2),
        ] {
            assert_eq!(workers(memory), expected, "{memory:?}");
        }
    }

    #[tokio::test]
    async fn received_telemetry_confirms_subscription_after_lost_reply() {
        let lost = || platform::Error::Answer { call: "subscribe", source: platform::AnswerError::NoIdentifier };
        let refusal = || platform::Error::Status { call: "subscribe", status: 400, body: String::new() };
        for (has_arrived, error, expected) in [(false, lost(), false), (true, lost(), true), (true, refusal(), false)] {
            let (sender, batches) = test_batches::channel();
            if has_arrived {
                assert!(sender.send(Batch::default()).await);
            }
            let telemetry = TelemetryReceiver { port: 1, batches }.after(Err(error));
            assert_eq!(telemetry.is_some(), expected);
        }
    }

    #[test]
    fn sandboxes_that_are_started_ahead_are_never_left_to_build_later() {
        let environment = |kind: &'static str| {
            Environment::read(|name| (name == "AWS_LAMBDA_INITIALIZATION_TYPE").then(|| kind.to_owned()))
        };
        for kind in ["snap-start", "provisioned-concurrency"] {
            assert!(matches!(intake(&Config::default(), &environment(kind)), Intake::Eager(_)), "{kind}");
        }
        let on_demand = intake(&Config::default(), &environment("on-demand"));
        assert_eq!(matches!(on_demand, Intake::Deferred(_)), LAZY_INTAKE);
    }

    #[test]
    fn a_certificate_file_is_not_read_before_the_first_event() {
        let mut config = Config::default();
        config.http.tls_cert_file = Some("/nonexistent/ca.pem".into());
        let environment = Environment::read(|_| None);
        assert!(matches!(intake(&config, &environment), Intake::Deferred(_)));
    }
}
