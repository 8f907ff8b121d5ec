//! Both gates of every cell on one line: register and ready.

use super::axis::Axis;
use super::canvas::{self, WIDTH, canvas, cut_label, dot, figure, label, line, mark};
use super::color::CellColor;
use crate::analyze::Summary;
use crate::markup::Element;
use crate::report::number::{self, Scale};
use crate::report::sections::{ConditionSection, GATES, Row};

const LEFT: f64 = 270.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 44.0;

/// The chart; `None` if no gate was measured.
pub fn picture(section: &ConditionSection, colors: &[CellColor]) -> Option<Element> {
    let mut rows: Vec<(&Row, &CellColor)> =
        section.rows.iter().zip(colors).filter(|(row, _)| key(row).is_finite()).collect();
    if rows.is_empty() {
        return None;
    }
    rows.sort_by(|one, other| key(one.0).total_cmp(&key(other.0)));
    let step = if rows.len() > 20 { 19.0 } else { 26.0 };
    let bottom = TOP + step * number::float(rows.len());
    let ends = rows.iter().flat_map(|(row, _)| GATES.map(|gate| row.measure(gate).map_or(f64::NAN, |it| it.p90)));
    let axis = Axis::around(ends, true, LEFT, WIDTH - RIGHT);
    let mut drawing = canvas(bottom + 44.0, "Both gates of every cell, the fastest first")
        .child(canvas::horizontal(&axis, TOP, bottom, "ms since exec"))
        .child(legend());
    if let Some(floor) = section.floor().and_then(|floor| floor.measure("ready")) {
        let x = axis.at(floor.p50);
        drawing = drawing.child(line("yardstick", (x, TOP - 6.0), (x, bottom)));
    }
    for (index, (row, color)) in rows.iter().enumerate() {
        drawing = drawing.child(one(row, color, &axis, TOP + step * (number::float(index) + 0.5)));
    }
    let about = "The hollow dot is the register gate, which every function pays. The bar from there to the full dot, the \
                 ready gate, runs beside the runtime's own start. Thin lines are what 80 of 100 starts lie between; \
                 the dotted line is where the floor is ready.";
    Some(figure("The two gates", about, drawing))
}

fn one(row: &Row, color: &CellColor, axis: &Axis, y: f64) -> Element {
    let (register, ready) = (row.measure("register"), row.measure("ready"));
    let scale = Scale::for_table("ms");
    let write = |gate: Option<&Summary>| gate.map_or_else(|| number::NOTHING.to_owned(), |it| scale.number(it.p50));
    let tip = format!("{}: registers at {} ms, ready at {} ms", row.name(), write(register), write(ready));
    let mut group = mark(tip).class(format!("mark series {}", color.class)).with("data-series", &color.series);
    group = group.child(cut_label("name end", LEFT - 14.0, y, &row.title(), LEFT - 24.0));
    for (gate, offset) in [(register, -3.0), (ready, 3.0)] {
        if let Some(gate) = gate {
            group = group.child(line("whisker", (axis.at(gate.p10), y + offset), (axis.at(gate.p90), y + offset)));
        }
    }
    if let (Some(register), Some(ready)) = (register, ready) {
        group = group.child(line("slack", (axis.at(register.p50), y), (axis.at(ready.p50), y)));
    }
    let dots = [("hollow", register), ("full", ready)];
    group = group.children(dots.iter().filter_map(|(class, gate)| Some(dot(class, axis.at((*gate)?.p50), y, 4.5))));
    let numbers = format!("{} → {} ms", write(register), write(ready));
    group.child(label("value end", WIDTH - 8.0, y, &numbers))
}

fn legend() -> Element {
    let y = 14.0;
    Element::new("g")
        .class("series ink-reference")
        .child(dot("hollow", LEFT + 6.0, y, 4.5))
        .child(label("tick", LEFT + 18.0, y, "registered"))
        .child(dot("full", LEFT + 106.0, y, 4.5))
        .child(label("tick", LEFT + 118.0, y, "ready"))
        .child(line("yardstick", (LEFT + 172.0, y - 6.0), (LEFT + 172.0, y + 6.0)))
        .child(label("tick", LEFT + 182.0, y, "the floor is ready"))
        .child(label("tick end", WIDTH - 8.0, y, "medians: registered → ready"))
}

fn key(row: &Row) -> f64 {
    row.measure("ready").or_else(|| row.measure("register")).map_or(f64::NAN, |summary| summary.p50)
}
