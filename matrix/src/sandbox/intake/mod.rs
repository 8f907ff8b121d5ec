//! A stand-in for Datadog's intake: an HTTP/1.1 server that keeps every request, decoded, together with all that is wrong with it.
//!
//! It is the referee of the sandbox, so it shares no code with the extension it judges. What it answers follows a [`Plan`];
//! without one it accepts what Datadog would accept and refuses what Datadog would refuse.

mod plan;
mod request;
mod view;

mod examine;
mod logs;
mod proto;
mod series;
mod sketches;

mod connection;
mod record;
mod server;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

pub use plan::{After, Answer, Closed, Plan, Route, Rule, Window};
pub use request::{Answered, Payload, Request};
pub use series::{Kind, Origin, Resource, Series, SeriesPoint};
pub use sketches::{Bin, Distribution, Sketch};
pub use view::Point;

use server::IntakeState;

/// How long [`Intake::stop`] waits for answers that are still being written.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// A running fake intake. Clones are handles on the same server; it stops when the last of them is dropped.
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
    /// Binds `address` (port 0 lets the system choose one) and serves on the current tokio runtime.
    pub async fn start(address: SocketAddr, plan: Plan) -> Result<Self, Error> {
        let bind = |source| Error::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let (stop, stopping) = watch::channel(false);
        let state = Arc::new(IntakeState::new(plan, stopping));
        tokio::spawn(server::run(listener, address, Arc::clone(&state)));
        Ok(Self { handle: Arc::new(Handle { address, state, stop }) })
    }

    /// Where it listens, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.handle.address
    }

    /// Every request so far, in the order in which their last byte arrived.
    pub fn requests(&self) -> Vec<Request> {
        self.handle.state.requests()
    }

    /// The requests whose 2xx status was written to a connection that was still open: what Datadog has, and what the extension may forget.
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

    /// Replaces the plan. Its clocks and counters start at zero now; a closed port follows within moments, not at once.
    pub fn set_plan(&self, plan: Plan) {
        self.handle.state.set_plan(plan);
    }

    /// Stops serving: connections whose answers are silent or delayed are reset, and the port is free when this returns. What was received stays readable.
    pub async fn stop(&self) {
        self.handle.stop.send_replace(true);
        // A client that never finishes its request must not hold up the sandbox.
        let _ = tokio::time::timeout(STOP_LIMIT, self.handle.state.finished()).await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
