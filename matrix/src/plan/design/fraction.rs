//! Regular fractions of two-level designs: a power of two of runs, chosen so that what is confounded is known and harmless.

use super::{Error, Matrix};

/// The most factors, by resolution: beyond them the design gets so big that a screening is the better choice.
const MOST: usize = 11;

/// The smallest regular fraction of at least this resolution, 4 or 5, and with that many runs of a higher one if there is one.
/// In resolution 4 no main effect is confounded with an interaction of two factors, in resolution 5 neither are these with each other.
pub fn fraction(factors: usize, resolution: u32) -> Result<Matrix, Error> {
    if factors == 0 {
        return Err(Error::NoFactor);
    }
    if !(4..=5).contains(&resolution) {
        return Err(Error::Resolution(resolution));
    }
    if factors > MOST {
        return Err(Error::FractionTooBig { resolution, factors, most: MOST });
    }
    let found = (1..=factors).find_map(|base| {
        let better = generators(factors, base, resolution + 1);
        better.or_else(|| generators(factors, base, resolution))
    });
    // As many base factors as there are factors is the full design, so there is always one.
    found.map(|masks| runs(&masks)).ok_or(Error::Resolution(resolution))
}

/// For each factor the base factors whose product it is, as bits; the first ones are the base factors themselves.
fn generators(factors: usize, base: usize, resolution: u32) -> Option<Vec<u32>> {
    let mut masks: Vec<u32> = (0..base).map(|bit| 1 << bit).collect();
    let candidates: Vec<u32> = (1..1 << base).filter(|mask: &u32| mask.count_ones() + 1 >= resolution).collect();
    extend(&mut masks, factors, &candidates, resolution).then_some(masks)
}

/// Adds factors one by one, and takes back those that leave too little room for the rest.
fn extend(masks: &mut Vec<u32>, factors: usize, candidates: &[u32], resolution: u32) -> bool {
    if masks.len() >= factors {
        return true;
    }
    for (index, &candidate) in candidates.iter().enumerate() {
        // A word of fewer letters than the resolution would be one that the candidate completes.
        if sums(masks, resolution - 2).contains(&candidate) {
            continue;
        }
        masks.push(candidate);
        if extend(masks, factors, candidates.get(index + 1..).unwrap_or_default(), resolution) {
            return true;
        }
        masks.pop();
    }
    false
}

/// What up to so many of the masks add up to, bit by bit without carry.
fn sums(masks: &[u32], most: u32) -> std::collections::HashSet<u32> {
    let mut sums = std::collections::HashSet::from([0]);
    let mut last: Vec<(usize, u32)> = vec![(0, 0)];
    for _ in 0..most {
        let next = last.iter().flat_map(|&(from, sum)| {
            masks.iter().enumerate().skip(from).map(move |(index, mask)| (index + 1, sum ^ mask))
        });
        last = next.collect();
        sums.extend(last.iter().map(|&(_, sum)| sum));
    }
    sums
}

/// Every combination of the base factors; a product is high where an odd number of its factors is, so that all lows stay all lows.
fn runs(masks: &[u32]) -> Matrix {
    let base = masks.iter().filter(|mask| mask.is_power_of_two()).count();
    let row = |run: u32| masks.iter().map(|mask| (run & mask).count_ones() % 2 == 1).collect();
    Matrix { runs: (0_u32..1 << base).map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of the shortest set of columns whose product is constant, by trying all sets of up to five.
    fn resolution(design: &Matrix) -> u32 {
        let factors = design.factors();
        let subsets = (1_u32..1 << factors).filter(|subset| subset.count_ones() <= 5);
        let is_constant = |subset: &u32| {
            let mut products = design.runs.iter().map(|run| {
                run.iter().enumerate().filter(|(factor, high)| subset >> factor & 1 == 1 && **high).count() % 2
            });
            let first = products.next();
            products.all(|product| Some(product) == first)
        };
        subsets.filter(is_constant).map(u32::count_ones).min().unwrap_or(6)
    }

    #[test]
    fn the_resolution_is_reached_with_the_known_numbers_of_runs() {
        // Box, Hunter and Hunter's table of fractions (Statistics for Experimenters), from one factor on.
        let four = [2, 4, 8, 8, 16, 16, 16, 16, 32, 32, 32];
        let five = [2, 4, 8, 16, 16, 32, 64, 64, 128, 128, 128];
        for (wanted, table) in [(4, four), (5, five)] {
            for (index, runs) in table.into_iter().enumerate() {
                let design = fraction(index + 1, wanted).unwrap();
                assert_eq!((design.runs.len(), design.factors()), (runs, index + 1), "resolution {wanted}");
                assert!(resolution(&design) >= wanted, "{} factors have {}", index + 1, resolution(&design));
            }
        }
    }

    #[test]
    fn the_brute_force_knows_a_bad_design() {
        // The third column is the product of the others: resolution 3.
        assert_eq!(resolution(&runs(&[1, 2, 3])), 3);
    }

    #[test]
    fn runs_that_are_there_anyway_give_more_resolution() {
        assert_eq!(resolution(&fraction(5, 4).unwrap()), 5);
        assert_eq!(resolution(&fraction(6, 5).unwrap()), 6);
    }

    #[test]
    fn columns_are_balanced_and_orthogonal_and_the_first_run_is_low() {
        for factors in 1..=MOST {
            let design = fraction(factors, 4).unwrap();
            assert_eq!(design.runs[0], vec![false; factors]);
            for a in 0..factors {
                assert_eq!(design.column(a).iter().sum::<i64>(), 0);
                for b in 0..a {
                    assert_eq!(design.column(a).iter().zip(design.column(b)).map(|(a, b)| a * b).sum::<i64>(), 0);
                }
            }
        }
    }

    #[test]
    fn what_is_too_much_is_refused() {
        assert_eq!(fraction(12, 4), Err(Error::FractionTooBig { resolution: 4, factors: 12, most: 11 }));
        assert_eq!(fraction(3, 6), Err(Error::Resolution(6)));
        assert_eq!(fraction(0, 4), Err(Error::NoFactor));
    }
}
