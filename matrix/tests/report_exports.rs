//! What the dashboards of others read: their grammars, held to every line.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use crate::report_support;

use std::collections::BTreeMap;

use matrix::analyze::{Comparison, Estimate, Verdict};
use matrix::report::{Experiment, Format, write};
use serde_json::Value;

/// A run with the machine and the ratios to the floor.
fn experiment() -> Experiment {
    let mut experiment = report_support::plausible();
    experiment.run = Some(report_support::run_of(experiment.analysis.seed));
    let known = report_support::estimate(0.0, 0.0);
    let estimate = Estimate { value: 1.28, low: 1.21, high: 1.36, verdict: Verdict::Slower, ..known };
    for condition in &mut experiment.analysis.conditions {
        condition.to_floor = vec![Comparison {
            cell: "ship".to_owned(),
            reference: "floor".to_owned(),
            differences: BTreeMap::new(),
            ratios: BTreeMap::from([("register".to_owned(), estimate.clone())]),
        }];
    }
    experiment
}

#[test]
fn benchstat_gets_every_start_by_its_grammar() {
    let experiment = experiment();
    let text = write(&experiment, Format::Benchstat, false).unwrap();
    let mut starts: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            ["Unit", unit, "better=lower"] => assert!(unit.ends_with("-sec"), "{line}"),
            [name, "1", value, unit] if name.starts_with("Benchmark") => {
                let cpus =
                    name.rsplit_once('-').is_some_and(|(_, end)| end.chars().all(|digit| digit.is_ascii_digit()));
                assert!(!cpus, "the end of {name} would be taken for a number of CPUs");
                assert!(["register-sec", "ready-sec"].contains(unit), "{line}");
                let parts: Vec<_> = name.split('/').skip(1).map(|part| part.split_once('=').unwrap()).collect();
                assert_eq!((parts[0].0, parts[1].0), ("cell", "memory"));
                if parts[0].1 == "ship" && parts[1].1 == "1024" && *unit == "ready-sec" {
                    starts.entry(name).or_default().push(value.parse().unwrap());
                }
            }
            [key, ..] => assert!(key.ends_with(':') && !key.chars().any(char::is_uppercase), "{line}"),
            [] => unreachable!("there is no empty line"),
        }
    }
    assert!(text.starts_with("cpu: Some CPU"), "{text}");
    let [(_, values)] = &starts.into_iter().collect::<Vec<_>>()[..] else { unreachable!("one condition has 1024 MB") };
    let ship = experiment.analysis.conditions[0].cells.iter().find(|cell| cell.cell == "ship").unwrap();
    let expected = &ship.measures["ready"].values;
    assert_eq!(values.len(), expected.len());
    assert!(values.iter().zip(expected).all(|(seconds, ms)| (seconds * 1000.0 - ms).abs() < 1e-9));
}

#[test]
fn bencher_gets_a_number_with_its_ends_for_every_gate() {
    let experiment = experiment();
    let document: Value = serde_json::from_str(&write(&experiment, Format::Bencher, false).unwrap()).unwrap();
    let benchmarks = document.as_object().unwrap();
    let cells = experiment.plan.cells.len();
    assert_eq!(benchmarks.len(), cells * 2, "every cell under both conditions");
    for (name, measures) in benchmarks {
        assert!(name.len() <= 1024, "{name}");
        for (measure, metric) in measures.as_object().unwrap() {
            assert!(measure.len() <= 64, "{measure}");
            let of = |key: &str| metric[key].as_f64().unwrap();
            assert!(of("lower_value") <= of("value") && of("value") <= of("upper_value"), "{name} {measure}: {metric}");
        }
    }
    let (name, ship) = benchmarks.iter().find(|(name, _)| name.starts_with("ship/memory=1024/")).unwrap();
    assert_eq!(
        name,
        "ship/memory=1024/regime=boosted/cache=warm/latency=loopback/runtime=null/store=al2023/fault=none"
    );
    assert_eq!(ship["register-to-floor"]["value"], 1.28);
    let summary = &experiment.analysis.conditions[0].cells.iter().find(|cell| cell.cell == "ship").unwrap();
    assert!((ship["ready-ms"]["value"].as_f64().unwrap() - summary.measures["ready"].p50).abs() < 1e-9);
}
