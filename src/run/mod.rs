//! The event loops that own the pipelines: one for on-demand functions, one for managed instances; and shutdown.

mod dogstatsd_pipeline;
mod engine;
mod ignored_lines;
mod invocation_runs;
#[cfg(test)]
mod loop_tests;
mod managed;
pub mod next;
mod on_demand;
mod sampler;
mod shutdown;
mod traces;
mod usage_metrics;

use std::{sync::Arc, time::Duration};

use dogstatsd_pipeline::DogStatsdPipeline;
use engine::Engine;
use next::NextPoller;
use traces::TracePipeline;
pub use traces::streams;
use usage_metrics::UsageMetrics;

use crate::{
    aggregate::{EncodedBatches, Points},
    config::{AppSec, Config},
    features::APPSEC_DEFER,
    flush::Flusher,
    ingest::{
        dogstatsd::DatagramQueue,
        lifecycle::{self, runtime::Messages},
        otlp,
        telemetry::Batches,
        trace_agent,
    },
    intake,
    os::{
        checkpoints::{self, Checkpoint, checkpoint},
        proc::Proc,
        signal::Termination,
        timeout::timeout_awake,
    },
    platform::{Initialization, Shutdown},
    process::{
        invocation::{Processor, call::Decoder},
        log::LogEncoder,
        tags::FunctionTags,
    },
    waf_client::Waf,
};

/// Maximum time for which the first request for an event waits for the WAF, while the sandbox is not frozen.
const WAF_WAIT: Duration = Duration::from_secs(2);

/// What the loops work with, built by `startup`.
pub struct Components {
    /// Polls `/event/next`.
    pub next: NextPoller,
    /// The kind of sandbox.
    pub initialization: Initialization,
    /// The settings.
    pub config: Config,
    /// Tags of the function.
    pub tags: FunctionTags,
    /// Turns events into logs, metric points and spans.
    pub processor: Processor,
    /// Where payloads are sent.
    pub intake: Intake,
    /// Batches of telemetry; `None` without a subscription, because then no event will ever come.
    pub telemetry: Option<Batches>,
    /// The bound DogStatsD socket's queue; `None` if port 8125 cannot be bound.
    pub dogstatsd: Option<DatagramQueue>,
    /// The bound port of tracers, not yet served; `None` if it cannot be bound.
    pub trace_agent: Option<trace_agent::TraceAgentListener>,
    /// The bound ports of OpenTelemetry SDKs, not yet served.
    pub otlp: otlp::Listeners,
    /// The bound port of lifecycle calls, not yet served; `None` if it cannot be bound.
    pub lifecycle: Option<lifecycle::LifecycleListener>,
    /// Decodes lifecycle calls.
    pub calls: Decoder,
    /// Messages of the Runtime API proxy about invocations; `None` if tracers report these.
    pub runtime_messages: Option<Messages>,
}

/// The intake client, or the closure that builds it after the first `next`; `None` without an API key or TLS roots.
pub enum Intake {
    /// The client is built.
    Eager(Option<intake::Client>),
    /// The client is built by a task of the flusher.
    Deferred(Box<dyn FnOnce() -> Option<intake::Client> + Send>),
}

/// Runs until SHUTDOWN or SIGTERM, and flushes.
pub async fn run(components: Components) {
    let Components { mut next, initialization, config, tags, processor, .. } = components;
    // A request that is in flight may be answered at any time: nothing is left to wait for before it.
    let is_waf_deferred = (APPSEC_DEFER || next.was_sent()) && !initialization.is_ahead();
    // Requests come with the calls of tracers.
    let appsec = AppSec { enabled: config.appsec.enabled && components.lifecycle.is_some(), ..config.appsec.clone() };
    let early_waf = if is_waf_deferred { None } else { ready_waf(&appsec).await };
    next.send().await;
    checkpoint(Checkpoint::NextSent);
    let flusher = start_flusher(components.intake, initialization, config.secret_reload);
    let span_parents = processor.span_parents();
    let traces =
        TracePipeline::start(components.trace_agent, components.otlp, &config, &tags, Arc::clone(&span_parents));
    let waf = if is_waf_deferred { Waf::start(&appsec) } else { early_waf };
    let monitor = waf.map(|waf| lifecycle::Monitor::new(waf, &appsec));
    checkpoint(Checkpoint::TraceAgent);
    let messages = components.runtime_messages.map(|messages| messages.with_span_parents(span_parents));
    let lifecycle = serve_lifecycle(components.lifecycle, components.calls, monitor, messages);
    checkpoint(Checkpoint::Lifecycle);
    checkpoints::report_if_complete();
    // Without events the end of an invocation would never be seen.
    let measures = config.metrics.enhanced && config.metrics.usage && components.telemetry.is_some();
    let mut engine = Engine {
        traces,
        lifecycle,
        usage_metrics: measures.then(|| usage_metrics(initialization)),
        log_encoder: LogEncoder::new(tags, &config),
        processor,
        logs: EncodedBatches::new(intake::logs::FORMAT),
        points: Points::default(),
        dogstatsd_pipeline: DogStatsdPipeline::new(components.dogstatsd, config.dogstatsd.namespace.clone()),
        flusher,
        telemetry: components.telemetry,
        awaits_runtime: false,
        silent_since_loss: None,
        pending: Vec::new().into_iter(),
        config,
    };
    let termination = Termination::watch();
    let shutdown = tokio::select! {
        shutdown = serve(&mut engine, next, initialization) => shutdown,
        // The default is to be killed soon, and nobody says when.
        signal = termination.received() => Shutdown { shutdown_reason: signal.to_owned(), deadline_ms: 0 },
    };
    shutdown::run(engine, &shutdown).await;
}

/// Starts the flusher, and building its client or resolving its API key.
fn start_flusher(intake: Intake, initialization: Initialization, key_reload: Option<Duration>) -> Flusher {
    match intake {
        Intake::Eager(client) => {
            record_ready();
            let mut flusher = Flusher::new(client, key_reload);
            // A snapshot must hold neither a request that is on its way nor a key that will be old.
            if initialization != Initialization::SnapStart {
                flusher.request_api_key();
            }
            flusher
        }
        Intake::Deferred(build) => {
            let build_and_record = || {
                let client = build();
                record_ready();
                client
            };
            Flusher::building(build_and_record, key_reload)
        }
    }
}

fn record_ready() {
    checkpoint(Checkpoint::Ready);
    checkpoints::report_if_complete();
}

fn usage_metrics(initialization: Initialization) -> UsageMetrics {
    let has_overlapping_invocations = initialization == Initialization::ManagedInstances;
    UsageMetrics::new(&Proc::default(), has_overlapping_invocations)
}

/// Starts the WAF and waits until it can evaluate requests, for at most [`WAF_WAIT`]; `None` unless settings enable it.
async fn ready_waf(settings: &AppSec) -> Option<Waf> {
    let waf = Waf::start(settings)?;
    // One that takes longer goes on while the function runs.
    let _ = timeout_awake(WAF_WAIT, waf.until_ready()).await;
    Some(waf)
}

/// Serves lifecycle calls from now on, if their port is bound.
fn serve_lifecycle(
    bound: Option<lifecycle::LifecycleListener>,
    decoder: Decoder,
    monitor: Option<lifecycle::Monitor>,
    messages: Option<Messages>,
) -> Option<lifecycle::CallQueue> {
    let port = lifecycle::PORT;
    let served = bound?.serve(decoder, monitor, messages);
    served.inspect_err(|error| tracing::warn!("LIFECYCLE | cannot serve port {port}: {error}")).ok()
}

/// Serves events until SHUTDOWN. May be cancelled.
async fn serve(engine: &mut Engine, next: NextPoller, initialization: Initialization) -> Shutdown {
    match initialization {
        Initialization::ManagedInstances => managed::run(engine, next).await,
        _ => on_demand::run(engine, next).await,
    }
}
