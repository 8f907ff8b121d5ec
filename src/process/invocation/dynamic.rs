//! The tags that a sandbox's metrics carry beside the function's own: what is learnt of the sandbox while it lives, and how each invocation found it.

use std::sync::{Arc, OnceLock};

use crate::process::event::Timestamp;

/// Lambda starts some sandboxes ahead of any request; an invocation that comes later than this after the start did not wait for it.
const PROACTIVE_AFTER_MS: i64 = 10_000;

/// How an invocation found the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It waited for the sandbox to start.
    Cold,
    /// It is the first one, but the sandbox had been started ahead of it.
    Proactive,
    /// Another one came before it.
    Warm,
}

/// The state of the tags.
#[derive(Debug)]
pub struct Dynamic {
    started: Timestamp,
    first: Option<Start>,
    latest: Option<Start>,
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

impl Dynamic {
    /// A sandbox whose process started then.
    pub fn new(started: Timestamp) -> Self {
        Self { started, first: None, latest: None, facts: Facts::default(), forms: OnceLock::new() }
    }

    /// The sandbox was restored from a snapshot: that is when it started.
    pub fn restored(&mut self, at: Timestamp) {
        self.started = at;
    }

    /// An invocation that was not known before. Only the first one in a sandbox's life can be a cold start.
    pub fn begin(&mut self, now: Timestamp) -> Start {
        let start = match self.first {
            Some(_) => Start::Warm,
            None if now - self.started > PROACTIVE_AFTER_MS => Start::Proactive,
            None => Start::Cold,
        };
        self.first.get_or_insert(start);
        self.latest = Some(start);
        start
    }

    /// How the first invocation found the sandbox, if there has been one.
    pub fn first(&self) -> Option<Start> {
        self.first
    }

    /// How the latest invocation found the sandbox, if there has been one.
    pub fn latest(&self) -> Option<Start> {
        self.latest
    }

    /// The tags of an invocation that found the sandbox like this, sorted; without one, those of the sandbox alone.
    pub fn tags(&self, start: impl Into<Option<Start>>) -> Arc<[String]> {
        let forms = self.forms.get_or_init(|| self.facts.forms());
        let form = match start.into() {
            Some(Start::Cold) => &forms.cold,
            Some(Start::Proactive) => &forms.proactive,
            Some(Start::Warm) => &forms.warm,
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
        let mut dynamic = Dynamic::new(0);
        assert_eq!((dynamic.first(), dynamic.latest()), (None, None));
        assert_eq!(dynamic.begin(10_000), Start::Cold);
        assert_eq!(dynamic.begin(10_001), Start::Warm);
        assert_eq!(dynamic.begin(99_999), Start::Warm);
        assert_eq!((dynamic.first(), dynamic.latest()), (Some(Start::Cold), Some(Start::Warm)));
        assert_eq!(*dynamic.tags(Start::Cold), ["cold_start:true"]);
        assert_eq!(*dynamic.tags(Start::Warm), ["cold_start:false"]);
        assert!(dynamic.tags(None).is_empty());
    }

    #[test]
    fn a_late_first_invocation_found_a_sandbox_that_was_started_ahead() {
        let mut dynamic = Dynamic::new(0);
        let start = dynamic.begin(10_001);
        assert_eq!(*dynamic.tags(start), ["cold_start:false", "proactive_initialization:true"]);
        assert_eq!(dynamic.begin(10_002), Start::Warm);
    }

    #[test]
    fn a_restore_counts_as_the_start() {
        let mut dynamic = Dynamic::new(0);
        dynamic.restored(1_000_000);
        assert_eq!(dynamic.begin(1_005_000), Start::Cold);
    }

    #[test]
    fn what_is_learnt_of_the_sandbox_is_on_every_form_in_order() {
        let mut dynamic = Dynamic::new(0);
        assert!(!dynamic.knows_runtime());
        dynamic.learn_runtime("python3.13");
        dynamic.learn_durable();
        dynamic.learn_init_type("on-demand");
        assert!(dynamic.knows_runtime());
        let sandbox = ["durable_function:true", "init_type:on-demand", "runtime:python3.13"];
        assert_eq!(*dynamic.tags(None), sandbox);
        assert_eq!(*dynamic.tags(Start::Cold), [&["cold_start:true"], &sandbox[..]].concat());
        let proactive = dynamic.tags(Start::Proactive);
        assert!(proactive.is_sorted() && proactive.len() == 5, "{proactive:?}");
    }
}
