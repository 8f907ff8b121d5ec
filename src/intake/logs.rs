//! Batches of logs as the logs intake takes them.

use super::{Draft, Kind};
use crate::aggregate::logs::LogBatch;

/// One request a batch. `level` is the zstd level; None sends plain JSON.
pub fn drafts(batches: Vec<LogBatch>, level: Option<i32>) -> impl Iterator<Item = Draft> {
    batches.into_iter().map(move |batch| Draft {
        kind: Kind::Logs,
        body: batch.json,
        level,
        items: batch.entries,
        also_to: Vec::new(),
    })
}
