//! OTLP over gRPC: `TraceService/Export`, one message each way.
//!
//! Written on the HTTP server of the other ports, which speaks HTTP/2 anyway: the one method needs neither a router nor a code generator.
//!
//! Source: gRPC over HTTP2 (PROTOCOL-HTTP2.md).

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use http_body::Frame;

use super::export::{Export, ReceivedBody, Receiver, Refusal};
use crate::{
    ingest::trace_agent::{Cause, Endpoint, Listener, MAX_TRACE_BODY_BYTES, OpenRequest},
    process::{
        otlp::{Encoding, reply},
        trace::TracerHeaders,
    },
};

const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// The same, for the log.
const ENDPOINT: Endpoint<'static> = Endpoint::otlp(PATH);

/// What stands before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Status codes of gRPC.
mod code {
    pub const OK: u16 = 0;
    pub const INVALID_ARGUMENT: u16 = 3;
    pub const DEADLINE_EXCEEDED: u16 = 4;
    pub const RESOURCE_EXHAUSTED: u16 = 8;
    pub const UNIMPLEMENTED: u16 = 12;
    pub const INTERNAL: u16 = 13;
    pub const UNAVAILABLE: u16 = 14;
}

/// The longest message in bytes that a setting in MiB means.
pub fn max_bytes(mib: u32) -> usize {
    const MAX_MIB: usize = MAX_TRACE_BODY_BYTES >> 20;
    let asked = usize::try_from(mib).unwrap_or(usize::MAX);
    if asked > MAX_MIB {
        let name = "DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_MAX_RECV_MSG_SIZE_MIB";
        tracing::error!("OTLP | {name} is more than {MAX_MIB}; using {MAX_MIB}");
    }
    asked.min(MAX_MIB) << 20
}

/// The service, and the longest message that it takes.
#[derive(Clone)]
struct Service {
    receiver: Arc<Receiver>,
    max_bytes: usize,
}

/// Answers requests for ever.
pub async fn serve(listener: Listener, receiver: Arc<Receiver>, max_bytes: usize) {
    let service = Router::new().fallback(answer).with_state(Service { receiver, max_bytes });
    // axum keeps accepting whatever happens to single connections; it returns only if asked to.
    if let Err(error) = axum::serve(listener, service).await {
        tracing::error!("OTLP | the listener for gRPC has ended: {error}");
    }
}

async fn answer(State(service): State<Service>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if head.version != Version::HTTP_2 {
        return (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC needs HTTP/2").into_response();
    }
    let content_type = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !content_type.starts_with(b"application/grpc") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    if head.method != Method::POST || head.uri.path() != PATH {
        return failure(code::UNIMPLEMENTED, "there is no such method");
    }
    match service.receive(head, body).await {
        Ok(rejected) => success(rejected),
        Err(refusal) => {
            if let Some(cause) = refusal.cause {
                service.receiver.agent.refusals.record(cause, ENDPOINT, &refusal.message);
            }
            failure(code_of(refusal.cause), &refusal.message)
        }
    }
}

impl Service {
    async fn receive(&self, head: Parts, body: Body) -> Result<usize, Refusal> {
        let open = OpenRequest::new(&self.receiver.agent.open);
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let mut body = self.receiver.read(body, self.max_bytes + PREFIX_BYTES).await?;
        let is_gzip = unframe(&mut body, text("grpc-encoding").unwrap_or("identity"))?;
        let headers = TracerHeaders::read(text);
        let (encoding, max_bytes) = (Encoding::Protobuf, self.max_bytes);
        let export = Export { encoding, is_gzip, max_bytes, headers, endpoint: ENDPOINT, body };
        Arc::clone(&self.receiver).start(export, open).await
    }
}

/// Finds the message, and says whether it is compressed.
fn unframe(body: &mut ReceivedBody, compression: &str) -> Result<bool, Refusal> {
    let refuse = |cause, why| Err(Refusal::new(cause, format!("Failed to extract request body: {why}")));
    let Some(([is_compressed, length @ ..], message)) = body.bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return refuse(Cause::Malformed, "there is no message in it");
    };
    if usize::try_from(u32::from_be_bytes(*length)).ok() != Some(message.len()) {
        return refuse(Cause::Malformed, "it is not one message");
    }
    let is_compressed = *is_compressed;
    body.start = PREFIX_BYTES;
    match (is_compressed, compression) {
        (0, _) => Ok(false),
        (1, "gzip") => Ok(true),
        (1, "identity") => refuse(Cause::Malformed, "it is compressed without saying how"),
        (1, _) => refuse(Cause::Compressed, "its compression is not gzip"),
        _ => refuse(Cause::Malformed, "its compression is neither on nor off"),
    }
}

fn success(rejected: usize) -> Response {
    let message = reply::success(Encoding::Protobuf, rejected);
    let length = u32::try_from(message.len()).unwrap_or_default().to_be_bytes();
    let framed = [&[0], &length[..], &message].concat();
    respond(Body::new(Reply { message: Some(framed.into()), is_over: false }))
}

/// A status alone.
fn failure(code: u16, message: &str) -> Response {
    let mut response = respond(Body::empty());
    let headers = response.headers_mut();
    headers.insert("grpc-status", HeaderValue::from(code));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip"));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(message)) {
        headers.insert("grpc-message", message);
    }
    response
}

fn respond(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/grpc")], body).into_response()
}

/// The code that tells a client why, and whether it is to try again.
fn code_of(cause: Option<Cause>) -> u16 {
    match cause {
        Some(Cause::TooLong | Cause::TooLarge) => code::RESOURCE_EXHAUSTED,
        Some(Cause::Compressed) => code::UNIMPLEMENTED,
        Some(Cause::NoMemory | Cause::Closed) => code::UNAVAILABLE,
        Some(Cause::Stalled) => code::DEADLINE_EXCEEDED,
        Some(Cause::Malformed) => code::INVALID_ARGUMENT,
        None => code::INTERNAL,
    }
}

/// Printable ASCII but the percent sign stays as it is.
fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// A message, and behind it the status that all is well.
struct Reply {
    message: Option<Bytes>,
    is_over: bool,
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if std::mem::replace(&mut self.is_over, true) {
            return Poll::Ready(None);
        }
        let status = (HeaderName::from_static("grpc-status"), HeaderValue::from(code::OK));
        let trailers = HeaderMap::from_iter([status]);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}
