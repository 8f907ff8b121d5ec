//! The drawing of the timeline: the whole run, and each phase of it enlarged.

use super::milliseconds;
use super::scale::Scale;
use crate::invoke::timeline::{Bar, Kind, Lane, Mark, Timeline};
use crate::markup::{Element, tabs};

const WIDTH: f64 = 1240.0;
/// Room for the names of lanes.
const NAMES: f64 = 210.0;
const LANE: f64 = 30.0;
const BAR: f64 = 18.0;
const TOP: f64 = 30.0;
/// Maximum number of phases that are shown enlarged.
const MAX_PHASES: usize = 24;
/// An enlarged phase is shown with so much of its length before and after it.
const MARGIN: f64 = 0.04;

pub fn drawing(timeline: &Timeline) -> Element {
    let whole = ("Whole run".to_owned(), (0.0, timeline.ends_ms));
    let sandbox = timeline.lanes.first().map(|lane| lane.bars.as_slice()).unwrap_or_default();
    let phases = sandbox.iter().filter(|bar| bar.kind != Kind::Frozen && bar.to_ms > bar.from_ms).take(MAX_PHASES);
    let enlarged = phases.map(|bar| {
        let margin = (bar.to_ms - bar.from_ms) * MARGIN;
        (capitalised(&bar.name), ((bar.from_ms - margin).max(0.0), (bar.to_ms + margin).min(timeline.ends_ms)))
    });
    tabs(
        "Phase",
        [whole].into_iter().chain(enlarged).map(|(name, window)| {
            let drawing = svg(timeline, window, &name);
            (name, drawing)
        }),
    )
}

fn svg(timeline: &Timeline, window: (f64, f64), name: &str) -> Element {
    let lanes = u32::try_from(timeline.lanes.len()).unwrap_or(u32::MAX);
    let bottom = TOP + f64::from(lanes) * LANE;
    let scale = Scale { from_ms: window.0, to_ms: window.1, left: NAMES, right: WIDTH - 30.0 };
    let ticks = scale.ticks().into_iter().map(|(ms, text)| {
        let x = scale.at(ms);
        Element::new("g")
            .child(Element::new("line").class("grid").at("x1", x).at("x2", x).at("y1", TOP - 6.0).at("y2", bottom))
            .child(Element::new("text").class("tick middle").at("x", x).at("y", 14.0).text(text))
    });
    let rows = timeline.lanes.iter().zip(0_u32..).map(|(lane, row)| {
        let top = TOP + f64::from(row) * LANE;
        self::lane(lane, scale, top)
    });
    let svg = Element::new("svg")
        .with("viewBox", format!("0 0 {WIDTH} {bottom}"))
        .with("role", "group")
        .with("aria-label", format!("Timeline: {name}"))
        .children(ticks)
        .children(rows);
    Element::new("div").class("drawing").child(svg)
}

fn lane(lane: &Lane, scale: Scale, top: f64) -> Element {
    let middle = top + LANE / 2.0;
    let name =
        Element::new("text").class("lane-name").at("x", 0.0).at("y", middle).with("dy", "0.35em").text(cut(&lane.name));
    let bars = lane.bars.iter().filter_map(|bar| self::bar(bar, scale, middle));
    let is_inside = |mark: &&Mark| (scale.from_ms..=scale.to_ms).contains(&mark.at_ms);
    let marks = lane.marks.iter().filter(is_inside).map(|mark| {
        let x = scale.at(mark.at_ms);
        let shape = format!("M{:.1} {:.1}l5 5l-5 5l-5 -5z", x, middle - 5.0);
        focusable("moment", format!("{}: {} at {}", lane.name, mark.name, milliseconds(mark.at_ms)))
            .child(Element::new("path").with("d", shape))
    });
    Element::new("g").class("row").child(name).children(bars).children(marks)
}

fn bar(bar: &Bar, scale: Scale, middle: f64) -> Option<Element> {
    let (left, width) = scale.span(bar.from_ms, bar.to_ms)?;
    let lasted = milliseconds(bar.to_ms - bar.from_ms);
    let about = format!("{}: {lasted}, from {} to {}", bar.name, milliseconds(bar.from_ms), milliseconds(bar.to_ms));
    let shape = Element::new("rect").at("x", left).at("y", middle - BAR / 2.0).at("width", width).at("height", BAR);
    Some(focusable(kind(bar.kind), about).child(shape.with("rx", 2)))
}

/// Something to point at, and to reach with the arrow keys once the first of the drawing has the focus.
fn focusable(class: &str, about: String) -> Element {
    let mark = Element::new("g").class(format!("mark bar {class}")).with("tabindex", -1).with("role", "img");
    mark.with("aria-label", &about).with("data-tip", about)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Init => "init",
        Kind::Invocation => "invocation",
        Kind::Busy => "busy",
        Kind::Frozen => "frozen",
        Kind::Flush => "flush",
        Kind::Request => "request",
        Kind::Rejected => "rejected",
        Kind::Shutdown => "shutdown",
    }
}

/// As much of a name as there is room for.
fn cut(name: &str) -> String {
    const LETTERS: usize = 28;
    if name.chars().count() <= LETTERS {
        name.to_owned()
    } else {
        name.chars().take(LETTERS - 1).chain(['…']).collect()
    }
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
