//! Everything that listens, bound and not yet served: what arrives from now on waits in the system's queues.

use std::io;

use crate::{
    ingest::{dogstatsd, lifecycle, telemetry, trace_agent},
    os::checkpoints::{Checkpoint, checkpoint},
};

/// The ports. One that cannot be bound is done without.
#[derive(Debug)]
pub struct Ports {
    /// For what the platform tells.
    pub telemetry: io::Result<telemetry::TelemetryListener>,
    /// For what the function measures.
    pub dogstatsd: io::Result<dogstatsd::DogStatsdSocket>,
    /// For what tracers send.
    pub trace_agent: io::Result<trace_agent::TraceAgentListener>,
    /// For what tracers report about invocations.
    pub lifecycle: io::Result<lifecycle::LifecycleListener>,
}

/// Binds them all. Needs neither settings nor threads.
pub fn bind() -> Ports {
    let ports = Ports {
        telemetry: telemetry::bind(),
        dogstatsd: dogstatsd::bind(),
        trace_agent: trace_agent::bind(),
        lifecycle: lifecycle::bind(),
    };
    checkpoint(Checkpoint::Bound);
    ports
}
