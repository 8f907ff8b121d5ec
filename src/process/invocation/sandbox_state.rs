//! The tags that a sandbox's metrics carry in addition to the function's own: facts about the sandbox, and the start kind of each invocation.

use std::sync::{Arc, OnceLock};

use crate::process::event::Timestamp;

/// Lambda starts some sandboxes ahead of any request. A first invocation later than this after the start, in milliseconds, did not wait for init.
const PROACTIVE_AFTER_MS: i64 = 10_000;

/// How an invocation found the sandbox: cold, proactively initialized, or warm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartKind {
    /// Cold start: the invocation waited for init.
    Cold,
    /// Proactive initialization: the first invocation, in a sandbox that was started ahead of it.
    Proactive,
    /// Warm start: an earlier invocation ran in this sandbox.
    Warm,
}

/// Start time, invocations and facts of the sandbox.
#[derive(Debug)]
pub struct SandboxState {
    /// None: it is restored from a snapshot, and nobody has told when.
    started: Option<Timestamp>,
    /// When the first invocation started.
    first: Option<Timestamp>,
    /// Whether there was a second invocation.
    reused: bool,
    facts: Facts,
    forms: OnceLock<Forms>,
}

/// Facts about the whole sandbox, as far as they are known.
#[derive(Debug, Default)]
struct Facts {
    runtime: Option<String>,
    durable: bool,
    init_type: Option<String>,
}

/// The tag lists for each start kind. Built on first use after a fact changes, because every point takes one of them.
#[derive(Debug)]
struct Forms {
    cold: Arc<[String]>,
    proactive: Arc<[String]>,
    warm: Arc<[String]>,
    none: Arc<[String]>,
}

impl SandboxState {
    /// Creates the state of a sandbox whose process started at `started`; None if it comes from a snapshot, whose processes are older than the sandbox.
    pub fn new(started: Option<Timestamp>) -> Self {
        Self { started, first: None, reused: false, facts: Facts::default(), forms: OnceLock::new() }
    }

    /// Sets the time of the restore from a snapshot as the start time. This also applies to the first invocation if it has already started.
    pub fn restored(&mut self, at: Timestamp) {
        self.started = Some(at);
    }

    /// Records the start of the sandbox's first invocation, or of a later one.
    pub fn begin(&mut self, is_first: bool, now: Timestamp) {
        if is_first {
            self.first = Some(now);
        } else {
            self.reused = true;
        }
    }

    /// The start kind of an invocation, as far as is known. Only the first invocation of a sandbox can be a cold start, and it is one where the start is not known.
    pub fn start_kind(&self, is_first: bool) -> StartKind {
        match (self.first, self.started) {
            (Some(first), Some(started)) if is_first && first - started > PROACTIVE_AFTER_MS => StartKind::Proactive,
            _ if is_first => StartKind::Cold,
            _ => StartKind::Warm,
        }
    }

    /// The start kind of the first invocation, if there was one.
    pub fn first(&self) -> Option<StartKind> {
        self.first.map(|_| self.start_kind(true))
    }

    /// The time of the first invocation, if there was one.
    pub fn first_at(&self) -> Option<Timestamp> {
        self.first
    }

    /// The start kind of the latest invocation, if there was one.
    pub fn latest(&self) -> Option<StartKind> {
        self.first.map(|_| self.start_kind(!self.reused))
    }

    /// The tags of an invocation with this start kind, sorted; without a start kind, those of the sandbox alone.
    pub fn tags(&self, start: impl Into<Option<StartKind>>) -> Arc<[String]> {
        let forms = self.forms.get_or_init(|| self.facts.forms());
        let form = match start.into() {
            Some(StartKind::Cold) => &forms.cold,
            Some(StartKind::Proactive) => &forms.proactive,
            Some(StartKind::Warm) => &forms.warm,
            None => &forms.none,
        };
        form.clone()
    }

    /// Whether the runtime's name is known.
    pub fn knows_runtime(&self) -> bool {
        self.facts.runtime.is_some()
    }

    /// Sets the runtime's name.
    pub fn learn_runtime(&mut self, name: &str) {
        self.learn(|facts| facts.runtime = Some(name.to_owned()));
    }

    /// Marks the function as a durable function.
    pub fn learn_durable(&mut self) {
        self.learn(|facts| facts.durable = true);
    }

    /// Sets the initialization type.
    pub fn learn_init_type(&mut self, init_type: &str) {
        self.learn(|facts| facts.init_type = Some(init_type.to_owned()));
    }

    fn learn(&mut self, fact: impl FnOnce(&mut Facts)) {
        fact(&mut self.facts);
        self.forms = OnceLock::new();
    }
}

impl Facts {
    fn forms(&self) -> Forms {
        Forms {
            cold: self.with(&["cold_start:true"]),
            proactive: self.with(&["cold_start:false", "proactive_initialization:true"]),
            warm: self.with(&["cold_start:false"]),
            none: self.with(&[]),
        }
    }

    fn with(&self, start: &[&str]) -> Arc<[String]> {
        let mut tags: Vec<_> = start.iter().map(|&tag| tag.to_owned()).collect();
        tags.extend(self.durable.then(|| "durable_function:true".to_owned()));
        tags.extend(self.init_type.as_ref().map(|init_type| format!("init_type:{init_type}")));
        tags.extend(self.runtime.as_ref().map(|runtime| format!("runtime:{runtime}")));
        tags.sort_unstable();
        tags.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_invocation_is_cold() {
        let mut sandbox = SandboxState::new(Some(0));
        assert_eq!((sandbox.first(), sandbox.latest()), (None, None));
        sandbox.begin(true, 10_000);
        assert_eq!((sandbox.first(), sandbox.latest()), (Some(StartKind::Cold), Some(StartKind::Cold)));
        sandbox.begin(false, 10_001);
        assert_eq!((sandbox.first(), sandbox.latest()), (Some(StartKind::Cold), Some(StartKind::Warm)));
        assert_eq!(*sandbox.tags(StartKind::Cold), ["cold_start:true"]);
        assert_eq!(*sandbox.tags(StartKind::Warm), ["cold_start:false"]);
        assert!(sandbox.tags(None).is_empty());
    }

    #[test]
    fn a_late_first_invocation_found_a_sandbox_that_was_started_ahead() {
        let mut sandbox = SandboxState::new(Some(0));
        sandbox.begin(true, 10_001);
        assert_eq!(*sandbox.tags(sandbox.start_kind(true)), ["cold_start:false", "proactive_initialization:true"]);
        assert_eq!(sandbox.start_kind(false), StartKind::Warm);
    }

    #[test]
    fn a_restore_counts_as_the_start_though_the_first_invocation_is_known_before_it() {
        for (restored_at, expected) in [(1_000_000, StartKind::Cold), (990_000, StartKind::Proactive)] {
            for restored_first in [true, false] {
                let mut sandbox = SandboxState::new(None);
                if restored_first {
                    sandbox.restored(restored_at);
                }
                sandbox.begin(true, 1_005_000);
                if !restored_first {
                    assert_eq!(sandbox.first(), Some(StartKind::Cold), "nobody has told of the restore");
                    sandbox.restored(restored_at);
                }
                assert_eq!((sandbox.first(), sandbox.latest()), (Some(expected), Some(expected)));
            }
        }
    }

    #[test]
    fn sandbox_facts_are_in_every_output_format() {
        let mut sandbox = SandboxState::new(Some(0));
        assert!(!sandbox.knows_runtime());
        sandbox.learn_runtime("python3.13");
        sandbox.learn_durable();
        sandbox.learn_init_type("on-demand");
        assert!(sandbox.knows_runtime());
        let learnt = ["durable_function:true", "init_type:on-demand", "runtime:python3.13"];
        assert_eq!(*sandbox.tags(None), learnt);
        assert_eq!(*sandbox.tags(StartKind::Cold), [&["cold_start:true"], &learnt[..]].concat());
        let proactive = sandbox.tags(StartKind::Proactive);
        assert!(proactive.is_sorted() && proactive.len() == 5, "{proactive:?}");
    }
}
