//! To the platform over one plain socket: three small requests need no client library, and so none has to be set up before the function may start.

pub mod blocking;

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    calls::{Request, Response},
    control::{Control, Error, Exchange},
    http1::Parser,
    ids::RuntimeApi,
};

/// One connection, opened when it is needed and again when it has failed.
#[derive(Debug)]
pub struct Raw {
    api: RuntimeApi,
    open: Option<Connection>,
    /// The next event has been asked for before; only its answer is still to come.
    asked: bool,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    parser: Parser,
}

impl Exchange for Raw {
    fn new(api: RuntimeApi) -> Result<Self, Error> {
        Ok(Self { api, open: None, asked: false })
    }

    async fn exchange(&mut self, request: &Request) -> Result<Response, Error> {
        let asked = request.call == "next" && std::mem::take(&mut self.asked);
        let reused = self.open.take();
        // The platform may have closed a connection since its last answer; then nobody has seen the request, and another connection takes it.
        let answer = match reused {
            Some(mut connection) => match connection.exchange(&self.api, request, asked).await {
                Ok(answer) => Ok((connection, answer)),
                Err(error) if asked || !is_stale(&error) => Err(error),
                Err(_) => self.fresh(request).await,
            },
            None => self.fresh(request).await,
        };
        let (connection, response) = answer.map_err(|source| transport(request.call, &self.api, source))?;
        self.open = Some(connection);
        Ok(response)
    }
}

impl Raw {
    async fn fresh(&self, request: &Request) -> io::Result<(Connection, Response)> {
        let stream = TcpStream::connect(&self.api.0).await?;
        stream.set_nodelay(true)?;
        let mut connection = Connection { stream, parser: Parser::default() };
        let response = connection.exchange(&self.api, request, false).await?;
        Ok((connection, response))
    }
}

impl Control<Raw> {
    /// Goes on where a blocking connection has got to, within an async runtime. `asked`: the next event has been asked for.
    pub fn resume(connection: blocking::Connection, asked: bool) -> io::Result<Self> {
        let blocking::Connection { api, stream, parser } = connection;
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        Ok(Self { exchange: Raw { api, open: Some(Connection { stream, parser }), asked } })
    }
}

impl Connection {
    async fn exchange(&mut self, api: &RuntimeApi, request: &Request, asked: bool) -> io::Result<Response> {
        if !asked {
            let mut bytes = Vec::with_capacity(512);
            request.write(api, &mut bytes);
            self.stream.write_all(&bytes).await?;
        }
        let mut buffer = [0; 4096];
        loop {
            if let Some(response) = self.parser.response(false).map_err(io::Error::other)? {
                return Ok(response);
            }
            let read = self.stream.read(&mut buffer).await?;
            self.parser.feed(buffer.get(..read).unwrap_or_default());
            if read == 0 {
                return ended(&mut self.parser);
            }
        }
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

fn transport(call: &'static str, api: &RuntimeApi, source: io::Error) -> Error {
    Error::Transport { call, api: api.clone(), source: source.into() }
}
