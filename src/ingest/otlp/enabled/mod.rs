//! The receiver for OTLP.

mod export;
mod grpc;
mod gzip;
mod http;

#[cfg(test)]
mod tests;

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
};

use axum::http::{HeaderMap, header};

use super::Ports;
use crate::{
    config::{Apm, Otlp},
    ingest::trace_agent::{Agent, Listener},
    os::streams,
    process::otlp::{NameRules, Settings},
};
use export::Receiver;

/// Listeners that are bound, so that SDKs that connect from now on wait in their backlogs.
#[derive(Debug)]
pub struct Listeners {
    http: Option<TcpListener>,
    grpc: Option<TcpListener>,
}

impl Listeners {
    /// Binds the ports that settings ask for.
    pub fn bind(settings: &Otlp) -> Self {
        let Ports { http, grpc } = Ports::of(settings);
        Self { http: bind(http, "HTTP"), grpc: bind(grpc, "gRPC") }
    }

    /// Answers from now on, as tasks of their own. What comes goes where the trace agent's requests go.
    pub fn serve(self, agent: &Arc<Agent>, settings: &Otlp, apm: &Apm) {
        let receiver = Arc::new(Receiver { agent: Arc::clone(agent), settings: naming(settings, apm) });
        if let Some(listener) = listener(self.http, "HTTP") {
            tokio::spawn(http::serve(listener, Arc::clone(&receiver)));
        }
        if let Some(listener) = listener(self.grpc, "gRPC") {
            let max_bytes = grpc::max_bytes(settings.grpc_max_message_mib);
            tokio::spawn(grpc::serve(listener.with_http2(), receiver, max_bytes));
        }
    }
}

fn bind(port: Option<u16>, protocol: &str) -> Option<TcpListener> {
    let port = port?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .and_then(|listener| streams::above_standard(listener, TcpListener::try_clone))
        .inspect_err(|error| {
            tracing::error!("OTLP | cannot bind port {port}: {error}; OTLP over {protocol} is disabled");
        })
        .ok()
}

fn listener(bound: Option<TcpListener>, protocol: &str) -> Option<Listener> {
    let serve = |bound: TcpListener| {
        bound.set_nonblocking(true)?;
        io::Result::Ok(Listener::new(tokio::net::TcpListener::from_std(bound)?))
    };
    serve(bound?).inspect_err(|error| tracing::error!("OTLP | cannot serve OTLP over {protocol}: {error}")).ok()
}

/// Whether the `Content-Type` begins so. Types are case-insensitive (RFC 9110, section 8.3.1).
fn is_of_type(headers: &HeaderMap, prefix: &[u8]) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.as_bytes().get(..prefix.len()));
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(prefix))
}

fn naming(settings: &Otlp, apm: &Apm) -> Settings {
    let has = |word: &str| apm.features.iter().any(|known| known == word);
    Settings {
        span_name_as_resource_name: settings.span_name_as_resource_name,
        span_name_remappings: settings.span_name_remappings.clone(),
        ignore_missing_datadog_fields: settings.ignore_missing_datadog_fields,
        names: if has("disable_operation_and_resource_name_logic_v2") { NameRules::First } else { NameRules::Second },
        top_level_by_kind: has("enable_otlp_compute_top_level_by_span_kind"),
    }
}
