//! The loops that join the rest: one for a function that is invoked and frozen, one for managed instances, and the end of both.

mod engine;
mod managed;
mod next;
mod on_demand;
mod shutdown;

use tokio::sync::mpsc::Receiver;

use crate::{
    aggregate::{LogQueue, Points},
    config::Config,
    flush::Flusher,
    platform::{Client, Initialization, Registered},
    process::{event::Batch, invocation::Processor, log::Origin, tags::FunctionTags},
};

/// Everything that the loops work with, built by `start`.
#[derive(Debug)]
pub struct Parts {
    /// The way to the platform.
    pub platform: Client,
    /// Who we are there.
    pub registered: Registered,
    /// What kind of sandbox this is.
    pub initialization: Initialization,
    /// The settings.
    pub config: Config,
    /// What describes the function.
    pub tags: FunctionTags,
    /// Events to logs and points.
    pub processor: Processor,
    /// Payloads to Datadog.
    pub flusher: Flusher,
    /// Telemetry; None where no event will ever come (the subscription failed, or the platform has none).
    pub telemetry: Option<Receiver<Batch>>,
}

/// How the extension's life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The platform asked us to.
    Shutdown,
    /// The platform was not to be reached any more.
    PlatformGone,
}

/// Runs until the sandbox ends.
pub async fn run(parts: Parts) -> Ended {
    let next = next::Next::new(parts.platform, parts.registered.id);
    let engine = engine::Engine {
        origin: Origin::new(&parts.tags, &parts.config),
        processor: parts.processor,
        logs: LogQueue::default(),
        points: Points::default(),
        flusher: parts.flusher,
        telemetry: parts.telemetry,
        tags: parts.tags,
        config: parts.config,
    };
    match parts.initialization {
        Initialization::ManagedInstances => managed::run(engine, next).await,
        _ => on_demand::run(engine, next).await,
    }
}
