//! A map from text to values that keeps the order of insertion, made for a few dozen entries.
//!
//! A span has about twenty tags: a list of pairs is read from the wire and written to it without a hash table in between, and a search compares lengths first.

use std::collections::HashMap;

use super::span::{Text, owned};

/// Up to this many entries a duplicate key is searched for in the list; beyond, in a hash table.
const SEARCHED: usize = 64;

/// Pairs with distinct keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map<'b, V>(Vec<(Text<'b>, V)>);

impl<V> Default for Map<'_, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'b, V> Map<'b, V> {
    /// Pairs as they were read; of several with one key the last counts.
    pub fn from_pairs(mut pairs: Vec<(Text<'b>, V)>) -> Self {
        if pairs.len() > SEARCHED {
            deduplicate_hashed(&mut pairs);
        } else {
            deduplicate_searched(&mut pairs);
        }
        Self(pairs)
    }

    pub fn get(&self, key: &str) -> Option<&V> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.0.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Adds a value, or replaces the one that is there.
    pub fn set(&mut self, key: impl Into<Text<'b>>, value: V) {
        let key = key.into();
        match self.get_mut(&key) {
            Some(known) => *known = value,
            None => self.0.push((key, value)),
        }
    }

    /// Adds values, each in place of the one that is there, without a search for every one of them: payloads that are captured have thousands of tags.
    pub fn extend<K: Into<Text<'b>>>(&mut self, pairs: impl IntoIterator<Item = (K, V)>) {
        let added = pairs.into_iter().map(|(key, value)| (key.into(), value));
        *self = std::mem::take(self).into_pairs().chain(added).collect();
    }

    /// Takes the value out; the order of the others stays.
    pub fn remove(&mut self, key: &str) -> Option<V> {
        let index = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(index).1)
    }

    /// Keeps the entries whose key is wanted.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&str) -> bool) {
        self.0.retain(|(key, _)| is_wanted(key));
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &V)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// The entries themselves.
    pub fn into_pairs(self) -> impl Iterator<Item = (Text<'b>, V)> {
        self.0.into_iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_owned<U>(self, value: impl Fn(V) -> U) -> Map<'static, U> {
        Map(self.0.into_iter().map(|(key, old)| (owned(key), value(old))).collect())
    }
}

impl<'b, K: Into<Text<'b>>, V> FromIterator<(K, V)> for Map<'b, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self::from_pairs(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}

/// Only keys whose fingerprints meet are compared, which are few among few dozens.
fn deduplicate_searched<V>(pairs: &mut Vec<(Text<'_>, V)>) {
    let mut seen = 0_u64;
    let mut index = 0;
    while let Some((key, _)) = pairs.get(index) {
        let bit = 1 << fingerprint(key);
        let earlier = if seen & bit == 0 { None } else { pairs.iter().take(index).position(|(known, _)| known == key) };
        seen |= bit;
        match earlier {
            Some(earlier) => drop(pairs.remove(earlier)),
            None => index += 1,
        }
    }
}

fn deduplicate_hashed<V>(pairs: &mut Vec<(Text<'_>, V)>) {
    let last: HashMap<&str, usize> = pairs.iter().enumerate().map(|(index, (key, _))| (&**key, index)).collect();
    if last.len() == pairs.len() {
        return;
    }
    let mut keep = vec![false; pairs.len()];
    for index in last.into_values() {
        if let Some(kept) = keep.get_mut(index) {
            *kept = true;
        }
    }
    let mut keep = keep.into_iter();
    pairs.retain(|_| keep.next() == Some(true));
}

/// 0 to 63. Length and ends tell most keys of one span apart.
fn fingerprint(key: &str) -> u32 {
    let bytes = key.as_bytes();
    let end = |byte: Option<&u8>| u32::from(byte.copied().unwrap_or_default());
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    (length.wrapping_mul(7) ^ end(bytes.first()).wrapping_mul(13) ^ end(bytes.last()).wrapping_mul(31)) & 63
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equal_keys_counts_in_short_and_long_maps() {
        for others in [0, 3, SEARCHED - 2, SEARCHED, 300] {
            let keys = (0..others).map(|number| format!("key{number}"));
            let mut pairs: Vec<(Text, usize)> = vec![("same".into(), 1), ("same".into(), 2)];
            pairs.extend(keys.map(|key| (key.into(), 0)));
            pairs.push(("same".into(), 3));
            let map = Map::from_pairs(pairs);
            assert_eq!((map.len(), map.get("same")), (others + 1, Some(&3)), "{others}");
        }
    }

    #[test]
    fn keys_with_equal_fingerprints_stay_apart() {
        let map: Map<i32> = [("abc", 1), ("aXc", 2), ("aYc", 3)].into_iter().collect();
        assert_eq!(fingerprint("abc"), fingerprint("aXc"));
        assert_eq!((map.len(), map.get("abc"), map.get("aYc")), (3, Some(&1), Some(&3)));
    }

    #[test]
    fn setting_replaces_and_removing_keeps_the_order() {
        let mut map = Map::default();
        for (key, value) in [("a", 1), ("b", 2), ("c", 3), ("b", 4)] {
            map.set(key, value);
        }
        assert_eq!(map.iter().collect::<Vec<_>>(), [("a", &1), ("b", &4), ("c", &3)]);
        assert_eq!((map.remove("a"), map.remove("x")), (Some(1), None));
        assert_eq!(map.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn what_is_added_replaces_what_is_there() {
        for others in [0, SEARCHED, 300] {
            let mut map: Map<usize> = [("a", 1), ("b", 2)].into_iter().collect();
            map.extend((0..others).map(|number| (format!("key{number}"), 0)));
            map.extend([("b", 3), ("c", 4)]);
            let expected = (others + 3, Some(&1), Some(&3), Some(&4));
            assert_eq!((map.len(), map.get("a"), map.get("b"), map.get("c")), expected, "{others}");
        }
    }
}
