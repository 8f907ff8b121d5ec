//! Who gets the flusher's memory: whether it takes more in, and what it gives up where more has come than there is memory for.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::{DropCounts, Flusher, Hold, MAX_BYTES, UnsealedBatch, items};
use crate::flush::{drops::DropReason, send_queue::DropOrder};

/// Above this much held data, no more telemetry is accepted as long as the held data can be sent, nor a batch of what tracers send that would take more. What the
/// aggregates hold meanwhile fits into the rest.
pub(super) const FULL_BYTES: usize = MAX_BYTES / 4 * 3;
/// Maximum time for which no telemetry is accepted while nothing is being sent, because the client, the API key or a compression is pending.
const LONGEST_WAIT_FOR_ROOM: Duration = Duration::from_secs(1);

/// Whether to wait for memory.
struct Wait {
    is_over: bool,
    /// Since when it is waited for although nothing is being sent.
    since: Option<Instant>,
}

impl UnsealedBatch {
    fn drop_order(&self) -> DropOrder {
        DropOrder::of(self.batch.kind, self.sequence)
    }
}

impl Flusher {
    /// Whether more telemetry can be accepted. If not, pending work is likely to free memory soon. The result changes as time passes.
    pub fn has_room(&mut self) -> bool {
        let is_free = self.budget.used() < FULL_BYTES;
        let wait = self.wait(is_free, self.full_since);
        self.full_since = wait.since;
        wait.is_over
    }

    /// Whether a batch of so many bytes of what tracers send can be accepted. If not, the same is likely. Where no memory can be expected to become free, it is
    /// accepted as well: older ones of the tracers' give way to it.
    pub fn has_room_for(&mut self, bytes: usize) -> bool {
        let used = self.budget.used();
        let wait = self.wait(used == 0 || used.saturating_add(bytes) <= FULL_BYTES, self.batch_waits_since);
        self.batch_waits_since = wait.since;
        wait.is_over
    }

    fn wait(&self, is_free: bool, since: Option<Instant>) -> Wait {
        let now = Instant::now();
        if is_free || self.finishing.load(Ordering::Relaxed) {
            return Wait { is_over: true, since: None };
        }
        if self.destinations.iter().any(|destination| destination.may_soon_answer(now)) {
            return Wait { is_over: false, since: None };
        }
        if self.preparation_left_behind || self.preparation() != Hold::Full {
            return Wait { is_over: true, since: None };
        }
        let since = since.unwrap_or(now);
        Wait { is_over: now - since >= LONGEST_WAIT_FOR_ROOM, since: Some(since) }
    }

    /// Something has left: what waits for room goes on to do so.
    pub(super) fn forget_waiting(&mut self) {
        self.full_since = None;
        self.batch_waits_since = None;
    }

    /// Drops data until the memory budget is met: the oldest of what tracers have sent, and the oldest of the rest only when there is none.
    pub(super) fn keep_within_budget(&mut self) {
        let mut dropped = DropCounts::default();
        while self.budget.used() > MAX_BYTES {
            let unsealed = self.unsealed.iter().enumerate().map(|(at, unsealed)| (unsealed.drop_order(), at)).min();
            match (self.destinations.first_to_drop(), unsealed) {
                (Some(payload), unsealed) if unsealed.is_none_or(|(order, _)| payload < order) => {
                    dropped.add(self.destinations.drop_first());
                }
                (_, Some((_, at))) => {
                    self.unsealed.remove(at).iter().for_each(|first| dropped.add(items(&first.batch)));
                }
                _ => break,
            }
        }
        self.drop_items(DropReason::Memory, dropped, Instant::now());
    }
}
