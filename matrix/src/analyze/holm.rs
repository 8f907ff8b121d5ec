//! Many questions at once.

/// P values adjusted so that the chance of even one false alarm among them is what each says (Holm 1979), in the given order.
pub fn adjusted(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = p_values.iter().copied().enumerate().collect();
    order.sort_by(|one, other| one.1.total_cmp(&other.1));
    let mut largest = 0.0_f64;
    let mut adjusted: Vec<(usize, f64)> = Vec::with_capacity(order.len());
    for (rank, &(place, p)) in order.iter().enumerate() {
        let remaining = super::location::to_f64(order.len() - rank);
        largest = largest.max((p * remaining).min(1.0));
        adjusted.push((place, largest));
    }
    adjusted.sort_by_key(|&(place, _)| place);
    adjusted.into_iter().map(|(_, p)| p).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_multiplied_by_how_many_are_left_and_never_falls_below_one_before() {
        let adjusted = adjusted(&[0.01, 0.04, 0.03, 0.005]);
        for (got, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((got - expected).abs() < 1e-12, "{adjusted:?}");
        }
    }

    #[test]
    fn none_is_above_one_and_one_alone_stays() {
        assert_eq!(adjusted(&[0.9, 0.8]), [1.0, 1.0]);
        assert_eq!(adjusted(&[0.2]), [0.2]);
        assert!(adjusted(&[]).is_empty());
    }
}
