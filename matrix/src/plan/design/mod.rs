//! Two-level experimental designs as tables of factor levels. Nothing here knows what a factor is.
//!
//! In every design the first run has all factors low: it is the one that the others are read against.

pub mod alias;
pub mod fraction;
pub mod plackett_burman;

/// One row for each run, one column for each factor; true is high.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    pub runs: Vec<Vec<bool>>,
}

/// A design that would need more than is reasonable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "a full design of {0} factors has 2^{0} cells; use resolution-5, which also estimates every pair, or --exclude some"
    )]
    FullTooBig(usize),
    #[error(
        "resolution {resolution} takes at most {most} factors, not {factors}; use plackett-burman, or --exclude some"
    )]
    FractionTooBig { resolution: u32, factors: usize, most: usize },
    #[error("plackett-burman takes at most 23 factors, not {0}; --exclude some")]
    ScreenTooBig(usize),
    #[error("resolution {0} is not supported; 4 and 5 are")]
    Resolution(u32),
    #[error("a design needs a factor that varies")]
    NoFactor,
}

/// The most factors of a full design.
const FULL_FACTORS: usize = 8;

/// Every combination.
pub fn full(factors: usize) -> Result<Matrix, Error> {
    match factors {
        0 => Err(Error::NoFactor),
        1..=FULL_FACTORS => {
            let runs = (0_u32..1 << factors).map(|run| (0..factors).map(|factor| run >> factor & 1 == 1).collect());
            Ok(Matrix { runs: runs.collect() })
        }
        _ => Err(Error::FullTooBig(factors)),
    }
}

impl Matrix {
    /// A column as -1 and 1.
    pub fn column(&self, factor: usize) -> Vec<i64> {
        self.runs.iter().map(|run| if run.get(factor) == Some(&true) { 1 } else { -1 }).collect()
    }

    pub fn factors(&self) -> usize {
        self.runs.first().map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests;
