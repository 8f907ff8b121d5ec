//! Evaluates requests and their responses for attacks, beside the calls that bring them.
//!
//! The call `start-invocation` is answered at once: the function runs while its request is evaluated. The call `end-invocation` is answered once both evaluations are done, at
//! the latest when the time budget of a request is over; what takes longer goes on without anybody who waits for it, and its result follows.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, timeout},
};

use super::MAX_INLINE_BYTES;
use crate::{
    config::AppSec,
    os::{clock, thread::run_blocking, timeout::timeout_awake},
    platform::ids::RequestId,
    process::{
        appsec::{Addresses, Findings, HttpRequest, HttpResponse, Sampler, SecurityTags, Shape, schema_addresses},
        trigger::Kind,
    },
    waf_client::Waf,
};

/// Maximum number of requests whose response is awaited. Beyond it, the oldest is forgotten; managed instances run dozens at a time.
const MAX_OPEN: usize = 256;
/// Maximum of what is kept of those requests, in bytes.
const MAX_OPEN_BYTES: usize = 4 << 20;

/// Maximum time for one evaluation, with that for which the worker is started, while the sandbox is not frozen. Whoever waits holds the body.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// What evaluates, and what is known of requests whose response is awaited.
pub struct Monitor {
    waf: Waf,
    /// What all evaluations of one request may take together.
    budget: Duration,
    /// None: no schemas are extracted.
    sampler: Option<Mutex<Sampler>>,
    open: Mutex<VecDeque<OpenRequest>>,
}

struct OpenRequest {
    /// None from tracers that do not know it.
    id: Option<RequestId>,
    /// Bytes of the request that are kept.
    bytes: usize,
    evaluation: Arc<tokio::sync::Mutex<Evaluation>>,
}

/// How many of the oldest requests are forgotten, of which so many bytes each are kept.
fn surplus(kept: impl DoubleEndedIterator<Item = usize> + ExactSizeIterator) -> usize {
    let mut bytes = 0_usize;
    let fits = |kept: &usize| {
        bytes = bytes.saturating_add(*kept);
        bytes <= MAX_OPEN_BYTES
    };
    let count = kept.len();
    count - kept.rev().take(MAX_OPEN).take_while(fits).count()
}

/// The evaluation of one request. Locked while it is under way, so that that of the response follows it.
pub struct Evaluation {
    waf: Waf,
    context: u32,
    left: Duration,
    request: HttpRequest,
    findings: Findings,
}

impl Drop for Evaluation {
    fn drop(&mut self) {
        self.waf.close(self.context);
    }
}

/// The right to evaluate, which is taken before the call is answered, so that a later call comes after it.
pub struct EvaluationPermit(OwnedMutexGuard<Evaluation>);

impl Monitor {
    pub fn new(waf: Waf, settings: &AppSec) -> Self {
        Self {
            waf,
            budget: settings.budget,
            sampler: settings.schemas.then(|| Mutex::new(Sampler::new(settings.schema_interval))),
            open: Mutex::default(),
        }
    }

    /// A request has come; None if it is none over HTTP. The same request again takes the place of the one before.
    pub fn start(&self, id: Option<&RequestId>, kind: Option<Kind>, event: &[u8]) -> Option<EvaluationPermit> {
        let request = HttpRequest::parse(Shape::of(kind)?, str::from_utf8(event).unwrap_or_default());
        let bytes = request.kept_bytes();
        let evaluation = Evaluation {
            waf: self.waf.clone(),
            context: self.waf.new_context(),
            left: self.budget,
            request,
            findings: Findings::default(),
        };
        let evaluation = Arc::new(tokio::sync::Mutex::new(evaluation));
        let permit = Arc::clone(&evaluation).try_lock_owned().ok().map(EvaluationPermit);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|known| known.id.as_ref() != id);
        open.push_back(OpenRequest { id: id.cloned(), bytes, evaluation });
        let surplus = surplus(open.iter().map(|known| known.bytes));
        open.drain(..surplus);
        permit
    }

    /// The request whose response has come; None if none is awaited under this id.
    pub fn end(&self, id: Option<&RequestId>) -> Option<Arc<tokio::sync::Mutex<Evaluation>>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let at = open.iter().position(|known| known.id.as_ref() == id)?;
        open.remove(at).map(|known| known.evaluation)
    }

    /// Evaluates a request.
    pub async fn request(&self, EvaluationPermit(mut evaluation): EvaluationPermit) -> SecurityTags {
        let addresses = std::mem::take(&mut evaluation.request.addresses);
        evaluation.run(addresses).await;
        evaluation.tags(None)
    }

    /// Evaluates a response, after the request.
    pub async fn response(&self, evaluation: Arc<tokio::sync::Mutex<Evaluation>>, body: Vec<u8>) -> SecurityTags {
        let mut evaluation = evaluation.lock_owned().await;
        let mut response = parsed(evaluation.request.shape, body).await;
        let addresses = std::mem::take(&mut response.addresses);
        evaluation.run(addresses).await;
        if self.wants_schemas(&evaluation.request, response.status) {
            evaluation.run(schema_addresses()).await;
        }
        evaluation.tags(Some(&response))
    }

    /// Waits for the evaluations of a request, at most as long as they may take.
    pub async fn within_budget(&self, evaluations: impl Future) {
        // Evaluations that take longer go on.
        let _ = timeout(self.budget, evaluations).await;
    }

    fn wants_schemas(&self, request: &HttpRequest, status: u16) -> bool {
        self.sampler.as_ref().is_some_and(|sampler| {
            let mut sampler = sampler.lock().unwrap_or_else(PoisonError::into_inner);
            sampler.sample(&request.method, &request.route, status, clock::epoch_ms())
        })
    }
}

/// A response. The loop, on which the function's time depends, would wait for a long one meanwhile.
async fn parsed(shape: Shape, body: Vec<u8>) -> HttpResponse {
    let is_inline = body.len() <= MAX_INLINE_BYTES;
    let parse = move || HttpResponse::parse(shape, str::from_utf8(&body).unwrap_or_default());
    if is_inline { parse() } else { run_blocking("appsec", parse).await.unwrap_or_default() }
}

impl Evaluation {
    /// One evaluation, within the time that is left. Time for which the worker is started does not count.
    async fn run(&mut self, addresses: Addresses) {
        if self.left.is_zero() {
            return self.findings.add_timeout();
        }
        let evaluating = async {
            self.waf.until_ready().await;
            let started = Instant::now();
            let result = self.waf.evaluate(self.context, self.left, addresses).await;
            self.left = self.left.saturating_sub(started.elapsed());
            result
        };
        let result = timeout_awake(MAX_WAIT, evaluating).await.flatten();
        match result {
            Some(result) => self.findings.add(&result),
            None => self.findings.add_timeout(),
        }
    }

    fn tags(&self, response: Option<&HttpResponse>) -> SecurityTags {
        self.findings.tags(&self.request, response, &self.waf.versions())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_requests_are_forgotten_beyond_their_number_and_beyond_their_bytes() {
        for (kept, expected) in [
            (vec![], 0),
            (vec![1; MAX_OPEN], 0),
            (vec![1; MAX_OPEN + 2], 2),
            (vec![MAX_OPEN_BYTES, MAX_OPEN_BYTES / 2, MAX_OPEN_BYTES / 2], 1),
            (vec![0, MAX_OPEN_BYTES + 1], 2),
        ] {
            assert_eq!(surplus(kept.into_iter()), expected);
        }
    }

    #[tokio::test]
    async fn responses_of_any_length_are_parsed() {
        for length in [1, MAX_INLINE_BYTES] {
            let body = format!(r#"{{"statusCode": 201, "body": "{}"}}"#, "x".repeat(length));
            assert_eq!(parsed(Shape::FunctionUrl, body.into_bytes()).await.status, 201);
        }
    }
}
