//! Spans of invocations on their way through the trace pipeline. Captured payloads make them many megabytes long, and processing those is no work for the loop.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::task::JoinHandle;

use crate::{
    os::{clock, thread::run_blocking},
    process::{
        invocation::InvocationTrace,
        trace::{Output, Pipeline, Source, TracerHeaders},
    },
};

/// Maximum of what the spans of one invocation become, in bytes: the event and the response are at most 1 MiB of tags each, and the placeholder's are as many.
const MAX_INVOCATION_BYTES: usize = 16 << 20;
/// Maximum of what spans are built from that are processed at once, in bytes. A thread would cost more than their processing.
const MAX_INLINE_BYTES: usize = 16 << 10;
/// Maximum of what waits to be processed, in bytes. Beyond it the oldest is dropped and counted.
const MAX_WAITING_BYTES: usize = 16 << 20;

/// Runs of the pipeline: one at a time on a thread of its own, and what waits for it.
pub struct InvocationRuns {
    pipeline: Arc<Pipeline>,
    running: Option<JoinHandle<io::Result<Output>>>,
    /// How many spans the run has that is on its way.
    running_spans: usize,
    waiting: VecDeque<InvocationTrace>,
    bytes: usize,
    lost: usize,
}

impl InvocationRuns {
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self { pipeline, running: None, running_spans: 0, waiting: VecDeque::new(), bytes: 0, lost: 0 }
    }

    /// Processes the spans of an invocation: small ones at once, of which it gives the output, and large ones later. To be called within the async runtime.
    pub fn push(&mut self, trace: InvocationTrace) -> Option<Output> {
        if trace.bytes <= MAX_INLINE_BYTES {
            return Some(run(&self.pipeline, trace));
        }
        self.bytes += trace.bytes;
        self.waiting.push_back(trace);
        while self.bytes > MAX_WAITING_BYTES {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.bytes -= oldest.bytes;
            self.lost += oldest.spans.len();
        }
        self.start_next();
        None
    }

    /// Whether an output is still to come.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The next output; never, if there is none to come. Cancel-safe.
    pub async fn output(&mut self) -> Output {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let output = running.await.map_err(io::Error::other).flatten();
        self.finish(output)
    }

    /// The next output, if it is here.
    pub fn try_output(&mut self) -> Option<Output> {
        // Whoever waits in [`Self::output`] leaves its own waker again.
        let polled = Pin::new(self.running.as_mut()?).poll(&mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Ready(output) => Some(self.finish(output.map_err(io::Error::other).flatten())),
            Poll::Pending => None,
        }
    }

    /// Gives up the spans that are processed or wait for that. They count as dropped.
    pub fn give_up(&mut self) {
        self.running = None;
        self.lost += std::mem::take(&mut self.running_spans);
        self.lost += self.waiting.drain(..).map(|trace| trace.spans.len()).sum::<usize>();
        self.bytes = 0;
    }

    /// How many spans were dropped since this was last asked.
    pub fn take_lost(&mut self) -> usize {
        std::mem::take(&mut self.lost)
    }

    /// Goes on after a run.
    fn finish(&mut self, output: io::Result<Output>) -> Output {
        self.running = None;
        let spans = std::mem::take(&mut self.running_spans);
        self.start_next();
        output.unwrap_or_else(|error| {
            tracing::debug!("TRACES | the spans of an invocation cannot be processed: {error}");
            self.lost += spans;
            Output::default()
        })
    }

    fn start_next(&mut self) {
        if self.running.is_some() {
            return;
        }
        let Some(trace) = self.waiting.pop_front() else { return };
        self.bytes -= trace.bytes;
        self.running_spans = trace.spans.len();
        let pipeline = Arc::clone(&self.pipeline);
        self.running = Some(tokio::spawn(run_blocking("spans", move || run(&pipeline, trace))));
    }
}

/// Processes the spans of one invocation like those of a tracer.
fn run(pipeline: &Pipeline, trace: InvocationTrace) -> Output {
    let InvocationTrace { spans, computed_stats, .. } = trace;
    let headers = TracerHeaders { computed_stats, ..TracerHeaders::default() };
    let now = clock::epoch_ms().saturating_mul(1_000_000);
    let source = Source { headers: &headers, now, room: MAX_INVOCATION_BYTES };
    let Ok(output) = pipeline.run(source, [Ok::<_, Infallible>(spans)]);
    tracing::debug!("TRACES | trace payload size after enrichment: {} bytes", output.counts.bytes);
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        platform::Environment,
        process::{
            tags::FunctionTags,
            trace::{Span, TraceSettings, stats::Keys},
        },
    };

    fn runs() -> InvocationRuns {
        let tags = FunctionTags::collect(&Environment::read(|_| None), None, &Config::default());
        InvocationRuns::new(Arc::new(Pipeline::new(TraceSettings::default(), &tags, Keys::default()).0))
    }

    /// The spans of an invocation of which so many bytes were captured.
    fn trace(bytes: usize) -> InvocationTrace {
        let meta = [("function.request", "x".repeat(bytes).into())].into_iter().collect();
        let span = Span { name: "aws.lambda".into(), trace_id: 1, span_id: 1, meta, ..Span::default() };
        InvocationTrace { spans: vec![span], computed_stats: false, bytes }
    }

    #[tokio::test]
    async fn small_spans_are_processed_at_once_and_large_ones_one_after_the_other() {
        let mut runs = runs();
        assert_eq!(runs.push(trace(100)).map(|output| output.payloads.len()), Some(1));
        assert!(!runs.is_running());
        for _ in 0..3 {
            assert!(runs.push(trace(1 << 20)).is_none());
        }
        for left in [true, true, false] {
            let output = runs.output().await;
            assert!(output.payloads.iter().map(|payload| payload.bytes().len()).sum::<usize>() > 1 << 20);
            assert_eq!(runs.is_running(), left);
        }
        assert_eq!(runs.take_lost(), 0);
    }

    #[tokio::test]
    async fn what_waits_is_bounded_and_counted() {
        let mut runs = runs();
        for _ in 0..40 {
            assert!(runs.push(trace(1 << 20)).is_none());
            assert!(runs.bytes <= MAX_WAITING_BYTES);
        }
        assert_eq!((runs.waiting.len(), runs.take_lost(), runs.take_lost()), (16, 23, 0));
    }

    #[tokio::test]
    async fn what_is_given_up_or_cannot_be_processed_is_counted() {
        let mut runs = runs();
        for _ in 0..3 {
            assert!(runs.push(trace(1 << 20)).is_none());
        }
        runs.running = Some(tokio::spawn(async { Err(io::ErrorKind::Other.into()) }));
        assert!(runs.output().await.payloads.is_empty());
        assert_eq!((runs.is_running(), runs.take_lost()), (true, 1));
        runs.give_up();
        assert_eq!((runs.is_running(), runs.bytes, runs.take_lost(), runs.take_lost()), (false, 0, 2, 0));
    }

    #[tokio::test]
    async fn an_output_that_is_here_can_be_had_without_waiting() {
        let mut runs = runs();
        assert!(runs.try_output().is_none());
        assert!(runs.push(trace(1 << 20)).is_none());
        let output = loop {
            if let Some(output) = runs.try_output() {
                break output;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!((output.payloads.len(), runs.is_running(), runs.take_lost()), (1, false, 0));
    }
}
