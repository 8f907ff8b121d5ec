//! Heat maps of interactions: every pair of factors is a square.

use super::canvas::{WIDTH, canvas, cut, figure, label, mark, rect};
use crate::markup::Element;
use crate::report::number::{self, Scale};
use crate::report::sections::{ConditionSection, Finding, GATES, Kind};
use crate::report::words;

const LEFT: f64 = 200.0;
const TOP: f64 = 8.0;
/// Number of colours on each side of the neutral one.
const SHADES: f64 = 5.0;

/// One chart for each gate.
pub fn pictures(section: &ConditionSection, factors: &[String]) -> Vec<(String, Element)> {
    let picture = |gate: &str| Some((words::title(gate).to_owned(), picture(section, factors, gate)?));
    GATES.into_iter().rev().filter_map(picture).collect()
}

fn picture(section: &ConditionSection, factors: &[String], gate: &str) -> Option<Element> {
    let pairs: Vec<(&Finding, &str, &str)> = section
        .about(Kind::Interaction, gate)
        .filter_map(|finding| finding.subject.split_once('*').map(|(one, other)| (finding, one, other)))
        .collect();
    if pairs.is_empty() {
        return None;
    }
    let names = names(factors, &pairs);
    let side = ((WIDTH - LEFT - 150.0) / number::float(names.len())).clamp(16.0, 62.0);
    let height = side.min(34.0);
    let bottom = TOP + height * number::float(names.len());
    let most = pairs.iter().map(|(finding, ..)| finding.estimate.value.abs()).fold(0.0, f64::max);
    let mut drawing = canvas(bottom + 52.0, &format!("Interactions at the {}", words::title(gate)));
    for (index, name) in names.iter().enumerate() {
        let (x, y) = (LEFT + side * number::float(index), TOP + height * (number::float(index) + 0.5));
        let room = (WIDTH - x - 8.0).min(220.0);
        drawing = drawing.child(label("name end", LEFT - 12.0, y, &cut(name, LEFT - 20.0))).child(label(
            "name",
            x + 6.0,
            y,
            &cut(name, room),
        ));
    }
    for (finding, one, other) in pairs {
        let place = |factor: &str| names.iter().position(|name| *name == factor);
        let (Some(one), Some(other)) = (place(one), place(other)) else { continue };
        let corner = (LEFT + side * number::float(one.min(other)), TOP + height * number::float(one.max(other)));
        drawing = drawing.child(square(finding, corner, (side, height), most));
    }
    let drawing = drawing.child(legend(gate, most, bottom + 30.0));
    let about = "Go along a row to the column below another switch's name. Blue: together they save more than the two \
                 effects added; orange: less. A number means that the interaction was found; pale squares are within \
                 chance.";
    Some(figure(&format!("Interactions: {}", words::title(gate)), about, drawing))
}

/// Factor names in the plan's order, followed by names that the plan does not know.
fn names<'a>(factors: &'a [String], pairs: &[(&Finding<'a>, &'a str, &'a str)]) -> Vec<&'a str> {
    let occurs = |name: &str| pairs.iter().any(|(_, one, other)| *one == name || *other == name);
    let mut names: Vec<&str> = factors.iter().map(String::as_str).filter(|name| occurs(name)).collect();
    for name in pairs.iter().flat_map(|(_, one, other)| [*one, *other]) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn square(finding: &Finding, corner: (f64, f64), size: (f64, f64), most: f64) -> Element {
    let estimate = finding.estimate;
    let tip = format!(
        "{}: {} ({})",
        finding.subject.replace('*', " × "),
        finding.sentence,
        words::signed(finding.measure, estimate)
    );
    let shade = shade(estimate.value, most);
    let square = format!("square {shade}{}", if finding.is_found() { " found" } else { "" });
    let group = mark(tip).child(rect(&square, (corner.0 + 1.0, corner.1 + 1.0), (size.0 - 2.0, size.1 - 2.0)));
    let text = Scale::of(words::unit(finding.measure), most, most / 4.0).number(estimate.value);
    if finding.is_found() && super::canvas::width(&text) < size.0 {
        let class = format!("number on-{}", shade.rsplit('-').next().unwrap_or_default());
        return group.child(label(&class, corner.0 + size.0 / 2.0, corner.1 + size.1 / 2.0, &text));
    }
    group
}

/// The class of one of eleven colours, from faster to slower.
fn shade(value: f64, most: f64) -> String {
    let step = if most > 0.0 { (value.abs() / most * SHADES).ceil().min(SHADES) } else { 0.0 };
    match value {
        value if step < 1.0 || !value.is_finite() => "shade-0".to_owned(),
        value if value < 0.0 => format!("good-{step:.0}"),
        _ => format!("bad-{step:.0}"),
    }
}

fn legend(gate: &str, most: f64, y: f64) -> Element {
    let scale = Scale::of(words::unit(gate), most, most);
    let classes =
        ["good-5", "good-4", "good-3", "good-2", "good-1", "shade-0", "bad-1", "bad-2", "bad-3", "bad-4", "bad-5"];
    let boxes = classes.iter().enumerate().map(|(index, class)| {
        let x = LEFT + 70.0 + 22.0 * number::float(index);
        rect(&format!("square found {class}"), (x, y - 6.0), (21.0, 12.0))
    });
    Element::new("g").children(boxes).child(label("tick end", LEFT + 62.0, y, &scale.quantity(-most))).child(label(
        "tick",
        LEFT + 320.0,
        y,
        &format!("+{}", scale.quantity(most)),
    ))
}
