//! The least that keeps the function alive: events are asked for, and nothing is collected.

use std::thread;

use extension_protocol::Backoff;

use super::register::{StartupState, SubscriptionReply};
use crate::{
    os::{error::chain, signal},
    platform::{Error, Event, ExtensionId, RuntimeApi, raw::blocking::Connection},
};

/// Asks for one event after the other until SHUTDOWN, whatever the platform answers.
pub fn idle(state: StartupState) {
    signal::block();
    signal::unblock_termination();
    let StartupState { environment, registered, ports, runtime_proxy, connection, subscription } = state;
    // Nobody is going to answer: senders learn that at once.
    drop(ports);
    // The runtime may have been sent there for as long as the sandbox lives.
    if let Some(Ok(proxy)) = runtime_proxy
        && let Err(error) = proxy.relay(environment.runtime_api.clone())
    {
        tracing::error!("PROXY | {}", chain(&error));
    }
    let connection = connection.and_then(|mut connection| {
        if matches!(subscription, SubscriptionReply::Pending) {
            // Whatever it says, the next event comes behind it unless the connection has ended.
            let _ = connection.subscribed();
        }
        (!connection.has_ended()).then_some(connection)
    });
    let in_flight = connection.is_some();
    let mut poller = Poller { api: environment.runtime_api, id: registered.id, connection, in_flight };
    let mut backoff = Backoff::default();
    loop {
        match poller.event() {
            Ok(Event::Shutdown(_)) => return,
            Ok(Event::Invoke(_)) => backoff = Backoff::default(),
            Err(_) => thread::sleep(backoff.pause()),
        }
    }
}

struct Poller {
    api: RuntimeApi,
    id: ExtensionId,
    connection: Option<Connection>,
    /// The next event has been asked for on the connection.
    in_flight: bool,
}

impl Poller {
    /// One attempt to get the next event.
    fn event(&mut self) -> Result<Event, Error> {
        let in_flight = std::mem::take(&mut self.in_flight);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.api.clone())?,
        };
        if !in_flight {
            connection.send_next(&self.id)?;
        }
        let event = connection.event();
        self.connection = (!connection.has_ended()).then_some(connection);
        event
    }
}

#[cfg(test)]
#[path = "idle_tests.rs"]
mod tests;
