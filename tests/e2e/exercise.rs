//! Everything that a function can give an extension arrives, whatever goes wrong: in the starts that matrix takes of every cell beside the timed ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, atomic::AtomicBool};

use matrix::measure::sample::Sample;
use matrix::measure::{Options, run};
use matrix::plan::{Cell, CellKind, Condition, DELIVERY, InjectedFault, Plan, SCHEMA};

fn cell(id: &str, kind: CellKind) -> Cell {
    Cell { id: id.to_owned(), kind, levels: BTreeMap::new() }
}

#[test]
fn everything_a_function_prints_and_sends_arrives_under_every_fault() {
    let out = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = env!("CARGO_BIN_EXE_bottlecap").into();
    let external = CellKind::External { path, environment: BTreeMap::new(), own_payload: false };
    let plan = Plan {
        schema: SCHEMA,
        seed: 1,
        design: "list".to_owned(),
        factors: Vec::new(),
        cells: vec![cell("ours", external), cell("again", CellKind::Again { of: "ours".to_owned() })],
        aliases: Vec::new(),
        conditions: vec![Condition::default()],
        blocks: 1,
        own_payload: Vec::new(),
        shard: None,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let options = Options {
        out: out.path().to_owned(),
        blocks: None,
        shard: None,
        require: false,
        stop,
        waf: None,
        deliveries: true,
    };
    run(&plan, &[], &options, &|_| {}).unwrap();
    let text = std::fs::read_to_string(out.path().join("samples.jsonl")).unwrap();
    let samples: Vec<Sample> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for sample in &samples {
        assert_eq!((&sample.failure, &sample.undelivered), (&None, &None), "{sample:?}");
    }
    let untimed = samples.iter().filter(|sample| sample.condition.runtime == DELIVERY);
    let faults: BTreeSet<InjectedFault> = untimed.clone().map(|sample| sample.condition.fault).collect();
    let digests: BTreeSet<_> = untimed.map(|sample| sample.digest.clone().unwrap()).collect();
    assert_eq!((faults.len(), digests.len()), (4, 1), "whatever goes wrong, the same arrives");
}
