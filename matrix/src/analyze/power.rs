//! Power calculations: critical values, and the difference that a test finds with a given probability.

use statrs::distribution::{Continuous, ContinuousCDF, Normal};

use super::interval::student;

/// Number of quadrature nodes over the distribution of the standard error.
const NODES: u32 = 64;
/// Iterations of Newton's method; each doubles the number of correct digits.
const STEPS: usize = 8;

/// The factor by which Yuen's statistic has heavier tails than Student's t at the same degrees of freedom. On normal noise with 6 to 30 blocks, the tail beyond
/// the plain quantile holds up to 1.6 times its nominal share; with this factor it holds at most the nominal share.
pub fn heavier(freedom: f64) -> f64 {
    1.0 + 0.4 / freedom
}

/// The critical value of a two-sided test, in standard errors.
pub fn critical(level: f64, freedom: f64) -> f64 {
    student(1.0 - level / 2.0, freedom) * heavier(freedom)
}

/// The true difference, in estimated standard errors, that exceeds `critical` with probability `power`.
///
/// The estimate divided by its standard error follows the noncentral t distribution: normal around the difference, over an error that varies as the root of a
/// χ².
pub fn detectable(critical: f64, freedom: f64, power: f64) -> f64 {
    let errors = Errors::new(freedom);
    let normal = Normal::standard();
    let mut found = critical + normal.inverse_cdf(power) * (1.0 + critical * critical / (2.0 * freedom)).sqrt();
    for _ in 0..STEPS {
        let reached = errors.mean(|error| normal.cdf(found - critical * error));
        let slope = errors.mean(|error| normal.pdf(found - critical * error));
        if slope <= f64::MIN_POSITIVE {
            break;
        }
        found -= ((reached - power) / slope).clamp(-critical, critical);
    }
    // The estimated standard error is biased low.
    found / errors.mean(|error| error)
}

/// The distribution of the estimated standard error around the true one, which is 1.
struct Errors {
    nodes: Vec<Node>,
}

struct Node {
    error: f64,
    weight: f64,
}

impl Errors {
    fn new(freedom: f64) -> Self {
        let spread = 1.0 / (2.0 * freedom).sqrt();
        let (low, high) = ((1.0 - 6.0 * spread).max(0.0), 1.0 + 7.0 * spread);
        let step = (high - low) / f64::from(NODES);
        let node = |place: u32| {
            let error = low + step * (f64::from(place) + 0.5);
            let log = (freedom - 1.0) * error.ln() - freedom * (error * error - 1.0) / 2.0;
            Node { error, weight: log.exp() }
        };
        let mut nodes: Vec<Node> = (0..NODES).map(node).collect();
        let all: f64 = nodes.iter().map(|node| node.weight).sum();
        for node in &mut nodes {
            node.weight /= all;
        }
        Self { nodes }
    }

    fn mean(&self, of: impl Fn(f64) -> f64) -> f64 {
        self.nodes.iter().map(|node| node.weight * of(node.error)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_blocks_are_normal() {
        let critical = critical(0.05, 1e6);
        assert!((critical - 1.96).abs() < 1e-3, "{critical}");
        let found = detectable(critical, 1e6, 0.8);
        assert!((found - 2.8016).abs() < 2e-3, "{found}");
    }

    #[test]
    fn published_sample_sizes_are_met() {
        // Cohen (1988), two-sided 5 %, power 80 %, paired: an effect of 0.5 standard deviations takes 34 pairs, one of 0.8 takes 15.
        let found = |pairs: f64| {
            let freedom = pairs - 1.0;
            let mean = Errors::new(freedom).mean(|error| error);
            detectable(student(0.975, freedom), freedom, 0.8) * mean / pairs.sqrt()
        };
        assert!(found(34.0) <= 0.5 && 0.5 < found(33.0), "{}", found(34.0));
        assert!(found(15.0) <= 0.8 && 0.8 < found(14.0), "{}", found(15.0));
    }

    #[test]
    fn few_blocks_and_many_questions_still_have_an_answer() {
        for freedom in [1.0, 3.0, 5.0, 17.0] {
            for level in [0.05, 0.05 / 132.0] {
                let critical = critical(level, freedom);
                let found = detectable(critical, freedom, 0.8);
                assert!(found.is_finite() && found > critical, "{freedom} {level}: {critical} {found}");
            }
        }
    }
}
