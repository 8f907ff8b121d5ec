//! The two startup orders, built from the same steps.
//!
//! Registering comes first because the platform starts the runtime only after it; once it has succeeded, nothing that fails may end the process: whatever
//! cannot be built is done without, and the loop runs.

mod early_next;
mod fips;
pub mod handover;
pub mod idle;
mod ports;
pub mod register;
mod runtime_first;
mod services;

use std::{env, io, process::ExitCode, time::Instant};

use tracing::level_filters::LevelFilter;

use crate::{
    config, features,
    os::{
        self,
        checkpoints::{Checkpoint, checkpoint},
        clock,
        error::chain,
    },
    platform::{self, Environment},
    process::event::Timestamp,
};

/// When this process began, on both clocks.
#[derive(Debug, Clone, Copy)]
struct StartTime {
    wall: Timestamp,
    monotonic: Instant,
}

/// Why there is no extension. Lambda reports it as a failed initialization.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the async runtime could not be started")]
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
    let start_time = StartTime { wall: clock::epoch_ms(), monotonic: Instant::now() };
    match run(start_time) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The short order does not come to starting the logger before it fails.
            os::log::start(LevelFilter::ERROR);
            tracing::error!("EXTENSION | {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(start_time: StartTime) -> Result<(), Error> {
    if features::EARLY_NEXT
        && let Some(state) = handover::import()
    {
        early_next::resume(state, start_time);
        return Ok(());
    }
    let environment = Environment::of_process();
    if features::EARLY_NEXT && !environment.initialization().is_ahead() {
        return early_next::run(environment, start_time);
    }
    os::log::start(config::log_level(env::vars_os()));
    runtime_first::run(&environment, start_time)
}
