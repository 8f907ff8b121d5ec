//! The server of the intake: records requests, responds according to the plan, and opens and closes the port.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use super::connection::{Control, Listener};
use super::examine::{Examination, examine};
use super::plan::{Decision, Schedule};
use super::record::{OpenRequest, Records};
use super::{Payload, Plan, Request, RequestOutcome, Route, RuleResponse};

/// Maximum body size in bytes, above the limit of any intake. A larger body is cut off so that it cannot exhaust memory.
const BODY_BYTES: usize = 128 * 1024 * 1024;
/// Interval between attempts to bind the port again, if another process has bound it while it was closed.
const REBIND: Duration = Duration::from_millis(20);

/// State that all connections share.
#[derive(Debug)]
pub(super) struct IntakeState {
    records: Records,
    plan: Mutex<PlanInForce>,
    /// Notified of every request and every new plan, after which the port may have to be closed or opened.
    turn: watch::Sender<()>,
    stopping: watch::Receiver<bool>,
    finished: watch::Sender<bool>,
}

#[derive(Debug)]
struct PlanInForce {
    schedule: Schedule,
    /// The time at which the plan was set.
    since: Instant,
}

impl IntakeState {
    pub(super) fn new(plan: Plan, stopping: watch::Receiver<bool>) -> Self {
        Self {
            records: Records::default(),
            plan: Mutex::new(PlanInForce { schedule: Schedule::new(plan), since: Instant::now() }),
            turn: watch::Sender::new(()),
            stopping,
            finished: watch::Sender::new(false),
        }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.records.read()
    }

    pub(super) fn set_plan(&self, plan: Plan) {
        *self.plan() = PlanInForce { schedule: Schedule::new(plan), since: Instant::now() };
        self.turn.send_replace(());
    }

    /// Completes when the server has ended.
    pub(super) async fn finished(&self) {
        let _ = self.finished.subscribe().wait_for(|finished| *finished).await;
    }

    async fn stopped(&self) {
        // A closed channel means that the last handle is gone, which is a stop as well.
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }

    fn plan(&self) -> MutexGuard<'_, PlanInForce> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until the intake is stopped.
pub(super) async fn run(listener: TcpListener, address: SocketAddr, state: Arc<IntakeState>) {
    let mut turn = state.turn.subscribe();
    let mut listener = Some(listener);
    let mut server = None;
    loop {
        turn.mark_unchanged();
        let (door, elapsed) = {
            let plan = state.plan();
            let elapsed = plan.since.elapsed();
            (plan.schedule.door(elapsed), elapsed)
        };
        let mut wait = door.until.map(|until| until.saturating_sub(elapsed));
        if !door.open {
            if let Some(server) = server.take() {
                Server::close(server).await;
            }
            listener = None;
        } else if server.is_none() {
            let bound = match listener.take() {
                Some(listener) => Ok(listener),
                None => TcpListener::bind(address).await,
            };
            match bound {
                Ok(listener) => server = Some(Server::open(listener, &state)),
                Err(_) => wait = Some(REBIND),
            }
        }
        tokio::select! {
            () = state.stopped() => break,
            _ = turn.changed() => {}
            () = sleep(wait) => {}
        }
    }
    if let Some(server) = server {
        let serving = Server::close(server).await;
        let _ = serving.await;
    }
    state.finished.send_replace(true);
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// A server on one listener.
struct Server {
    close: oneshot::Sender<()>,
    closed: oneshot::Receiver<()>,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    fn open(listener: TcpListener, state: &Arc<IntakeState>) -> Self {
        let (close, closing) = oneshot::channel::<()>();
        let (listener, closed) = Listener::new(listener);
        let service = Router::new()
            .fallback(receive)
            .with_state(Arc::clone(state))
            .into_make_service_with_connect_info::<Control>();
        let serving = tokio::spawn(async move {
            let closing = async move {
                let _ = closing.await;
            };
            let _ = axum::serve(listener, service).with_graceful_shutdown(closing).await;
        });
        Self { close, closed, serving }
    }

    /// Returns when the port refuses connections. The returned task sends responses that are in progress.
    async fn close(self) -> tokio::task::JoinHandle<()> {
        let _ = self.close.send(());
        let _ = self.closed.await;
        self.serving
    }
}

async fn receive(
    State(state): State<Arc<IntakeState>>,
    ConnectInfo(connection): ConnectInfo<Control>,
    request: axum::extract::Request,
) -> Response {
    let (head, body) = request.into_parts();
    let (body, broken) = match axum::body::to_bytes(body, BODY_BYTES).await {
        Ok(body) => (body, None),
        Err(error) => (Bytes::new(), Some(format!("the body could not be read: {error}"))),
    };
    let expected_key = state.plan().schedule.api_key().map(str::to_owned);
    let mut examination = examine(&head, &body, expected_key.as_deref());
    if let Some(reason) = broken {
        examination.payload = Payload::Undecodable { reason: reason.clone() };
        examination.problems = vec![reason];
        examination.refusal = Some(400);
    }
    let refusal = examination.refusal;
    let (decision, open) = state.record(&head, body.len(), examination);
    state.turn.send_replace(());
    let stopped = tokio::select! {
        () = tokio::time::sleep(decision.delay) => false,
        () = state.stopped() => true,
    };
    let response = match decision.response {
        // A delayed response is never written after a stop.
        _ if stopped => None,
        Some(RuleResponse::Status { code, headers, body }) => Some(respond(code, &headers, body)),
        Some(RuleResponse::Reset) => {
            open.close();
            connection.reset();
            return Response::new(Body::empty());
        }
        Some(RuleResponse::Silence) => {
            state.stopped().await;
            None
        }
        Some(RuleResponse::Delay(_)) | None => Some(match refusal {
            Some(code) => respond(code, &[], r#"{"errors":["refused"]}"#.to_owned()),
            None => respond(202, &[], "{}".to_owned()),
        }),
    };
    if let Some(response) = response {
        connection.answer(open);
        response
    } else {
        connection.reset();
        Response::new(Body::empty())
    }
}

impl IntakeState {
    /// Records a request with its outcome.
    fn record(&self, head: &Parts, wire_bytes: usize, examination: Examination) -> (Decision, OpenRequest) {
        let mut plan = self.plan();
        let elapsed = plan.since.elapsed();
        let decision = plan.schedule.decide(Route::of(head.uri.path()), elapsed);
        let delay_ms = u64::try_from(decision.delay.as_millis()).unwrap_or(u64::MAX);
        let (answer, outcome) = match &decision.response {
            Some(RuleResponse::Reset) => (RequestOutcome::Pending, RequestOutcome::Reset),
            Some(RuleResponse::Silence) => (RequestOutcome::Silence, RequestOutcome::Silence),
            Some(RuleResponse::Status { code, .. }) => {
                (RequestOutcome::Pending, RequestOutcome::Status { code: *code, delay_ms })
            }
            Some(RuleResponse::Delay(_)) | None => {
                (RequestOutcome::Pending, RequestOutcome::Status { code: examination.refusal.unwrap_or(202), delay_ms })
            }
        };
        let request = Request {
            number: 0,
            at: OffsetDateTime::now_utc(),
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            headers: readable(&head.headers),
            api_key: examination.api_key,
            encoding: examination.encoding,
            wire_bytes,
            body_bytes: examination.body_bytes,
            payload: examination.payload,
            answer,
            ended: None,
            problems: examination.problems,
        };
        // Under the lock of the plan, so that requests are counted in the order in which they are recorded.
        (decision, self.records.add(request, outcome))
    }
}

fn readable(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

/// Builds a response. A status that HTTP does not allow becomes 500, and an invalid header is left out.
fn respond(code: u16, headers: &[(String, String)], body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
