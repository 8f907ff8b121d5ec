//! An HTTP/1.1 client for the Extensions and Telemetry APIs over one TCP socket (`raw-control-plane`): asynchronous here, and without a runtime in [`blocking`]. Three small
//! requests need no client library, so none has to be set up before the function may start.

pub mod blocking;

use std::{io, net::SocketAddr};

use extension_protocol::Request;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    error::Error,
    http1::Parser,
    ids::RuntimeApi,
    requests::{self, Response, SubscriptionOutcome},
};
use crate::os::nss;

/// One connection, opened when it is needed and again when it has failed.
#[derive(Debug)]
pub struct RawTransport {
    api: RuntimeApi,
    open: Option<Connection>,
    /// The request for the next event was written on the open connection; only its response is still to come.
    next_in_flight: bool,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    parser: Parser,
}

impl RawTransport {
    /// Creates a transport that connects with the first request.
    pub fn new(api: RuntimeApi) -> Self {
        Self { api, open: None, next_in_flight: false }
    }

    /// Sends a request and waits for the response without a timeout.
    pub async fn exchange(&mut self, request: &Request<'_>) -> Result<Response, Error> {
        let in_flight = matches!(request, Request::Next { .. }) && std::mem::take(&mut self.next_in_flight);
        let answer = match self.open.take() {
            Some(mut connection) if in_flight => connection.receive().await.map(|response| (connection, response)),
            // The platform may have closed a connection since its last answer; then nobody has seen the request, and another connection takes it.
            Some(mut connection) => match connection.exchange(&self.api, request).await {
                Ok(response) => Ok((connection, response)),
                Err(error) if is_stale(&error) => self.fresh(request).await,
                Err(error) => Err(error),
            },
            None => self.fresh(request).await,
        };
        let (connection, response) = answer.map_err(|source| transport_error(request.call(), &self.api, source))?;
        self.open = (!response.closes).then_some(connection);
        Ok(response)
    }

    async fn fresh(&self, request: &Request<'_>) -> io::Result<(Connection, Response)> {
        let stream = connect(&self.api).await?;
        stream.set_nodelay(true)?;
        let mut connection = Connection { stream, parser: Parser::default() };
        let response = connection.exchange(&self.api, request).await?;
        Ok((connection, response))
    }
}

impl RawTransport {
    /// Continues a blocking connection, on which the next request is in flight, within an async runtime. Without a connection, or if it is no longer usable,
    /// the next request opens another one.
    pub fn resume(api: RuntimeApi, connection: Option<blocking::Connection>) -> Self {
        let adopt = |connection: blocking::Connection| {
            let blocking::Connection { stream, parser, .. } = connection;
            stream.set_nonblocking(true)?;
            Ok::<_, io::Error>(Connection { stream: TcpStream::from_std(stream)?, parser })
        };
        let open = connection.and_then(|connection| {
            adopt(connection).inspect_err(|error| tracing::error!("EXTENSION | the connection is lost: {error}")).ok()
        });
        let next_in_flight = open.is_some();
        Self { api, open, next_in_flight }
    }

    /// Whether the next request has been written and its response can still come.
    pub fn next_is_in_flight(&self) -> bool {
        self.next_in_flight
    }

    /// Waits for the response to a subscription that was written before the next request.
    pub async fn pending_subscription(&mut self) -> Result<SubscriptionOutcome, Error> {
        let Self { api, open, next_in_flight } = self;
        let received = match open {
            Some(connection) => connection.receive().await,
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        if received.as_ref().map_or(true, |response| response.closes) {
            // With the connection, the request behind this one is gone.
            (*open, *next_in_flight) = (None, false);
        }
        requests::subscribed(&received.map_err(|source| transport_error("subscribe", api, source))?)
    }
}

impl Connection {
    async fn exchange(&mut self, api: &RuntimeApi, request: &Request<'_>) -> io::Result<Response> {
        self.stream.write_all(text(&[*request], api).as_bytes()).await?;
        self.receive().await
    }

    async fn receive(&mut self) -> io::Result<Response> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(response) = self.parser.response(false).map_err(io::Error::other)? {
                return Ok(response);
            }
            let read = self.stream.read(&mut buffer).await?;
            self.parser.feed(buffer.get(..read).unwrap_or_default())?;
            if read == 0 {
                return ended(&mut self.parser);
            }
        }
    }
}

/// These requests, one behind the other.
fn text(requests: &[Request<'_>], api: &RuntimeApi) -> String {
    let mut text = String::with_capacity(1024);
    for request in requests {
        request.write(&api.0, &mut |part| text.push_str(part));
    }
    text
}

/// Lambda's APIs have an IP address; emulators may have a name.
async fn connect(api: &RuntimeApi) -> io::Result<TcpStream> {
    match api.0.parse::<SocketAddr>() {
        Ok(address) => TcpStream::connect(address).await,
        Err(_) => TcpStream::connect(&nss::resolve(api.0.clone()).await?[..]).await,
    }
}

/// The connection has ended; perhaps that is what ends the answer.
fn ended(parser: &mut Parser) -> io::Result<Response> {
    match parser.response(true) {
        Ok(Some(response)) => Ok(response),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn is_stale(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | BrokenPipe | ConnectionReset | ConnectionAborted)
}

pub(super) fn transport_error(call: &'static str, api: &RuntimeApi, source: io::Error) -> Error {
    Error::Transport { call, api: api.clone(), source: source.into() }
}
