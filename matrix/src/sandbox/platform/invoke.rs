//! The invoke phase, as in "Understanding the Lambda execution environment lifecycle".

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use serde_json::json;
use uuid::Uuid;

use super::events::{self, BilledDuration, End, Span};
use super::init::{Failure, Phase, completion};
use super::lifecycle::EnvironmentLifecycle;
use super::runtime::{CurrentInvocation, RESPONSE_TOO_LARGE, RuntimeResponse, Work};
use super::shutdown::Reason;
use super::{Fatal, State};
use crate::sandbox::invocation::{Attempt, Invocation, Outcome, Status};
use crate::sandbox::journal::JournalEvent;
use crate::sandbox::setup::{Initialization, Order};

/// How long telemetry of the init that is held back until the first INVOKE follows it.
const BEHIND_INVOKE: Duration = Duration::from_millis(10);

/// An event with its request data.
struct Request {
    work: Work,
    attempt: u32,
    began: Instant,
    deadline: Instant,
}

/// The runtime's part of an invocation.
struct FunctionPart {
    /// The failure, if there was one.
    failure: Option<Failure>,
    answer: Option<RuntimeResponse>,
    over: Instant,
    spans: Vec<Span>,
}

impl FunctionPart {
    /// Whether the response was refused for its size. Runtime clients exit then, but the caller receives this reason.
    fn was_too_large(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.error_type.as_deref() == Some(RESPONSE_TOO_LARGE))
    }

    fn end(&self) -> End {
        match (&self.failure, &self.answer) {
            (Some(failure), _) => failure.end(),
            (None, Some(RuntimeResponse { error_type: Some(error_type), .. })) => {
                End { status: Status::Error, error_type: Some(error_type.clone()) }
            }
            (None, _) => End::success(),
        }
    }
}

impl EnvironmentLifecycle {
    /// Invokes the function. Starts a new environment first if none is ready.
    pub(crate) async fn invoke(&mut self, event: Bytes, attempt: Attempt) -> Invocation {
        let request = self.request(event, attempt);
        self.thaw();
        let broken = self.platform.lock().fatal.is_some();
        if broken {
            self.shutdown(Reason::Failure).await;
        }
        if !self.ready {
            let left = request.deadline.saturating_duration_since(Instant::now());
            let limit = if self.managed() { self.platform.setup.init_limit() } else { left };
            let mut started = self.init(Phase::Invoke, limit).await;
            if started.is_ok() {
                started = self.restore().await;
            }
            if let Err(failure) = started {
                return self.never_ran(&request, &failure).await;
            }
        }
        self.update_figures();
        let trace = request.work.trace.clone();
        let id = request.work.request_id.clone();
        self.platform.telemetry.emit("platform.start", events::start(&self.platform.setup, &id, &trace));
        self.release(&request);
        let part = self.function_part(&request).await;
        if self.managed() {
            return self.handle_managed_completion(&request, &part).await;
        }
        self.runtime_done(&request, &part);
        let extensions = match &part.failure {
            Some(failure) => Err(failure.clone()),
            None => self.extensions_part(&request).await,
        };
        self.handle_completion(&request, &part, extensions).await
    }

    fn request(&self, event: Bytes, attempt: Attempt) -> Request {
        let setup = &self.platform.setup;
        let began = Instant::now();
        let deadline = began + setup.timeout;
        // All attempts at an event share a trace.
        let root = attempt.request_id.replace('-', "");
        let (time, rest) = root.split_at_checked(8).unwrap_or_default();
        let parent = Uuid::new_v4().simple().to_string();
        let trace = format!("Root=1-{time}-{rest};Parent={};Sampled=0", parent.get(..16).unwrap_or_default());
        let work = Work {
            request_id: attempt.request_id,
            event,
            deadline_ms: self.epoch_ms(deadline),
            function_arn: setup.function_arn(),
            trace,
        };
        Request { work, attempt: attempt.number, began, deadline }
    }

    /// Sends the event to the runtime and to the extensions at once.
    fn release(&self, request: &Request) {
        let work = &request.work;
        let (kind, value) = ("X-Amzn-Trace-Id", &work.trace);
        let event = json!({
            "eventType": "INVOKE",
            "deadlineMs": work.deadline_ms,
            "requestId": work.request_id,
            "invokedFunctionArn": work.function_arn,
            "tracing": {"type": kind, "value": value},
        });
        self.platform.journal.write(JournalEvent::Invoked { request_id: work.request_id.clone() });
        self.platform.change(|state| {
            state.runtime.current = Some(CurrentInvocation { request_id: work.request_id.clone(), response: None });
            for agent in state.agents.iter_mut().filter(|agent| agent.wants.invoke) {
                agent.send(event.clone());
            }
            state.runtime.send(work.clone());
        });
        if self.platform.setup.delivery.order == Order::InitAfterInvoke {
            let platform = Arc::clone(&self.platform);
            tokio::spawn(async move {
                tokio::time::sleep(BEHIND_INVOKE).await;
                platform.telemetry.release_init();
            });
        }
    }

    /// Waits until the runtime has responded and sends next. Timeouts of managed instances are not enforced.
    async fn function_part(&self, request: &Request) -> FunctionPart {
        let answered = |state: &State| {
            state.runtime.parked.is_some()
                && state.runtime.current.as_ref().is_some_and(|current| current.response.is_some())
        };
        let failure = self.in_time(request, self.platform.until(|state| completion(state, answered))).await.err();
        self.end_lines();
        let mut state = self.platform.lock();
        let answer = state.runtime.current.take().and_then(|current| current.response);
        let over = match &failure {
            // The invocation ends at its deadline, however late this is noticed.
            Some(Failure::Timeout) => request.deadline,
            _ => state.runtime.parked.unwrap_or_else(Instant::now).max(request.began),
        };
        drop(state);
        let spans = answer.as_ref().map(|answer| spans(request, answer, over)).unwrap_or_default();
        FunctionPart { failure, answer, over, spans }
    }

    /// Waits until every extension that got the event sends next. Returns the time of the last one.
    async fn extensions_part(&self, request: &Request) -> Result<Option<Instant>, Failure> {
        let parked = |state: &State| state.agents.iter().all(|agent| !agent.wants.invoke || agent.parked.is_some());
        self.in_time(request, self.platform.until(|state| completion(state, parked))).await?;
        let state = self.platform.lock();
        Ok(state.agents.iter().filter(|agent| agent.wants.invoke).filter_map(|agent| agent.parked).max())
    }

    async fn in_time(&self, request: &Request, wait: impl Future<Output = Result<(), Fatal>>) -> Result<(), Failure> {
        if self.managed() {
            return wait.await.map_err(Failure::Fatal);
        }
        match tokio::time::timeout_at(request.deadline.into(), wait).await {
            Ok(result) => result.map_err(Failure::Fatal),
            Err(_) => Err(Failure::Timeout),
        }
    }

    fn runtime_done(&self, request: &Request, part: &FunctionPart) {
        let platform = &self.platform;
        let (id, trace) = (&request.work.request_id, &request.work.trace);
        let end = part.end();
        platform.journal.write(JournalEvent::RuntimeDone { request_id: id.clone(), status: end.status.name() });
        let produced = part.answer.as_ref().map_or(0, |answer| answer.body.len());
        let took = part.over.saturating_duration_since(request.began);
        let spans = events::spans(&platform.journal, &part.spans);
        let record = events::runtime_done(id, &end, Some((took, produced)), spans, trace);
        self.update_figures();
        platform.telemetry.emit("platform.runtimeDone", record);
    }

    /// Freezes or ends the environment, and emits the report.
    async fn handle_completion(
        &mut self,
        request: &Request,
        part: &FunctionPart,
        extensions: Result<Option<Instant>, Failure>,
    ) -> Invocation {
        let failure = extensions.as_ref().err().cloned();
        let last = extensions.ok().flatten().unwrap_or(part.over).max(part.over);
        let over = match &failure {
            Some(Failure::Timeout) => request.deadline,
            Some(Failure::Fatal(_)) => Instant::now(),
            None => last,
        };
        let mut spans = part.spans.clone();
        let overhead = last.saturating_duration_since(part.over);
        if !overhead.is_zero() {
            spans.push(Span { name: "extensionOverhead", start: part.over, duration: overhead });
        }
        let end = failure.as_ref().map_or_else(|| part.end(), Failure::end);
        let bill = self.bill(over.saturating_duration_since(request.began), failure.as_ref());
        let (id, trace) = (&request.work.request_id, &request.work.trace);
        let platform = Arc::clone(&self.platform);
        let journal = &platform.journal;
        journal.write(JournalEvent::InvocationOver { request_id: id.clone(), status: end.status.name() });
        if failure.is_none() {
            // What a background thread writes after the response is written before the freeze, and so before the report.
            self.freeze();
            self.end_lines();
        }
        let record = events::report(id, &end, &bill, events::spans(journal, &spans), trace);
        platform.telemetry.emit("platform.report", record);
        if let Some(failure) = &failure {
            self.end_environment(failure).await;
        }
        self.invocation(request, part, end, &bill, overhead)
    }

    fn bill(&mut self, duration: Duration, failure: Option<&Failure>) -> BilledDuration {
        let setup = &self.platform.setup;
        let init = self.init_took.take();
        let billed_init = init.filter(|_| setup.initialization == Initialization::OnDemand).unwrap_or_default();
        let billed = (duration + billed_init).as_micros().div_ceil(1000);
        let memory_mb = setup.memory_mb;
        let out_of_memory = matches!(failure, Some(Failure::Fatal(Fatal::OutOfMemory)));
        BilledDuration {
            duration,
            billed_ms: u64::try_from(billed).unwrap_or(u64::MAX),
            memory_mb,
            max_memory_mb: if out_of_memory { memory_mb } else { self.max_memory_mb() },
            init,
        }
    }

    async fn end_environment(&mut self, failure: &Failure) {
        match failure {
            Failure::Timeout => self.shutdown(Reason::Timeout).await,
            Failure::Fatal(_) => self.shutdown(Reason::Failure).await,
        }
    }

    async fn handle_managed_completion(&mut self, request: &Request, part: &FunctionPart) -> Invocation {
        let id = &request.work.request_id;
        let duration = part.over.saturating_duration_since(request.began);
        let mut end = part.end();
        if part.failure.is_none() && part.over > request.deadline {
            // The function responded after its timeout; only the report says so.
            end = Failure::Timeout.end();
        }
        let platform = &self.platform;
        platform.journal.write(JournalEvent::InvocationOver { request_id: id.clone(), status: end.status.name() });
        let spans: Vec<Span> = part.spans.iter().filter(|span| span.name != "runtimeOverhead").cloned().collect();
        let record = events::managed_report(id, &end, duration, events::spans(&platform.journal, &spans));
        platform.telemetry.emit("platform.report", record);
        let bill = self.bill(duration, part.failure.as_ref());
        if let Some(failure) = &part.failure {
            self.end_environment(failure).await;
        }
        self.invocation(request, part, end, &bill, Duration::ZERO)
    }

    /// The invocation if its own init has failed: it is reported like any other, but the event was never delivered.
    async fn never_ran(&mut self, request: &Request, failure: &Failure) -> Invocation {
        let (id, trace) = (request.work.request_id.clone(), request.work.trace.clone());
        self.platform.telemetry.emit("platform.start", events::start(&self.platform.setup, &id, &trace));
        let over = if matches!(failure, Failure::Timeout) { request.deadline } else { Instant::now() };
        let part = FunctionPart { failure: Some(failure.clone()), answer: None, over, spans: Vec::new() };
        if self.managed() {
            return self.handle_managed_completion(request, &part).await;
        }
        self.runtime_done(request, &part);
        self.handle_completion(request, &part, Err(failure.clone())).await
    }

    fn invocation(
        &self,
        request: &Request,
        part: &FunctionPart,
        end: End,
        bill: &BilledDuration,
        overhead: Duration,
    ) -> Invocation {
        let id = &request.work.request_id;
        let answer = part.answer.as_ref().filter(|_| part.failure.is_none() || part.was_too_large());
        let response = match (answer, &part.failure) {
            (Some(answer), _) => answer.body.to_vec(),
            (None, Some(failure)) => error_object(id, failure, self.platform.setup.timeout),
            (None, None) => Vec::new(),
        };
        Invocation {
            request_id: id.clone(),
            attempt: request.attempt,
            outcome: outcome(part),
            response,
            status: end.status,
            error_type: end.error_type,
            answered: part.over.saturating_duration_since(request.began),
            duration: bill.duration,
            billed_ms: bill.billed_ms,
            init: bill.init,
            extension_overhead: overhead,
            max_memory_mb: bill.max_memory_mb,
        }
    }
}

fn spans(request: &Request, answer: &RuntimeResponse, over: Instant) -> Vec<Span> {
    let span =
        |name, start: Instant, end: Instant| Span { name, start, duration: end.saturating_duration_since(start) };
    vec![
        span("responseLatency", request.began, answer.first_byte),
        span("responseDuration", answer.first_byte, answer.last_byte),
        span("runtimeOverhead", answer.last_byte, over),
    ]
}

/// The outcome that the caller receives.
fn outcome(part: &FunctionPart) -> Outcome {
    let error_type = part.end().error_type;
    if part.was_too_large() {
        return Outcome::FunctionError { error_type: RESPONSE_TOO_LARGE.to_owned() };
    }
    match &part.failure {
        None => error_type.map_or(Outcome::Success, |error_type| Outcome::FunctionError { error_type }),
        Some(Failure::Timeout) => Outcome::Timeout,
        Some(Failure::Fatal(fatal)) => match fatal {
            Fatal::OutOfMemory => Outcome::OutOfMemory,
            Fatal::RuntimeExit { status } => Outcome::RuntimeExited { status: status.clone() },
            Fatal::ExtensionExit { name, .. } | Fatal::ExtensionError { name, .. } => {
                Outcome::ExtensionCrashed { name: name.clone(), error_type: fatal.error_type().to_owned() }
            }
            Fatal::NotExecuted { .. } | Fatal::RuntimeInitError { .. } => {
                Outcome::InitFailed { error_type: fatal.error_type().to_owned() }
            }
        },
    }
}

/// Lambda's error object, or the runtime's own report of an init error.
fn error_object(request_id: &str, failure: &Failure, timeout: Duration) -> Vec<u8> {
    if let Failure::Fatal(Fatal::RuntimeInitError { body, .. }) = failure
        && !body.is_empty()
    {
        return body.clone();
    }
    let message = match failure {
        Failure::Timeout => format!("Error: Task timed out after {:.2} seconds", timeout.as_secs_f64()),
        Failure::Fatal(fatal) => fatal.message(),
    };
    let error = json!({
        "errorType": failure.end().error_type,
        "errorMessage": format!("RequestId: {request_id} {message}"),
    });
    error.to_string().into_bytes()
}
