//! Checkpoints of data streams: one for each record that the function received.

use std::sync::Arc;

use super::{
    Settings,
    json::{Fields, bounded, items},
};
use crate::process::{
    data_streams::{Checkpoint, Pathway},
    propagation::Carrier,
};

/// Records of an event that are looked at, as many as the largest batch of any service has.
pub(super) const MAX_RECORDS: usize = 10_000;

/// The queue, stream or topic of a record.
pub(super) struct Source<'a> {
    /// `sqs`, `sns`, `kinesis`, `kafka` or `eventbridge`.
    pub(super) kind: &'static str,
    /// Empty if the record does not say.
    pub(super) topic: &'a str,
    /// The bus of an event.
    pub(super) exchange: Option<&'a str>,
    /// The consumer group.
    pub(super) group: Option<&'a str>,
}

/// The checkpoints of an event, in the order of its records.
pub(super) struct Checkpoints<'s> {
    pub(super) settings: &'s Settings,
    found: Vec<Checkpoint>,
    records: usize,
}

impl<'s> Checkpoints<'s> {
    pub(super) fn new(settings: &'s Settings) -> Self {
        Self { settings, found: Vec::new(), records: 0 }
    }

    pub(super) fn into_found(self) -> Vec<Checkpoint> {
        self.found
    }

    pub(super) fn push(&mut self, source: &Source, bytes: usize, carrier: &Carrier) {
        let tag = |name: &str, value: Option<&str>| value.map(|value| format!("{name}:{}", bounded(value)));
        let topic = Some(source.topic).filter(|topic| !topic.is_empty());
        // In the order of their names, in which they are hashed.
        let tags = [
            tag("direction", Some("in")),
            tag("exchange", source.exchange),
            tag("group", source.group),
            tag("topic", topic),
            tag("type", Some(source.kind)),
        ];
        let tags: Vec<String> = tags.into_iter().flatten().collect();
        let last = self.found.last().filter(|last| *last.tags == *tags).map(|last| Arc::clone(&last.tags));
        let checkpoint = Checkpoint {
            tags: last.unwrap_or_else(|| tags.into()),
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            pathway: Pathway::extract(carrier),
        };
        self.found.push(checkpoint);
    }

    /// Shows each element of a list as an object with these fields, as long as there are not too many.
    pub(super) fn each(
        &mut self,
        list: Option<&str>,
        names: &'static [&'static str],
        mut see: impl FnMut(&mut Self, &Fields),
    ) {
        items(list.unwrap_or_default(), |record| {
            if self.records < MAX_RECORDS {
                self.records += 1;
                if let Some(record) = Fields::pick(record, names) {
                    see(self, &record);
                }
            }
        });
    }
}
