//! Whether an invocation paid for the sandbox's start.

use std::sync::{Arc, LazyLock};

use crate::process::event::Timestamp;

/// Lambda starts some sandboxes ahead of any request; an invocation that comes later than this after the start did not wait for it.
const PROACTIVE_AFTER_MS: i64 = 10_000;

static COLD: LazyLock<Arc<[String]>> = LazyLock::new(|| Arc::from(["cold_start:true".to_owned()]));
static WARM: LazyLock<Arc<[String]>> = LazyLock::new(|| Arc::from(["cold_start:false".to_owned()]));
static PROACTIVE: LazyLock<Arc<[String]>> =
    LazyLock::new(|| Arc::from(["cold_start:false".to_owned(), "proactive_initialization:true".to_owned()]));

/// Decides once a sandbox.
#[derive(Debug)]
pub struct ColdStart {
    started: Timestamp,
    first: Option<Arc<[String]>>,
}

impl ColdStart {
    /// A sandbox whose process started then.
    pub fn new(started: Timestamp) -> Self {
        Self { started, first: None }
    }

    /// The sandbox was restored from a snapshot: that is when it started.
    pub fn restored(&mut self, at: Timestamp) {
        self.started = at;
    }

    /// The tags of an invocation that was not known before.
    pub fn tags(&mut self, now: Timestamp) -> Arc<[String]> {
        if self.first.is_some() {
            return WARM.clone();
        }
        let proactive = now - self.started > PROACTIVE_AFTER_MS;
        self.first.insert(if proactive { PROACTIVE.clone() } else { COLD.clone() }).clone()
    }

    /// The tags of the sandbox's first invocation, if there has been one.
    pub fn first_tags(&self) -> Option<&Arc<[String]>> {
        self.first.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_invocation_is_cold() {
        let mut cold_start = ColdStart::new(0);
        assert_eq!(*cold_start.tags(10_000), ["cold_start:true"]);
        assert_eq!(*cold_start.tags(10_001), ["cold_start:false"]);
        assert_eq!(*cold_start.tags(99_999), ["cold_start:false"]);
    }

    #[test]
    fn a_late_first_invocation_found_a_sandbox_that_was_started_ahead() {
        let mut cold_start = ColdStart::new(0);
        assert_eq!(*cold_start.tags(10_001), ["cold_start:false", "proactive_initialization:true"]);
        assert_eq!(*cold_start.tags(10_002), ["cold_start:false"]);
    }

    #[test]
    fn a_restore_counts_as_the_start() {
        let mut cold_start = ColdStart::new(0);
        cold_start.restored(1_000_000);
        assert_eq!(*cold_start.tags(1_005_000), ["cold_start:true"]);
    }
}
