//! The connection to Lambda that belongs to one of the runtime.

use std::{io, time::Duration};

use hyper::{
    Method, Request, Response,
    body::Incoming,
    client::conn::http1::{Builder, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinHandle, time::sleep};

use super::{copy::PassedBody, server::MAX_BUFFER_BYTES};
use crate::{
    os::{descriptors, timeout::timeout_awake},
    platform::RuntimeApi,
};

/// Maximum time for a connection to be opened, while the sandbox is not frozen. Once it is open, nothing has a limit: the runtime waits for its next event as long as the
/// sandbox lives.
const CONNECT: Duration = Duration::from_secs(5);
/// Between two attempts where there is no descriptor.
const PAUSE: Duration = Duration::from_millis(20);

/// Why a request could not be passed on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot connect to the Runtime API")]
    Connect(#[source] io::Error),
    #[error("the Runtime API does not accept a connection")]
    Timeout,
    #[error("the Runtime API does not answer")]
    Exchange(#[source] hyper::Error),
}

/// A connection that is opened when it is needed. It ends with its owner.
pub struct Upstream {
    api: RuntimeApi,
    open: Option<Connection>,
}

struct Connection {
    sender: SendRequest<PassedBody>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    /// A runtime that has gone waits for nothing any more.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    pub fn new(api: RuntimeApi) -> Self {
        Self { api, open: None }
    }

    /// Sends a request, and gives the response once its head is here. Lambda may have closed a connection since it was last used: then, if nothing is lost by it, the request is
    /// sent again on another one.
    pub async fn send(&mut self, mut request: Request<PassedBody>) -> Result<Response<Incoming>, Error> {
        if let Some(connection) = &mut self.open
            && connection.sender.ready().await.is_ok()
        {
            let repetition = repetition(&request);
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut failure) => {
                    let Some(again) = failure.take_message().or(repetition) else {
                        self.open = None;
                        return Err(Error::Exchange(failure.into_error()));
                    };
                    request = again;
                }
            }
        }
        self.open = None;
        let connection = self.open.insert(connect(&self.api).await?);
        let sent = connection.sender.send_request(request).await;
        sent.inspect_err(|_| self.open = None).map_err(Error::Exchange)
    }
}

/// The same request again, if it may be repeated and has no body.
fn repetition(request: &Request<PassedBody>) -> Option<Request<PassedBody>> {
    let is_repeatable = request.method() == Method::GET && http_body::Body::is_end_stream(request.body());
    is_repeatable.then(|| {
        let mut again = Request::new(PassedBody::empty());
        *again.method_mut() = request.method().clone();
        *again.uri_mut() = request.uri().clone();
        *again.version_mut() = request.version();
        *again.headers_mut() = request.headers().clone();
        *again.extensions_mut() = request.extensions().clone();
        again
    })
}

/// Waits where this process has too many descriptors open.
async fn open(api: &RuntimeApi) -> io::Result<TcpStream> {
    loop {
        match TcpStream::connect(api.0.as_str()).await {
            Err(error) if descriptors::are_exhausted(&error) => sleep(PAUSE).await,
            opened => return opened,
        }
    }
}

async fn connect(api: &RuntimeApi) -> Result<Connection, Error> {
    let stream = timeout_awake(CONNECT, open(api)).await;
    let stream = stream.ok_or(Error::Timeout)?.map_err(Error::Connect)?;
    // An error costs a little time at most.
    let _ = stream.set_nodelay(true);
    let mut client = Builder::new();
    client.preserve_header_case(true).max_buf_size(MAX_BUFFER_BYTES);
    let (sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(Error::Exchange)?;
    let task = tokio::spawn(async move {
        // Whoever waits for a response has the error too.
        let _ = connection.await;
    });
    Ok(Connection { sender, task })
}
