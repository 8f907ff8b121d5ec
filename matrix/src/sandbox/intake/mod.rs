//! A fake Datadog intake: an HTTP/1.1 server that records every request, decoded, with its problems.
//!
//! It checks the extension, so it shares no code with it. Its responses follow a [`Plan`]. Without one it accepts and rejects the same requests as Datadog.

mod plan;
mod request;
mod view;

mod examine;
mod logs;
pub(crate) mod msgpack;
mod proto;
mod proxied;
mod series;
mod sketches;
mod stats;
mod traces;

mod connection;
mod record;
mod server;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

pub use plan::{Outage, OutageStart, Plan, Route, Rule, RuleResponse, Window};
pub use proxied::ProxiedBody;
pub use request::{Payload, Request, RequestOutcome};
pub use series::{Kind, Origin, Resource, Series, SeriesPoint};
pub use sketches::{Bin, Distribution, Sketch};
pub use stats::{ClientStats, StatsBucket, StatsGroup, StatsPayload};
pub use traces::{AgentPayload, Span, SpanEvent, SpanLink, TraceChunk, TracerPayload};
pub use view::Point;

use server::IntakeState;

/// How long [`Intake::stop`] waits for responses that are being written.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// A running fake intake. Clones are handles of the same server, which stops when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Intake {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    address: SocketAddr,
    state: Arc<IntakeState>,
    stop: watch::Sender<bool>,
}

/// Why the fake intake could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the fake intake cannot listen on {address}")]
    Bind { address: SocketAddr, source: io::Error },
}

impl Intake {
    /// Binds `address` (port 0 selects a free one) and serves on the present tokio runtime.
    pub async fn start(address: SocketAddr, plan: Plan) -> Result<Self, Error> {
        let bind = |source| Error::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let (stop, stopping) = watch::channel(false);
        let state = Arc::new(IntakeState::new(plan, stopping));
        tokio::spawn(server::run(listener, address, Arc::clone(&state)));
        Ok(Self { handle: Arc::new(Handle { address, state, stop }) })
    }

    /// The listening address with the selected port.
    pub fn address(&self) -> SocketAddr {
        self.handle.address
    }

    /// Every request so far, in the order in which their last bytes arrived.
    pub fn requests(&self) -> Vec<Request> {
        self.handle.state.requests()
    }

    /// The requests whose 2xx status was written to a connection that was still open. Datadog has their payloads, and the extension may discard them.
    pub fn delivered(&self) -> Vec<Request> {
        self.requests().into_iter().filter(Request::delivered).collect()
    }

    /// The elements of all delivered log payloads, in order of arrival.
    pub fn logs(&self) -> Vec<serde_json::Value> {
        view::logs(&self.delivered())
    }

    /// All delivered points of one metric, from series and sketches, in order of arrival.
    pub fn points(&self, metric: &str) -> Vec<Point> {
        view::points(&self.delivered(), metric)
    }

    /// All delivered spans, in order of arrival.
    pub fn spans(&self) -> Vec<Span> {
        view::spans(&self.delivered())
    }

    /// All delivered groups of trace statistics, in order of arrival.
    pub fn stats(&self) -> Vec<StatsGroup> {
        view::stats(&self.delivered())
    }

    /// Replaces the plan. Its clocks and counters start at zero now; a closed port follows within moments, not at once.
    pub fn set_plan(&self, plan: Plan) {
        self.handle.state.set_plan(plan);
    }

    /// Stops serving: connections with a silent or delayed response are reset, and the port is free when this returns. Requests remain readable.
    pub async fn stop(&self) {
        self.handle.stop.send_replace(true);
        // A client that never finishes its request must not block the sandbox.
        let _ = tokio::time::timeout(STOP_LIMIT, self.handle.state.finished()).await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
