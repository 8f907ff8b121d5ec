//! The order of birth.
//!
//! Registering comes first because the platform starts the runtime only after it; once it has succeeded, nothing that fails may end the process: whatever
//! cannot be built is done without, and the loop runs.

use std::{env, fs, io, path::Path, process::ExitCode, time::Instant};

use crate::{
    build_info::BUILD_INFO,
    config::{self, Config},
    flush::Flusher,
    ingest::telemetry,
    intake::{self, tls},
    os::{self, clock},
    platform::{self, Client, Environment, Initialization, Registered, Subscribed, subscription::Subscription},
    process::{
        event::{Batch, Timestamp},
        invocation::{Processor, Settings},
        log::Rules,
        tags::FunctionTags,
    },
    run::{self, Ended, Parts},
};

/// When this process began, on both clocks.
#[derive(Debug, Clone, Copy)]
struct Birth {
    wall: Timestamp,
    monotonic: Instant,
}

/// Why there is no extension. Lambda reports it as a failed initialization.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the async runtime could not be started: {0}")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Platform(#[from] platform::Error),
}

/// Lives until the sandbox ends.
pub fn extension() -> ExitCode {
    let birth = Birth { wall: clock::epoch_ms(), monotonic: Instant::now() };
    os::log::start(config::log_level(env::vars_os()));
    match live(birth) {
        Ok(Ended::Shutdown) => ExitCode::SUCCESS,
        Ok(Ended::PlatformGone) => ExitCode::FAILURE,
        Err(error) => {
            log::error!("EXTENSION | {error}");
            ExitCode::FAILURE
        }
    }
}

fn live(birth: Birth) -> Result<Ended, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    let ended = runtime.block_on(async { Ok(run::run(reference(birth).await?).await) });
    // What still runs in the background has had its time.
    runtime.shutdown_background();
    ended
}

/// The conventional order: one thing after the other.
async fn reference(birth: Birth) -> Result<Parts, Error> {
    log::debug!("Starting Datadog Extension v{}", BUILD_INFO.version);
    let environment = Environment::read(|name| env::var(name).ok());
    let initialization = environment.initialization();
    tls::install_provider();
    let platform = Client::new(environment.runtime_api.clone())?;
    let registered = platform.register(initialization).await?;
    let config = load_config(&environment);
    let tags = FunctionTags::collect(&environment, registered.account_id.as_deref(), &config);
    let processor = build_processor(&config, initialization, birth);
    let flusher = Flusher::new(build_intake(&config));
    let telemetry = subscribe(&platform, &registered, &config, initialization).await;
    log::debug!("Datadog Next-Gen Extension ready in {}ms", birth.monotonic.elapsed().as_millis());
    Ok(Parts { platform, registered, initialization, config, tags, processor, flusher, telemetry })
}

fn load_config(environment: &Environment) -> Config {
    let path = Path::new(&environment.task_root).join("datadog.yaml");
    let yaml = match fs::read_to_string(&path) {
        Ok(yaml) => Some(yaml),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            log::error!("Failed to load config: {}: {error}", path.display());
            None
        }
    };
    let loaded = config::load(env::vars_os(), yaml.as_deref());
    for warning in loaded.warnings {
        log::warn!("CONFIG | {warning}");
    }
    os::log::start(loaded.config.log_level);
    log::debug!("Flush strategy: {:?}", loaded.config.flush_strategy);
    loaded.config
}

fn build_processor(config: &Config, initialization: Initialization, birth: Birth) -> Processor {
    let (rules, bad) = Rules::compile(&config.logs.rules);
    for rule in bad {
        log::warn!("CONFIG | {rule}");
    }
    let settings = Settings {
        managed: initialization == Initialization::ManagedInstances,
        enhanced_metrics: config.metrics.enhanced,
        logs: config.logs.enabled,
        architecture: BUILD_INFO.architecture(),
    };
    Processor::new(settings, rules, birth.wall)
}

fn build_intake(config: &Config) -> Option<intake::Client> {
    match intake::Client::build(config) {
        Ok(built) => {
            log::debug!("Trusting the roots that are {}", tls::roots_origin());
            for problem in built.problems {
                log::error!("TLS | {problem}");
            }
            Some(built.client)
        }
        Err(error) => {
            log::error!("LOGS | METRICS | Nothing will be sent: {error}");
            None
        }
    }
}

/// The telemetry that will come; None if none will.
async fn subscribe(
    platform: &Client,
    registered: &Registered,
    config: &Config,
    initialization: Initialization,
) -> Option<tokio::sync::mpsc::Receiver<Batch>> {
    let bound = match telemetry::bind().await {
        Ok(bound) => bound,
        Err(error) => {
            log::error!(
                "TELEMETRY | No port can be bound, so neither logs nor metrics of invocations are to be had: {error}"
            );
            return None;
        }
    };
    let subscription = Subscription { port: bound.port, logs: config.logs.enabled, initialization };
    let batches = bound.serve();
    match platform.subscribe(&registered.id, &subscription).await {
        Ok(Subscribed::Yes) => Some(batches),
        Ok(Subscribed::NotSupported) => {
            log::info!("TELEMETRY | This platform has no Telemetry API; only invocations are counted");
            None
        }
        Err(error) => {
            log::error!("TELEMETRY | {error}");
            None
        }
    }
}
