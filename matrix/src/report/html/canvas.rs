//! Elements that the charts share: canvas, axes, labels, and marks with tooltips.

use super::axis::{Axis, Tick};
use crate::markup::Element;

/// Width of every chart in pixels.
pub const WIDTH: f64 = 1040.0;
/// Width of an average label character in pixels, rounded up.
const CHARACTER: f64 = 6.9;

/// A chart of this height, with a description for screen readers.
pub fn canvas(height: f64, about: &str) -> Element {
    Element::new("svg")
        .with("viewBox", format!("0 0 {WIDTH} {height}"))
        .at("width", WIDTH)
        .at("height", height)
        .with("role", "img")
        .with("aria-label", about)
}

/// A chart with a heading above and a caption below.
pub fn figure(title: &str, about: &str, drawing: Element) -> Element {
    let heading = Element::new("h4").text(title);
    let caption = Element::new("figcaption").child(heading).child(Element::new("p").text(about));
    Element::new("figure").child(caption).child(Element::new("div").class("drawing").child(drawing))
}

/// A group of marks with a tooltip.
pub fn mark(tip: impl Into<String>) -> Element {
    Element::new("g").class("mark").child(Element::new("title").text(tip))
}

pub fn line(class: &str, from: (f64, f64), to: (f64, f64)) -> Element {
    Element::new("line").class(class).at("x1", from.0).at("y1", from.1).at("x2", to.0).at("y2", to.1)
}

pub fn dot(class: &str, x: f64, y: f64, radius: f64) -> Element {
    Element::new("circle").class(class).at("cx", x).at("cy", y).at("r", radius)
}

pub fn rect(class: &str, corner: (f64, f64), size: (f64, f64)) -> Element {
    let element = Element::new("rect").class(class).at("x", corner.0).at("y", corner.1);
    element.at("width", size.0.max(0.0)).at("height", size.1.max(0.0))
}

/// A label that is vertically centred at `y`.
pub fn label(class: &str, x: f64, y: f64, text: &str) -> Element {
    Element::new("text").class(class).at("x", x).at("y", y).with("dy", "0.35em").text(text)
}

/// A label that is truncated to `room` pixels; the tooltip shows the whole text.
pub fn cut_label(class: &str, x: f64, y: f64, text: &str, room: f64) -> Element {
    let short = cut(text, room);
    let element = label(class, x, y, &short);
    if short == text { element } else { mark(text).child(element) }
}

/// Truncates a text to as many characters as fit in `room` pixels.
pub fn cut(text: &str, room: f64) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    for character in text.chars() {
        if width(&short) + 2.0 * CHARACTER > room {
            break;
        }
        short.push(character);
    }
    short.push('…');
    short
}

/// The approximate width of a label in pixels.
pub fn width(text: &str) -> f64 {
    crate::report::number::float(text.chars().count()) * CHARACTER
}

/// A line through these points; `None` for fewer than two.
pub fn polyline(class: &str, points: &[(f64, f64)]) -> Option<Element> {
    let (first, rest) = points.split_first()?;
    if rest.is_empty() {
        return None;
    }
    let mut path = format!("M{:.1} {:.1}", first.0, first.1);
    for (x, y) in rest {
        path.push_str(&format!("L{x:.1} {y:.1}"));
    }
    Some(Element::new("path").class(class).with("d", path))
}

/// Grid lines between the heights `top` and `bottom`, with their values below, for a horizontal axis.
pub fn horizontal(axis: &Axis, top: f64, bottom: f64, title: &str) -> Element {
    let tick = |Tick { value, text }: Tick| {
        let x = axis.at(value);
        Element::new("g").child(line("grid", (x, top), (x, bottom))).child(label(
            "tick middle",
            x,
            bottom + 14.0,
            &text,
        ))
    };
    Element::new("g").children(axis.ticks(72.0).into_iter().map(tick)).child(label(
        "axis-title end",
        axis.to,
        bottom + 32.0,
        title,
    ))
}

/// Grid lines between `left` and `right`, with their values to the left, for a vertical axis.
pub fn vertical(axis: &Axis, left: f64, right: f64, title: &str) -> Element {
    let tick = |Tick { value, text }: Tick| {
        let y = axis.at(value);
        Element::new("g").child(line("grid", (left, y), (right, y))).child(label("tick end", left - 8.0, y, &text))
    };
    let ticks = axis.ticks(40.0).into_iter().map(tick);
    Element::new("g").children(ticks).child(label("axis-title", left, axis.to.min(axis.from) - 16.0, title))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_label_is_cut_and_kept_whole_beside() {
        let long = "ship-without-register-overlap-and-more";
        let short = cut(long, 100.0);
        assert!(short.ends_with('…') && width(&short) <= 100.0, "{short}");
        assert_eq!(cut("ship", 100.0), "ship");
        let mut out = String::new();
        cut_label("name", 0.0, 0.0, long, 100.0).write(&mut out);
        assert!(out.contains(long), "{out}");
    }
}
