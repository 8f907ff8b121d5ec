//! The order of birth: two of them, built from the same steps.
//!
//! Registering comes first because the platform starts the runtime only after it; once it has succeeded, nothing that fails may end the process: whatever
//! cannot be built is done without, and the loop runs.

mod express;
mod fips;
pub mod handover;
pub mod idle;
mod ports;
mod reference;
pub mod register;
mod services;

use std::{env, io, process::ExitCode, time::Instant};

use crate::{
    config, features,
    os::{
        self, clock,
        trace::{Checkpoint, checkpoint},
    },
    platform::{self, Environment},
    process::event::Timestamp,
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
    checkpoint(Checkpoint::Start);
    // Until something has been collected, those that ask for the end get it at once.
    os::signal::block();
    os::signal::unblock_termination();
    let birth = Birth { wall: clock::epoch_ms(), monotonic: Instant::now() };
    match live(birth) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The short order does not come to starting the logger before it fails.
            os::log::start(log::LevelFilter::Error);
            log::error!("EXTENSION | {error}");
            ExitCode::FAILURE
        }
    }
}

fn live(birth: Birth) -> Result<(), Error> {
    if features::EXPRESS
        && let Some(state) = handover::import()
    {
        express::resume(state, birth);
        return Ok(());
    }
    let environment = Environment::of_process();
    if features::EXPRESS && !environment.initialization().is_ahead() {
        return express::live(environment, birth);
    }
    os::log::start(config::log_level(env::vars_os()));
    reference::live(&environment, birth)
}
