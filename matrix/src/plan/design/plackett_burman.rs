//! Plackett and Burman's designs (Biometrika 33, 1946), folded over: many main effects from few builds.

use super::{Error, Matrix};

/// The first rows of the published designs; the others are its cyclic shifts, and one row of lows.
const FIRST_ROWS: [&str; 3] = ["++-+++---+-", "++--++++-+-+----++-", "+++++-+-++--++--+-+----"];

/// A design of 12, 20 or 24 runs and their mirror images, the smallest that has a column for each factor. The mirror images make
/// every main effect independent of every interaction of two factors; those interactions are mixed with each other.
pub fn plackett_burman(factors: usize) -> Result<Matrix, Error> {
    if factors == 0 {
        return Err(Error::NoFactor);
    }
    let first = FIRST_ROWS.iter().find(|row| row.len() >= factors).ok_or(Error::ScreenTooBig(factors))?;
    let half = half(first, factors);
    let mirror = half.iter().map(|run| run.iter().map(|high| !high).collect());
    Ok(Matrix { runs: half.iter().cloned().chain(mirror).collect() })
}

/// The design before it is folded over, the row of lows first.
fn half(first: &str, factors: usize) -> Vec<Vec<bool>> {
    let row: Vec<bool> = first.chars().map(|sign| sign == '+').collect();
    let shifted = (0..row.len())
        .map(|shift| row.iter().cycle().skip(row.len() - shift).take(row.len()).take(factors).copied().collect());
    std::iter::once(vec![false; factors]).chain(shifted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unfolded_columns_are_balanced_and_orthogonal() {
        for first in FIRST_ROWS {
            let design = Matrix { runs: half(first, first.len()) };
            assert_eq!(design.runs.len(), first.len() + 1);
            for a in 0..first.len() {
                assert_eq!(design.column(a).iter().sum::<i64>(), 0, "column {a} of {first}");
                for b in 0..a {
                    let product: i64 = design.column(a).iter().zip(design.column(b)).map(|(a, b)| a * b).sum();
                    assert_eq!(product, 0, "columns {a} and {b} of {first}");
                }
            }
        }
    }

    #[test]
    fn the_smallest_design_that_fits_is_taken() {
        let runs = |factors| plackett_burman(factors).map(|design| (design.runs.len(), design.factors()));
        assert_eq!(runs(1), Ok((24, 1)));
        assert_eq!(runs(11), Ok((24, 11)));
        assert_eq!(runs(12), Ok((40, 12)));
        assert_eq!(runs(19), Ok((40, 19)));
        assert_eq!(runs(23), Ok((48, 23)));
        assert_eq!(runs(24), Err(Error::ScreenTooBig(24)));
        assert_eq!(runs(0), Err(Error::NoFactor));
    }

    #[test]
    fn folding_over_frees_main_effects_from_interactions() {
        for factors in [3, 11, 12, 19, 20, 23] {
            let design = plackett_burman(factors).unwrap();
            for main in 0..factors {
                for a in 0..factors {
                    for b in 0..a {
                        let columns = design.column(a).into_iter().zip(design.column(b));
                        let product: i64 = design.column(main).iter().zip(columns).map(|(m, (a, b))| m * a * b).sum();
                        assert_eq!(product, 0, "{main} and {a}*{b} of {factors}");
                    }
                }
            }
        }
    }
}
