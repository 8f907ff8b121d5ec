//! The Runtime API proxy: it stands between the runtime and Lambda's Runtime API, passes everything on, and, where the runtime is the Lambda Web Adapter, reports what it
//! has seen of each invocation as tracers do on the lifecycle port.
//!
//! Bodies are streamed and a slow receiver slows down its sender. Each connection of the runtime has one of its own to Lambda, each with at most [`server::MAX_BUFFER_BYTES`] in
//! either direction; what is copied of bodies is bounded by `ingest::lifecycle::runtime`.

mod copy;
mod headers;
mod relay;
mod rules;
mod server;
mod upstream;

use std::{
    env, io,
    net::{SocketAddr, TcpListener},
};

use crate::{
    ingest::lifecycle::runtime::Observer,
    os::{streams, thread},
    platform::RuntimeApi,
};
use rules::Rules;

/// The socket, bound, so that a runtime that connects from now on waits in its backlog. Needs no async runtime yet.
#[derive(Debug)]
pub struct ProxyListener {
    listener: TcpListener,
    rules: Rules,
}

/// Why there is no proxy although somebody wants one.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct Error {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// Binds the address, if the process's variables ask for a proxy.
pub fn bind() -> Option<Result<ProxyListener, Error>> {
    Rules::read(|name| env::var(name).ok()).map(bind_at)
}

/// Whether the process's variables ask for no proxy.
pub fn is_unwanted() -> bool {
    Rules::read(|name| env::var(name).ok()).is_none()
}

fn bind_at(rules: Rules) -> Result<ProxyListener, Error> {
    let bound = TcpListener::bind(rules.address);
    let bound = bound.and_then(|listener| streams::above_standard(listener, TcpListener::try_clone));
    match bound {
        Ok(listener) => Ok(ProxyListener { listener, rules }),
        Err(source) => Err(Error { address: rules.address, source }),
    }
}

impl ProxyListener {
    /// What is wrong with the variables that ask for it.
    pub fn problem(&self) -> Option<&str> {
        self.rules.problem.as_deref()
    }

    /// Whether invocations are to be reported.
    pub fn is_web_adapter(&self) -> bool {
        self.rules.is_web_adapter
    }

    /// Passes on from now on what the runtime asks of `api`, as a task of its own. `observer` gets what is to be reported; None: nothing is.
    pub fn serve(self, api: &RuntimeApi, observer: Option<Observer>) -> Result<(), Error> {
        let Self { listener, rules: Rules { address, .. } } = self;
        let listening = listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
        let listener = listening.map_err(|source| Error { address, source })?;
        tokio::spawn(server::run(listener, api.clone(), observer));
        Ok(())
    }

    /// Passes on from now on what the runtime asks of `api`, on threads, and without an async runtime: for an agent that does nothing else any more.
    pub fn relay(self, api: RuntimeApi) -> Result<(), Error> {
        let Self { listener, rules: Rules { address, .. } } = self;
        let started = thread::start("relay", move || relay::run(&listener, &api));
        started.map(drop).map_err(|source| Error { address, source })
    }
}

#[cfg(test)]
mod tests;
