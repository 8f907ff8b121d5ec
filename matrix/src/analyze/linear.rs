//! Linear algebra for least squares on a few hundred cells.

/// Threshold below which a value is a rounding error: levels are ±1 and their means.
const ROUNDING: f64 = 1e-9;

/// A matrix in reduced row echelon form, with the pivot column of each row.
#[derive(Clone, Debug, PartialEq)]
pub struct ReducedMatrix {
    pub rows: Vec<PivotRow>,
}

/// A row with a 1 in its pivot column, where all other rows have 0.
#[derive(Clone, Debug, PartialEq)]
pub struct PivotRow {
    pub column: usize,
    pub row: Vec<f64>,
}

/// Gauss–Jordan elimination over the first `columns` columns, with the largest pivot of each column.
pub fn reduced_matrix(mut rows: Vec<Vec<f64>>, columns: usize) -> ReducedMatrix {
    let mut done: Vec<PivotRow> = Vec::new();
    for column in 0..columns {
        let size = |row: &Vec<f64>| at(row, column).abs();
        let largest = rows.iter().enumerate().max_by(|one, other| size(one.1).total_cmp(&size(other.1)));
        let Some((place, _)) = largest.filter(|(_, row)| size(row) > ROUNDING) else { continue };
        let mut row = rows.swap_remove(place);
        let pivot = at(&row, column);
        for value in &mut row {
            *value /= pivot;
        }
        for other in rows.iter_mut().chain(done.iter_mut().map(|done| &mut done.row)) {
            let factor = at(other, column);
            for (value, subtracted) in other.iter_mut().zip(&row) {
                *value -= factor * subtracted;
            }
        }
        done.push(PivotRow { column, row });
    }
    ReducedMatrix { rows: done }
}

/// For each column, whether the rows determine its coefficient independently of the other coefficients.
pub fn determined(rows: Vec<Vec<f64>>, columns: usize) -> Vec<bool> {
    let ReducedMatrix { rows } = reduced_matrix(rows, columns);
    let alone = |leading: &PivotRow| {
        leading.row.iter().enumerate().all(|(column, value)| column == leading.column || value.abs() < ROUNDING)
    };
    (0..columns).map(|column| rows.iter().any(|leading| leading.column == column && alone(leading))).collect()
}

/// The first maximal set of linearly independent columns: each is independent of those before it.
pub fn independent(rows: Vec<Vec<f64>>, columns: usize) -> Vec<usize> {
    reduced_matrix(rows, columns).rows.into_iter().map(|leading| leading.column).collect()
}

/// The least-squares weights: for each column, the weights of the rows whose weighted sum is its coefficient. The columns have to be independent.
pub fn least_squares(rows: &[Vec<f64>], columns: usize) -> Vec<Vec<f64>> {
    let column = |index: usize| -> Vec<f64> { rows.iter().map(|row| at(row, index)).collect() };
    let transposed: Vec<Vec<f64>> = (0..columns).map(column).collect();
    let product = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(one, other)| one * other).sum::<f64>();
    let normal = transposed.iter().map(|one| {
        let products = transposed.iter().map(|other| product(one, other));
        products.chain(one.iter().copied()).collect()
    });
    let solved = reduced_matrix(normal.collect(), columns);
    solved.rows.into_iter().map(|leading| leading.row.into_iter().skip(columns).collect()).collect()
}

/// Subtracts its mean from each column. This removes the effect of the block.
pub fn centred(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let count = super::location::to_f64(rows.len());
    let columns = rows.first().map_or(0, Vec::len);
    let means: Vec<f64> =
        (0..columns).map(|column| rows.iter().map(|row| at(row, column)).sum::<f64>() / count).collect();
    rows.iter().map(|row| row.iter().zip(&means).map(|(value, mean)| value - mean).collect()).collect()
}

fn at(row: &[f64], column: usize) -> f64 {
    row.get(column).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_found() {
        let weights = least_squares(&centred(&[vec![-1.0], vec![1.0], vec![1.0]]), 1);
        let slope: f64 = weights[0].iter().zip([1.0, 4.0, 6.0]).map(|(weight, value)| weight * value).sum();
        assert!((slope - 2.0).abs() < 1e-12, "{weights:?}");
    }

    #[test]
    fn aliased_columns_are_undetermined() {
        let rows = centred(&[vec![-1.0, -1.0, -1.0], vec![1.0, 1.0, -1.0], vec![-1.0, -1.0, 1.0], vec![1.0, 1.0, 1.0]]);
        assert_eq!(determined(rows, 3), [false, false, true]);
    }

    #[test]
    fn a_column_that_never_changes_is_undetermined() {
        assert_eq!(determined(centred(&[vec![1.0, -1.0], vec![1.0, 1.0]]), 2), [false, true]);
    }
}
