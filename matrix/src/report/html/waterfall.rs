//! Waterfall charts of the extension's own checkpoints, one cell below the other.

use super::axis::Axis;
use super::canvas::{self, WIDTH, canvas, cut_label, figure, horizontal, label, line, mark, rect};
use crate::markup::Element;
use crate::report::number::{self, Scale};
use crate::report::sections::{ConditionSection, Row};

const LEFT: f64 = 270.0;
const RIGHT: f64 = 90.0;
/// Number of fills in the style sheet.
const FILLS: usize = 8;

/// The chart; `None` if no cell has checkpoints.
pub fn picture(section: &ConditionSection) -> Option<Element> {
    let rows: Vec<&Row> = section.rows.iter().filter(|row| !row.summary.phases.is_empty()).collect();
    if rows.is_empty() {
        return None;
    }
    let names = names(&rows);
    let (legend, top) = legend(&names);
    let step = if rows.len() > 20 { 22.0 } else { 30.0 };
    let bottom = top + step * number::float(rows.len());
    let ends = rows.iter().flat_map(|row| row.summary.phases.iter().map(|phase| phase.at_ms));
    let gates = rows.iter().filter_map(|row| row.measure("ready").map(|gate| gate.p50));
    let axis = Axis::around(ends.chain(gates), true, LEFT, WIDTH - RIGHT);
    let mut drawing = canvas(bottom + 44.0, "Checkpoints of every cell").child(legend).child(horizontal(
        &axis,
        top,
        bottom,
        "ms since exec",
    ));
    for (index, row) in rows.iter().enumerate() {
        drawing = drawing.child(one(row, &names, &axis, top + step * (number::float(index) + 0.5), step - 9.0));
    }
    let about = "Each piece ends at a checkpoint of the extension itself and is named after it. The marks above and below are the \
                 medians of both gates, as the sandbox sees them from outside. Cells without checkpoints are left out.";
    Some(figure("Where the time goes", about, drawing))
}

fn one(row: &Row, names: &[&str], axis: &Axis, y: f64, height: f64) -> Element {
    let mut phases: Vec<_> = row.summary.phases.iter().filter(|phase| phase.at_ms.is_finite()).collect();
    phases.sort_by(|one, other| one.at_ms.total_cmp(&other.at_ms));
    let scale = Scale::for_table("ms");
    let mut group = Element::new("g").child(cut_label("name end", LEFT - 14.0, y, &row.title(), LEFT - 24.0));
    let mut before = 0.0;
    for phase in phases {
        let (from, to) = (axis.at(before), axis.at(phase.at_ms));
        let fill = names.iter().position(|name| *name == phase.name).unwrap_or_default() % FILLS;
        let tip = format!(
            "{}: {} takes {}, from {} to {}",
            row.name(),
            phase.name,
            scale.quantity(phase.at_ms - before),
            scale.number(before),
            scale.quantity(phase.at_ms)
        );
        let mut piece =
            mark(tip).child(rect(&format!("piece fill-{fill}"), (from, y - height / 2.0), (to - from - 0.8, height)));
        if canvas::width(&phase.name) + 8.0 < to - from {
            piece = piece.child(label("inside", from + 6.0, y, &phase.name));
        }
        group = group.child(piece);
        before = phase.at_ms;
    }
    for gate in ["register", "ready"] {
        if let Some(summary) = row.measure(gate) {
            let x = axis.at(summary.p50);
            let tip = format!("{}: {gate} gate at {}", row.name(), scale.quantity(summary.p50));
            // The mark is above and below the bar, not across it, because a name may be there.
            let end = |way: f64| line("gate", (x, y + way * (height / 2.0 - 1.0)), (x, y + way * (height / 2.0 + 4.0)));
            group = group.child(mark(tip).child(end(-1.0)).child(end(1.0)));
        }
    }
    group.child(label("value end", WIDTH - 8.0, y, &scale.quantity(before)))
}

/// Checkpoint names in the order of the cell that has the most, followed by names of other cells.
fn names<'a>(rows: &[&Row<'a>]) -> Vec<&'a str> {
    let mut rows: Vec<_> = rows.to_vec();
    rows.sort_by_key(|row| std::cmp::Reverse(row.summary.phases.len()));
    let mut names: Vec<&str> = Vec::new();
    for phase in rows.iter().flat_map(|row| &row.summary.phases) {
        if !names.contains(&phase.name.as_str()) {
            names.push(&phase.name);
        }
    }
    names
}

/// The legend, and the height at which the chart below it may begin.
fn legend(names: &[&str]) -> (Element, f64) {
    let (mut x, mut y) = (LEFT, 12.0);
    let mut legend = Element::new("g");
    for (index, name) in names.iter().enumerate() {
        let room = canvas::width(name) + 34.0;
        if x + room > WIDTH && x > LEFT {
            (x, y) = (LEFT, y + 20.0);
        }
        legend = legend.child(rect(&format!("piece fill-{}", index % FILLS), (x, y - 6.0), (12.0, 12.0))).child(label(
            "tick",
            x + 17.0,
            y,
            name,
        ));
        x += room;
    }
    (legend, y + 24.0)
}
