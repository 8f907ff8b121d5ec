//! The same socket before there is an async runtime. Writing and reading are two steps, so that something useful can be done in between.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
};

use super::{ended, transport};
use crate::platform::{
    calls::{self, Registered, Request, Response, Subscribed},
    control::Error,
    environment::Initialization,
    event::Event,
    http1::Parser,
    ids::{ExtensionId, RuntimeApi},
    subscription::Subscription,
};

/// A connection with nothing on its way.
#[derive(Debug)]
pub struct Connection {
    pub(super) api: RuntimeApi,
    pub(super) stream: TcpStream,
    pub(super) parser: Parser,
}

/// A registration is on its way.
#[derive(Debug)]
pub struct Registering(Connection);

impl Connection {
    /// Connects, and sends the registration.
    pub fn register(api: RuntimeApi, initialization: Initialization) -> Result<Registering, Error> {
        let connect = || {
            let stream = TcpStream::connect(&api.0)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = connect().map_err(|source| transport("register", &api, source))?;
        let mut connection = Self { api, stream, parser: Parser::default() };
        connection.send(&[calls::register(initialization)])?;
        Ok(Registering(connection))
    }

    /// Goes on with a socket that another program of ours has left us.
    pub fn inherit(api: RuntimeApi, stream: TcpStream) -> Self {
        Self { api, stream, parser: Parser::default() }
    }

    /// Sends the subscription.
    pub fn subscribe(&mut self, id: &ExtensionId, subscription: Subscription) -> Result<(), Error> {
        self.send(&[calls::subscribe(id, subscription)])
    }

    /// Asks for the next event.
    pub fn ask(&mut self, id: &ExtensionId) -> Result<(), Error> {
        self.send(&[calls::next(id)])
    }

    /// Sends the subscription and asks for the next event in one write. The platform answers the requests of one connection in their order, so that
    /// it knows of the subscription before it may consider us ready.
    pub fn subscribe_and_ask(&mut self, id: &ExtensionId, subscription: Subscription) -> Result<(), Error> {
        self.send(&[calls::subscribe(id, subscription), calls::next(id)])
    }

    /// What became of the subscription.
    pub fn subscribed(&mut self) -> Result<Subscribed, Error> {
        calls::subscribed(self.receive("subscribe")?)
    }

    /// The next event, once it has been asked for.
    pub fn event(&mut self) -> Result<Event, Error> {
        calls::event(self.receive("next")?)
    }

    fn send(&mut self, requests: &[Request]) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity(1024);
        for request in requests {
            request.write(&self.api, &mut bytes);
        }
        let call = requests.first().map_or("", |request| request.call);
        self.stream.write_all(&bytes).map_err(|source| transport(call, &self.api, source))
    }

    fn receive(&mut self, call: &'static str) -> Result<Response, Error> {
        self.read().map_err(|source| transport(call, &self.api, source))
    }

    fn read(&mut self) -> io::Result<Response> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(response) = self.parser.response(false).map_err(io::Error::other)? {
                return Ok(response);
            }
            let read = self.stream.read(&mut buffer)?;
            self.parser.feed(buffer.get(..read).unwrap_or_default());
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

impl Registering {
    /// Waits for the answer.
    pub fn registered(self) -> Result<Established, Error> {
        let mut connection = self.0;
        let registered = calls::registered(connection.receive("register")?)?;
        Ok(Established { connection, registered })
    }
}

/// Registered, and ready to go on.
#[derive(Debug)]
pub struct Established {
    /// With nothing on its way.
    pub connection: Connection,
    /// Who we are to the platform.
    pub registered: Registered,
}
