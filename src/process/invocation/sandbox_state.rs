//! The tags that a sandbox's metrics carry beside the function's own: what is learnt of the sandbox while it lives, and how each invocation found it.

use std::sync::{Arc, OnceLock};

use crate::process::event::Timestamp;

/// Lambda starts some sandboxes ahead of any request; an invocation that comes later than this after the start did not wait for it.
const PROACTIVE_AFTER_MS: i64 = 10_000;

/// How an invocation found the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartKind {
    /// It waited for the sandbox to start.
    Cold,
    /// It is the first one, but the sandbox had been started ahead of it.
    Proactive,
    /// Another one came before it.
    Warm,
}

/// What is known of the sandbox.
#[derive(Debug)]
pub struct SandboxState {
    started: Timestamp,
    /// When the first invocation began.
    first: Option<Timestamp>,
    /// Whether there was another one after it.
    reused: bool,
    facts: Facts,
    forms: OnceLock<Forms>,
}

/// What holds for the whole sandbox, as far as it is known.
#[derive(Debug, Default)]
struct Facts {
    runtime: Option<String>,
    durable: bool,
    init_type: Option<String>,
}

/// The tags as they are now, put together when they are first needed after a fact was learnt: every point takes one of these.
#[derive(Debug)]
struct Forms {
    cold: Arc<[String]>,
    proactive: Arc<[String]>,
    warm: Arc<[String]>,
    none: Arc<[String]>,
}

impl SandboxState {
    /// A sandbox whose process started then.
    pub fn new(started: Timestamp) -> Self {
        Self { started, first: None, reused: false, facts: Facts::default(), forms: OnceLock::new() }
    }

    /// The sandbox was restored from a snapshot: that is when it started, for its first invocation too if that has begun already.
    pub fn restored(&mut self, at: Timestamp) {
        self.started = at;
    }

    /// The sandbox's first invocation, or another one, begins.
    pub fn begin(&mut self, is_first: bool, now: Timestamp) {
        if is_first {
            self.first = Some(now);
        } else {
            self.reused = true;
        }
    }

    /// How an invocation found the sandbox, for all that is known by now. Only the first one in a sandbox's life can be a cold start.
    pub fn start_kind(&self, is_first: bool) -> StartKind {
        match self.first {
            Some(first) if is_first && first - self.started > PROACTIVE_AFTER_MS => StartKind::Proactive,
            _ if is_first => StartKind::Cold,
            _ => StartKind::Warm,
        }
    }

    /// How the first invocation found the sandbox, if there has been one.
    pub fn first(&self) -> Option<StartKind> {
        self.first.map(|_| self.start_kind(true))
    }

    /// How the latest invocation found the sandbox, if there has been one.
    pub fn latest(&self) -> Option<StartKind> {
        self.first.map(|_| self.start_kind(!self.reused))
    }

    /// The tags of an invocation that found the sandbox like this, sorted; without one, those of the sandbox alone.
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

    /// The runtime's name.
    pub fn learn_runtime(&mut self, name: &str) {
        self.learn(|facts| facts.runtime = Some(name.to_owned()));
    }

    /// The function is a durable one.
    pub fn learn_durable(&mut self) {
        self.learn(|facts| facts.durable = true);
    }

    /// How the sandbox came to be.
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
        let mut sandbox = SandboxState::new(0);
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
        let mut sandbox = SandboxState::new(0);
        sandbox.begin(true, 10_001);
        assert_eq!(*sandbox.tags(sandbox.start_kind(true)), ["cold_start:false", "proactive_initialization:true"]);
        assert_eq!(sandbox.start_kind(false), StartKind::Warm);
    }

    #[test]
    fn a_restore_counts_as_the_start_though_the_first_invocation_is_known_before_it() {
        for restored_first in [true, false] {
            let mut sandbox = SandboxState::new(0);
            if restored_first {
                sandbox.restored(1_000_000);
            }
            sandbox.begin(true, 1_005_000);
            if !restored_first {
                assert_eq!(sandbox.first(), Some(StartKind::Proactive), "for all that is known by now");
                sandbox.restored(1_000_000);
            }
            assert_eq!((sandbox.first(), sandbox.latest()), (Some(StartKind::Cold), Some(StartKind::Cold)));
        }
    }

    #[test]
    fn what_is_learnt_of_the_sandbox_is_on_every_form_in_order() {
        let mut sandbox = SandboxState::new(0);
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
