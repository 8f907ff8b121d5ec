//! The tags that every span of this function gets, encoded once.

use super::{
    replace::Replacements,
    span::{Span, Text},
};
use crate::process::{protobuf, tags::FunctionTags};

/// The number of the field `meta` of a span.
pub(super) const META: u64 = 10;

/// Tags that stand in every span and win over the span's own of the same key.
#[derive(Debug, Clone)]
pub(super) struct CommonTags {
    pairs: Vec<(String, String)>,
    /// Entries of a span's `meta`.
    encoded: Vec<u8>,
    /// Those of the pairs that tell groups of stats apart.
    of_stats: Vec<(String, String)>,
    /// One bit for each fingerprint that a key has, so that most other keys are told apart by one look.
    keys: [u64; 4],
}

impl CommonTags {
    /// The function's tags and the origin; with `compute_stats` the mark that asks the backend for stats. Replacement rules apply to these as to any other tag,
    /// with the same result for every span. `is_stats_key` selects the keys that tell groups of stats apart.
    pub(super) fn new(
        tags: &FunctionTags,
        compute_stats: bool,
        replacements: &Replacements,
        is_stats_key: impl Fn(&str) -> bool,
    ) -> Self {
        let mut pairs: Vec<_> = tags.pairs().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let mut set = |key: &str, value: &str| {
            pairs.retain(|(known, _)| known != key);
            pairs.push((key.to_owned(), value.to_owned()));
        };
        if compute_stats {
            set("_dd.compute_stats", "1");
        }
        set("origin", "lambda");
        set("_dd.origin", "lambda");
        for (key, value) in &mut pairs {
            let mut text = Text::Borrowed(&**value);
            replacements.apply_to_tag(key, &mut text);
            if let Text::Owned(replaced) = text {
                *value = replaced;
            }
        }
        let of_stats = pairs.iter().filter(|(key, _)| is_stats_key(key)).cloned().collect();
        let (mut encoded, mut keys) = (Vec::new(), [0; 4]);
        for (key, value) in &pairs {
            protobuf::text_entry(&mut encoded, META, key, value.as_bytes());
            let Bit { word, mask } = bit(key);
            if let Some(bits) = keys.get_mut(word) {
                *bits |= mask;
            }
        }
        Self { pairs, encoded, of_stats, keys }
    }

    #[inline]
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        if self.may_have(key) { self.find(key) } else { None }
    }

    #[expect(clippy::inline_always, reason = "a look at one bit for each tag of each span")]
    #[inline(always)]
    fn may_have(&self, key: &str) -> bool {
        let Bit { word, mask } = bit(key);
        self.keys.get(word).is_some_and(|bits| bits & mask != 0)
    }

    #[inline(never)]
    fn find(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == key).map(|(_, value)| &**value)
    }

    /// Tags that are part of the key of stats.
    pub(super) fn of_stats(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of_stats.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Takes out of a span what these tags say instead.
    pub(super) fn take_over(&self, span: &mut Span<'_>) {
        span.meta.retain(|key| !self.may_have(key) || self.find(key).is_none());
    }

    /// Entries of a span's `meta`, one after the other.
    pub(super) fn encoded(&self) -> &[u8] {
        &self.encoded
    }
}

struct Bit {
    word: usize,
    mask: u64,
}

#[expect(clippy::inline_always, reason = "as where it is used")]
#[inline(always)]
fn bit(key: &str) -> Bit {
    let bytes = key.as_bytes();
    let end = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default());
    let fingerprint =
        bytes.len().wrapping_mul(37) ^ end(bytes.first()).wrapping_mul(13) ^ end(bytes.last()).wrapping_mul(101);
    Bit { word: (fingerprint >> 6) & 3, mask: 1 << (fingerprint & 63) }
}

/// The common tags of a function without rules or settings, for tests of what uses them.
#[cfg(test)]
pub(super) fn common_tags(function: &FunctionTags, is_stats_key: impl Fn(&str) -> bool) -> CommonTags {
    CommonTags::new(function, false, &Replacements::default(), is_stats_key)
}
