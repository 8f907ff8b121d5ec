//! A stand-in with the shape of the intake, so that the sandbox compiles without it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

/// How the intake answers.
#[derive(Clone, Debug, Default)]
pub struct Plan {}

/// One request that the intake received.
#[derive(Clone, Debug)]
pub struct Request {}

/// Why the intake could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address could not be bound.
    #[error("cannot bind {address}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A running intake.
#[derive(Clone, Debug)]
pub struct Intake {
    address: SocketAddr,
    _listener: Arc<TcpListener>,
}

impl Intake {
    /// Binds `address` and serves on the current runtime.
    pub async fn start(address: SocketAddr, _plan: Plan) -> Result<Self, Error> {
        let bound = |source| Error::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bound)?;
        let address = listener.local_addr().map_err(bound)?;
        Ok(Self { address, _listener: Arc::new(listener) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What arrived.
    pub fn requests(&self) -> Vec<Request> {
        Vec::new()
    }

    /// Answers differently from now on.
    pub fn set_plan(&self, _plan: Plan) {}
}
