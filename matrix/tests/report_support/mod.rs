//! Experiments that never took place, with numbers like those of real ones.
#![allow(clippy::indexing_slicing, reason = "the simulated experiments have a known shape")]

use std::collections::BTreeMap;

use matrix::analyze::{
    Analysis, CellSummary, Comparison, ConditionAnalysis, Direction, Effect, Estimate, Summary, Verdict,
};
use matrix::build::{BuildRecord, Failure};
use matrix::measure::sample::Phase;
use matrix::measure::{INSTRUMENT, Run};
use matrix::plan::{
    Alias, AppSec, Cache, Cell, CellKind, Condition, InjectedFault, Latency, Plan, Regime, SCHEMA, TrustStore,
};
use matrix::report::Experiment;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::machine_support::machine;

pub const FACTORS: [&str; 12] = [
    "init-trace",
    "webpki-roots",
    "early-subscribe",
    "appsec-defer",
    "register-overlap",
    "runtime-sizing",
    "tag-cache",
    "eager-binding",
    "raw-control-plane",
    "bind-first",
    "late-runtime",
    "lazy-intake",
];

/// A cell as it would be without noise.
struct Model {
    name: String,
    kind: CellKind,
    register: f64,
    ready: f64,
    faults: f64,
    mebibytes: f64,
}

fn model(name: &str, kind: CellKind, gates: [f64; 2], faults: f64, mebibytes: f64) -> Model {
    let [register, ready] = gates;
    Model { name: name.to_owned(), kind, register, ready, faults, mebibytes }
}

fn models() -> Vec<Model> {
    let elsewhere =
        CellKind::External { path: "/opt/other/agent".into(), environment: BTreeMap::new(), own_payload: true };
    let again = CellKind::Again { of: "ship".to_owned() };
    vec![
        model("baseline", CellKind::Build, [4.3, 8.3], 2885.0, 8.4),
        model("floor", CellKind::Floor, [0.86, 1.02], 74.0, 0.46),
        model("seed", CellKind::Build, [6.6, 8.6], 3010.0, 8.9),
        model("ship", CellKind::Build, [1.1, 1.5], 420.0, 4.6),
        model("ship-again", again, [1.1, 1.5], 420.0, 4.6),
        model("ship-fips", CellKind::Build, [1.25, 1.9], 640.0, 7.3),
        model("ship-with-launcher", CellKind::Build, [0.7, 0.81], 52.0, 4.9),
        model("published-2024", elsewhere, [4.1, 8.3], 2885.0, 7.8),
    ]
}

/// A comparison of sets and, in the same analysis, the effects of twelve factors and of all their pairs, under two
/// conditions.
pub fn plausible() -> Experiment {
    simulate(&models())
}

/// Forty cells, so that every picture is as full as it gets.
pub fn crowded() -> Experiment {
    let mut cells = models();
    for index in 0..32u32 {
        let step = f64::from(index);
        let gates = [1.0 + step * 0.11, 1.6 + step * 0.2];
        let name = format!("ship-without-{}-{index:02}", FACTORS[index as usize % FACTORS.len()]);
        cells.push(model(&name, CellKind::Build, gates, 400.0 + step * 70.0, 4.4 + step % 7.0 * 0.3));
    }
    simulate(&cells)
}

/// Where the numbers of an experiment with this seed would be from.
pub fn run_of(seed: u64) -> Run {
    Run {
        schema: SCHEMA,
        instrument: INSTRUMENT,
        seed,
        design: "resolution-5".to_owned(),
        matrix: "0.1.0".to_owned(),
        commit: Some("51c92f8a0d1e2f3a4b5c-dirty".to_owned()),
        machine: machine(),
        refused: vec!["no CPU share of the memory tier: not permitted".to_owned()],
        left_out: Vec::new(),
    }
}

/// A plan of which nothing was measured.
pub fn empty() -> Experiment {
    let mut experiment = plausible();
    experiment.analysis.conditions.clear();
    experiment.analysis.aliases.clear();
    experiment.plan.cells.clear();
    experiment.analysis.plan_cells.clear();
    experiment.plan.factors.clear();
    experiment.plan.conditions.clear();
    experiment
}

fn simulate(models: &[Model]) -> Experiment {
    let mut random = StdRng::seed_from_u64(7);
    let conditions = vec![condition(1024, Regime::Boosted), condition(128, Regime::Throttled)];
    let aliases = vec![Alias { effect: "tag-cache".into(), with: vec!["lazy-intake*bind-first".into()] }];
    let analysis = Analysis {
        schema: SCHEMA,
        design: "resolution-5".to_owned(),
        seed: 20_241,
        plan_cells: models.iter().map(|model| model.name.clone()).collect(),
        conditions: conditions.iter().map(|condition| found(models, condition, &mut random)).collect(),
        aliases: aliases.clone(),
        deliveries: Vec::new(),
        notes: Vec::new(),
    };
    let cell = |model: &Model| Cell { id: model.name.clone(), kind: model.kind.clone(), levels: BTreeMap::new() };
    let plan = Plan {
        schema: SCHEMA,
        seed: 20_241,
        design: "resolution-5".to_owned(),
        factors: FACTORS.map(str::to_owned).to_vec(),
        cells: models.iter().map(cell).collect(),
        aliases,
        conditions,
        blocks: 60,
        own_payload: Vec::new(),
        shard: None,
    };
    Experiment { analysis, plan, run: None, builds: Vec::new() }
}

fn condition(memory_mb: u32, regime: Regime) -> Condition {
    Condition {
        memory_mb,
        regime,
        cache: Cache::Warm,
        platform: Latency::Loopback,
        trust_store: TrustStore::Al2023,
        runtime: "null".to_owned(),
        fault: InjectedFault::None,
        appsec: AppSec::Off,
    }
}

fn found(models: &[Model], condition: &Condition, random: &mut StdRng) -> ConditionAnalysis {
    let slower = if condition.regime == Regime::Throttled { 9.0 } else { 1.0 };
    let cells: Vec<CellSummary> = models.iter().map(|model| cell(model, slower, random)).collect();
    let reference = cells[0].clone();
    let comparisons = cells.iter().skip(1).map(|cell| comparison(cell, &reference)).collect();
    let effects = FACTORS.iter().enumerate().map(|(index, name)| {
        // Three that are worth something, one that costs something, the rest within chance.
        let worth = [0.02, -0.4, -1.9, 0.0, 0.7, 0.03, -0.05, 0.0, -2.6, -0.3, -1.1, -0.9][index] * slower;
        effect(name, worth, 0.12 * slower, random)
    });
    let effects: Vec<Effect> = effects.collect();
    let mut interactions = Vec::new();
    for (index, one) in FACTORS.iter().enumerate() {
        for other in &FACTORS[index + 1..] {
            let worth = match (*one, *other) {
                ("raw-control-plane", "late-runtime") => -0.62,
                ("early-subscribe", "register-overlap") => 0.48,
                ("webpki-roots", "lazy-intake") => 0.35,
                _ => 0.0,
            };
            interactions.push(effect(&format!("{one}*{other}"), worth * slower, 0.1 * slower, random));
        }
    }
    ConditionAnalysis {
        condition: condition.clone(),
        invalid: None,
        blocks: 60,
        cells,
        comparisons,
        effects,
        interactions,
        to_floor: Vec::new(),
    }
}

fn cell(model: &Model, slower: f64, random: &mut StdRng) -> CellSummary {
    let mut times = |middle: f64| {
        let values = (0..60)
            .map(|_| middle * slower * (0.93 + 0.1 * random.random::<f64>() + 0.25 * random.random::<f64>().powi(8)));
        summary(values.collect())
    };
    let mut measures = BTreeMap::from([
        ("register".to_owned(), times(model.register)),
        ("ready".to_owned(), times(model.ready)),
        ("init_null".to_owned(), times(model.ready + 0.2)),
        ("cpu_settled".to_owned(), times(model.ready * 1.05)),
        ("cpu_total".to_owned(), times(model.ready * 1.6 + 2.0)),
    ]);
    for (name, value) in [
        ("minor_faults", model.faults),
        ("resident_peak", model.faults * 5.0 + 800.0),
        ("threads", if model.faults > 2000.0 { 4.0 } else { 1.0 }),
        ("file_size", model.mebibytes * 1_048_576.0),
        ("relocations", model.faults * 12.0),
    ] {
        measures.insert(name.to_owned(), summary(vec![value; 60]));
    }
    let ours = matches!(model.kind, CellKind::Build | CellKind::Again { .. });
    CellSummary {
        cell: model.name.clone(),
        program: format!("{:016x}", model.name.len()),
        starts: 60,
        failures: None,
        digest: ours.then(|| "5f1d".to_owned()),
        measures,
        phases: if ours { phases(model, slower) } else { Vec::new() },
    }
}

fn phases(model: &Model, slower: f64) -> Vec<Phase> {
    let between = model.ready - model.register;
    let parts = [
        ("main", model.register * 0.3),
        ("config", model.register * 0.45),
        ("register-sent", model.register * 0.9),
        ("registered", model.register * 1.05),
        ("listening", model.register * 1.05 + between * 0.3),
        ("subscribed", model.register * 1.05 + between * 0.7),
        ("next-sent", model.ready * 0.98),
    ];
    parts.map(|(name, at_ms)| Phase { name: name.to_owned(), at_ms: at_ms * slower }).to_vec()
}

fn summary(mut values: Vec<f64>) -> Summary {
    values.sort_by(f64::total_cmp);
    let mean = values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    Summary { p10: values[5], p50: values[30], p90: values[54], p99: None, mean, values }
}

fn comparison(cell: &CellSummary, reference: &CellSummary) -> Comparison {
    let pair = |name: &String| (&cell.measures[name], &reference.measures[name]);
    let names: Vec<String> = reference.measures.keys().cloned().collect();
    let differences = names.iter().map(|name| {
        let (own, other) = pair(name);
        let width = 0.03 * (own.p90 - own.p10 + other.p90 - other.p10) + 0.0005 * other.p50;
        (name.clone(), estimate(own.p50 - other.p50, width))
    });
    let ratios = names.iter().map(|name| {
        let (own, other) = pair(name);
        let ratio = own.p50 / other.p50;
        let verdict = if ratio < 0.99 { Verdict::Faster } else { Verdict::NoDetectableChange };
        let (low, high) = (ratio * 0.98, ratio * 1.02);
        let counts = estimate(0.0, 0.0);
        (name.clone(), Estimate { value: ratio, low, high, p: 0.01, detectable: 0.03, verdict, ..counts })
    });
    Comparison {
        cell: cell.cell.clone(),
        reference: reference.cell.clone(),
        differences: differences.collect(),
        ratios: ratios.collect(),
    }
}

fn effect(name: &str, worth: f64, noise: f64, random: &mut StdRng) -> Effect {
    let mut about = |worth: f64| {
        let value = worth + noise * (random.random::<f64>() - 0.5);
        estimate(value, noise)
    };
    let switched = Direction { from: "off".to_owned(), to: "on".to_owned() };
    Effect {
        name: name.to_owned(),
        direction: (!name.contains('*')).then_some(switched),
        aliases: Vec::new(),
        estimates: BTreeMap::from([
            ("ready".to_owned(), about(worth)),
            ("register".to_owned(), about(worth * 0.4)),
            ("cpu_settled".to_owned(), about(worth * 0.8)),
        ]),
    }
}

pub fn estimate(value: f64, width: f64) -> Estimate {
    let verdict = match value {
        value if value + width < 0.0 => Verdict::Faster,
        value if value - width > 0.0 => Verdict::Slower,
        _ => Verdict::NoDetectableChange,
    };
    let (low, high) = (value - width, value + width);
    Estimate { value, low, high, p: 0.02, detectable: 1.4 * width, verdict, pairs: 60, family: 14, needed: None }
}

/// A comparison of sets: no factors, so no effects.
pub fn sets() -> Experiment {
    let mut experiment = plausible();
    "sets".clone_into(&mut experiment.analysis.design);
    "sets".clone_into(&mut experiment.plan.design);
    experiment.plan.factors.clear();
    experiment.plan.aliases.clear();
    experiment.analysis.aliases.clear();
    for condition in &mut experiment.analysis.conditions {
        condition.effects.clear();
        condition.interactions.clear();
    }
    experiment
}

/// Everything that can go wrong: an invalid condition, a loss, a no-op, failed starts and a failed build.
pub fn troubled() -> Experiment {
    let mut experiment = sets();
    let [first, second] = experiment.analysis.conditions.as_mut_slice() else { unreachable!("two are simulated") };
    second.invalid = Some("ship and ship-again differ at the ready gate by 0.4 ms [0.1, 0.7]".to_owned());
    judge(second, "", Verdict::InvalidRun);
    judge(first, "seed", Verdict::DigestMismatch);
    judge(first, "ship-fips", Verdict::NoOp);
    first.cells[7].failures = Some("the extension ended with status 101".to_owned());
    first.cells[7].starts = 41;
    experiment.builds.push(BuildRecord {
        schema: SCHEMA,
        cell: "ship-static".to_owned(),
        program: None,
        agent: None,
        sha256: String::new(),
        bytes: 0,
        seconds: 3.0,
        cached: false,
        compiled: None,
        group: None,
        slowdown: None,
        launcher: None,
        brought: std::collections::BTreeSet::new(),
        origin: None,
        same_as: None,
        failure: Some(Failure {
            command: "cargo build --profile release --features ship".to_owned(),
            output: "error: linking with `cc` failed".to_owned(),
        }),
    });
    experiment.builds.push(BuildRecord {
        schema: SCHEMA,
        cell: "ship-eager".to_owned(),
        program: Some("/tmp/ship".into()),
        agent: None,
        sha256: "ab".repeat(32),
        bytes: 4_000_000,
        seconds: 40.0,
        cached: false,
        compiled: None,
        group: None,
        slowdown: None,
        launcher: None,
        brought: std::collections::BTreeSet::new(),
        origin: None,
        same_as: Some("ship".to_owned()),
        failure: None,
    });
    experiment
}

/// The verdict on a cell, or on all of them.
fn judge(found: &mut ConditionAnalysis, cell: &str, verdict: Verdict) {
    for comparison in found.comparisons.iter_mut().filter(|it| cell.is_empty() || it.cell == cell) {
        for estimate in comparison.differences.values_mut().chain(comparison.ratios.values_mut()) {
            estimate.verdict = verdict;
        }
    }
}

/// What was called `from` everywhere is called `to`.
pub fn renamed(experiment: &Experiment, from: &str, to: &str) -> Experiment {
    let mut experiment = experiment.clone();
    let rename = |name: &mut String| {
        if name == from {
            to.clone_into(name);
        }
    };
    experiment.plan.cells.iter_mut().for_each(|cell| rename(&mut cell.id));
    for condition in &mut experiment.analysis.conditions {
        condition.cells.iter_mut().for_each(|cell| rename(&mut cell.cell));
        for comparison in &mut condition.comparisons {
            rename(&mut comparison.cell);
            rename(&mut comparison.reference);
        }
    }
    experiment
}
