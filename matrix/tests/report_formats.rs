//! The same analysis says the same in every format.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use crate::report_support;

use std::collections::BTreeMap;

use clap::ValueEnum;
use matrix::analyze::{Direction, Verdict};
use matrix::build::Origin;
use matrix::report::{Experiment, Format, write};
use serde_json::Value;

fn written(experiment: &Experiment, format: Format) -> String {
    write(experiment, format, false).unwrap()
}

/// Without the markup and the typography that differ from format to format.
fn plain(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&"), ("\u{a0}", " ")];
    entities.iter().fold(text.replace('\\', ""), |text, (from, to)| text.replace(from, to))
}

/// The lines of the CSV by condition, cell, measure and statistic.
fn values(csv: &str) -> BTreeMap<[String; 4], String> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let lines = reader.records().map(|line| {
        let mut fields = line.unwrap().iter().map(str::to_owned).collect::<Vec<_>>().into_iter();
        let key = [(); 4].map(|()| fields.next().unwrap());
        (key, fields.next().unwrap())
    });
    let all: Vec<_> = lines.collect();
    let count = all.len();
    let map: BTreeMap<_, _> = all.into_iter().collect();
    assert_eq!(map.len(), count, "no number has two lines");
    map
}

/// The last bit of a number may be lost on the way to text and back.
fn near(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-9
}

#[test]
fn medians_are_the_same_in_all_formats() {
    let experiment = report_support::plausible();
    let texts = [Format::Text, Format::Markdown, Format::Html].map(|format| plain(&written(&experiment, format)));
    let json: Value = serde_json::from_str(&written(&experiment, Format::Json)).unwrap();
    let values = values(&written(&experiment, Format::Csv));
    let mut compared = 0;
    for (condition, found) in experiment.analysis.conditions.iter().enumerate() {
        let title = json["conditions"][condition]["title"].as_str().unwrap();
        for (index, cell) in found.cells.iter().enumerate() {
            for gate in ["register", "ready"] {
                let measured = &cell.measures[gate];
                let key = |statistic: &str| [title, &cell.cell, gate, statistic].map(str::to_owned);
                assert!(near(values[&key("p50")].parse().unwrap(), measured.p50));
                let analyzed = &json["analysis"]["conditions"][condition]["cells"][index]["measures"][gate];
                assert!(near(analyzed["p50"].as_f64().unwrap(), measured.p50));
                let shown = format!("{:.2} ({:.2}–{:.2})", measured.p50, measured.p10, measured.p90);
                for text in &texts {
                    assert!(text.contains(&shown), "{} {gate}: {shown}", cell.cell);
                }
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 2 * 8 * 2);
}

#[test]
fn gate_findings_are_in_all_formats() {
    let experiment = report_support::plausible();
    let texts = [Format::Text, Format::Markdown, Format::Html].map(|format| plain(&written(&experiment, format)));
    let json: Value = serde_json::from_str(&written(&experiment, Format::Json)).unwrap();
    let mut count = 0;
    for finding in json["conditions"].as_array().unwrap().iter().flat_map(|it| it["findings"].as_array().unwrap()) {
        let is_gate = matches!(finding["measure"].as_str(), Some("register" | "ready"));
        if is_gate && matches!(finding["verdict"].as_str(), Some("faster" | "slower")) {
            let sentence = finding["sentence"].as_str().unwrap();
            assert!(texts.iter().all(|text| text.contains(sentence)), "{finding}");
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

#[test]
fn sentences_agree_with_the_numbers_behind_them() {
    let experiment = report_support::plausible();
    let json: Value = serde_json::from_str(&written(&experiment, Format::Json)).unwrap();
    let values = values(&written(&experiment, Format::Csv));
    let condition = &json["conditions"][0];
    let title = condition["title"].as_str().unwrap();
    let mut compared = 0;
    for finding in condition["findings"].as_array().unwrap() {
        let (kind, subject) = (finding["kind"].as_str().unwrap(), finding["subject"].as_str().unwrap());
        let (measure, sentence) = (finding["measure"].as_str().unwrap(), finding["sentence"].as_str().unwrap());
        let statistic = match finding["against"].as_str() {
            Some(against) => format!("difference to {against}"),
            None => kind.to_owned(),
        };
        let value = |part: &str| &values[&[title, subject, measure, &format!("{statistic}{part}")].map(str::to_owned)];
        assert_eq!(value(", verdict"), finding["verdict"].as_str().unwrap());
        if measure != "ready" || finding["verdict"] == "no-detectable-change" {
            continue;
        }
        let (_, amount) = sentence.rsplit_once(" by ").unwrap();
        let shown: f64 = amount.split(' ').next().unwrap().parse().unwrap();
        let exact: f64 = value("").parse().unwrap();
        assert!((shown - exact.abs()).abs() <= 0.05, "{sentence} is about {exact}");
        let is_less = sentence.starts_with("faster") || sentence.starts_with("help");
        assert_eq!(is_less, exact < 0.0, "{sentence} is about {exact}");
        compared += 1;
    }
    assert!(compared > 10, "{compared}");
}

#[test]
fn what_was_analyzed_comes_back_from_json_unchanged() {
    let experiment = report_support::plausible();
    let json: Value = serde_json::from_str(&written(&experiment, Format::Json)).unwrap();
    let text = serde_json::to_string(&experiment.analysis).unwrap();
    assert_eq!(json["analysis"], serde_json::from_str::<Value>(&text).unwrap());
    serde_json::from_value::<matrix::analyze::Analysis>(json["analysis"].clone()).unwrap();
}

#[test]
fn problems_appear_in_every_readable_format() {
    let experiment = report_support::troubled();
    let sentences = [
        "Invalid run: do not use the numbers under 128 MB",
        "Invalid run: ship and ship-again differ at the ready gate by 0.4 ms [0.1, 0.7]. Do not use the numbers below",
        "seed does not deliver what baseline delivers (digest mismatch)",
        "ship-fips is a no-op: its program is the same as that of baseline.",
        "ship-eager is a no-op: its program is the same as that of ship",
        "ship-static could not be built and is missing; cargo build --profile release --features ship shows why.",
        "error: linking with `cc` failed",
        "published-2024 did not always start; 41 starts can be used.",
        "delivers something else: not compared",
        "no-op: the same program",
        "invalid run: the same program under two names differs",
    ];
    for format in [Format::Text, Format::Markdown, Format::Html] {
        let text = plain(&written(&experiment, format)).split_whitespace().collect::<Vec<_>>().join(" ");
        let text = text.replace("> ", "");
        for sentence in sentences {
            assert!(text.contains(&sentence.replace("> ", "")), "{format:?}: {sentence}");
        }
    }
    let text = plain(&written(&experiment, Format::Text));
    let first = |what: &str| text.find(what).unwrap();
    assert!(first("Invalid run") < first("The two gates") && first("digest mismatch") < first("The two gates"));
}

#[test]
fn a_cell_that_delivers_something_else_is_named_without_any_comparison() {
    let mut experiment = report_support::plausible();
    for condition in &mut experiment.analysis.conditions {
        condition.comparisons.clear();
        condition.cells[3].digest = Some("another".to_owned());
    }
    let text = written(&experiment, Format::Text);
    assert!(text.contains("ship does not deliver what baseline delivers (digest mismatch)"), "{text}");
}

#[test]
fn undetected_effect_has_its_minimum_detectable_effect() {
    let text = written(&report_support::plausible(), Format::Text);
    assert!(text.contains("eager-binding (off → on)      no detectable change (MDE 0.17 ms)"), "{text}");
    assert!(text.contains("of 66 pairs show no detectable interaction at the ready gate"), "{text}");
}

#[test]
fn results_are_never_percentages() {
    for format in [Format::Text, Format::Markdown] {
        // The estimator has its name from what it leaves out.
        let text = written(&report_support::plausible(), format).replace("20\u{a0}% trimmed", "trimmed");
        assert!(!text.contains('%'), "{format:?}");
    }
}

#[test]
fn every_report_for_people_says_what_it_was_measured_on() {
    let mut experiment = report_support::troubled();
    let formats = [Format::Text, Format::Markdown, Format::Html];
    for format in formats {
        assert!(!written(&experiment, format).contains("Measured on"), "nobody knows: {format:?}");
    }
    let origin = Origin { sources: format!("{}+ff", "a1".repeat(20)), compiler: "rustc 1.0.0".to_owned() };
    experiment.builds[0].origin = Some(origin.clone());
    experiment.run = Some(report_support::run_of(experiment.analysis.seed));
    let expected = "Measured on Some CPU <at> 2.5 GHz, 2 visible CPUs, 8000 MB, x86_64, Linux 6.1.0, control groups \
                    version 2, seed 20241. Built from a1a1a1a1a1a1 with changes by rustc 1.0.0. Measured by matrix \
                    0.1.0 at 51c92f8a0d1e with changes. The machine refused: no CPU share of the memory tier: not \
                    permitted.";
    for format in formats {
        let text = plain(&written(&experiment, format)).replace('\n', " ");
        assert!(text.contains(expected), "{format:?}: {text}");
    }
    let json: Value = serde_json::from_str(&written(&experiment, Format::Json)).unwrap();
    assert_eq!(json["measured_on"]["sentence"], expected);
    assert_eq!(json["measured_on"]["run"]["machine"]["cores"], 2);
    assert_eq!(json["measured_on"]["built_from"][0]["compiler"], "rustc 1.0.0");
}

#[test]
fn the_record_of_another_run_is_ignored() {
    let mut experiment = report_support::plausible();
    experiment.run = Some(report_support::run_of(experiment.analysis.seed + 1));
    assert!(!written(&experiment, Format::Text).contains("Measured on"));
}

#[test]
fn colours_are_only_written_when_asked_for() {
    let experiment = report_support::plausible();
    let plain = written(&experiment, Format::Text);
    let coloured = write(&experiment, Format::Text, true).unwrap();
    assert!(!plain.contains('\u{1b}') && coloured.contains('\u{1b}'));
    assert_eq!(
        console::strip_ansi_codes(&coloured).lines().map(str::trim_end).collect::<Vec<_>>(),
        plain.lines().collect::<Vec<_>>()
    );
}

#[test]
fn an_experiment_without_results_says_so() {
    let experiment = report_support::empty();
    for format in Format::value_variants() {
        let text = written(&experiment, *format);
        let expected = match format {
            Format::Csv => "condition,cell,measure",
            Format::Benchstat => "Unit ready-sec better=lower\n",
            Format::Bencher => "{}\n",
            _ => "Nothing was measured",
        };
        assert!(text.contains(expected), "{format:?}: {text}");
    }
}

#[test]
fn conditions_without_cells_and_cells_without_measures_are_reported() {
    let mut experiment = report_support::plausible();
    let [first, second] = experiment.analysis.conditions.as_mut_slice() else { unreachable!() };
    first.cells.clear();
    for cell in &mut second.cells {
        cell.measures.clear();
        cell.phases.clear();
    }
    second.comparisons.clear();
    second.effects.clear();
    second.interactions.clear();
    for format in Format::value_variants() {
        assert!(!written(&experiment, *format).is_empty(), "{format:?}");
    }
    assert!(written(&experiment, Format::Text).contains("No start counts under this condition"));
}

#[test]
fn a_comment_fits_a_pull_request_even_with_forty_cells() {
    let comment = written(&report_support::crowded(), Format::Markdown);
    assert!(comment.len() < 65_536, "{} bytes", comment.len());
    assert_eq!(comment.matches("<details>").count(), comment.matches("</details>").count());
}

#[test]
fn every_format_prints_the_notes_of_the_analysis() {
    let mut experiment = report_support::plausible();
    experiment.analysis.notes =
        ["No start counts of ship-static.", "There are fewer of: seed (3)."].map(str::to_owned).to_vec();
    for format in Format::value_variants().iter().filter(|format| **format != Format::Bencher) {
        let text = plain(&written(&experiment, *format));
        for note in &experiment.analysis.notes {
            assert!(text.contains(note), "{format:?} lacks {note}");
        }
    }
    assert!(!values(&written(&experiment, Format::Csv)).is_empty());
}

#[test]
fn inconclusive_verdict_names_needed_blocks_and_alternatives() {
    let mut experiment = report_support::plausible();
    let effect = &mut experiment.analysis.conditions[0].effects[0];
    effect.aliases = ["tag-cache*lazy-intake".to_owned()].to_vec();
    let estimate = effect.estimates.get_mut("ready").unwrap();
    (estimate.value, estimate.low, estimate.high) = (-0.5, -0.9, -0.1);
    (estimate.verdict, estimate.needed) = (Verdict::Inconclusive, Some(90));
    let (name, axis) = (effect.name.clone(), Direction { from: "z".to_owned(), to: "3".to_owned() });
    effect.direction = Some(axis);
    for format in [Format::Text, Format::Markdown, Format::Html] {
        let text = plain(&written(&experiment, format));
        assert!(text.contains("inconclusive: −0.50 ms [−0.90, −0.10]; needs 90 blocks"), "{format:?}: {text}");
        assert!(text.contains("this may be tag-cache × lazy-intake instead"), "{format:?}");
        assert!(text.contains(&format!("{name} (z → 3)")), "{format:?}");
        assert!(text.contains("20 % trimmed mean"), "{format:?}");
        assert!(text.contains("judged together"), "{format:?}: the family is stated");
    }
    let json: Value = serde_json::from_str(&written(&experiment, Format::Json)).unwrap();
    let findings = json["conditions"][0]["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["subject"] == name && finding["measure"] == "ready").unwrap();
    assert_eq!((&finding["direction"]["to"], &finding["verdict"]), (&"3".into(), &"inconclusive".into()));
    assert_eq!(finding["aliases"], serde_json::json!(["tag-cache*lazy-intake"]));
}
