//! How likely a difference is that comes from nothing.
//!
//! If a cell is no different from its reference, either of the two could have been called the reference in every block: the signs of
//! the blocks' differences can be flipped. The p value is the share of all such flips whose sum of signed ranks is at least as far
//! out (Wilcoxon 1945). Ranks, because one start that is several milliseconds late must not decide.

use std::iter::repeat_n;

use statrs::distribution::{ContinuousCDF, Normal};

/// Up to here all flips are counted; beyond, their distribution is normal for every purpose.
const COUNTED: usize = 50;

/// Distances that differ by less than this share of themselves are equal: 4.1 − 4.0 is always less than
/// 4.0 − 3.9 in binary.
const ROUNDING: f64 = 1e-9;

/// The two-sided p value. Blocks without a difference say nothing about its direction and are left out.
pub fn p_value(differences: &[f64]) -> f64 {
    let ranks = Ranks::of(differences);
    match ranks.doubled.len() {
        0 => 1.0,
        1..=COUNTED => exact(&ranks),
        _ => normal(&ranks),
    }
}

/// The smallest p value that so many blocks can have.
pub fn smallest(blocks: usize) -> f64 {
    0.5_f64.powi(i32::try_from(blocks).unwrap_or(i32::MAX) - 1)
}

/// Equal distances share the mean of their ranks, which is a multiple of a half: twice the ranks are whole.
struct Ranks {
    doubled: Vec<u32>,
    /// The sum of those whose difference is positive.
    positive: u32,
}

impl Ranks {
    fn of(differences: &[f64]) -> Self {
        let mut left: Vec<f64> = differences.iter().copied().filter(|&difference| difference != 0.0).collect();
        left.sort_unstable_by(|one, other| one.abs().total_cmp(&other.abs()));
        let (mut doubled, mut positive, mut before) = (Vec::with_capacity(left.len()), 0, 0);
        for tied in left.chunk_by(|one, other| other.abs() - one.abs() <= ROUNDING * other.abs()) {
            let count = u32::try_from(tied.len()).unwrap_or(u32::MAX);
            let rank = 2 * before + count + 1;
            doubled.extend(repeat_n(rank, tied.len()));
            positive += tied.iter().filter(|&&difference| difference > 0.0).map(|_| rank).sum::<u32>();
            before += count;
        }
        Self { doubled, positive }
    }
}

/// Counts the flips that give each sum of ranks, up to the one that was seen on the side where there are fewer. All numbers are whole
/// and below 2⁵⁰, and so exact.
fn exact(ranks: &Ranks) -> f64 {
    let total: u32 = ranks.doubled.iter().sum();
    let seen = ranks.positive.min(total - ranks.positive) as usize;
    let mut flips = vec![0.0; seen + 1];
    flips.iter_mut().take(1).for_each(|none| *none = 1.0);
    let mut before = flips.clone();
    for &rank in &ranks.doubled {
        before.copy_from_slice(&flips);
        let Some(flipped) = flips.get_mut(rank as usize..) else { break };
        for (with, without) in flipped.iter_mut().zip(&before) {
            *with += without;
        }
    }
    let all = 2.0_f64.powi(i32::try_from(ranks.doubled.len()).unwrap_or(i32::MAX));
    (2.0 * flips.iter().sum::<f64>() / all).min(1.0)
}

fn normal(ranks: &Ranks) -> f64 {
    let total: f64 = ranks.doubled.iter().copied().map(f64::from).sum();
    let squares: f64 = ranks.doubled.iter().map(|&rank| f64::from(rank).powi(2)).sum();
    // Sums move in steps of two doubled ranks, half of which is what a continuous distribution lacks.
    let out = ((f64::from(ranks.positive) - total / 2.0).abs() - 1.0).max(0.0);
    2.0 * Normal::standard().sf(out / (squares / 4.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_blocks_on_one_side_have_one_flip_in_two_to_the_blocks_on_either() {
        let differences: Vec<f64> = (1..=8).map(f64::from).collect();
        assert!((p_value(&differences) - 2.0 / 256.0).abs() < 1e-12);
        assert!((smallest(8) - 2.0 / 256.0).abs() < 1e-12);
    }

    #[test]
    fn a_published_table_is_met() {
        // Two-sided 5 % critical value of the signed rank sum for 10 pairs is 8, with p 0.0488; 9 is not enough, with p 0.0645.
        let with_negative = |negative: &[u32]| -> Vec<f64> {
            (1..=10).map(|rank| if negative.contains(&rank) { -f64::from(rank) } else { f64::from(rank) }).collect()
        };
        assert!((p_value(&with_negative(&[8])) - 0.048_828_125).abs() < 1e-9);
        assert!((p_value(&with_negative(&[9])) - 0.064_453_125).abs() < 1e-9);
    }

    #[test]
    fn blocks_without_a_difference_are_no_evidence() {
        assert!((p_value(&[0.0; 20]) - 1.0).abs() < 1e-12);
        assert!((p_value(&[0.0, 0.0, 1.0]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn ties_are_counted_as_they_are() {
        // Ranks 2, 2, 2: all three positive is one flip of eight on either side.
        assert!((p_value(&[5.0, 5.0, 5.0]) - 0.25).abs() < 1e-12);
        // Ranks 1.5, 1.5, 3 with the sum 3 of 6 in the middle.
        assert!((p_value(&[1.0, 1.0, -2.0]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn rounding_takes_no_side() {
        let differences: Vec<f64> = (0..40).map(|block| if block % 2 == 0 { 4.1 - 4.0 } else { 3.9 - 4.0 }).collect();
        assert!(differences[0].abs() < differences[1].abs());
        assert!((p_value(&differences) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn counting_and_the_normal_distribution_agree_where_they_meet() {
        for shift in [10_i32, 14, 18] {
            let differences: Vec<f64> =
                (0..50).map(|i| f64::from((i * 37) % 50 - 25 + shift) + 0.013 * f64::from(i)).collect();
            let ranks = Ranks::of(&differences);
            let (counted, approximate) = (exact(&ranks), normal(&ranks));
            assert!((counted - approximate).abs() < 0.1 * counted + 2e-3, "{shift}: {counted} {approximate}");
        }
    }

    #[test]
    fn direction_does_not_matter() {
        let one = [0.3, -0.1, 0.8, 0.5, -0.2, 0.9, 1.4];
        let other = one.map(|difference| -difference);
        assert!((p_value(&one) - p_value(&other)).abs() < 1e-12);
    }
}
