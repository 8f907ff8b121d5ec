//! The colour and dash style of each cell, the same in every chart.

use crate::report::sections::{ConditionSection, Role};

/// The line and marker style of one cell, as classes of the style sheet.
#[derive(Clone, Debug)]
pub struct CellColor {
    pub class: String,
    /// The class that connects all elements of the cell across charts.
    pub series: String,
}

/// Number of colours in the style sheet; all of them can be told apart with colour blindness.
const COLOURS: usize = 7;

/// The styles of the rows of a section. If there are more cells than colours, dashes tell them apart.
pub fn colors(section: &ConditionSection) -> Vec<CellColor> {
    let mut next = 0;
    let color = |(index, role): (usize, Role)| {
        let class = match role {
            Role::Floor => "ink-floor".to_owned(),
            Role::Reference => "ink-reference".to_owned(),
            Role::Build | Role::StdFloor | Role::External | Role::Again { .. } => {
                next += 1;
                format!("ink-{} dash-{}", (next - 1) % COLOURS, (next - 1) / COLOURS % 5)
            }
        };
        CellColor { class, series: index.to_string() }
    };
    section.rows.iter().map(|row| row.role).enumerate().map(color).collect()
}
