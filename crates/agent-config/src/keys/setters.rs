//! What setters of several settings have in common.

use std::ops::RangeInclusive;

use crate::read::{Effect, ParsedList, Reason};

/// Zstandard levels: 1 to 22, 0 for the library's default, and the fast negative levels that still compress.
pub(super) const ZSTD: RangeInclusive<i32> = -7..=22;

pub(super) fn taken(read: Result<(), Reason>) -> Result<Effect, Reason> {
    read.map(|()| Effect::Taken)
}

pub(super) fn name(field: &mut Option<String>, text: Option<&str>) -> Effect {
    let Some(text) = text else { return Effect::Unset };
    *field = Some(text.to_owned());
    Effect::Taken
}

pub(super) fn list<T>(field: &mut Vec<T>, items: Vec<T>) -> Effect {
    if items.is_empty() {
        return Effect::Unset;
    }
    *field = items;
    Effect::Taken
}

/// The same with texts, some of which were unusable.
pub(super) fn texts(field: &mut Vec<String>, parsed: ParsedList<String>, skipped: &mut usize) -> Effect {
    *skipped = parsed.skipped;
    list(field, parsed.items)
}
