//! Whether a machine may refuse a sandbox its own namespaces, network interface or control groups.
//!
//! A sandbox runs without the isolation that the machine refuses and records that in its journal; tests that need it are skipped. If `MATRIX_REQUIRE_ISOLATION`
//! is set, as `ci/test` does, such a sandbox does not start, so that no test is skipped unnoticed.

use super::journal::{Journal, JournalEvent};

/// The environment variable that makes isolation mandatory.
pub const REQUIRED: &str = "MATRIX_REQUIRE_ISOLATION";

/// Whether isolation is mandatory here.
pub fn is_required() -> bool {
    std::env::var_os(REQUIRED).is_some_and(|value| !value.is_empty())
}

/// Reports that a test or a part of it is skipped because of what this machine refuses.
///
/// # Panics
///
/// If `MATRIX_REQUIRE_ISOLATION` is set.
pub fn skip(reason: &str) {
    assert!(!is_required(), "{REQUIRED} is set, and this cannot be tested here: {reason}");
    println!("not tested: {reason}");
}

/// The first refusal in the journal, with the system's reason.
pub(crate) fn refusal(journal: &Journal) -> Option<String> {
    journal.read().iter().find_map(|entry| match &entry.what {
        JournalEvent::NetworkShared { reason } => Some(format!("no network of its own: {reason}")),
        JournalEvent::InterfaceMissing { reason } => Some(format!("no network interface: {reason}")),
        JournalEvent::ProcessesShared { reason } => Some(format!("no process namespace of its own: {reason}")),
        JournalEvent::MountsShared { reason } => Some(format!("no mounts of its own: {reason}")),
        JournalEvent::DiskShared { reason } => Some(format!("no disk of its own: {reason}")),
        JournalEvent::FiguresShared { reason } => Some(format!("no figures of its own: {reason}")),
        JournalEvent::CpuUnlimited { reason } => Some(format!("no control group of its own: {reason}")),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_namespace_is_found_in_the_journal() {
        let journal = Journal::start();
        journal.write(JournalEvent::NetworkIsolated);
        journal.write(JournalEvent::MountsPrivate);
        assert_eq!(refusal(&journal), None);
        journal.write(JournalEvent::ProcessesShared { reason: "EPERM".to_owned() });
        assert_eq!(refusal(&journal).as_deref(), Some("no process namespace of its own: EPERM"));
    }
}
