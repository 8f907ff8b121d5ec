//! Calls, from the head to the answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc::Sender},
    task::JoinHandle,
};

use super::{
    MAX_BODY_BYTES, MAX_INLINE_BYTES, QueuedCall,
    runtime::{Kind, Message, Messages},
    security::{self, EvaluationPermit, Monitor},
};
use crate::{
    ingest::{
        body::{self, Limits},
        trace_agent::{open::OpenRequest, room},
    },
    os::{clock, thread::run_blocking},
    process::{
        appsec::SecurityTags,
        event::Timestamp,
        invocation::call::{Call, Decoder, EndCall, SecurityCall, StartCall},
        propagation::{self, Carrier},
        trace::{InvocationSpan, SpanParents},
    },
};

/// For how long nothing of a body may come, and how long all of it may take, while the sandbox is not frozen.
const LIMITS: Limits =
    Limits { bytes: MAX_BODY_BYTES, silence: Duration::from_secs(5), total: Duration::from_secs(30) };

const START_PATH: &str = "/lambda/start-invocation";
const END_PATH: &str = "/lambda/end-invocation";
const HELLO_PATH: &str = "/lambda/hello";

/// State shared by all lifecycle calls.
pub struct Server {
    pub decoder: Arc<Decoder>,
    /// None: requests are not evaluated for attacks.
    pub monitor: Option<Arc<Monitor>>,
    /// Bytes of bodies.
    pub bodies: Arc<Semaphore>,
    /// Bytes of calls that wait for the loop.
    pub queued: Arc<Semaphore>,
    pub sender: Sender<QueuedCall>,
    pub open: Arc<AtomicUsize>,
    /// How many starts of invocations found no room, each of which is a span.
    pub dropped: Arc<AtomicUsize>,
    /// The number of the next evaluation.
    pub evaluations: AtomicU64,
}

/// The endpoint of a lifecycle call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Start,
    End,
    Hello,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        match path {
            START_PATH => Some(Self::Start),
            END_PATH => Some(Self::End),
            HELLO_PATH => Some(Self::Hello),
            _ => None,
        }
    }

    fn method(self) -> Method {
        if self == Self::Hello { Method::GET } else { Method::POST }
    }
}

/// Answers a call.
pub async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Some(route) = Route::of(head.uri.path()) else {
        return (StatusCode::NOT_FOUND, "Not Found").into_response();
    };
    if head.method != route.method() {
        let allow = [(header::ALLOW, route.method().to_string())];
        return (StatusCode::METHOD_NOT_ALLOWED, allow, "Method Not Allowed").into_response();
    }
    if route == Route::Hello {
        tracing::warn!("LIFECYCLE | {HELLO_PATH} is deprecated; tracers need not call it");
        return empty_object();
    }
    let open = OpenRequest::new(&server.open);
    // A task of its own: the invocation has begun or ended even if the tracer gives up on the answer.
    let work = tokio::spawn(server.take(route, head.headers, body, open));
    work.await.unwrap_or_else(|_| empty_object())
}

/// Decodes what the Runtime API proxy reports, one after the other, so that an end comes after its start.
pub async fn observe(server: Arc<Server>, mut messages: Messages) {
    while let Some(message) = messages.recv().await {
        let is_inline = message.body.beginning().len() <= MAX_INLINE_BYTES;
        let (decoder, span_parents) = (Arc::clone(&server), Arc::clone(&messages.span_parents));
        let work = move || (decoder.decode_message(&message, &span_parents), message);
        let decoded = if is_inline { Ok(work()) } else { run_blocking("lifecycle", work).await };
        if let Ok((decoded, Message { body, open, .. })) = decoded {
            let evaluating = OpenRequest::new(&server.open);
            drop(Arc::clone(&server).report(decoded, (evaluating, body)));
            // Once the call is queued, nobody waits for its evaluation.
            drop(open);
        }
    }
}

/// A decoded call, and what is to be evaluated of it.
struct DecodedCall {
    call: Call,
    evaluation: Option<Evaluation>,
}

/// An evaluation that is due.
enum Evaluation {
    Request(EvaluationPermit),
    Response(Arc<Mutex<security::Evaluation>>, Vec<u8>),
}

impl Server {
    async fn take(self: Arc<Self>, route: Route, headers: HeaderMap, body: Body, open: OpenRequest) -> Response {
        let Ok(room) = Arc::clone(&self.bodies).try_acquire_many_owned(0) else { return empty_object() };
        // Before the body is read: a freeze may come in between, and the call is of the invocation before it.
        let time = clock::epoch_ms();
        let (bytes, room) = read(body, room).await;
        let is_inline = bytes.len() <= MAX_INLINE_BYTES;
        let server = Arc::clone(&self);
        let work = move || {
            let decoded = server.decode(route, &headers, bytes, time);
            (decoded, room)
        };
        let decoded = if is_inline { Ok(work()) } else { run_blocking("lifecycle", work).await };
        let Ok((decoded, room)) = decoded else { return empty_object() };
        let reply = reply(&decoded.call);
        let is_response = matches!(decoded.evaluation, Some(Evaluation::Response(..)));
        let evaluating = Arc::clone(&self).report(decoded, (open, room));
        if let (Some(monitor), Some(evaluating), true) = (&self.monitor, evaluating, is_response) {
            monitor.within_budget(evaluating).await;
        }
        reply
    }

    /// Queues a call, and starts the evaluation that is due. That takes `held` along, which ends with it.
    fn report(self: Arc<Self>, decoded: DecodedCall, held: impl Send + 'static) -> Option<JoinHandle<()>> {
        let DecodedCall { call, evaluation } = decoded;
        let request_id = call.request_id().cloned();
        let number = call.evaluation();
        self.send(call);
        let (monitor, number, evaluation) = (self.monitor.clone()?, number?, evaluation?);
        Some(tokio::spawn(async move {
            let _held = held;
            let tags = evaluation.run(&monitor).await;
            let time = clock::epoch_ms();
            let call = SecurityCall { request_id, time, evaluation: number, tags };
            self.send(Call::Security(Box::new(call)));
        }))
    }

    fn decode(&self, route: Route, headers: &HeaderMap, bytes: Vec<u8>, time: Timestamp) -> DecodedCall {
        let header = |name: &str| last(headers, name);
        if route == Route::End {
            let end = self.decoder.end(header, &bytes, time);
            self.ended(end, || bytes)
        } else {
            let start = self.decoder.start(header, &carrier(headers), &bytes, time);
            self.started(start, &bytes)
        }
    }

    fn decode_message(&self, message: &Message, span_parents: &SpanParents) -> DecodedCall {
        let (id, time, body) = (message.request_id.clone(), message.time, &message.body);
        match &message.kind {
            Kind::Event => {
                let start = self.decoder.event(id, body.whole(), time);
                // Before anything waits: the function may have sent its spans by then.
                span_parents.invocations.add(adopting(&start, message));
                self.started(start, body.whole())
            }
            Kind::Response { is_streamed } => {
                let response = if *is_streamed { prelude(body.beginning()) } else { body.whole() };
                self.ended(self.decoder.response(id, response, time), || response.to_vec())
            }
            Kind::Error { error_type } => {
                let end = self.decoder.error(id, error_type.as_deref(), body.whole(), time);
                self.ended(end, Vec::new)
            }
        }
    }

    /// The start of an invocation by this event.
    fn started(&self, mut start: StartCall, event: &[u8]) -> DecodedCall {
        let monitor = self.monitor.as_ref();
        let permit = monitor.and_then(|monitor| monitor.start(start.request_id.as_ref(), start.trigger, event));
        start.evaluation = permit.is_some().then(|| self.number_evaluation());
        DecodedCall { call: Call::Start(Box::new(start)), evaluation: permit.map(Evaluation::Request) }
    }

    /// The end of an invocation with this response.
    fn ended(&self, mut end: EndCall, response: impl FnOnce() -> Vec<u8>) -> DecodedCall {
        let monitor = self.monitor.as_ref();
        let evaluation = monitor.and_then(|monitor| monitor.end(end.request_id.as_ref()));
        end.evaluation = evaluation.is_some().then(|| self.number_evaluation());
        let evaluation = evaluation.map(|evaluation| Evaluation::Response(evaluation, response()));
        DecodedCall { call: Call::End(Box::new(end)), evaluation }
    }

    fn number_evaluation(&self) -> u64 {
        self.evaluations.fetch_add(1, Ordering::Relaxed)
    }

    /// Queues a call without waiting: the function waits for the answer.
    fn send(&self, call: Call) {
        let bytes = room::permits(call.bytes());
        let is_start = matches!(call, Call::Start(_));
        let room = Arc::clone(&self.queued).try_acquire_many_owned(bytes);
        let sent = room.is_ok_and(|room| self.sender.try_send(QueuedCall { call, _room: room }).is_ok());
        if !sent {
            // What ends or completes an invocation is part of the span that its start has begun.
            self.dropped.fetch_add(usize::from(is_start), Ordering::Relaxed);
            tracing::debug!("LIFECYCLE | a call is dropped: too many wait to be processed");
        }
    }
}

impl Evaluation {
    async fn run(self, monitor: &Monitor) -> SecurityTags {
        match self {
            Self::Request(permit) => monitor.request(permit).await,
            Self::Response(evaluation, body) => monitor.response(evaluation, body).await,
        }
    }
}

/// Whose spans are looked for from now on, as no tracer knows of the invocation.
fn adopting(start: &StartCall, message: &Message) -> InvocationSpan {
    let (trace_id, parent_id) = start.context.as_ref().map(|it| (it.trace_id, it.span_id)).unzip();
    InvocationSpan {
        request_id: message.request_id.clone(),
        span_id: start.span_id.unwrap_or_default(),
        parent_id: parent_id.unwrap_or_default(),
        trace_id,
        begun: message.time,
    }
}

/// What a streamed response says of itself before its content.
fn prelude(response: &[u8]) -> &[u8] {
    /// What separates the two.
    const ZEROS: [u8; 8] = [0; 8];
    let end = response.windows(ZEROS.len()).position(|window| window == ZEROS);
    response.get(..end.unwrap_or(response.len())).unwrap_or_default()
}

/// Reads a body as far as it can be read and there is room for it; otherwise it counts as empty.
async fn read(body: Body, mut room: OwnedSemaphorePermit) -> (Vec<u8>, OwnedSemaphorePermit) {
    let read = body::read_within(body, LIMITS, |bytes| room::resize(&mut room, bytes)).await;
    let bytes = read.unwrap_or_else(|error| {
        tracing::debug!("LIFECYCLE | a body is left out: {error}");
        Vec::new()
    });
    (bytes, room)
}

/// The value of a header; of one that is repeated, the last.
fn last<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get_all(name).iter().next_back().and_then(text)
}

/// Tracers that do not encode the message of an error write it in UTF-8, which is more than HTTP's visible ASCII.
fn text(value: &HeaderValue) -> Option<&str> {
    str::from_utf8(value.as_bytes()).ok()
}

/// What the headers of a call say about a trace.
fn carrier(headers: &HeaderMap) -> Carrier {
    Carrier::collect(headers.iter().filter_map(|(name, value)| Some((name.as_str(), text(value)?))))
}

/// The answer to a call: to `start-invocation`, the trace that the tracer is to continue.
fn reply(call: &Call) -> Response {
    let mut response = empty_object();
    let Call::Start(start) = call else { return response };
    for (name, value) in start.context.iter().flat_map(propagation::reply_headers) {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn empty_object() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], "{}").into_response()
}
