//! Which effects a design cannot tell apart, computed from the runs that are really there.

use super::Matrix;
use crate::plan::Alias;

/// Everything that an effect shares some of its estimate with: two effects whose columns are not independent of each other over these
/// runs. Main effects come first, then the interactions of two factors; effects that are clear of all others are left out.
pub fn aliases(design: &Matrix, factors: &[String]) -> Vec<Alias> {
    let effects = effects(design, factors);
    let with = |index: usize, effect: &Column| -> Vec<String> {
        let others = effects.iter().enumerate().filter(|(other, _)| *other != index);
        others.filter(|(_, other)| effect.depends_on(other)).map(|(_, other)| other.name.clone()).collect()
    };
    let aliases = effects.iter().enumerate().map(|(index, effect)| (effect, with(index, effect)));
    aliases
        .filter(|(_, with)| !with.is_empty())
        .map(|(effect, with)| Alias { effect: effect.name.clone(), with })
        .collect()
}

/// What an effect multiplies the runs' values with.
struct Column {
    name: String,
    signs: Vec<i64>,
}

impl Column {
    /// Whether the covariance of the two over the runs is other than zero. In whole numbers, so that zero is zero.
    fn depends_on(&self, other: &Self) -> bool {
        let products: i64 = self.signs.iter().zip(&other.signs).map(|(a, b)| a * b).sum();
        let runs = i64::try_from(self.signs.len()).unwrap_or(i64::MAX);
        runs * products != self.signs.iter().sum::<i64>() * other.signs.iter().sum::<i64>()
    }
}

fn effects(design: &Matrix, factors: &[String]) -> Vec<Column> {
    let main = |(index, name): (usize, &String)| Column { name: name.clone(), signs: design.column(index) };
    let mains: Vec<Column> = factors.iter().enumerate().map(main).collect();
    let pairs = mains.iter().enumerate().flat_map(|(index, first)| {
        mains.iter().skip(index + 1).map(move |second| Column {
            name: format!("{}*{}", first.name, second.name),
            signs: first.signs.iter().zip(&second.signs).map(|(a, b)| a * b).collect(),
        })
    });
    let pairs: Vec<Column> = pairs.collect();
    mains.into_iter().chain(pairs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::design::{fraction::fraction, full, plackett_burman::plackett_burman};

    fn of(design: &Matrix) -> Vec<(String, String)> {
        let names: Vec<String> = ('a'..).take(design.factors()).map(String::from).collect();
        aliases(design, &names).into_iter().map(|alias| (alias.effect, alias.with.join(" "))).collect()
    }

    #[test]
    fn a_full_design_and_one_of_resolution_five_confound_nothing() {
        assert_eq!(of(&full(4).unwrap()), []);
        assert_eq!(of(&fraction(7, 5).unwrap()), []);
    }

    #[test]
    fn resolution_four_confounds_pairs_with_pairs() {
        let found = of(&fraction(4, 4).unwrap());
        let expected = [("a*b", "c*d"), ("a*c", "b*d"), ("a*d", "b*c"), ("b*c", "a*d"), ("b*d", "a*c"), ("c*d", "a*b")];
        assert_eq!(found, expected.map(|(effect, with)| (effect.to_owned(), with.to_owned())));
    }

    #[test]
    fn a_folded_screen_confounds_pairs_only() {
        let found = of(&plackett_burman(11).unwrap());
        assert!(
            found.iter().all(|(effect, with)| effect.contains('*') && !with.split(' ').any(|name| name.len() == 1))
        );
        assert_eq!(found.len(), 55, "each pair shares its estimate with others");
        let first = &found[0];
        assert_eq!((first.0.as_str(), first.1.split(' ').count()), ("a*b", 36), "all pairs of other factors");
    }

    #[test]
    fn runs_that_are_left_out_confound_what_was_clear() {
        let mut design = full(2).unwrap();
        design.runs.retain(|run| run != &[true, false]);
        let found = of(&design);
        assert_eq!(found[0], ("a".to_owned(), "b a*b".to_owned()));
    }
}
