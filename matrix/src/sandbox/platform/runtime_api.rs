//! The Runtime API, as in "Using the Lambda runtime API for custom runtimes".

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tokio::sync::oneshot;

use super::router::{ArrivalTime, accepted, refusal};
use super::runtime::{RESPONSE_TOO_LARGE, RuntimeResponse, Work};
use super::{Fatal, Platform};
use crate::sandbox::faults::Endpoint;
use crate::sandbox::journal::JournalEvent;

const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const RESPONSE_MODE: &str = "lambda-runtime-function-response-mode";

/// `GET /runtime/invocation/next`. The first one closes the registration of extensions.
pub(crate) async fn next(
    State(platform): State<Arc<Platform>>,
    Extension(arrival): Extension<ArrivalTime>,
) -> Response {
    let work = platform.change(|state| {
        state.registration_open = false;
        state.runtime.awaits_restore = false;
        platform.journal.write_at(arrival.0, JournalEvent::RuntimeNext);
        state.runtime.park(arrival.0)
    });
    match work.await {
        Ok(work) => request(work),
        // The environment ended while the runtime waited.
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "the environment has ended"),
    }
}

fn request(work: Work) -> Response {
    let mut response = Body::from(work.event).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in [
        ("lambda-runtime-aws-request-id", work.request_id),
        ("lambda-runtime-deadline-ms", work.deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", work.function_arn),
        ("lambda-runtime-trace-id", work.trace),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// `POST /runtime/invocation/{id}/response`
pub(crate) async fn response(
    State(platform): State<Arc<Platform>>,
    Extension(arrival): Extension<ArrivalTime>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let streaming = headers.get(RESPONSE_MODE).is_some_and(|mode| mode.as_bytes().eq_ignore_ascii_case(b"streaming"));
    let limit = platform.setup.limits.response_bytes;
    // The whole body is read even if it is too large: a client that is still writing would take an early response for a broken connection.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return refusal(StatusCode::BAD_REQUEST, "TruncatedHTTPRequest", "HTTP request detected as truncated");
    };
    let last_byte = Instant::now();
    if streaming || body.len() <= limit {
        let response = RuntimeResponse { first_byte: arrival.0, last_byte, body, error_type: None };
        return take(&platform, &id, response).unwrap_or_else(accepted);
    }
    let error_type = RESPONSE_TOO_LARGE;
    let message = format!("Response payload size exceeded maximum allowed payload size ({limit} bytes).");
    let body = Bytes::from(json!({"errorMessage": message, "errorType": error_type}).to_string());
    let response = RuntimeResponse { first_byte: arrival.0, last_byte, body, error_type: Some(error_type.to_owned()) };
    let refused = || refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message);
    take(&platform, &id, response).unwrap_or_else(refused)
}

/// `POST /runtime/invocation/{id}/error`
pub(crate) async fn error(
    State(platform): State<Arc<Platform>>,
    Extension(arrival): Extension<ArrivalTime>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let error_type = Some(error_type(&headers, &body));
    let response = RuntimeResponse { first_byte: arrival.0, last_byte: Instant::now(), body, error_type };
    take(&platform, &id, response).unwrap_or_else(accepted)
}

/// Accepts the response of the present invocation; any other one is rejected.
fn take(platform: &Platform, id: &str, response: RuntimeResponse) -> Option<Response> {
    let (bytes, error_type, moment) = (response.body.len(), response.error_type.clone(), response.last_byte);
    let taken = platform.change(|state| {
        let current = state.runtime.current.as_mut();
        match current.filter(|current| current.request_id == id && current.response.is_none()) {
            Some(current) => {
                current.response = Some(response);
                true
            }
            None => false,
        }
    });
    if taken {
        platform.journal.write_at(moment, JournalEvent::Answered { request_id: id.to_owned(), bytes, error_type });
        return None;
    }
    let error_type = "InvalidRequestID".to_owned();
    platform.journal.write(JournalEvent::Refused { endpoint: Endpoint::RuntimeResponse, error_type });
    Some(refusal(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID"))
}

/// `POST /runtime/restore/error`
pub(crate) async fn restore_error(State(platform): State<Arc<Platform>>, headers: HeaderMap, body: Bytes) -> Response {
    platform.fail(Fatal::RuntimeInitError { error_type: error_type(&headers, &body), body: body.to_vec() });
    accepted()
}

/// `POST /runtime/init/error`
pub(crate) async fn init_error(State(platform): State<Arc<Platform>>, headers: HeaderMap, body: Bytes) -> Response {
    if !platform.lock().subscription_open {
        let message = "the runtime is initialized already";
        return platform.forbid(Endpoint::RuntimeInitError, "InvalidStateTransition", message);
    }
    platform.fail(Fatal::RuntimeInitError { error_type: error_type(&headers, &body), body: body.to_vec() });
    accepted()
}

/// `GET /runtime/restore/next`: parks the runtime until the environment is restored from its snapshot.
pub(crate) async fn restore_next(
    State(platform): State<Arc<Platform>>,
    Extension(arrival): Extension<ArrivalTime>,
) -> Response {
    let (restore, restored) = oneshot::channel();
    platform.change(|state| {
        state.registration_open = false;
        state.runtime.awaits_restore = true;
        state.runtime.restore = Some(restore);
        platform.journal.write_at(arrival.0, JournalEvent::RuntimeRestoreNext);
    });
    match restored.await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "the environment has ended"),
    }
}

/// The error type from the header, otherwise from the body, otherwise Lambda's default.
fn error_type(headers: &HeaderMap, body: &[u8]) -> String {
    let in_header = headers.get(ERROR_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let in_body = || {
        let body: serde_json::Value = serde_json::from_slice(body).ok()?;
        body.get("errorType")?.as_str().map(str::to_owned)
    };
    in_header.filter(|name| !name.is_empty()).or_else(in_body).unwrap_or_else(|| "Runtime.Unknown".to_owned())
}
