//! No receiver for OTLP: its ports refuse connections.

use std::sync::Arc;

use super::Ports;
use crate::{
    config::{Apm, Otlp},
    ingest::trace_agent::Agent,
};

/// Nothing that listens.
#[derive(Debug)]
pub struct Listeners;

impl Listeners {
    /// Warns if settings ask for a receiver.
    pub fn bind(settings: &Otlp) -> Self {
        let Ports { http, grpc } = Ports::of(settings);
        if http.is_some() || grpc.is_some() {
            tracing::warn!(
                "OTLP | this build has no receiver for OTLP, so spans that are sent to its endpoints are refused; add the feature otlp"
            );
        }
        Self
    }

    pub fn serve(self, _: &Arc<Agent>, _: &Otlp, _: &Apm) {}
}
