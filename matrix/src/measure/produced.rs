//! Determines whether a sandbox produced the condition that it was set up for. Nothing is measured under a condition that was not produced.

use std::path::Path;

use super::Error;
use super::scenario::Scenario;
use crate::plan::{Condition, Regime, TrustStore};
use crate::sandbox::journal::{Entry, JournalEvent};

/// Prefixes of the sentences about refusals. All but the first mean that a condition was not produced.
pub(super) const SHARED_NETWORK: &str = "no network of its own";
pub(super) const NO_SHARE: &str = "no CPU share of the memory tier";
pub(super) const NO_STORE: &str = "no trust store of its own";
pub(super) const NOT_COLD: &str = "no cold cache";

/// The refusals of a machine under a condition: what it does not allow the sandbox.
pub(super) struct Refusals {
    /// One sentence for each refusal.
    pub sentences: Vec<String>,
    /// Why the condition is not produced; `None` if it is.
    pub missing: Option<String>,
}

impl Refusals {
    pub(super) fn of(condition: &Condition, journal: &[Entry]) -> Self {
        Self {
            sentences: journal.iter().filter_map(|entry| sentence(&entry.what)).collect(),
            missing: missing(condition, journal),
        }
    }
}

/// Why the sandbox of this journal did not produce the condition; `None` if it did.
pub(super) fn missing(condition: &Condition, journal: &[Entry]) -> Option<String> {
    journal.iter().find(|entry| is_essential(condition, &entry.what)).and_then(|entry| sentence(&entry.what))
}

/// Why this machine cannot produce a condition; `None` if it can.
pub fn not_produced_here(condition: &Condition) -> Result<Option<String>, Error> {
    let scratch = tempfile::tempdir().map_err(super::writing(Path::new("a temporary directory")))?;
    Ok(Scenario::prepare(condition, scratch.path(), &|_| {})?.refusals()?.missing)
}

/// Whether the memory tier's CPU share was in force after the init.
pub(super) fn has_share(journal: &[Entry]) -> bool {
    !journal.iter().any(|entry| matches!(entry.what, JournalEvent::CpuUnlimited { .. }))
}

fn is_essential(condition: &Condition, what: &JournalEvent) -> bool {
    match what {
        // A boosted init is not limited anyway.
        JournalEvent::CpuUnlimited { .. } => condition.regime == Regime::Throttled,
        JournalEvent::MountsShared { .. } => condition.trust_store != TrustStore::Host,
        JournalEvent::PagesNotDropped { .. } => true,
        JournalEvent::PagesDropped { remaining, .. } => *remaining > 0,
        _ => false,
    }
}

/// The sentence about a refusal; it begins with one of the prefixes above, if it has one. `None` for other events.
pub(super) fn sentence(what: &JournalEvent) -> Option<String> {
    match what {
        JournalEvent::NetworkShared { reason } => Some(format!("{SHARED_NETWORK}: {reason}")),
        JournalEvent::InterfaceMissing { reason } => Some(format!("no network interface as on Lambda: {reason}")),
        JournalEvent::ProcessesShared { reason } => Some(format!("the machine's processes are in sight: {reason}")),
        JournalEvent::MountsShared { reason } => Some(format!("{NO_STORE}, control groups visible: {reason}")),
        JournalEvent::CpuUnlimited { reason } => Some(format!("{NO_SHARE}: {reason}")),
        JournalEvent::FootprintsLate { reason } => {
            Some(format!("no stop for footprints, which are a little late: {reason}"))
        }
        JournalEvent::PagesNotDropped { reason, .. } => Some(format!("{NOT_COLD}: {reason}")),
        JournalEvent::PagesDropped { remaining, .. } if *remaining > 0 => {
            Some(format!("{NOT_COLD}: {remaining} bytes of the program stay in memory"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::OffsetDateTime;

    use super::*;

    fn journal(what: JournalEvent) -> Vec<Entry> {
        vec![Entry { at: Duration::ZERO, wall: OffsetDateTime::UNIX_EPOCH, what }]
    }

    #[test]
    fn a_condition_is_missing_where_what_it_is_named_after_is_refused() {
        let reason = || "EPERM".to_owned();
        let boosted = Condition { trust_store: TrustStore::Host, ..Condition::default() };
        let throttled = Condition { regime: Regime::Throttled, ..boosted.clone() };
        let of = |condition: &Condition, what: JournalEvent| missing(condition, &journal(what));
        assert_eq!(of(&boosted, JournalEvent::CpuUnlimited { reason: reason() }), None);
        let expected = "no CPU share of the memory tier: EPERM";
        assert_eq!(of(&throttled, JournalEvent::CpuUnlimited { reason: reason() }).as_deref(), Some(expected));
        assert_eq!(of(&boosted, JournalEvent::MountsShared { reason: reason() }), None);
        assert!(of(&Condition::default(), JournalEvent::MountsShared { reason: reason() }).is_some());
        let dropped = |remaining| JournalEvent::PagesDropped { name: "a".to_owned(), remaining };
        assert_eq!(of(&boosted, dropped(0)), None);
        assert!(of(&boosted, dropped(4096)).is_some());
        assert_eq!(of(&throttled, JournalEvent::NetworkShared { reason: reason() }), None, "it is not in the name");
    }
}
