//! The conventional order: an async runtime first, and everything in it, one thing after the other or side by side as the switches say.

use std::io;

use tokio::{
    sync::oneshot,
    task::{JoinError, JoinHandle},
};

use super::{
    Error, StartTime, ports,
    services::{self, StartedServices},
};
use crate::{
    build_info::BUILD_INFO,
    config::Config,
    features::{BIND_FIRST, EARLY_SUBSCRIBE, RAW_CONTROL_PLANE, REGISTER_OVERLAP},
    ingest::otlp,
    intake::tls,
    os::{
        checkpoints::{Checkpoint, checkpoint},
        thread::run_blocking,
    },
    platform::{
        self, Environment, ExtensionId, ExtensionRegistration, ExtensionsApi, Subscription, SubscriptionOutcome,
    },
    run::{self, Components, Intake, next::NextPoller},
    runtime_proxy,
};

/// Lives until the sandbox ends.
pub fn run(environment: &Environment, start_time: StartTime) -> Result<(), Error> {
    // Nothing else of the sandbox has been started yet, so nobody has used up its threads.
    let runtime = services::runtime(environment, |_| true)?;
    let ended = runtime.block_on(async {
        // On the heap: with all that runs it is too large for the stack of a caller.
        Box::pin(run::run(build(environment, start_time).await?)).await;
        Ok(())
    });
    // What still runs in the background has had its time.
    runtime.shutdown_background();
    ended
}

async fn build(environment: &Environment, start_time: StartTime) -> Result<Components, Error> {
    tracing::debug!("Starting Datadog Extension v{}", BUILD_INFO.version);
    let initialization = environment.initialization();
    // Lambda starts the runtime once the registration is answered, and extensions that start beside this one may register through the proxy.
    let runtime_proxy = services::runtime_proxy(runtime_proxy::bind(), &environment.runtime_api);
    let registering = tokio::spawn(register(environment.clone()));
    let background = REGISTER_OVERLAP.then(|| BackgroundSetup::start(environment.clone()));
    let early_bound = BIND_FIRST.then(ports::bind);
    let RegisteredClient { platform, registered } = joined(registering.await)??;
    let (config, mut intake) = match background {
        Some(background) => background.config(environment).await,
        None => (services::apply_config(services::config(environment)), PendingIntake::NotStarted),
    };
    if !EARLY_SUBSCRIBE {
        intake = intake.build_here(&config, environment).await?;
    }
    let ports = early_bound.unwrap_or_else(ports::bind);
    let listening = services::start_telemetry(ports.telemetry);
    let dogstatsd = services::start_dogstatsd(ports.dogstatsd, &config);
    let trace_agent = services::trace_agent(ports.trace_agent);
    let lifecycle = services::lifecycle(ports.lifecycle);
    let otlp = otlp::Listeners::bind(&config.otlp);
    let subscription = listening.as_ref().map(|listening| listening.subscription(&config, initialization));
    let subscribing = tokio::spawn(subscribe(platform, registered.id.clone(), subscription));
    let intake = intake.build_in_background(&config, environment).await?;
    let SubscribedClient { platform, answer } = joined(subscribing.await)?;
    let telemetry = listening.zip(answer).and_then(|(listening, answer)| listening.after(answer));
    let next = NextPoller::new(platform, registered.id.clone());
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
    Ok(services::build_components(known, environment, start_time))
}

/// Settings and clients that are built on a thread of their own. The async runtime may have only this thread, which makes the requests then.
struct BackgroundSetup {
    config: oneshot::Receiver<Config>,
    intake: JoinHandle<io::Result<Intake>>,
}

impl BackgroundSetup {
    fn start(environment: Environment) -> Self {
        let (sender, config) = oneshot::channel();
        let intake = tokio::spawn(run_blocking("start", move || {
            let config = services::apply_config(services::config(&environment));
            // The subscription needs the settings but not the clients. An error means that the start has failed meanwhile.
            let _ = sender.send(config.clone());
            services::intake(&config, &environment)
        }));
        Self { config, intake }
    }

    /// The settings as soon as they are there, and the clients on their way. Where no thread could be started, both are left to this one.
    async fn config(self, environment: &Environment) -> (Config, PendingIntake) {
        match self.config.await {
            Ok(config) => (config, PendingIntake::Building(self.intake)),
            Err(_) => (services::apply_config(services::config(environment)), PendingIntake::NotStarted),
        }
    }
}

/// The clients to Datadog on their way.
enum PendingIntake {
    NotStarted,
    Building(JoinHandle<io::Result<Intake>>),
    BuiltClient(Intake),
}

impl PendingIntake {
    /// Waits for clients that are being built, and builds them on this thread where nobody does.
    async fn build_here(self, config: &Config, environment: &Environment) -> Result<Self, Error> {
        let here = || services::intake(config, environment);
        Ok(Self::BuiltClient(match self {
            Self::NotStarted => here(),
            Self::Building(intake) => joined(intake.await)?.unwrap_or_else(|_| here()),
            Self::BuiltClient(intake) => intake,
        }))
    }

    /// Leaves this thread to the requests that are in flight meanwhile, unless no other can be started.
    async fn build_in_background(self, config: &Config, environment: &Environment) -> Result<Intake, Error> {
        let here = || services::intake(config, environment);
        Ok(match self {
            Self::BuiltClient(intake) => intake,
            Self::Building(intake) => joined(intake.await)?.unwrap_or_else(|_| here()),
            Self::NotStarted => {
                let (config, environment) = (config.clone(), environment.clone());
                let built = run_blocking("start", move || services::intake(&config, &environment)).await;
                built.unwrap_or_else(|_| here())
            }
        })
    }
}

struct RegisteredClient {
    platform: ExtensionsApi,
    registered: ExtensionRegistration,
}

async fn register(environment: Environment) -> Result<RegisteredClient, Error> {
    if !RAW_CONTROL_PLANE {
        // The general client asks for a provider even where it is only to speak plain HTTP.
        tls::install_provider();
    }
    let initialization = environment.initialization();
    let mut platform = ExtensionsApi::new(environment.runtime_api)?;
    let registered = platform.register(initialization).await?;
    checkpoint(Checkpoint::Registered);
    Ok(RegisteredClient { platform, registered })
}

struct SubscribedClient {
    platform: ExtensionsApi,
    /// None: there was nothing to subscribe with.
    answer: Option<Result<SubscriptionOutcome, platform::Error>>,
}

async fn subscribe(
    mut platform: ExtensionsApi,
    id: ExtensionId,
    subscription: Option<Subscription>,
) -> SubscribedClient {
    let answer = match subscription {
        Some(subscription) => Some(platform.subscribe(&id, subscription).await),
        None => None,
    };
    SubscribedClient { platform, answer }
}

/// A task ends badly only if it panics, which ends the process before anybody could ask.
fn joined<T>(result: Result<T, JoinError>) -> Result<T, Error> {
    result.map_err(|error| Error::Runtime(io::Error::other(error)))
}
