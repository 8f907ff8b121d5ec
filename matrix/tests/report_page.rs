//! The page: well-formed, complete in one file, and with a picture wherever there is something to show.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use crate::report_support;

use matrix::report::{Experiment, Format, write};
use roxmltree::{Document, Node, ParsingOptions};

fn page(experiment: &Experiment) -> String {
    write(experiment, Format::Html, false).unwrap()
}

fn parsed(page: &str) -> Document<'_> {
    Document::parse_with_options(page, ParsingOptions { allow_dtd: true, ..ParsingOptions::default() }).unwrap()
}

fn headings<'a>(document: &'a Document) -> Vec<&'a str> {
    document.descendants().filter(|node| node.has_tag_name("h4")).filter_map(|node| node.text()).collect()
}

fn all() -> Vec<(&'static str, Experiment)> {
    vec![
        ("plausible", report_support::plausible()),
        ("crowded", report_support::crowded()),
        ("sets", report_support::sets()),
        ("troubled", report_support::troubled()),
        ("empty", report_support::empty()),
    ]
}

#[test]
fn every_page_is_well_formed_and_needs_nothing_from_elsewhere() {
    for (name, experiment) in all() {
        let page = page(&experiment);
        let document = parsed(&page);
        for node in document.descendants().filter(Node::is_element) {
            let is_foreign = |attribute: &str| node.has_attribute(attribute);
            assert!(
                !["src", "href", "srcset", "action", "data", "style"].into_iter().any(is_foreign),
                "{name}: {node:?}"
            );
            let is_script = |attribute: &roxmltree::Attribute| attribute.name().starts_with("on");
            assert!(!node.attributes().any(|attribute| is_script(&attribute)), "{name}: {node:?}");
        }
        assert!(
            !page.contains("http:") && !page.contains("https:") && !page.contains("@import") && !page.contains("url(")
        );
    }
}

#[test]
fn every_cell_is_named_in_the_page() {
    let experiment = report_support::crowded();
    let page = page(&experiment);
    let document = parsed(&page);
    let texts: Vec<&str> = document.descendants().filter(Node::is_text).filter_map(|node| node.text()).collect();
    for cell in &experiment.plan.cells {
        assert!(texts.iter().any(|text| text.contains(&cell.id)), "{}", cell.id);
    }
}

#[test]
fn a_hostile_name_is_text_in_every_place() {
    let name = "<script>alert('x')</script>\"><img onerror=alert(1)>]]>";
    let experiment = report_support::renamed(&report_support::troubled(), "ship-with-launcher", name);
    let page = page(&experiment);
    let document = parsed(&page);
    let scripts = document.descendants().filter(|node| node.has_tag_name("script")).count();
    let images = document.descendants().filter(|node| node.has_tag_name("img")).count();
    // That of all pages, and that of reports.
    assert_eq!((scripts, images), (2, 0));
    let cells = document.descendants().filter(|node| node.has_tag_name("th") && node.text() == Some(name)).count();
    assert!(cells >= 2, "{cells}");
}

#[test]
fn a_designed_experiment_has_all_pictures() {
    let page = page(&report_support::plausible());
    let document = parsed(&page);
    let headings = headings(&document);
    for heading in [
        "The two gates",
        "What each switch is worth: ready gate",
        "What each switch is worth: register gate",
        "Interactions: ready gate",
        "Which functions notice",
        "Where the time goes",
        "Every start: ready gate",
        "Every start: register gate",
        "Size and time",
    ] {
        // Once under each condition; the gates also have a table of that name.
        let times = headings.iter().filter(|other| **other == heading).count();
        assert_eq!(times, if heading == "The two gates" { 4 } else { 2 }, "{heading}: {headings:?}");
    }
    let squares = |node: &Node| node.attribute("class").is_some_and(|class| class.starts_with("square "));
    let in_marks = document
        .descendants()
        .filter(|node| squares(node) && node.parent().unwrap().attribute("class") == Some("mark"));
    // Two conditions, two gates, 66 pairs.
    assert_eq!(in_marks.count(), 2 * 2 * 66);
}

#[test]
fn a_comparison_of_sets_has_no_picture_of_switches() {
    let page = page(&report_support::sets());
    let document = parsed(&page);
    let headings = headings(&document);
    assert!(headings.contains(&"Against baseline: ready gate"), "{headings:?}");
    assert!(!headings.iter().any(|it| it.starts_with("Interactions") || it.starts_with("What each switch")));
}

#[test]
fn missing_data_leaves_a_picture_out_and_breaks_none() {
    let mut experiment = report_support::plausible();
    for condition in &mut experiment.analysis.conditions {
        for cell in &mut condition.cells {
            cell.phases.clear();
            cell.measures.remove("file_size");
            if let Some(summary) = cell.measures.get_mut("register") {
                summary.values.clear();
            }
        }
        condition.cells[2].measures.clear();
        condition.cells[3].measures.remove("ready");
    }
    let page = page(&experiment);
    let document = parsed(&page);
    let headings = headings(&document);
    for heading in ["Where the time goes", "Size and time", "Every start: register gate"] {
        assert!(!headings.contains(&heading), "{heading}");
    }
    assert!(headings.contains(&"Which functions notice") && headings.contains(&"Every start: ready gate"));
}

#[test]
fn every_picture_says_what_it_shows_and_stays_inside_its_frame() {
    for (name, experiment) in all() {
        let page = page(&experiment);
        let document = parsed(&page);
        for picture in document.descendants().filter(|node| node.has_tag_name("svg")) {
            assert!(picture.attribute("aria-label").is_some_and(|label| label.len() > 10), "{name}");
            let size = |name: &str| picture.attribute(name).unwrap().parse::<f64>().unwrap();
            let (width, height) = (size("width"), size("height"));
            let inside = |node: &Node, name: &str, most: f64| {
                node.attribute(name).is_none_or(|value| (0.0..=most).contains(&value.parse::<f64>().unwrap()))
            };
            for node in picture.descendants() {
                let across = ["x", "x1", "x2", "cx"].iter().all(|attribute| inside(&node, attribute, width));
                let down = ["y", "y1", "y2", "cy"].iter().all(|attribute| inside(&node, attribute, height));
                assert!(across && down, "{name}: {node:?}");
            }
        }
    }
}

#[test]
fn labels_of_a_list_beside_a_picture_do_not_overlap() {
    let page = page(&report_support::crowded());
    let document = parsed(&page);
    for picture in document.descendants().filter(|node| node.has_tag_name("svg")) {
        // Names in one column; the scatter's stand where there is room, the heat map's in steps.
        let labels = picture.descendants().filter(|node| node.attribute("class") == Some("value end"));
        let mut places: Vec<f64> = labels.map(|node| node.attribute("y").unwrap().parse().unwrap()).collect();
        places.sort_by(f64::total_cmp);
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 15.0), "{places:?}");
    }
}
