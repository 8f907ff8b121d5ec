//! Forest plots: differences with their confidence intervals around zero.

use super::axis::Axis;
use super::canvas::{WIDTH, canvas, cut_label, dot, figure, horizontal, label, line, mark, rect};
use crate::analyze::{Estimate, Verdict};
use crate::markup::Element;
use crate::report::number::{self, Scale};
use crate::report::sections::{ConditionSection, Finding, Kind, Role};
use crate::report::words;

const LEFT: f64 = 220.0;
const RIGHT: f64 = 340.0;
const TOP: f64 = 36.0;

/// One chart for each measure; the ready gate comes first.
pub fn pictures(section: &ConditionSection) -> Vec<(String, Element)> {
    let kind = section.main_kind();
    let mut measures = section.measures(kind);
    // Most switches aim at the ready gate.
    measures.sort_by_key(|measure| *measure != "ready");
    let picture = |measure: &str| Some((words::title(measure).to_owned(), picture(section, kind, measure)?));
    measures.into_iter().filter_map(picture).collect()
}

fn picture(section: &ConditionSection, kind: Kind, measure: &str) -> Option<Element> {
    // Yardsticks are left out. Other charts show them.
    let is_shown = |it: &&Finding| !section.is_yardstick(it.subject);
    let mut findings: Vec<&Finding> = section.about(kind, measure).filter(is_shown).collect();
    if findings.is_empty() {
        return None;
    }
    let place = |finding: &Finding| if has_numbers(finding.estimate) { finding.estimate.value } else { f64::INFINITY };
    findings.sort_by(|one, other| place(one).total_cmp(&place(other)));
    let step = if findings.len() > 20 { 20.0 } else { 26.0 };
    let bottom = TOP + step * number::float(findings.len());
    let shown = || findings.iter().map(|finding| finding.estimate).filter(|it| has_numbers(it));
    let ends = || shown().flat_map(|it| [it.low, it.high, it.value]);
    let largest = ends().filter(|end| end.is_finite()).fold(0.0, |most: f64, end| most.max(end.abs()));
    let scale = Scale::of(words::unit(measure), largest, largest);
    let axis = Axis::around(ends().map(|end| end * scale.factor), true, LEFT, WIDTH - RIGHT);
    // A small margin at both ends keeps zero off the edge.
    let axis = Axis { low: axis.low.min(-0.03 * axis.high), high: axis.high.max(-0.03 * axis.low), ..axis };
    let zero = axis.at(0.0);
    let mut drawing =
        canvas(bottom + 44.0, &format!("{} with intervals: {}", heading(section, kind), words::title(measure)))
            .child(horizontal(&axis, TOP, bottom, scale.unit))
            .child(line("zero", (zero, TOP - 6.0), (zero, bottom + 4.0)));
    if zero - LEFT > 70.0 {
        drawing = drawing.child(label("direction end", zero - 10.0, 16.0, "← less"));
    }
    if WIDTH - RIGHT - zero > 70.0 {
        drawing = drawing.child(label("direction", zero + 10.0, 16.0, "more →"));
    }
    for (index, finding) in findings.iter().enumerate() {
        let y = TOP + step * (number::float(index) + 0.5);
        drawing = drawing.child(row(section, finding, &axis, scale, y));
    }
    let about = format!(
        "{} The dot is the best guess, the line its interval; what is coloured was found. The pale bar is what this \
         run could not have seen four times out of five.",
        words::about(measure).unwrap_or_default()
    );
    Some(figure(&format!("{}: {}", heading(section, kind), words::title(measure)), about.trim_start(), drawing))
}

fn row(section: &ConditionSection, finding: &Finding, axis: &Axis, scale: Scale, y: f64) -> Element {
    let estimate = finding.estimate;
    let tip = format!("{}: {}; {}", finding.subject, finding.sentence, words::signed(finding.measure, estimate));
    let class = match estimate.verdict {
        Verdict::Faster => "good",
        Verdict::Slower => "bad",
        Verdict::DigestMismatch | Verdict::InvalidRun => "broken",
        Verdict::NoDetectableChange | Verdict::Inconclusive | Verdict::NoOp => "quiet",
    };
    let name = match section.rows.iter().find(|row| row.name() == finding.subject).map(|row| row.role) {
        Some(Role::Again { of }) => format!("{} (A/A of {of})", finding.subject),
        _ => finding.subject.to_owned(),
    };
    let mut group = mark(tip).class(format!("mark estimate {class}"));
    group = group.child(rect("hit", (0.0, y - 9.0), (WIDTH, 18.0)));
    group = group.child(cut_label("name end", LEFT - 14.0, y, &name, LEFT - 24.0));
    if has_numbers(estimate) {
        let at = |value: f64| axis.at(value * scale.factor);
        let unseen = (at(-estimate.detectable), at(estimate.detectable));
        group = group
            .child(rect("unseen", (unseen.0, y - 7.0), (unseen.1 - unseen.0, 14.0)))
            .child(line("interval", (at(estimate.low), y), (at(estimate.high), y)))
            .child(dot("point", at(estimate.value), y, 4.5));
    } else {
        group = group.child(dot("hollow", axis.at(0.0), y, 4.0));
    }
    group.child(cut_label("value", WIDTH - RIGHT + 16.0, y, &finding.sentence, RIGHT - 16.0))
}

/// Whether an estimate has numbers to draw; those that must not be compared have none.
fn has_numbers(estimate: &Estimate) -> bool {
    use Verdict::{Faster, Inconclusive, NoDetectableChange, Slower};
    matches!(estimate.verdict, Faster | Slower | NoDetectableChange | Inconclusive) && estimate.value.is_finite()
}

fn heading(section: &ConditionSection, kind: Kind) -> String {
    match kind {
        Kind::Comparison => format!("Against {}", section.reference.unwrap_or("the reference")),
        Kind::Effect | Kind::Interaction => "What each switch is worth".to_owned(),
    }
}
