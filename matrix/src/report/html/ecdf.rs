//! Empirical distribution functions: the share of starts of each cell that had passed a gate by a given time.

use super::axis::Axis;
use super::canvas::{WIDTH, canvas, cut_label, figure, horizontal, label, line, mark, polyline};
use super::color::CellColor;
use crate::markup::Element;
use crate::report::number::{self, Scale};
use crate::report::sections::{ConditionSection, Row};
use crate::report::words;

const LEFT: f64 = 56.0;
const RIGHT: f64 = 370.0;
const TOP: f64 = 34.0;
const LEAST_HEIGHT: f64 = 280.0;
/// Maximum number of steps of a line; more cannot be seen.
const STEPS: usize = 160;

/// One chart for each gate.
pub fn pictures(section: &ConditionSection, colors: &[CellColor]) -> Vec<(String, Element)> {
    let picture = |gate: &str| Some((words::title(gate).to_owned(), picture(section, colors, gate)?));
    ["ready", "register"].into_iter().filter_map(picture).collect()
}

fn picture(section: &ConditionSection, colors: &[CellColor], gate: &str) -> Option<Element> {
    let values = |row: &Row| row.measure(gate).map(|summary| finite(&summary.values)).filter(|it| !it.is_empty());
    let mut series: Vec<Series> = section
        .rows
        .iter()
        .zip(colors)
        .filter_map(|(row, color)| Some(Series { title: row.title(), color, values: values(row)? }))
        .collect();
    if series.is_empty() {
        return None;
    }
    series.sort_by(|one, other| one.median().total_cmp(&other.median()));
    let right = WIDTH - RIGHT;
    let height = LEAST_HEIGHT.max(18.0 * number::float(series.len()));
    let bottom = TOP + height;
    // The axis ends at the largest 98th percentile: one start in a hundred may be so late that the rest would be a single vertical line.
    let most = series.iter().map(|series| series.until(0.98)).fold(0.0, f64::max);
    let x = Axis::around([most].into_iter(), true, LEFT, right);
    let y = Axis { low: 0.0, high: 1.0, from: bottom, to: TOP };
    let mut drawing = canvas(bottom + 44.0, &format!("Share of starts by time, {}", words::title(gate)))
        .child(horizontal(&x, TOP, bottom, "ms since exec"))
        .child(shares(&y, right));
    for (index, series) in series.iter().enumerate() {
        let place = TOP + 8.0 + 18.0 * number::float(index);
        drawing = drawing.child(series.draw(&x, &y, place));
    }
    let about = "How many of all starts had passed the gate by then. Further left is faster; steeper is steadier. The \
                 list on the right is in the order of the medians; point at a name to find its line.";
    Some(figure(&format!("Every start: {}", words::title(gate)), about, drawing))
}

/// The values of one cell.
struct Series<'a> {
    title: String,
    color: &'a CellColor,
    /// The values in ascending order, at least one.
    values: Vec<f64>,
}

impl Series<'_> {
    fn median(&self) -> f64 {
        self.until(0.5)
    }

    /// The quantile: the time by which this share of starts had passed the gate.
    fn until(&self, share: f64) -> f64 {
        let last = number::float(self.values.len() - 1);
        let wanted = (last * share).round();
        let at = self.values.iter().enumerate().find(|(index, _)| number::float(*index) >= wanted);
        at.or(self.values.iter().enumerate().next_back()).map_or(f64::NAN, |(_, value)| *value)
    }

    fn draw(&self, x: &Axis, y: &Axis, place: f64) -> Element {
        let scale = Scale::for_table("ms");
        let tip = format!("{}: half of the starts by {}", self.title, scale.quantity(self.median()));
        let right = WIDTH - RIGHT;
        mark(tip)
            .class(format!("mark series {}", self.color.class))
            .with("data-series", &self.color.series)
            .children(polyline("hit-line", &self.steps(x, y)))
            .children(polyline("series-line", &self.steps(x, y)))
            .child(line("series-line", (right + 18.0, place), (right + 42.0, place)))
            .child(cut_label("name", right + 50.0, place, &self.title, RIGHT - 130.0))
            .child(label("value end", WIDTH - 8.0, place, &scale.quantity(self.median())))
    }

    fn steps(&self, x: &Axis, y: &Axis) -> Vec<(f64, f64)> {
        let every = self.values.len().div_ceil(STEPS).max(1);
        let all = number::float(self.values.len());
        let mut points = Vec::new();
        let mut height = 0.0;
        for (index, value) in self.values.iter().enumerate() {
            if index % every != 0 && index + 1 != self.values.len() {
                continue;
            }
            if *value > x.high {
                break;
            }
            points.push((x.at(*value), y.at(height)));
            height = number::float(index + 1) / all;
            points.push((x.at(*value), y.at(height)));
        }
        points
    }
}

fn shares(axis: &Axis, right: f64) -> Element {
    let shares = [(0.0, "none"), (0.25, "¼"), (0.5, "half"), (0.75, "¾"), (1.0, "all")];
    Element::new("g")
        .children(shares.map(|(share, text)| {
            let y = axis.at(share);
            Element::new("g").child(line("grid", (LEFT, y), (right, y))).child(label("tick end", LEFT - 8.0, y, text))
        }))
        .child(label("axis-title", LEFT, TOP - 18.0, "share of starts that have passed the gate"))
}

fn finite(values: &[f64]) -> Vec<f64> {
    let mut values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values
}
