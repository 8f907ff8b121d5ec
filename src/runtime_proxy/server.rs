//! The side of the runtime: its requests, from the head to the response.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::serve::Listener;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{self, HeaderValue},
    server::conn::http1::Builder,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore},
};

use super::{
    copy::{Copy, PassedBody},
    headers::clean,
    upstream::{Error, Upstream},
};
use crate::{
    ingest::lifecycle::{
        MAX_BODY_BYTES,
        runtime::{Kind, Observer},
    },
    os::{descriptors, error::chain},
    platform::{RequestId, RuntimeApi},
};

/// Maximum of what is kept of a connection in one direction, in bytes. A head must fit in: clients of the Runtime API describe errors in a header of up to 1 MiB, and Lambda
/// accepts as much.
pub const MAX_BUFFER_BYTES: usize = 2 << 20;
/// Maximum number of connections. Managed instances have one for each invocation that they run at a time. Each is two descriptors, and together they may have half of those of
/// the process.
const MAX_CONNECTIONS: usize = 1024;
/// Maximum length in bytes of what a streamed response says of itself before its content.
const MAX_PRELUDE_BYTES: usize = 64 << 10;
/// Content type of a response that is streamed to an HTTP client: a JSON object, eight zero bytes, and the content.
///
/// Source: AWS Lambda developer guide, "Using Lambda response streaming with Amazon API Gateway and function URLs".
const HTTP_INTEGRATION: &[u8] = b"application/vnd.awslambda.http-integration-response";

const REQUEST_ID: &str = "lambda-runtime-aws-request-id";
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";

/// Accepts connections for ever.
pub async fn run(mut listener: TcpListener, api: RuntimeApi, observer: Option<Observer>) {
    let connections = Arc::new(Semaphore::new(max_connections(descriptors::limit())));
    loop {
        let Ok(place) = Arc::clone(&connections).acquire_owned().await else { return };
        // Goes on whatever happens to single connections.
        let (stream, _) = Listener::accept(&mut listener).await;
        let (api, observer) = (api.clone(), observer.clone());
        tokio::spawn(async move {
            serve(stream, api, observer).await;
            drop(place);
        });
    }
}

fn max_connections(descriptors: usize) -> usize {
    (descriptors / 4).clamp(1, MAX_CONNECTIONS)
}

async fn serve(stream: TcpStream, api: RuntimeApi, observer: Option<Observer>) {
    // An error costs a little time at most.
    let _ = stream.set_nodelay(true);
    let proxy = Arc::new(Proxy { upstream: Mutex::new(Upstream::new(api.clone())), api, observer });
    let service = service_fn(move |request| {
        let proxy = Arc::clone(&proxy);
        async move { Ok::<_, Infallible>(proxy.answer(request).await) }
    });
    let mut server = Builder::new();
    // Lambda's response has its date, and is passed on as it is.
    server.preserve_header_case(true).auto_date_header(false).max_buf_size(MAX_BUFFER_BYTES);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!("PROXY | a connection of the runtime has broken off: {}", chain(&error));
    }
}

/// State shared by the requests of one connection.
struct Proxy {
    api: RuntimeApi,
    /// The requests of a connection come one after the other.
    upstream: Mutex<Upstream>,
    observer: Option<Observer>,
}

/// The route of a request to the Runtime API.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    Next,
    Response(RequestId),
    Error(RequestId),
    Other,
}

impl Route {
    fn of(method: &Method, path: &str) -> Self {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match *parts {
            [_, "runtime", "invocation", "next"] if method == Method::GET => Self::Next,
            [_, "runtime", "invocation", id, "response"] if method == Method::POST => Self::Response(id.into()),
            [_, "runtime", "invocation", id, "error"] if method == Method::POST => Self::Error(id.into()),
            _ => Self::Other,
        }
    }
}

impl Proxy {
    async fn answer(&self, request: Request<Incoming>) -> Response<ReplyBody> {
        let (mut head, body) = request.into_parts();
        let route = Route::of(&head.method, head.uri.path());
        let copy = self.copy_of_request(&route, &head.headers);
        clean(&mut head.headers);
        if let Ok(host) = HeaderValue::try_from(&self.api.0) {
            head.headers.insert(header::HOST, host);
        }
        // Clients that take this for a proxy of the general kind send the whole address.
        if let Some(path) = head.uri.path_and_query().filter(|_| head.uri.authority().is_some()) {
            head.uri = Uri::from(path.clone());
        }
        let request = Request::from_parts(head, PassedBody::new(body, copy));
        let response = self.upstream.lock().await.send(request).await;
        match response {
            Ok(response) => self.passed(&route, response),
            Err(error) => failed(&error),
        }
    }

    fn passed(&self, route: &Route, response: Response<Incoming>) -> Response<ReplyBody> {
        let (mut head, body) = response.into_parts();
        let copy = self.copy_of_response(route, head.status, &head.headers);
        clean(&mut head.headers);
        Response::from_parts(head, ReplyBody::Passed(PassedBody::new(body, copy)))
    }

    fn copy_of_request(&self, route: &Route, headers: &HeaderMap) -> Option<Copy> {
        let observer = self.observer.clone()?;
        match route {
            Route::Response(id) => {
                let is_streamed = headers
                    .get(header::CONTENT_TYPE)
                    .is_some_and(|kind| kind.as_bytes().eq_ignore_ascii_case(HTTP_INTEGRATION));
                let limit = if is_streamed { MAX_PRELUDE_BYTES } else { MAX_BODY_BYTES };
                Some(Copy::new(observer, Kind::Response { is_streamed }, id.clone(), limit))
            }
            Route::Error(id) => {
                let error_type = headers.get(ERROR_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
                Some(Copy::new(observer, Kind::Error { error_type }, id.clone(), MAX_BODY_BYTES))
            }
            Route::Next | Route::Other => None,
        }
    }

    fn copy_of_response(&self, route: &Route, status: StatusCode, headers: &HeaderMap) -> Option<Copy> {
        let observer = self.observer.clone().filter(|_| *route == Route::Next && status == StatusCode::OK)?;
        let id = headers.get(REQUEST_ID)?.to_str().ok()?;
        Some(Copy::new(observer, Kind::Event, id.into(), MAX_BODY_BYTES))
    }
}

/// The response where Lambda has none.
fn failed(error: &Error) -> Response<ReplyBody> {
    let text = format!("Failed to proxy: {}", chain(error));
    tracing::error!("PROXY | {text}");
    let mut response = Response::new(ReplyBody::Text(Some(text.into())));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The body of a reply to the runtime.
enum ReplyBody {
    Passed(PassedBody),
    Text(Option<Bytes>),
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Passed(body) => Pin::new(body).poll_frame(context),
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Passed(body) => body.is_end_stream(),
            Self::Text(text) => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Passed(body) => body.size_hint(),
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_half_of_the_descriptors_to_others() {
        for (descriptors, expected) in [(0, 1), (64, 16), (1024, 256), (1 << 20, 1024)] {
            assert_eq!(max_connections(descriptors), expected);
        }
    }

    #[test]
    fn invocation_requests_are_recognized_in_every_api_version() {
        for (method, path, expected) in [
            (Method::GET, "/2018-06-01/runtime/invocation/next", Route::Next),
            (Method::GET, "/v9/runtime/invocation/next", Route::Next),
            (Method::POST, "/2018-06-01/runtime/invocation/r-1/response", Route::Response("r-1".into())),
            (Method::POST, "/2018-06-01/runtime/invocation/r-1/error", Route::Error("r-1".into())),
            (Method::POST, "/2018-06-01/runtime/invocation/next", Route::Other),
            (Method::GET, "/2018-06-01/runtime/invocation/r-1/response", Route::Other),
            (Method::POST, "/2018-06-01/runtime/init/error", Route::Other),
            (Method::GET, "/2018-06-01/runtime/restore/next", Route::Other),
            (Method::POST, "/2020-01-01/extension/register", Route::Other),
            (Method::GET, "/", Route::Other),
        ] {
            assert_eq!(Route::of(&method, path), expected, "{method} {path}");
        }
    }
}
