//! The conventional order: an async runtime first, and everything in it, one thing after the other or side by side as the switches say.

use std::io;

use tokio::task::JoinError;

use super::{
    Birth, Error, ports,
    services::{self, Known},
};
use crate::{
    build_info::BUILD_INFO,
    config::Config,
    features::{BIND_FIRST, ControlPlane, EARLY_SUBSCRIBE, RAW_CONTROL_PLANE, REGISTER_OVERLAP},
    intake::tls,
    os::trace::{Checkpoint, checkpoint},
    platform::{self, Client, Environment, ExtensionId, Registered, Subscribed, subscription::Subscription},
    run::{self, Intake, Parts, next::NextPoller},
};

/// Lives until the sandbox ends.
pub fn live(environment: &Environment, birth: Birth) -> Result<(), Error> {
    // Nothing else of the sandbox has been started yet, so nobody has used up its threads.
    let runtime = services::runtime(environment, || true)?;
    let ended = runtime.block_on(async {
        run::run(build(environment, birth).await?).await;
        Ok(())
    });
    // What still runs in the background has had its time.
    runtime.shutdown_background();
    ended
}

async fn build(environment: &Environment, birth: Birth) -> Result<Parts<ControlPlane>, Error> {
    log::debug!("Starting Datadog Extension v{}", BUILD_INFO.version);
    let initialization = environment.initialization();
    let settings = || Settings::build(environment);
    let registering = tokio::spawn(register(environment.clone()));
    let early_bound = BIND_FIRST.then(ports::bind);
    // Settings and clients are built on this thread while a worker registers.
    let early = REGISTER_OVERLAP.then(settings);
    let Established { platform, registered } = joined(registering.await)??;
    let Settings { config, mut intake } = match early {
        Some(settings) => settings,
        // The subscription needs the settings but not the clients, and is on its way while those are built.
        None if EARLY_SUBSCRIBE => Settings { config: services::settle(services::config(environment)), intake: None },
        None => settings(),
    };
    let ports = early_bound.unwrap_or_else(ports::bind);
    let listening = services::listen(ports.telemetry);
    let dogstatsd = services::measure(ports.dogstatsd, &config);
    let subscription = listening.as_ref().map(|listening| listening.subscription(&config, initialization));
    let subscribing = tokio::spawn(subscribe(platform, registered.id.clone(), subscription));
    let build_intake = || services::intake(&config, environment);
    if EARLY_SUBSCRIBE && intake.is_none() {
        intake = Some(build_intake());
    }
    let Answered { platform, answer } = joined(subscribing.await)?;
    let telemetry = listening.zip(answer).and_then(|(listening, answer)| listening.after(answer));
    let intake = intake.unwrap_or_else(build_intake);
    let next = NextPoller::new(platform, registered.id.clone());
    Ok(services::parts(Known { next, registered, config, intake, telemetry, dogstatsd }, environment, birth))
}

/// The settings, and the way to Datadog unless that is still to be built.
struct Settings {
    config: Config,
    intake: Option<Intake>,
}

impl Settings {
    fn build(environment: &Environment) -> Self {
        let config = services::settle(services::config(environment));
        let intake = Some(services::intake(&config, environment));
        Self { config, intake }
    }
}

struct Established {
    platform: Client,
    registered: Registered,
}

async fn register(environment: Environment) -> Result<Established, Error> {
    if !RAW_CONTROL_PLANE {
        // The general client asks for a provider even where it is only to speak plain HTTP.
        tls::install_provider();
    }
    let initialization = environment.initialization();
    let mut platform = Client::new(environment.runtime_api)?;
    let registered = platform.register(initialization).await?;
    checkpoint(Checkpoint::Registered);
    Ok(Established { platform, registered })
}

struct Answered {
    platform: Client,
    /// None: there was nothing to subscribe with.
    answer: Option<Result<Subscribed, platform::Error>>,
}

async fn subscribe(mut platform: Client, id: ExtensionId, subscription: Option<Subscription>) -> Answered {
    let answer = match subscription {
        Some(subscription) => Some(platform.subscribe(&id, subscription).await),
        None => None,
    };
    Answered { platform, answer }
}

/// A task ends badly only if it panics, which ends the process before anybody could ask.
fn joined<T>(result: Result<T, JoinError>) -> Result<T, Error> {
    result.map_err(|error| Error::Runtime(io::Error::other(error)))
}
