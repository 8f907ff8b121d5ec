//! Batches of logs as the logs intake takes them.

use super::{Kind, Payload};
use crate::aggregate::logs::LogBatch;

/// One payload a batch. `level` is the zstd level; None sends plain JSON.
pub fn payloads(batches: Vec<LogBatch>, level: Option<i32>) -> impl Iterator<Item = Payload> {
    batches.into_iter().map(move |batch| Payload::new(Kind::Logs, batch.json, level, batch.entries))
}
