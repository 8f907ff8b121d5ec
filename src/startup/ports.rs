//! Everything that listens, bound and not yet served: what arrives from now on waits in the system's queues.

use std::io;

use crate::{
    ingest::{dogstatsd, telemetry},
    os::checkpoints::{Checkpoint, checkpoint},
};

/// The ports. One that cannot be bound is done without.
#[derive(Debug)]
pub struct Ports {
    /// For what the platform tells.
    pub telemetry: io::Result<telemetry::TelemetryListener>,
    /// For what the function measures.
    pub dogstatsd: io::Result<dogstatsd::DogStatsdSocket>,
}

/// Binds them all. Needs neither settings nor threads.
pub fn bind() -> Ports {
    let ports = Ports { telemetry: telemetry::bind(), dogstatsd: dogstatsd::bind() };
    checkpoint(Checkpoint::Bound);
    ports
}
