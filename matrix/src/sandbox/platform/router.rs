//! The routes of the three APIs, and the middleware for timestamps and faults.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::connection::{self, Handle, TappedListener};
use super::{Platform, extensions_api, runtime_api, telemetry_api};
use crate::sandbox::environment::CREDENTIALS_TOKEN;
use crate::sandbox::faults::{Effect, Endpoint};
use crate::sandbox::journal::JournalEvent;

/// The time at which the head of a request had arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArrivalTime(pub Instant);

/// Serves the three APIs until it is aborted.
pub(crate) async fn serve(listener: TcpListener, platform: Arc<Platform>) {
    let router = Router::new()
        .route("/2020-01-01/extension/register", post(extensions_api::register))
        .route("/2020-01-01/extension/event/next", get(extensions_api::next))
        .route("/2020-01-01/extension/init/error", post(extensions_api::init_error))
        .route("/2020-01-01/extension/exit/error", post(extensions_api::exit_error))
        .route("/2022-07-01/telemetry", put(telemetry_api::subscribe))
        .route("/2022-07-01/telemetry/", put(telemetry_api::subscribe))
        .route("/2018-06-01/runtime/invocation/next", get(runtime_api::next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(runtime_api::response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(runtime_api::error))
        .route("/2018-06-01/runtime/init/error", post(runtime_api::init_error))
        .route("/2018-06-01/runtime/restore/next", get(runtime_api::restore_next))
        .route("/2018-06-01/runtime/restore/error", post(runtime_api::restore_error))
        .route("/2021-04-23/credentials", get(credentials))
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(&platform), meddle))
        .with_state(Arc::clone(&platform));
    let service = router.into_make_service_with_connect_info::<Handle>();
    let door = TappedListener { listener, next_breakpoint: platform.next_breakpoint.clone() };
    // It returns only when the task is aborted.
    let _ = axum::serve(door, service).await;
}

/// Binds the address of the APIs; in a network of its own, the address that Lambda uses.
pub(crate) async fn bind(isolated: bool) -> std::io::Result<TcpListener> {
    let port = if isolated { 9001 } else { 0 };
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    connection::stamp_arrivals(listener.as_fd())?;
    Ok(listener)
}

/// Records the arrival of a request and applies the faults that are planned for it.
async fn meddle(
    State(platform): State<Arc<Platform>>,
    ConnectInfo(connection): ConnectInfo<Handle>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(ArrivalTime(connection.last_arrival()));
    if platform.setup.faults.is_empty() {
        return next.run(request).await;
    }
    let endpoint = Endpoint::of(request.method(), request.uri().path());
    let mut close = false;
    for effect in platform.faults.strike(endpoint) {
        platform.journal.write(JournalEvent::Fault { endpoint, effect });
        match effect {
            Effect::Delay(delay) => tokio::time::sleep(delay).await,
            Effect::Close => close = true,
            Effect::Status(code) => {
                let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return refusal(status, "InternalServerError", "a planned fault");
            }
            Effect::Malformed => return answer(StatusCode::OK, "{\"functionName\":\"fun".to_owned()),
            Effect::Reset => {
                connection.cut.cut();
                return StatusCode::OK.into_response();
            }
        }
    }
    // A planned delay is latency of the platform: the request arrives after it.
    request.extensions_mut().insert(ArrivalTime(Instant::now()));
    let mut response = next.run(request).await;
    if close {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The credentials endpoint of environments that are restored from a snapshot.
async fn credentials(headers: HeaderMap) -> Response {
    if headers.get(header::AUTHORIZATION).is_none_or(|token| token != CREDENTIALS_TOKEN) {
        return refusal(StatusCode::FORBIDDEN, "Forbidden", "the authorization token is missing or wrong");
    }
    // They differ from those in the environment variables, so that it shows which ones are used.
    let credentials = json!({
        "AccessKeyId": "container-access-key-id",
        "SecretAccessKey": "container-secret-access-key",
        "Token": "container-session-token",
        "Expiration": "2099-01-01T00:00:00Z",
    });
    answer(StatusCode::OK, credentials.to_string())
}

/// A JSON response.
pub(crate) fn answer(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

/// The response to a request that was merely recorded.
pub(crate) fn accepted() -> Response {
    let status: Value = json!({"status": "OK"});
    answer(StatusCode::ACCEPTED, status.to_string())
}

/// A response with Lambda's error body.
pub(crate) fn refusal(status: StatusCode, error_type: &str, message: &str) -> Response {
    answer(status, json!({"errorMessage": message, "errorType": error_type}).to_string())
}

impl Platform {
    /// Rejects a request with 403 and records that.
    pub(crate) fn forbid(&self, endpoint: Endpoint, error_type: &str, message: &str) -> Response {
        self.journal.write(JournalEvent::Refused { endpoint, error_type: error_type.to_owned() });
        refusal(StatusCode::FORBIDDEN, error_type, message)
    }
}
