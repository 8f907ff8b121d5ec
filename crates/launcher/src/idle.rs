//! The least that keeps the function alive: events are asked for, and nothing is collected.

use extension_protocol::{Backoff, Request, reply::EventType, reply::event_type};
use rustix::{
    io::Errno,
    thread::{NanosleepRelativeResult, Timespec, nanosleep},
};

use crate::{
    api::Api,
    connection::{Cause, Connection, ReadBuffer},
};

/// The requests that are in flight on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum InFlight {
    /// None.
    Nothing,
    /// The request for the next event.
    Next,
    /// The subscription, and behind it the request for the next event.
    SubscriptionAndNext,
}

/// Asks for one event after the other until SHUTDOWN, whatever the platform answers.
pub fn idle(api: &Api<'_>, id: &str, connection: Option<Connection>, in_flight: InFlight, buffer: &mut ReadBuffer) {
    let mut poller = Poller { api, id, connection, in_flight };
    let mut backoff = Backoff::default();
    loop {
        match poller.event(buffer) {
            Ok(Some(EventType::Shutdown)) => return,
            Ok(Some(EventType::Invoke)) => backoff = Backoff::default(),
            Ok(None) | Err(_) => sleep(backoff.pause()),
        }
    }
}

struct Poller<'a> {
    api: &'a Api<'a>,
    id: &'a str,
    connection: Option<Connection>,
    in_flight: InFlight,
}

impl Poller<'_> {
    /// One attempt to get the next event; None where the response is not one.
    fn event(&mut self, buffer: &mut ReadBuffer) -> Result<Option<EventType>, Cause> {
        let in_flight = core::mem::replace(&mut self.in_flight, InFlight::Nothing);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.api, buffer)?,
        };
        match in_flight {
            InFlight::Nothing => connection.send(self.api, &[Request::Next { id: self.id }])?,
            InFlight::Next => {}
            // Whatever it says, the next event comes behind it unless the connection has ended.
            InFlight::SubscriptionAndNext => drop(connection.receive(buffer)?),
        }
        if connection.has_ended() {
            return Err(Errno::NOTCONN.into());
        }
        let event = connection.receive(buffer).map(|response| event_type(&response));
        self.connection = (!connection.has_ended()).then_some(connection);
        event
    }
}

/// Waits for this long.
pub fn sleep(pause: core::time::Duration) {
    let seconds = i64::try_from(pause.as_secs()).unwrap_or_default();
    let mut rest = Timespec { tv_sec: seconds, tv_nsec: pause.subsec_nanos().into() };
    while let NanosleepRelativeResult::Interrupted(remaining) = nanosleep(&rest) {
        rest = remaining;
    }
}

#[cfg(test)]
#[path = "idle_tests.rs"]
mod tests;
