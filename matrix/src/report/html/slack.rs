//! What an extension adds to the init phase, by how long the runtime itself needs to initialize.

use super::axis::{Axis, RootAxis, spread};
use super::canvas::{WIDTH, canvas, cut_label, dot, figure, label, line, mark, polyline, vertical};
use super::color::CellColor;
use crate::markup::Element;
use crate::report::number::{self, Scale};
use crate::report::sections::{ConditionSection, Row};

const LEFT: f64 = 56.0;
const RIGHT: f64 = 400.0;
const TOP: f64 = 40.0;
const LEAST_HEIGHT: f64 = 300.0;
/// The longest runtime initialization on the axis in milliseconds: the range covers a compiled runtime to Node.js with a few modules.
const LONGEST: f64 = 120.0;

/// The median gates of one cell.
struct Gates<'a> {
    title: String,
    color: &'a CellColor,
    register: f64,
    ready: f64,
}

impl Gates<'_> {
    /// The shortest runtime initialization in milliseconds at which only the register gate counts.
    fn slack(&self) -> f64 {
        (self.ready - self.register).max(0.0)
    }

    /// What the extension adds to the init phase beside a runtime that initializes for `runtime` milliseconds, without the runtime's own time.
    fn added(&self, runtime: f64) -> f64 {
        self.register + runtime.max(self.slack()) - runtime
    }
}

/// The chart; `None` if no cell has both gates.
pub fn picture(section: &ConditionSection, colors: &[CellColor]) -> Option<Element> {
    let gate = |row: &Row, gate: &str| row.measure(gate).map(|it| it.p50).filter(|ms| ms.is_finite());
    let both = |(row, color)| {
        Some(Gates { title: Row::title(row), color, register: gate(row, "register")?, ready: gate(row, "ready")? })
    };
    let cells: Vec<Gates> = section.rows.iter().zip(colors).filter_map(both).collect();
    if cells.is_empty() {
        return None;
    }
    let right = WIDTH - RIGHT;
    let height = LEAST_HEIGHT.max(17.0 * number::float(cells.len()));
    let bottom = TOP + height;
    let x = RootAxis { high: LONGEST, from: LEFT, to: right };
    let y = Axis::around(cells.iter().map(|cell| cell.added(0.0)), true, bottom, TOP);
    let ends: Vec<f64> = cells.iter().map(|cell| y.at(cell.added(LONGEST))).collect();
    let places = spread(&ends, 16.0, TOP, bottom);
    let lines = cells.iter().zip(&places).map(|(cell, place)| draw(cell, &x, &y, *place));
    let drawing = canvas(bottom + 44.0, "What each cell adds to initialization, by the runtime's own length")
        .child(runtimes(&x, bottom))
        .child(vertical(&y, LEFT, right, "added to Init, ms"))
        .child(label("tick end", WIDTH - 8.0, TOP - 16.0, "added to a long runtime; where slack ends, ms"))
        .children(lines);
    let about = "Init = register + max(runtime, ready − register). Drawn is what that adds to the runtime's own time: it \
                 falls while the runtime hides the way from register to ready, and from the dot on only the register \
                 gate is left. A function whose runtime is right of both dots sees no saving at the ready gate.";
    Some(figure("Which functions notice", about, drawing))
}

/// Grid lines at round runtime durations, short ones included.
fn runtimes(x: &RootAxis, bottom: f64) -> Element {
    let title = "the runtime's own start, ms (short ones are given more room)";
    let at = |runtime: u32| {
        let place = x.at(f64::from(runtime));
        Element::new("g").child(line("grid", (place, TOP), (place, bottom))).child(label(
            "tick middle",
            place,
            bottom + 14.0,
            &runtime.to_string(),
        ))
    };
    Element::new("g").children([0, 1, 5, 10, 20, 30, 40, 60, 80, 100, 120].map(at)).child(label(
        "axis-title end",
        x.to,
        bottom + 32.0,
        title,
    ))
}

fn draw(cell: &Gates, x: &RootAxis, y: &Axis, place: f64) -> Element {
    let slack = cell.slack();
    let scale = Scale::for_table("ms");
    let ends = if slack > LONGEST {
        "slack beyond the edge".to_owned()
    } else {
        format!("slack ends at {}", scale.quantity(slack))
    };
    let tip = format!(
        "{}: adds {} to a runtime that needs no time, {} to a long one; {ends}",
        cell.title,
        scale.quantity(cell.added(0.0)),
        scale.quantity(cell.register)
    );
    let knee = slack.min(LONGEST);
    // The square-root axis bends straight lines.
    let bend = (0..=24u32).map(|step| knee * f64::from(step * step) / 576.0).chain([LONGEST]);
    let points: Vec<_> = bend.map(|runtime| (x.at(runtime), y.at(cell.added(runtime)))).collect();
    let end = y.at(cell.added(LONGEST));
    let short = if slack > LONGEST { format!("> {LONGEST}") } else { scale.number(slack) };
    mark(tip)
        .class(format!("mark series {}", cell.color.class))
        .with("data-series", &cell.color.series)
        .children(polyline("hit-line", &points))
        .children(polyline("series-line", &points))
        .children((slack <= LONGEST).then(|| dot("full", x.at(knee), y.at(cell.added(knee)), 4.0)))
        .child(line("leader", (x.to + 2.0, end), (x.to + 18.0, place)))
        .child(cut_label("name", x.to + 22.0, place, &cell.title, RIGHT - 180.0))
        .child(label("value end", WIDTH - 8.0, place, &format!("{} ms, slack {short}", scale.number(cell.register))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_runtime_leaves_only_the_register_gate() {
        let color = CellColor { class: String::new(), series: String::new() };
        let gates = Gates { title: String::new(), color: &color, register: 4.0, ready: 10.0 };
        let near = |one: f64, other: f64| (one - other).abs() < 1e-9;
        assert!(near(gates.added(0.0), 10.0) && near(gates.added(6.0), 4.0) && near(gates.added(100.0), 4.0));
        let odd = Gates { ready: 3.0, ..gates };
        assert!(near(odd.slack(), 0.0) && near(odd.added(0.0), 4.0));
    }
}
