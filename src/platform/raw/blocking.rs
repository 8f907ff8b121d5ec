//! The same socket before there is an async runtime. Writing and reading are two steps, so that something useful can be done in between.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
};

use extension_protocol::{Initialization, Request, Subscription};

use super::{ended, text, transport_error};
use crate::{
    os::streams,
    platform::{
        error::Error,
        event::Event,
        http1::Parser,
        ids::{ExtensionId, RuntimeApi},
        requests::{self, ExtensionRegistration, Response, SubscriptionOutcome},
    },
};

/// A connection to the platform. It never opens itself again: once it has failed, or the platform has announced its end, every request fails.
#[derive(Debug)]
pub struct Connection {
    pub(super) api: RuntimeApi,
    pub(super) stream: TcpStream,
    pub(super) parser: Parser,
    ended: bool,
}

/// A registration is on its way.
#[derive(Debug)]
pub struct PendingRegistration(Connection);

impl Connection {
    /// Connects. Nothing is sent.
    pub fn open(api: RuntimeApi) -> Result<Self, Error> {
        let connect = || {
            let stream = TcpStream::connect(&api.0)?;
            stream.set_nodelay(true)?;
            streams::above_standard(stream, TcpStream::try_clone)
        };
        match connect() {
            Ok(stream) => Ok(Self::from_handover(api, stream)),
            Err(source) => Err(transport_error("connect", &api, source)),
        }
    }

    /// Connects, and sends the registration.
    pub fn register(api: RuntimeApi, initialization: Initialization) -> Result<PendingRegistration, Error> {
        let mut connection = Self::open(api)?;
        connection.send(&[Request::Register(initialization)])?;
        Ok(PendingRegistration(connection))
    }

    /// Goes on with a socket that another program of ours has left us.
    pub fn from_handover(api: RuntimeApi, stream: TcpStream) -> Self {
        Self { api, stream, parser: Parser::default(), ended: false }
    }

    /// Sends the subscription.
    pub fn subscribe(&mut self, id: &ExtensionId, subscription: Subscription) -> Result<(), Error> {
        self.send(&[Request::Subscribe { id: &id.0, subscription }])
    }

    /// Asks for the next event.
    pub fn send_next(&mut self, id: &ExtensionId) -> Result<(), Error> {
        self.send(&[Request::Next { id: &id.0 }])
    }

    /// Sends the subscription and asks for the next event in one write. The platform answers the requests of one connection in their order, so that
    /// it knows of the subscription before it may consider us ready.
    pub fn subscribe_and_send_next(&mut self, id: &ExtensionId, subscription: Subscription) -> Result<(), Error> {
        self.send(&[Request::Subscribe { id: &id.0, subscription }, Request::Next { id: &id.0 }])
    }

    /// Reads the response to the subscription.
    pub fn subscribed(&mut self) -> Result<SubscriptionOutcome, Error> {
        requests::subscribed(&self.receive("subscribe")?)
    }

    /// The next event, once it has been asked for.
    pub fn event(&mut self) -> Result<Event, Error> {
        requests::event(&self.receive("next")?)
    }

    /// Whether it has failed, or the platform has announced its end.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn send(&mut self, requests: &[Request<'_>]) -> Result<(), Error> {
        let text = text(requests, &self.api);
        let sent =
            if self.ended { Err(io::ErrorKind::NotConnected.into()) } else { self.stream.write_all(text.as_bytes()) };
        self.ended |= sent.is_err();
        let call = requests.first().map_or("", Request::call);
        sent.map_err(|source| transport_error(call, &self.api, source))
    }

    fn receive(&mut self, call: &'static str) -> Result<Response, Error> {
        let received = self.read();
        self.ended |= received.as_ref().map_or(true, |response| response.closes);
        received.map_err(|source| transport_error(call, &self.api, source))
    }

    fn read(&mut self) -> io::Result<Response> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(response) = self.parser.response(false).map_err(io::Error::other)? {
                return Ok(response);
            }
            let read = match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            self.parser.feed(buffer.get(..read).unwrap_or_default())?;
            if read == 0 {
                return ended(&mut self.parser);
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl PendingRegistration {
    /// Waits for the answer.
    pub fn registered(self) -> Result<RegisteredConnection, Error> {
        let mut connection = self.0;
        let registered = requests::registered(&connection.receive("register")?)?;
        Ok(RegisteredConnection { connection, registered })
    }
}

/// Registered, and ready to go on.
#[derive(Debug)]
pub struct RegisteredConnection {
    /// With nothing on its way.
    pub connection: Connection,
    /// Extension id and account from the registration.
    pub registered: ExtensionRegistration,
}
