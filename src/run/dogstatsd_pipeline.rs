//! Custom metrics, from datagrams to aggregates.

use tokio::time::Instant;

use super::ignored_lines::IgnoredLines;
use crate::{
    aggregate::{
        Contexts,
        contexts::{AggregatedMetrics, MAX_BUCKETS},
    },
    flush::DropCounts,
    ingest::dogstatsd::DatagramQueue,
    os::clock,
    process::dogstatsd::read,
};

/// Receives, parses and aggregates custom metrics.
pub struct DogStatsdPipeline {
    queue: Option<DatagramQueue>,
    namespace: Option<String>,
    contexts: Contexts,
    ignored: IgnoredLines,
    warned: OnceWarnings,
}

/// Warnings that were already logged, each once per sandbox.
#[derive(Default)]
struct OnceWarnings {
    refused: bool,
    lost: bool,
}

impl DogStatsdPipeline {
    /// Creates the pipeline. Without a queue, no metric ever arrives.
    pub fn new(queue: Option<DatagramQueue>, namespace: Option<String>) -> Self {
        Self {
            queue,
            namespace,
            contexts: Contexts::default(),
            ignored: IgnoredLines::default(),
            warned: OnceWarnings::default(),
        }
    }

    /// Waits until datagrams arrive; pending forever without a queue. Cancel-safe.
    pub async fn arrived(&self) {
        match &self.queue {
            Some(queue) => queue.arrived().await,
            None => std::future::pending().await,
        }
    }

    /// Processes the datagrams that have arrived.
    pub fn take(&mut self) {
        if let Some(queue) = &self.queue {
            let datagrams = queue.take();
            self.gather(&datagrams);
        }
    }

    /// Whether there will soon be no room for further metrics.
    pub fn is_nearly_full(&self) -> bool {
        self.contexts.is_nearly_full()
    }

    /// Processes all datagrams sent before this call, and returns all aggregated metrics.
    pub fn drain(&mut self) -> AggregatedMetrics {
        if let Some(queue) = self.queue.take() {
            queue.drain(|datagrams| self.gather(datagrams));
            self.queue = Some(queue);
        }
        for warning in self.ignored.take_warnings(Instant::now()) {
            tracing::warn!("{warning}");
        }
        self.contexts.drain()
    }

    fn gather(&mut self, datagrams: &[u8]) {
        if datagrams.is_empty() {
            return;
        }
        let (now, namespace) = (clock::epoch_ms() / 1000, self.namespace.as_deref());
        self.ignored.add(read(datagrams, now, namespace, |metric| self.contexts.push(metric)));
    }

    /// Counts of data dropped since the last call.
    pub fn take_dropped(&mut self) -> DropCounts {
        let values = self.contexts.take_dropped();
        let datagrams = self.queue.as_mut().map_or(0, DatagramQueue::take_lost);
        for warning in self.warned.warnings(values, datagrams) {
            tracing::warn!("{warning}");
        }
        DropCounts { values, datagrams, ..DropCounts::default() }
    }
}

impl OnceWarnings {
    /// The warnings for each kind of loss that was not logged before.
    fn warnings(&mut self, values: u64, datagrams: u64) -> Vec<String> {
        let mut warnings = Vec::new();
        if values > 0 && !std::mem::replace(&mut self.refused, true) {
            warnings.push(format!(
                "DOGSTATSD | Failed to insert metric: more than {MAX_BUCKETS} combinations of name and tags between two flushes, or too \
                 large ones; what is new is dropped and counted"
            ));
        }
        if datagrams > 0 && !std::mem::replace(&mut self.lost, true) {
            warnings.push(format!(
                "DOGSTATSD | {datagrams} datagrams came faster than they could be read, or were too long; they and further ones are \
                 dropped and counted (DD_DOGSTATSD_QUEUE_SIZE, DD_DOGSTATSD_SO_RCVBUF and DD_DOGSTATSD_BUFFER_SIZE make room)"
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_drop_is_logged_once() {
        let mut warned = OnceWarnings::default();
        assert!(warned.warnings(0, 0).is_empty());
        let refused = warned.warnings(1, 0);
        assert!(refused.len() == 1 && refused[0].contains("Failed to insert metric"), "{refused:?}");
        let lost = warned.warnings(1, 7);
        assert!(lost.len() == 1 && lost[0].contains("7 datagrams"), "{lost:?}");
        assert!(warned.warnings(1, 1).is_empty());
    }

    #[test]
    fn a_metric_without_a_time_of_its_own_has_that_of_its_arrival() {
        let mut dogstatsd_pipeline = DogStatsdPipeline::new(None, None);
        let before = clock::epoch_ms() / 1000;
        dogstatsd_pipeline.gather(b"m:1|c");
        let second = dogstatsd_pipeline.contexts.drain().counts[0].buckets[0].second;
        assert!((before - 10..=clock::epoch_ms() / 1000).contains(&second), "{second}");
    }

    #[test]
    fn values_that_do_not_fit_are_counted_once() {
        let mut dogstatsd_pipeline = DogStatsdPipeline::new(None, None);
        for number in 0..10_243 {
            dogstatsd_pipeline.gather(format!("m:1|c|#number:{number}").as_bytes());
        }
        assert_eq!(dogstatsd_pipeline.take_dropped(), DropCounts { values: 3, ..DropCounts::default() });
        assert_eq!(dogstatsd_pipeline.take_dropped(), DropCounts::default());
    }
}
