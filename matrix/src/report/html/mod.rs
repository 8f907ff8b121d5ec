//! The report as an HTML page: charts first, complete in one file, with a light and a dark theme.

mod axis;
mod canvas;
mod color;
mod ecdf;
mod forest;
mod gates;
mod heat;
mod scatter;
mod slack;
mod waterfall;

use super::alarm::{Alarm, Severity};
use super::sections::{ConditionSection, GATES, Kind, Report};
use super::tables::{self, FieldStyle, Table};
use super::words::{self, DEFINITIONS};
use crate::markup::{self, Element, tabs};

/// Writes the whole page.
pub fn write(report: &Report) -> String {
    let head = markup::head(&format!("Cold start: {}", report.experiment.analysis.design))
        .child(Element::new("style").style(include_str!("style.css")));
    let body = Element::new("body")
        .child(header(report))
        .child(main(report))
        .child(Element::new("script").script(markup::SCRIPT))
        .child(Element::new("script").script(include_str!("script.js")));
    markup::document(head, body)
}

fn header(report: &Report) -> Element {
    let provenance = report.provenance().map(|provenance| paragraph(&provenance.sentence));
    let title = Element::new("h1").text("Cold start");
    Element::new("header").child(title).child(paragraph(&report.summary())).children(provenance)
}

fn main(report: &Report) -> Element {
    let sections = report.sections.iter().map(|section| {
        let invalid = if section.found.invalid.is_some() { " (invalid run)" } else { "" };
        Element::new("section")
            .with("data-tab", format!("{}{invalid}", section.label))
            .child(Element::new("h2").text(&section.title))
            .children(section_parts(report, section))
    });
    Element::new("main")
        .children(alarms(&report.alarms))
        .child(definitions())
        .child(Element::new("div").class("chapters").with("data-tabs", "Condition").children(sections))
        .children(aliases(report))
}

fn section_parts(report: &Report, section: &ConditionSection) -> Vec<Element> {
    let colors = color::colors(section);
    let mut parts: Vec<Element> = alarms(&section.alarms).into_iter().collect();
    parts.extend(lede(section));
    parts.extend(gates::picture(section, &colors));
    parts.extend(measures(forest::pictures(section)));
    parts.extend(measures(heat::pictures(section, &report.experiment.plan.factors)));
    parts.extend(tables::quiet_pairs(section).map(|sentence| paragraph(&sentence)));
    parts.extend(slack::picture(section, &colors));
    parts.extend(waterfall::picture(section));
    parts.extend(measures(ecdf::pictures(section, &colors)));
    parts.extend(scatter::picture(section, &colors, &report.experiment.builds));
    let open = [tables::gates(section), tables::resource_usage(section)];
    parts.extend(open.iter().filter(|table| !table.is_empty()).map(table));
    let folded = [Kind::Comparison, Kind::Effect, Kind::Interaction].map(|kind| tables::results(section, kind));
    let folded = folded.into_iter().chain([tables::others(section)]);
    parts.extend(folded.filter(|table| !table.is_empty()).map(|it| folded_part(&it.title, table(&it))));
    parts
}

/// The largest finding at each gate, in words.
fn lede(section: &ConditionSection) -> Option<Element> {
    let kind = section.main_kind();
    let sentence = |gate: &&str| {
        let finding = section.about(kind, gate).find(|it| it.is_found() && !section.is_yardstick(it.subject))?;
        let against = finding.against.map_or_else(String::new, |against| format!(" than {against}"));
        let item = Element::new("li").text(format!("{}: ", words::title(gate)));
        let item = item.child(Element::new("b").text(finding.subject));
        // The other cell is inserted after the first word of "faster by 3.1 ms [1.9, 4.4]".
        let (first, rest) = finding.sentence.split_once(' ').unwrap_or((&finding.sentence, ""));
        Some(item.text(format!(" is {first}{against} {rest}")))
    };
    let items: Vec<Element> = GATES.iter().filter_map(sentence).collect();
    (!items.is_empty() && section.found.invalid.is_none()).then(|| {
        let heading = Element::new("p").text("The largest changes that were found:");
        Element::new("div").class("lede").child(heading).child(Element::new("ul").children(items))
    })
}

fn alarms(alarms: &[Alarm]) -> Option<Element> {
    let one = |alarm: &Alarm| {
        let class = match alarm.weight {
            Severity::Broken => "alarm broken",
            Severity::Note => "alarm note",
        };
        let detail = alarm.detail.as_ref().map(|it| folded_part("What was said", Element::new("pre").text(it)));
        Element::new("div").class(class).child(paragraph(&alarm.sentence)).children(detail)
    };
    (!alarms.is_empty()).then(|| Element::new("div").class("alarms").children(alarms.iter().map(one)))
}

fn definitions() -> Element {
    let pairs = DEFINITIONS.iter().map(|definition| {
        Element::new("div")
            .child(Element::new("dt").text(definition.name))
            .child(Element::new("dd").text(definition.about))
    });
    folded_part("How to read this", Element::new("dl").children(pairs)).with("open", "open")
}

fn aliases(report: &Report) -> Option<Element> {
    let aliases = &report.experiment.analysis.aliases;
    let item = |alias: &crate::plan::Alias| {
        Element::new("li").text(format!("{} may also be {}", alias.effect, alias.with.join(", ")))
    };
    let list = Element::new("ul").children(aliases.iter().map(item));
    (!aliases.is_empty()).then(|| folded_part("Confounded effects", list))
}

/// Several charts as tabs.
fn measures(pictures: Vec<(String, Element)>) -> Option<Element> {
    (!pictures.is_empty()).then(|| tabs("Measure", pictures))
}

fn table(table: &Table) -> Element {
    let side =
        |index: usize| if table.columns.get(index).is_some_and(|column| column.numeric) { "number" } else { "text" };
    let head = table.columns.iter().map(|column| {
        let side = if column.numeric { "number" } else { "text" };
        Element::new("th").with("scope", "col").class(side).text(&column.title)
    });
    let row = |fields: &Vec<tables::Field>| {
        let field = |(index, field): (usize, &tables::Field)| {
            let tone = match field.tone {
                FieldStyle::Plain => "",
                FieldStyle::Good => " good",
                FieldStyle::Bad => " bad",
                FieldStyle::Quiet => " quiet",
            };
            let name = if index == 0 { "th" } else { "td" };
            Element::new(name).class(format!("{}{tone}", side(index))).text(&field.text)
        };
        Element::new("tr").children(fields.iter().enumerate().map(field))
    };
    let rows = Element::new("tbody").children(table.rows.iter().map(row));
    let whole = Element::new("table").child(Element::new("thead").child(Element::new("tr").children(head))).child(rows);
    Element::new("div")
        .class("numbers")
        .child(Element::new("h4").text(&table.title))
        .child(paragraph(&table.about))
        .child(Element::new("div").class("wide").child(whole))
}

fn folded_part(title: &str, inside: Element) -> Element {
    Element::new("details").child(Element::new("summary").text(title)).child(inside)
}

fn paragraph(text: &str) -> Element {
    Element::new("p").text(text)
}
