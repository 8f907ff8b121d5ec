//! The loops that join the rest: one for a function that is invoked and frozen, one for managed instances, and the end of both.

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

use crate::{
    aggregate::{LogQueue, Points},
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
        trace::SpanParents,
    },
    waf_client::Waf,
};

/// Maximum time for which the first request for an event waits for the WAF, while the sandbox is not frozen.
const WAF_WAIT: Duration = Duration::from_secs(2);

/// Everything that the loops work with, built by `start`.
pub struct Components {
    /// The way to the next event.
    pub next: NextPoller,
    /// What kind of sandbox this is.
    pub initialization: Initialization,
    /// The settings.
    pub config: Config,
    /// What describes the function.
    pub tags: FunctionTags,
    /// Events to logs and points.
    pub processor: Processor,
    /// The way to Datadog.
    pub intake: Intake,
    /// Telemetry; None where no event will ever come (the subscription failed, or the platform has none).
    pub telemetry: Option<Batches>,
    /// What the function measures; None where it cannot be had.
    pub dogstatsd: Option<DatagramQueue>,
    /// Where tracers send to, not served yet; None where it cannot be had.
    pub trace_agent: Option<trace_agent::TraceAgentListener>,
    /// Where SDKs of OpenTelemetry send to, not served yet.
    pub otlp: otlp::Listeners,
    /// Where tracers report invocations to, not served yet; None where it cannot be had.
    pub lifecycle: Option<lifecycle::LifecycleListener>,
    /// Reads what they report.
    pub calls: Decoder,
    /// What the Runtime API proxy reports of invocations; None where nothing is to be reported.
    pub runtime_messages: Option<Messages>,
}

/// The way to Datadog. None where there is none: no key, no TLS.
pub enum Intake {
    /// Open.
    Eager(Option<intake::Client>),
    /// To be built once the next event has been asked for.
    Deferred(Box<dyn FnOnce() -> Option<intake::Client> + Send>),
}

/// Runs until SHUTDOWN or SIGTERM, and flushes.
pub async fn run(parts: Components) {
    let mut next = parts.next;
    // A request that is in flight may be answered at any time: nothing is left to wait for before it.
    let is_deferred = (APPSEC_DEFER || next.was_sent()) && !parts.initialization.is_ahead();
    // Requests come with the calls of tracers.
    let appsec = parts.config.appsec.clone();
    let appsec = AppSec { enabled: appsec.enabled && parts.lifecycle.is_some(), ..appsec };
    let early_waf = if is_deferred { None } else { ready_waf(&appsec).await };
    next.send().await;
    checkpoint(Checkpoint::NextSent);
    let flusher = flusher(parts.intake, parts.config.secret_reload, parts.initialization);
    // Without events the end of an invocation would never be seen.
    let metrics = &parts.config.metrics;
    let measures = metrics.enhanced && metrics.usage && parts.telemetry.is_some();
    let overlapping = parts.initialization == Initialization::ManagedInstances;
    let span_parents = parts.processor.span_parents();
    let traces =
        TracePipeline::start(parts.trace_agent, parts.otlp, &parts.config, &parts.tags, Arc::clone(&span_parents));
    let waf = if is_deferred { Waf::start(&appsec) } else { early_waf };
    let monitor = waf.map(|waf| lifecycle::Monitor::new(waf, &appsec));
    checkpoint(Checkpoint::TraceAgent);
    let lifecycle = serve_lifecycle(parts.lifecycle, parts.calls, monitor, parts.runtime_messages, span_parents);
    checkpoint(Checkpoint::Lifecycle);
    checkpoints::report_if_complete();
    let mut engine = Engine {
        traces,
        lifecycle,
        usage_metrics: measures.then(|| usage_metrics::UsageMetrics::new(&Proc::default(), overlapping)),
        log_encoder: LogEncoder::new(parts.tags, &parts.config),
        processor: parts.processor,
        logs: LogQueue::default(),
        points: Points::default(),
        dogstatsd_pipeline: DogStatsdPipeline::new(parts.dogstatsd, parts.config.dogstatsd.namespace.clone()),
        flusher,
        telemetry: parts.telemetry,
        awaits_runtime: false,
        silent_since_loss: None,
        pending: Vec::new().into_iter(),
        config: parts.config,
    };
    let termination = Termination::watch();
    let shutdown = tokio::select! {
        shutdown = serve(&mut engine, next, parts.initialization) => shutdown,
        // The default is to be killed soon, and nobody says when.
        signal = termination.received() => Shutdown { shutdown_reason: signal.to_owned(), deadline_ms: 0 },
    };
    shutdown::run(engine, &shutdown).await;
}

/// The flusher with its client, or while that is built.
fn flusher(intake: Intake, key_reload: Option<Duration>, initialization: Initialization) -> Flusher {
    match intake {
        Intake::Eager(client) => {
            ready();
            let mut flusher = Flusher::new(client, key_reload);
            // A snapshot must hold neither a request that is on its way nor a key that will be old.
            if initialization != Initialization::SnapStart {
                flusher.request_api_key();
            }
            flusher
        }
        Intake::Deferred(build) => {
            let build = || {
                let client = build();
                ready();
                client
            };
            Flusher::building(build, key_reload)
        }
    }
}

/// The WAF, once requests can be evaluated; None unless settings ask for it.
async fn ready_waf(settings: &AppSec) -> Option<Waf> {
    let waf = Waf::start(settings)?;
    // One that takes longer goes on while the function runs.
    let _ = timeout_awake(WAF_WAIT, waf.until_ready()).await;
    Some(waf)
}

/// Serves tracers that report invocations from now on, if there is a listener.
fn serve_lifecycle(
    bound: Option<lifecycle::LifecycleListener>,
    decoder: Decoder,
    monitor: Option<lifecycle::Monitor>,
    messages: Option<Messages>,
    span_parents: Arc<SpanParents>,
) -> Option<lifecycle::CallQueue> {
    let port = lifecycle::PORT;
    let messages = messages.map(|messages| messages.with_span_parents(span_parents));
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

fn ready() {
    checkpoint(Checkpoint::Ready);
    checkpoints::report_if_complete();
}
