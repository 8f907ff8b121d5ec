//! The colour and the dashes of each cell, the same in every picture.

use crate::report::report::{ConditionSection, Role};

/// How the lines and dots of one cell look; classes of the style sheet.
#[derive(Clone, Debug)]
pub struct CellColor {
    pub class: String,
    /// Ties what belongs to the cell together, across pictures.
    pub series: String,
}

/// Colours of the style sheet that can be told apart by everybody.
const COLOURS: usize = 7;

/// One for each row of the chapter. Where there are more cells than colours, dashes tell them apart.
pub fn inks(section: &ConditionSection) -> Vec<CellColor> {
    let mut next = 0;
    let ink = |(index, role): (usize, Role)| {
        let class = match role {
            Role::Floor => "ink-floor".to_owned(),
            Role::Reference => "ink-reference".to_owned(),
            Role::Build | Role::External | Role::Again { .. } => {
                next += 1;
                format!("ink-{} dash-{}", (next - 1) % COLOURS, (next - 1) / COLOURS % 5)
            }
        };
        CellColor { class, series: index.to_string() }
    };
    section.rows.iter().map(|row| row.role).enumerate().map(ink).collect()
}
