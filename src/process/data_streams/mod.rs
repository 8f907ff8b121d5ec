//! Data Streams Monitoring: where messages were consumed, and how long they were on their way.
//!
//! ```text
//! trigger::Event ──▶ Checkpoint ──▶ Point ──▶ Buckets ──▶ payload
//!                    one a record   hashed    10 seconds
//! ```

mod buckets;
mod pathway;
mod sketch;

use std::sync::Arc;

pub use buckets::{Buckets, Origin};
pub use pathway::{Pathway, Point};

/// One record that the function received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The edge between the topic and the function, as sorted tags such as `topic:orders`. Records of one topic share them.
    pub tags: Arc<[String]>,
    /// Bytes of the record.
    pub bytes: u64,
    /// What the sender said about the way to the topic.
    pub pathway: Option<Pathway>,
}
