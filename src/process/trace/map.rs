//! A map from text to values that keeps the order of insertion, made for a few dozen entries.
//!
//! A span has about twenty tags: a list of pairs is read from the wire and written to it without a hash table in between. The rules of the pipeline look for a dozen
//! keys that most spans do not have, so that a filter of one bit a key answers most searches.

use std::collections::HashMap;

use super::span::{Text, is_same, owned};

/// Up to this many entries a duplicate key is searched for in the list; beyond, in a hash table.
const SEARCHED: usize = 64;

/// Pairs with distinct keys.
#[derive(Debug, Clone)]
pub struct Map<'b, V> {
    pairs: Vec<(Text<'b>, V)>,
    /// The [`bit`] of every key that is there, and of some that were.
    filter: u64,
}

impl<V> Default for Map<'_, V> {
    fn default() -> Self {
        Self { pairs: Vec::new(), filter: 0 }
    }
}

impl<V: PartialEq> PartialEq for Map<'_, V> {
    fn eq(&self, other: &Self) -> bool {
        self.pairs == other.pairs
    }
}

impl<V: Eq> Eq for Map<'_, V> {}

impl<'b, V> Map<'b, V> {
    /// Pairs as they were read; of several with one key the last counts.
    pub fn from_pairs(mut pairs: Vec<(Text<'b>, V)>) -> Self {
        let filter = if pairs.len() > SEARCHED {
            deduplicate_hashed(&mut pairs);
            pairs.iter().fold(0, |filter, (key, _)| filter | bit(key))
        } else {
            deduplicate_searched(&mut pairs)
        };
        Self { pairs, filter }
    }

    #[expect(clippy::inline_always, reason = "the bit of a key that the source names is a constant")]
    #[inline(always)]
    pub fn get(&self, key: &str) -> Option<&V> {
        if self.filter & bit(key) == 0 { None } else { self.find(key) }
    }

    #[inline(never)]
    fn find(&self, key: &str) -> Option<&V> {
        for (known, value) in &self.pairs {
            if is_same(known, key) {
                return Some(value);
            }
        }
        None
    }

    #[expect(clippy::inline_always, reason = "the bit of a key that the source names is a constant")]
    #[inline(always)]
    pub fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        if self.filter & bit(key) == 0 { None } else { self.find_mut(key) }
    }

    #[inline(never)]
    fn find_mut(&mut self, key: &str) -> Option<&mut V> {
        for (known, value) in &mut self.pairs {
            if is_same(known, key) {
                return Some(value);
            }
        }
        None
    }

    #[inline]
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Adds a value, or replaces the one that is there.
    pub fn set(&mut self, key: impl Into<Text<'b>>, value: V) {
        let key = key.into();
        if let Some(known) = self.get_mut(&key) {
            *known = value;
            return;
        }
        // Many maps never get a second entry, and a list that grows by itself begins with room for four.
        if self.pairs.is_empty() {
            self.pairs.reserve_exact(1);
        }
        self.filter |= bit(&key);
        self.pairs.push((key, value));
    }

    /// Adds values, each in place of the one that is there, without a search for every one of them: payloads that are captured have thousands of tags.
    pub fn extend<K: Into<Text<'b>>>(&mut self, pairs: impl IntoIterator<Item = (K, V)>) {
        let added = pairs.into_iter().map(|(key, value)| (key.into(), value));
        *self = std::mem::take(self).into_pairs().chain(added).collect();
    }

    /// Takes the value out; the order of the others stays.
    pub fn remove(&mut self, key: &str) -> Option<V> {
        let index = self.pairs.iter().position(|(known, _)| known == key)?;
        Some(self.pairs.remove(index).1)
    }

    /// Changes values in place, and takes out the entries for which there is something else, with that in place of their value.
    pub(super) fn take_changed<U>(&mut self, mut change: impl FnMut(&str, &mut V) -> Option<U>) -> Vec<(Text<'b>, U)> {
        let mut taken = Vec::new();
        self.pairs.retain_mut(|(key, value)| {
            let changed = change(key, value);
            let is_kept = changed.is_none();
            taken.extend(changed.map(|changed| (std::mem::take(key), changed)));
            is_kept
        });
        taken
    }

    /// Keeps the entries whose key is wanted.
    #[expect(clippy::inline_always, reason = "one caller, for which the condition is a look at one bit")]
    #[inline(always)]
    pub fn retain(&mut self, is_wanted: impl Fn(&str) -> bool) {
        // Most often every entry is: the list is looked at before it is rebuilt.
        for (key, _) in &self.pairs {
            if !is_wanted(key) {
                self.pairs.retain(|(key, _)| is_wanted(key));
                return;
            }
        }
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &V)> {
        self.pairs.iter().map(|(key, value)| (&**key, value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut V)> {
        self.pairs.iter_mut().map(|(key, value)| (&**key, value))
    }

    /// The entries themselves.
    pub fn into_pairs(self) -> impl Iterator<Item = (Text<'b>, V)> {
        self.pairs.into_iter()
    }

    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// How many entries there is room for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.pairs.capacity()
    }

    pub(super) fn into_owned<U>(self, value: impl Fn(V) -> U) -> Map<'static, U> {
        let pairs = self.pairs.into_iter().map(|(key, old)| (owned(key), value(old))).collect();
        Map { pairs, filter: self.filter }
    }
}

impl<'b, K: Into<Text<'b>>, V> FromIterator<(K, V)> for Map<'b, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self::from_pairs(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}

/// Only keys whose bits meet are compared, which are few among few dozens. Returns the bits of all of them.
fn deduplicate_searched<V>(pairs: &mut Vec<(Text<'_>, V)>) -> u64 {
    let mut seen = 0;
    let mut index = 0;
    while let Some((key, _)) = pairs.get(index) {
        let bit = bit(key);
        let earlier = if seen & bit == 0 { None } else { position(pairs.get(..index).unwrap_or_default(), key) };
        seen |= bit;
        match earlier {
            Some(earlier) => drop(pairs.remove(earlier)),
            None => index += 1,
        }
    }
    seen
}

fn position<V>(pairs: &[(Text<'_>, V)], key: &str) -> Option<usize> {
    for (index, (known, _)) in pairs.iter().enumerate() {
        if is_same(known, key) {
            return Some(index);
        }
    }
    None
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

/// One of 64 bits. Length and ends tell most keys of one span apart.
#[expect(clippy::inline_always, reason = "it is a constant for a key that the source names")]
#[inline(always)]
pub(super) fn bit(key: &str) -> u64 {
    let bytes = key.as_bytes();
    let end = |byte: Option<&u8>| u32::from(byte.copied().unwrap_or_default());
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let fingerprint = length.wrapping_mul(7) ^ end(bytes.first()).wrapping_mul(13) ^ end(bytes.last()).wrapping_mul(31);
    1 << (fingerprint & 63)
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
    fn keys_with_equal_bits_stay_apart() {
        let map: Map<i32> = [("abc", 1), ("aXc", 2), ("aYc", 3)].into_iter().collect();
        assert_eq!(bit("abc"), bit("aXc"));
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
    fn every_key_is_found_however_it_came_and_none_that_went() {
        let keys: Vec<String> = (0..SEARCHED + 9).map(|number| format!("{number}.key")).collect();
        for count in [1, SEARCHED, keys.len()] {
            let keys = keys.get(..count).unwrap();
            let read: Map<usize> = keys.iter().map(|key| (key.clone(), 0)).collect();
            let mut set = Map::default();
            for key in keys {
                set.set(key.clone(), 0);
            }
            for map in [read.clone(), set, read.into_owned(|value| value)] {
                assert!(keys.iter().all(|key| map.contains(key)), "{count}");
            }
        }
        let mut map: Map<i32> = [("a", 1), ("b", 2)].into_iter().collect();
        map.retain(|key| key != "a");
        assert_eq!((map.get("a"), map.get("b")), (None, Some(&2)));
        map.set("a", 3);
        assert_eq!(map, [("b", 2), ("a", 3)].into_iter().collect());
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
