//! The short order: the next event is asked for before anything else is built, and everything else is built while the runtime starts.

use std::cell::OnceCell;

use super::{
    Birth, Error,
    ask::{Answer, Asked, Line, ask},
    idle::idle,
    services::{self, Known},
};
use crate::{
    build_info::BUILD_INFO,
    config::{self, Loaded},
    os,
    platform::{self, Control, Environment, raw::Raw},
    run::{self, Ended, Parts},
};

/// Asks, and lives until the sandbox ends.
pub fn live(environment: Environment, birth: Birth) -> Result<Ended, Error> {
    // Read while the registration is on its way, because whether logs are wanted is part of the subscription.
    let loaded = OnceCell::new();
    let asked =
        ask(environment, |environment| loaded.get_or_init(|| services::config(environment)).config.logs.enabled)?;
    Ok(go_on(asked, loaded.into_inner(), birth))
}

/// Lives on with what the launcher has asked.
pub fn resume(asked: Asked, birth: Birth) -> Ended {
    go_on(asked, None, birth)
}

fn go_on(asked: Asked, loaded: Option<Loaded>, birth: Birth) -> Ended {
    os::log::start(config::log_level(std::env::vars_os()));
    log::debug!("Starting Datadog Extension v{}", BUILD_INFO.version);
    let runtime = match services::runtime(&asked.environment) {
        Ok(runtime) => runtime,
        Err(error) => {
            log::error!("EXTENSION | {error}; nothing will be collected");
            return idle(asked);
        }
    };
    let ended = runtime.block_on(async {
        match build(asked, loaded, birth) {
            Ok(parts) => run::run(parts).await,
            Err(error) => {
                log::error!("EXTENSION | {error}");
                Ended::PlatformGone
            }
        }
    });
    // What still runs in the background has had its time.
    runtime.shutdown_background();
    ended
}

/// Within the async runtime. Fails only if not even a connection to be opened later can be had.
fn build(asked: Asked, loaded: Option<Loaded>, birth: Birth) -> Result<Parts<Raw>, platform::Error> {
    let Asked { environment, registered, ports, line } = asked;
    let listening = services::listen(ports.telemetry);
    let config = services::settle(loaded.unwrap_or_else(|| services::config(&environment)));
    let intake = services::intake(&config, &environment);
    let dogstatsd = services::measure(ports.dogstatsd, &config);
    let Established { platform, telemetry } = establish(line, listening, &environment)?;
    Ok(services::parts(Known { platform, registered, config, intake, telemetry, dogstatsd }, &environment, birth))
}

struct Established {
    platform: Control<Raw>,
    telemetry: services::Telemetry,
}

fn establish(
    line: Line,
    listening: Option<services::Listening>,
    environment: &Environment,
) -> Result<Established, platform::Error> {
    let fresh = || Control::<Raw>::new(environment.runtime_api.clone());
    match line {
        Line::Open { mut connection, subscription } => {
            let answer = match subscription {
                Answer::Here(answer) => Some(answer),
                // The listener answers already, and the next event can wait behind this answer only.
                Answer::Owed => Some(connection.subscribed()),
                Answer::Never => None,
            };
            let telemetry = listening.zip(answer).and_then(|(listening, answer)| listening.after(answer));
            let platform = Control::resume(connection, true).or_else(|error| {
                log::error!("EXTENSION | {error}");
                fresh()
            })?;
            Ok(Established { platform, telemetry })
        }
        Line::Broken(error) => {
            log::error!("EXTENSION | {error}");
            Ok(Established { platform: fresh()?, telemetry: None })
        }
    }
}
