//! The two gates of a cold start, read from the journal.

use std::time::Duration;

use super::journal::{Entry, JournalEvent};
use super::setup::Origin;

/// The moments of the latest init.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// One entry for each extension that was executed.
    pub extensions: Vec<ExtensionGates>,
    /// From the start of the init to the start of the runtime, which waits for every registration.
    pub runtime_start: Option<Duration>,
    /// From the start of the init to the runtime's first next.
    pub runtime_next: Option<Duration>,
    /// From the start of the init to its end, successful or not.
    pub init_over: Option<Duration>,
}

/// The moments of one extension's init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionGates {
    /// The extension's name.
    pub name: String,
    /// From the start of the init to the extension's exec.
    pub executed: Duration,
    /// The register gate: from exec to the arrival of the register request.
    pub register: Option<Duration>,
    /// From exec to the arrival of the telemetry subscription.
    pub subscribe: Option<Duration>,
    /// The ready gate: from exec to the arrival of the first next request.
    pub next: Option<Duration>,
}

impl Gates {
    pub(crate) fn read(entries: &[Entry]) -> Self {
        let start = entries.iter().rposition(|entry| matches!(entry.what, JournalEvent::InitStarted { .. }));
        let entries = start.and_then(|start| entries.get(start..)).unwrap_or_default();
        let Some(began) = entries.first().map(|entry| entry.at) else {
            return Self::default();
        };
        let first =
            |is: &dyn Fn(&JournalEvent) -> bool| entries.iter().find(|entry| is(&entry.what)).map(|entry| entry.at);
        let since_began = |is: &dyn Fn(&JournalEvent) -> bool| first(is).map(|at| at.saturating_sub(began));
        let extension = |entry: &Entry| {
            let JournalEvent::Executed { origin: Origin::Extension(name), .. } = &entry.what else {
                return None;
            };
            let since_exec = |is: &dyn Fn(&JournalEvent) -> bool| first(is).map(|at| at.saturating_sub(entry.at));
            Some(ExtensionGates {
                name: name.to_string(),
                executed: entry.at.saturating_sub(began),
                register: since_exec(
                    &|what| matches!(what, JournalEvent::Registered { name: who, .. } if **who == **name),
                ),
                subscribe: since_exec(
                    &|what| matches!(what, JournalEvent::Subscribed { name: who } if **who == **name),
                ),
                next: since_exec(&|what| matches!(what, JournalEvent::ExtensionNext { name: who } if **who == **name)),
            })
        };
        Self {
            extensions: entries.iter().filter_map(extension).collect(),
            runtime_start: since_began(&|what| *what == JournalEvent::RuntimeStarted),
            runtime_next: since_began(&|what| *what == JournalEvent::RuntimeNext),
            init_over: since_began(&|what| matches!(what, JournalEvent::InitOver { .. })),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn the_latest_init_counts_and_time_zero_is_the_exec() {
        let entry = |at, what| Entry { at: Duration::from_millis(at), wall: OffsetDateTime::UNIX_EPOCH, what };
        let executed = || JournalEvent::Executed { origin: Origin::Extension(Arc::from("a")), pid: 1 };
        let gates = Gates::read(&[
            entry(0, JournalEvent::InitStarted { phase: "init" }),
            entry(1, executed()),
            entry(2, JournalEvent::Registered { name: "a".to_owned(), internal: false }),
            entry(100, JournalEvent::InitStarted { phase: "invoke" }),
            entry(101, executed()),
            entry(105, JournalEvent::Registered { name: "a".to_owned(), internal: false }),
            entry(106, JournalEvent::RuntimeStarted),
            entry(109, JournalEvent::ExtensionNext { name: "a".to_owned() }),
        ]);
        let [extension] = &gates.extensions[..] else { panic!("one extension") };
        assert_eq!(extension.executed, Duration::from_millis(1));
        assert_eq!(extension.register, Some(Duration::from_millis(4)));
        assert_eq!(extension.next, Some(Duration::from_millis(8)));
        assert_eq!(extension.subscribe, None);
        assert_eq!(gates.runtime_start, Some(Duration::from_millis(6)));
        assert_eq!(gates.init_over, None);
    }
}
