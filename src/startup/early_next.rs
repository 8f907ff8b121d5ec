//! The short order: the next event is asked for before anything else is built, and everything else is built while the runtime starts.

use std::{
    cell::OnceCell,
    io,
    pin::pin,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use extension_protocol::handover::SPARE_DESCRIPTORS;
use tokio::time::timeout;

use super::{
    Error, StartTime,
    idle::idle,
    register::{StartupState, SubscriptionReply, register},
    services::{self, StartedServices, TelemetryReceiver},
};
use crate::{
    build_info::BUILD_INFO,
    config::{self, Config, LoadedConfig},
    ingest::otlp,
    os::{self, error::chain, thread},
    platform::{self, Environment, ExtensionId, ExtensionsApi, Subscription, SubscriptionOutcome},
    run::{self, Components, next::NextPoller},
};

/// How long the extension waits for the response to a repeated subscription once the first event has come. Meanwhile the function runs.
const LATE_REPLY: Duration = Duration::from_secs(1);

/// Registers, and runs until the sandbox ends.
pub fn run(environment: Environment, start_time: StartTime) -> Result<(), Error> {
    // Read while the registration is on its way, because whether logs are wanted is part of the subscription.
    let loaded = OnceCell::new();
    let logs_wanted =
        |environment: &Environment| loaded.get_or_init(|| services::config(environment)).config.logs.enabled;
    let state = register(environment, logs_wanted)?;
    run_agent(state, loaded.into_inner(), start_time);
    Ok(())
}

/// Runs with what the launcher has registered.
pub fn resume(state: StartupState, start_time: StartTime) {
    run_agent(state, None, start_time);
}

fn run_agent(state: StartupState, loaded: Option<LoadedConfig>, start_time: StartTime) {
    os::log::start(config::log_level(std::env::vars_os()));
    tracing::debug!("Starting Datadog Extension v{}", BUILD_INFO.version);
    let runtime = spare_descriptors().and_then(|()| services::runtime(&state.environment, threads_can_be_started));
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("EXTENSION | nothing will be collected: {}", chain(&error));
            return idle(state);
        }
    };
    // On the heap: with all that runs it is too large for the stack of a caller.
    runtime.block_on(async { Box::pin(run::run(build(state, loaded, start_time).await)).await });
    // What still runs in the background has had its time.
    runtime.shutdown_background();
}

/// Fails where so few descriptors are left that neither telemetry could be accepted nor anything sent: the end of every invocation would be waited for in vain.
fn spare_descriptors() -> Result<(), Error> {
    // Two descriptors each.
    let pipes: io::Result<Vec<_>> = (0..SPARE_DESCRIPTORS / 2).map(|_| io::pipe()).collect();
    pipes.map(drop).map_err(Error::Runtime)
}

/// By now the function runs too, and may have used up the threads of the sandbox; an async runtime with workers would end the process then. So as many threads
/// as it starts, and one more, are started at once before it, and have ended when this returns.
fn threads_can_be_started(workers: usize) -> bool {
    let (release, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let start = |_| {
        let wait = Arc::clone(&wait);
        // It ends once the sender is dropped.
        thread::start("probe", move || drop(wait.lock().map(|wait| wait.recv())))
    };
    let started: io::Result<Vec<_>> = (0..=workers).map(start).collect();
    drop(release);
    match started {
        Ok(threads) => threads.into_iter().all(|thread| thread.join().is_ok()),
        Err(error) => {
            tracing::warn!("EXTENSION | no further thread can be started: {error}");
            false
        }
    }
}

/// Within the async runtime.
async fn build(state: StartupState, loaded: Option<LoadedConfig>, start_time: StartTime) -> Components {
    let StartupState { environment, registered, ports, runtime_proxy, connection, subscription } = state;
    // First of all: the runtime may have connected already, and init waits for what it asks.
    let runtime_proxy = services::runtime_proxy(runtime_proxy, &environment.runtime_api);
    let listening = services::start_telemetry(ports.telemetry);
    let config = services::apply_config(loaded.unwrap_or_else(|| services::config(&environment)));
    // The function runs by now and may send soon.
    let otlp = otlp::Listeners::bind(&config.otlp);
    let intake = services::intake(&config, &environment);
    let dogstatsd = services::start_dogstatsd(ports.dogstatsd, &config);
    let trace_agent = services::trace_agent(ports.trace_agent);
    let lifecycle = services::lifecycle(ports.lifecycle);
    let platform = ExtensionsApi::resume(environment.runtime_api.clone(), connection);
    let startup = Startup { environment: &environment, config: &config, id: &registered.id };
    let SubscriptionResult { next, telemetry } = startup.subscribe(platform, subscription, listening).await;
    let known = StartedServices {
        next,
        registered,
        config,
        intake,
        telemetry,
        dogstatsd,
        trace_agent,
        otlp,
        lifecycle,
        runtime_proxy,
    };
    services::build_components(known, &environment, start_time)
}

struct Startup<'a> {
    environment: &'a Environment,
    config: &'a Config,
    id: &'a ExtensionId,
}

struct SubscriptionResult {
    next: NextPoller,
    telemetry: services::Telemetry,
}

impl Startup<'_> {
    /// Waits for the response to the subscription. Where it is lost or says that it may succeed later, the subscription is repeated as long as init is open:
    /// before the next event is asked for, or else until shortly after that has come.
    async fn subscribe(
        &self,
        mut platform: ExtensionsApi,
        reply: SubscriptionReply,
        listening: Option<TelemetryReceiver>,
    ) -> SubscriptionResult {
        let reply = match reply {
            SubscriptionReply::Received(reply) => Some(reply),
            SubscriptionReply::Pending => Some(platform.pending_subscription().await),
            SubscriptionReply::NotSent => None,
        };
        let Some(listening) = listening else {
            return SubscriptionResult { next: self.poller(platform), telemetry: None };
        };
        let subscription = listening.subscription(self.config, self.environment.initialization());
        let (next, reply) = match reply {
            Some(Err(error)) if error.is_temporary() => self.subscribe_again(platform, subscription, Some(error)).await,
            None => self.subscribe_again(platform, subscription, None).await,
            Some(reply) => (self.poller(platform), reply),
        };
        SubscriptionResult { next, telemetry: listening.after(reply) }
    }

    async fn subscribe_again(
        &self,
        mut platform: ExtensionsApi,
        subscription: Subscription,
        error: Option<platform::Error>,
    ) -> (NextPoller, Result<SubscriptionOutcome, platform::Error>) {
        if let Some(error) = &error {
            tracing::warn!("TELEMETRY | subscribing again: {}", chain(error));
        }
        if !platform.next_is_in_flight() {
            let reply = platform.subscribe(self.id, subscription).await;
            return (self.poller(platform), reply);
        }
        let mut next = self.poller(platform);
        let mut other = ExtensionsApi::resume(self.environment.runtime_api.clone(), None);
        let reply = reply_around(next.answered(), other.subscribe_persistently(self.id, subscription)).await;
        (next, reply.unwrap_or_else(|| Err(error.unwrap_or_else(init_is_over))))
    }

    fn poller(&self, platform: ExtensionsApi) -> NextPoller {
        NextPoller::new(platform, self.id.clone())
    }
}

/// The reply, if it comes before the first event or shortly after it: Lambda may have accepted the subscription before it sent the event.
async fn reply_around<T>(first_event: impl Future<Output = ()>, reply: impl Future<Output = T>) -> Option<T> {
    let mut reply = pin!(reply);
    tokio::select! {
        biased;
        reply = &mut reply => Some(reply),
        () = first_event => timeout(LATE_REPLY, reply).await.ok(),
    }
}

fn init_is_over() -> platform::Error {
    platform::Error::Answer { call: "subscribe", source: platform::AnswerError::AfterFirstEvent }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_reply_to_a_subscription_counts_though_the_first_event_comes_before_it() {
        let reply_after = async |time| {
            sleep(time).await;
            "reply"
        };
        for after in [Duration::ZERO, LATE_REPLY / 2] {
            assert_eq!(reply_around(ready(()), reply_after(after)).await, Some("reply"));
        }
        assert_eq!(reply_around(pending(), reply_after(LATE_REPLY * 100)).await, Some("reply"), "init is open");
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscription_without_a_reply_is_given_up_shortly_after_the_first_event() {
        let began = Instant::now();
        assert_eq!(reply_around(sleep(LATE_REPLY), pending::<()>()).await, None);
        assert!(began.elapsed() >= LATE_REPLY * 2);
    }
}
