use super::*;

#[test]
fn a_full_design_has_every_combination_once() {
    let design = full(3).unwrap();
    let mut runs = design.runs.clone();
    assert_eq!(runs[0], [false; 3]);
    runs.sort();
    runs.dedup();
    assert_eq!(runs.len(), 8);
    assert_eq!(design.factors(), 3);
}

#[test]
fn a_full_design_ends_at_two_to_the_eighth() {
    assert_eq!(full(8).unwrap().runs.len(), 256);
    let refused = full(9).unwrap_err();
    assert_eq!(refused, Error::FullTooBig(9));
    assert!(refused.to_string().contains("2^9") && refused.to_string().contains("resolution-5"));
}

#[test]
fn a_column_is_signs() {
    let design = Matrix { runs: vec![vec![false, true], vec![true, true]] };
    assert_eq!(design.column(0), [-1, 1]);
    assert_eq!(design.column(1), [1, 1]);
}
