//! A trace as a flame graph, with what is known of each span beside it.

use std::collections::BTreeMap;

use super::scale::Scale;
use super::{count, milliseconds};
use crate::invoke::log::Log;
use crate::invoke::security::SecurityEvent;
use crate::invoke::traces::{Trace, TraceSpan};
use crate::markup::{Element, table};

const WIDTH: f64 = 860.0;
const ROW: f64 = 24.0;
const TOP: f64 = 26.0;
/// Width of an average letter of a label in pixels, rounded up.
const LETTER: f64 = 6.6;
/// Maximum number of spans that are drawn; the table of a run that has more is in its JSON document.
const MAX_SPANS: usize = 2000;
/// Number of colours for services.
const INKS: usize = 7;

/// The number of the colour of each service.
pub type Inks<'t> = BTreeMap<&'t str, usize>;

/// The section of one trace.
pub fn section(number: usize, trace: &Trace, colors: &Inks<'_>) -> Element {
    let root = trace.spans.first();
    let name = root.map_or_else(String::new, |span| format!("{} {}", span.service, span.name));
    let title = format!("Trace {}: {name}", number + 1);
    let drawn = trace.spans.get(..MAX_SPANS).unwrap_or(&trace.spans);
    Element::new("section")
        .class("trace")
        .child(Element::new("h2").text(title))
        .child(Element::new("p").text(about(trace)))
        .child(
            Element::new("div")
                .class("flame")
                .child(
                    Element::new("div")
                        .class("drawing")
                        .child(drawing(number, drawn, colors))
                        .child(legend(drawn, colors)),
                )
                .child(details(number, drawn)),
        )
}

fn about(trace: &Trace) -> String {
    let starts = match (&trace.request_id, trace.starts_ms) {
        (Some(request_id), Some(starts)) => {
            let side = if starts < 0.0 { "before" } else { "after" };
            format!(" It starts {} {side} the event of {request_id}.", milliseconds(starts.abs()))
        }
        _ => String::new(),
    };
    let rest = trace.spans.len().saturating_sub(MAX_SPANS);
    let rest = if rest > 0 { format!(" {} are not drawn.", count(rest, "span")) } else { String::new() };
    format!(
        "Id {}, {}.{starts}{rest} Arrow keys go from span to span.",
        trace.trace_id,
        count(trace.spans.len(), "span")
    )
}

fn drawing(number: usize, spans: &[TraceSpan], colors: &Inks<'_>) -> Element {
    let rows = rows(spans);
    let ends = spans.iter().map(|span| span.starts_ms + span.duration_ms).fold(0.0, f64::max);
    let scale = Scale { from_ms: 0.0, to_ms: ends, left: 0.0, right: WIDTH };
    let depth = u32::try_from(rows.iter().max().map_or(0, |row| row + 1)).unwrap_or(u32::MAX);
    let bottom = TOP + f64::from(depth) * ROW;
    let ticks = scale.ticks().into_iter().map(|(ms, text)| {
        let x = scale.at(ms);
        let anchor = if x < 1.0 { "tick" } else { "tick middle" };
        Element::new("g")
            .child(Element::new("line").class("grid").at("x1", x).at("x2", x).at("y1", TOP - 6.0).at("y2", bottom))
            .child(Element::new("text").class(anchor).at("x", x).at("y", 12.0).text(text))
    });
    let bars = spans.iter().zip(&rows).enumerate().filter_map(|(index, (span, row))| {
        let color = colors.get(span.service.as_str()).copied().unwrap_or_default();
        bar(span, &id(number, index), (*row, color), scale)
    });
    Element::new("svg")
        .with("viewBox", format!("0 0 {WIDTH} {bottom}"))
        .with("role", "group")
        .with("aria-label", "Flame graph")
        .children(ticks)
        .children(bars)
}

fn bar(span: &TraceSpan, id: &str, (row, color): (usize, usize), scale: Scale) -> Option<Element> {
    let (left, width) = scale.span(span.starts_ms, span.starts_ms + span.duration_ms)?;
    let top = TOP + f64::from(u32::try_from(row).unwrap_or(u32::MAX)) * ROW;
    let failed = if span.error { " failed" } else { "" };
    let attacked = if span.security_events.is_empty() { "" } else { ", attacked" };
    let about = format!("{} {}: {}{failed}{attacked}", span.service, span.name, milliseconds(span.duration_ms));
    let shape = Element::new("rect").at("x", left).at("y", top).at("width", width).at("height", ROW - 3.0);
    let mark = Element::new("g").class(format!("mark bar span fill-{color}{failed}")).with("tabindex", -1);
    let mark = mark.with("role", "button").with("aria-label", &about).with("data-tip", about).with("data-about", id);
    let text = if span.error { format!("! {}", span.name) } else { span.name.clone() };
    Some(mark.child(shape.with("rx", 2)).children(label(&text, width).map(|text| {
        let place = Element::new("text").class("inside").at("x", left + 5.0).at("y", top + (ROW - 3.0) / 2.0);
        place.with("dy", "0.35em").text(text)
    })))
}

/// As much of a label as fits; none if that is next to nothing.
fn label(text: &str, width: f64) -> Option<String> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "widths are at most that of the drawing"
    )]
    let letters = ((width - 10.0).max(0.0) / LETTER) as usize;
    if letters < 3 {
        return None;
    }
    let is_whole = text.chars().count() <= letters;
    Some(if is_whole { text.to_owned() } else { text.chars().take(letters - 1).chain(['…']).collect() })
}

/// The row of each span: below its parent's, and where no other span is at the same time.
fn rows(spans: &[TraceSpan]) -> Vec<usize> {
    let mut taken: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut rows = Vec::with_capacity(spans.len());
    // The rows of the spans above the present one.
    let mut above: Vec<usize> = Vec::new();
    for span in spans {
        above.truncate(span.depth);
        let (from, to) = (span.starts_ms, span.starts_ms + span.duration_ms);
        let mut row = above.last().map_or(0, |parent| parent + 1);
        while taken.get(row).is_some_and(|row| row.iter().any(|(begin, end)| from < *end && *begin < to)) {
            row += 1;
        }
        taken.resize_with(taken.len().max(row + 1), Vec::new);
        taken.get_mut(row).into_iter().for_each(|row| row.push((from, to)));
        above.push(row);
        rows.push(row);
    }
    rows
}

/// A colour for each service of a run, in the order of their first spans.
pub fn colors(traces: &[Trace]) -> Inks<'_> {
    let mut colors = BTreeMap::new();
    for span in traces.iter().flat_map(|trace| &trace.spans) {
        let next = colors.len() % INKS;
        colors.entry(span.service.as_str()).or_insert(next);
    }
    colors
}

/// The colours of the services that a drawing has.
fn legend(spans: &[TraceSpan], colors: &Inks<'_>) -> Element {
    let is_drawn = |service: &str| spans.iter().any(|span| span.service == service);
    let entries = colors.iter().filter(|(service, _)| is_drawn(service)).map(|(service, color)| {
        let swatch = Element::new("svg").class("swatch").with("viewBox", "0 0 12 12").with("aria-hidden", "true");
        let shape = Element::new("rect").class(format!("fill-{color}")).at("width", 12.0).at("height", 12.0);
        Element::new("li").child(swatch.child(shape)).child(Element::new("span").text(*service))
    });
    Element::new("ul").class("legend").children(entries)
}

fn id(trace: usize, span: usize) -> String {
    format!("span-{trace}-{span}")
}

/// What is known of each span. Without scripts, all of it is shown.
fn details(number: usize, spans: &[TraceSpan]) -> Element {
    let all = spans.iter().enumerate().map(|(index, span)| {
        let facts = [
            ("service", span.service.clone()),
            ("resource", span.resource.clone()),
            ("type", span.kind.clone()),
            ("starts", milliseconds(span.starts_ms)),
            ("took", milliseconds(span.duration_ms)),
            ("error", span.error_message.clone().unwrap_or_else(|| if span.error { "yes" } else { "" }.to_owned())),
        ];
        let facts = facts.into_iter().filter(|(_, value)| !value.is_empty());
        let pairs = facts.flat_map(|(name, value)| [Element::new("dt").text(name), Element::new("dd").text(value)]);
        Element::new("article")
            .with("id", id(number, index))
            .child(Element::new("h3").text(&span.name))
            .child(Element::new("dl").children(pairs))
            .children(security_events(&span.security_events))
            .children(logs(&span.logs))
            .children(tags(span))
    });
    Element::new("aside").with("aria-live", "polite").with("aria-label", "The selected span").children(all)
}

fn logs(logs: &[Log]) -> Option<Element> {
    let line = |log: &Log| Element::new("li").class(format!("log {}", log.status)).text(&log.message);
    (!logs.is_empty()).then(|| {
        let list = Element::new("ul").class("lines").children(logs.iter().map(line));
        Element::new("div").child(Element::new("h4").text("Logs")).child(list)
    })
}

fn security_events(events: &[SecurityEvent]) -> Option<Element> {
    let line = |event: &SecurityEvent| {
        Element::new("li").class("log error").text(format!("{}: {}", event.kind, event.describe()))
    };
    (!events.is_empty()).then(|| {
        let list = Element::new("ul").class("lines").children(events.iter().map(line));
        Element::new("div").child(Element::new("h4").text("Security events")).child(list)
    })
}

fn tags(span: &TraceSpan) -> Option<Element> {
    let texts = span.tags.iter().map(|(name, value)| vec![name.clone(), value.clone()]);
    let numbers = span.metrics.iter().map(|(name, value)| vec![name.clone(), value.to_string()]);
    let rows: Vec<Vec<String>> = texts.chain(numbers).collect();
    (!rows.is_empty()).then(|| {
        let summary = Element::new("summary").text(count(rows.len(), "tag"));
        Element::new("details").child(summary).child(table(&["tag", "value"], &rows))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(depth: usize, starts_ms: f64, duration_ms: f64) -> TraceSpan {
        TraceSpan { depth, starts_ms, duration_ms, ..TraceSpan::default() }
    }

    #[test]
    fn spans_that_overlap_are_not_drawn_over_each_other() {
        let spans = [span(0, 0.0, 10.0), span(1, 1.0, 4.0), span(2, 2.0, 1.0), span(1, 3.0, 4.0), span(1, 8.0, 1.0)];
        assert_eq!(rows(&spans), [0, 1, 2, 2, 1]);
    }

    #[test]
    fn a_label_is_as_long_as_its_bar() {
        assert_eq!(label("shop.order", 200.0).as_deref(), Some("shop.order"));
        assert_eq!(label("shop.order", 50.0).as_deref(), Some("shop.…"));
        assert_eq!(label("shop.order", 12.0), None);
    }
}
