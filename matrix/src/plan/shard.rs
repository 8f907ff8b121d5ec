//! One machine's share of an experiment.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The blocks whose number is `index` modulo `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardIndex {
    /// From 0.
    pub index: u32,
    /// How many machines there are, at least 1.
    pub of: u32,
}

impl ShardIndex {
    /// Whether a block belongs to it.
    pub fn has(self, block: u32) -> bool {
        block.checked_rem(self.of) == Some(self.index)
    }
}

impl Default for ShardIndex {
    /// All blocks.
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl FromStr for ShardIndex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((index, of)) if index < of => Ok(Self { index, of }),
            _ => Err("write it as M/N with M from 0 to N - 1, such as 0/4 to 3/4".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_belongs_to_one_part() {
        let parts: Vec<ShardIndex> = ["0/3", "1/3", "2/3"].iter().map(|text| text.parse().unwrap()).collect();
        for block in 0..20 {
            assert_eq!(parts.iter().filter(|part| part.has(block)).count(), 1, "{block}");
        }
        assert!((0..20).all(|block| ShardIndex::default().has(block)));
    }

    #[test]
    fn a_part_is_written_as_a_fraction() {
        assert_eq!("1/4".parse(), Ok(ShardIndex { index: 1, of: 4 }));
        for wrong in ["4/4", "1", "1/", "/2", "0/0", "a/b", "-1/2"] {
            assert!(wrong.parse::<ShardIndex>().is_err(), "{wrong}");
        }
    }
}
