//! OTLP over HTTP: `POST /v1/traces`, in protobuf or JSON.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};

use super::export::{Export, Receiver, Refusal};
use crate::{
    ingest::trace_agent::{Cause, Endpoint, Listener, OpenRequest},
    process::{
        otlp::{Encoding, reply},
        trace::TracerHeaders,
    },
};

const PATH: &str = "/v1/traces";
/// The same, for the log.
const ENDPOINT: Endpoint<'static> = Endpoint::otlp(PATH);

/// Maximum body of a request, before and after decompression, in bytes: that of the OpenTelemetry Collector.
const MAX_BYTES: usize = 20 << 20;

/// Answers requests for ever.
pub async fn serve(listener: Listener, receiver: Arc<Receiver>) {
    let service = Router::new().fallback(answer).with_state(receiver);
    // axum keeps accepting whatever happens to single connections; it returns only if asked to.
    if let Err(error) = axum::serve(listener, service).await {
        tracing::error!("OTLP | the listener for HTTP has ended: {error}");
    }
}

async fn answer(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if head.method != Method::POST || head.uri.path() != PATH {
        return (StatusCode::NOT_FOUND, "Not Found").into_response();
    }
    let encoding = encoding(&head.headers);
    let (status, body) = match receive(&receiver, encoding, head, body).await {
        Ok(rejected) => (StatusCode::OK, reply::success(encoding, rejected)),
        Err(refusal) => {
            if let Some(cause) = refusal.cause {
                receiver.agent.refusals.record(cause, ENDPOINT, &refusal.message);
            }
            let status = status_of(refusal.cause);
            (status, reply::failure(encoding, status.as_u16(), &refusal.message))
        }
    };
    let content_type = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

async fn receive(receiver: &Arc<Receiver>, encoding: Encoding, head: Parts, body: Body) -> Result<usize, Refusal> {
    let open = OpenRequest::new(&receiver.agent.open);
    let is_gzip = match head.headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => false,
        Some(b"gzip") => true,
        Some(_) => {
            let why = "Failed to extract request body: its Content-Encoding is neither gzip nor identity";
            return Err(Refusal::new(Cause::Compressed, why));
        }
    };
    let body = receiver.read(body, MAX_BYTES).await?;
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let headers = TracerHeaders::read(text);
    let export = Export { encoding, is_gzip, max_bytes: MAX_BYTES, headers, endpoint: ENDPOINT, body };
    Arc::clone(receiver).start(export, open).await
}

fn encoding(headers: &HeaderMap) -> Encoding {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if content_type.starts_with(b"application/json") { Encoding::Json } else { Encoding::Protobuf }
}

/// The status that tells a client why, and whether it is to try again.
fn status_of(cause: Option<Cause>) -> StatusCode {
    match cause {
        Some(Cause::TooLong | Cause::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        Some(Cause::Compressed) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Some(Cause::NoMemory | Cause::Closed) => StatusCode::SERVICE_UNAVAILABLE,
        Some(Cause::Stalled) => StatusCode::REQUEST_TIMEOUT,
        Some(Cause::Malformed) => StatusCode::BAD_REQUEST,
        None => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
