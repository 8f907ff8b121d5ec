//! Effects that were planted in designed experiments, and effects that a design does not separate.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails as the test does"
)]

use std::collections::BTreeMap;

use crate::analyze_support::*;
use matrix::analyze::{Analysis, Effect, Verdict, analyze};
use matrix::build::BuildRecord;
use matrix::plan::design::fraction::fraction;
use matrix::plan::design::plackett_burman::plackett_burman as screen;
use matrix::plan::design::{Matrix, full};
use matrix::plan::{Cell, CellKind, Plan, SCHEMA};

/// What `a` and `b` change on their own, and what `a` and `b` change together, in ms from off to on.
const A: f64 = -1.2;
const B: f64 = 0.8;
const BOTH: f64 = 0.9;

fn truth(cell: &Cell) -> f64 {
    let (a, b) = (sign(cell, "a"), sign(cell, "b"));
    5.0 + A / 2.0 * a + B / 2.0 * b + BOTH / 2.0 * a * b
}

fn simulate(plan: &Plan, seed: u64) -> Analysis {
    let samples = Machine::new(seed).run(plan, &["ready"], |cell, _| truth(cell));
    analyze(plan, &[], &samples, RESAMPLES)
}

fn rows(rows: &[String]) -> Vec<&str> {
    rows.iter().map(String::as_str).collect()
}

/// The mean estimate of an effect over many runs.
fn typical(plan: &Plan, runs: u32, name: &str) -> f64 {
    let estimates = (0..runs).map(|seed| {
        let analysis = simulate(plan, u64::from(seed));
        let found = only(&analysis);
        effect(if name.contains('*') { &found.interactions } else { &found.effects }, name).value
    });
    estimates.sum::<f64>() / f64::from(runs)
}

fn names(effects: &[Effect]) -> Vec<&str> {
    effects.iter().map(|effect| effect.name.as_str()).collect()
}

fn noted<'a>(analysis: &'a Analysis, words: &str) -> &'a str {
    analysis.notes.iter().find(|note| note.contains(words)).unwrap_or_else(|| panic!("{words}: {:?}", analysis.notes))
}

#[test]
fn a_folded_plackett_burman_design_holds_every_main_effect_clear_of_interactions() {
    let design = folded(&plackett_burman());
    let plan = designed(&rows(&design), 12);
    let (mut covered, mut alarms, mut found) = (Rate::default(), Rate::default(), Rate::default());
    for seed in 0..100 {
        let analysis = simulate(&plan, seed);
        let condition = only(&analysis);
        assert_eq!(condition.effects.len(), 11);
        for one in &condition.effects {
            let truth = if one.name == "a" {
                A
            } else if one.name == "b" {
                B
            } else {
                0.0
            };
            covered.count(covers(&one.estimates["ready"], truth));
        }
        alarms.count(condition.effects.iter().skip(2).any(|one| is_found(&one.estimates["ready"])));
        found.count(effect(&condition.effects, "a").verdict == Verdict::Faster);
        found.count(effect(&condition.effects, "b").verdict == Verdict::Slower);
    }
    assert!((0.93..=0.97).contains(&covered.share()), "{covered:?}");
    assert!(alarms.share() <= 0.06 && found.share() >= 0.8, "{alarms:?} {found:?}");
}

#[test]
fn main_effect_of_an_unfolded_screen_names_its_aliases_and_is_not_found() {
    let design = plackett_burman();
    let plan = designed(&rows(&design), 12);
    // A third of the interaction goes into each main effect that is not its own, as the columns' product says.
    let product = |row: &&String| {
        let sign = |at: usize| if row.as_bytes()[at] == b'+' { 1.0 } else { -1.0 };
        sign(0) * sign(1) * sign(2)
    };
    let share = design.iter().map(|row| product(&row)).sum::<f64>() / 12.0;
    assert!((share.abs() - 1.0 / 3.0).abs() < 1e-9);
    let c = typical(&plan, 30, "c");
    assert!((c - share * BOTH).abs() < 0.06, "{c} {share}");
    let analysis = simulate(&plan, 1);
    let found = only(&analysis);
    assert_eq!((found.effects.len(), found.interactions.len()), (11, 0));
    for effect in &found.effects {
        assert_eq!(effect.aliases.len(), 45, "{}: all pairs of other factors", effect.name);
        assert!(!is_found(&effect.estimates["ready"]), "{effect:?}");
    }
    assert!(found.effects[2].aliases.contains(&"a*b".to_owned()));
    noted(&analysis, "do not separate these main effects from interactions");
}

#[test]
fn a_full_design_recovers_effects_and_their_interaction() {
    let plan = designed(&["---", "--+", "-+-", "-++", "+--", "+-+", "++-", "+++"], 20);
    let mut covered = Rate::default();
    for seed in 0..120 {
        let analysis = simulate(&plan, seed);
        let found = only(&analysis);
        assert_eq!(names(&found.interactions), ["a*b", "a*c", "b*c"]);
        covered.count(covers(effect(&found.effects, "a"), A));
        covered.count(covers(effect(&found.effects, "c"), 0.0));
        // Half the difference between what a changes with b and what it changes without.
        covered.count(covers(effect(&found.interactions, "a*b"), ((A + BOTH) - (A - BOTH)) / 2.0));
        covered.count(covers(effect(&found.interactions, "b*c"), 0.0));
        assert_eq!(effect(&found.interactions, "a*b").verdict, Verdict::Slower);
    }
    assert!((0.92..=0.98).contains(&covered.share()), "{covered:?}");
}

#[test]
fn cells_that_could_not_be_built_leave_the_rest_of_a_design_unbiased() {
    let full: Vec<String> =
        (0..16_u32).map(|row| (0..4).map(|at| if row >> at & 1 == 1 { '+' } else { '-' }).collect()).collect();
    let plan = designed(&rows(&full), 14);
    let samples = Machine::new(5).run(&plan, &["ready"], |cell, _| truth(cell));
    let left: Vec<_> =
        samples.into_iter().filter(|start| !["cell-3", "cell-12"].contains(&start.cell.as_str())).collect();
    let analysis = analyze(&plan, &[], &left, RESAMPLES);
    let found = only(&analysis);
    assert_eq!((found.effects.len(), found.interactions.len()), (4, 6));
    assert!(covers(effect(&found.effects, "a"), A) && covers(effect(&found.interactions, "a*b"), BOTH));
    noted(&analysis, "No start counts of cell-3, cell-12");
    noted(&analysis, "without cell-3, cell-12");
}

#[test]
fn what_the_cells_do_not_determine_is_left_out_and_named() {
    // c is the product of a and b, and d never changes.
    let mut plan = designed(&["--+-", "-+--", "+---", "+++-"], 12);
    let analysis = simulate(&plan, 3);
    assert_eq!(names(&only(&analysis).effects), ["a", "b", "c"]);
    assert!(only(&analysis).interactions.is_empty());
    assert!(noted(&analysis, "left out").contains("d, a*b, a*c, b*c"), "{:?}", analysis.notes);
    assert!(only(&analysis).effects.iter().all(|effect| !is_found(&effect.estimates["ready"])));
    // An interaction that the plan knew to be lost is no news.
    plan.factors.pop();
    plan.aliases = vec![alias("a*b", &["c"]), alias("a*c", &["b"]), alias("b*c", &["a"])];
    let notes = simulate(&plan, 3).notes;
    assert!(notes.len() == 1 && notes[0].contains("none of them is called found: a, b, c"), "{notes:?}");
}

#[test]
fn of_interactions_that_are_aliases_the_reported_one_is_estimated() {
    // Resolution IV: d = a·b·c, so that a·b and c·d are one column.
    let plan = designed(&["----", "--++", "-+-+", "-++-", "+--+", "+-+-", "++--", "++++"], 16);
    let analysis = simulate(&plan, 2);
    assert_eq!(names(&only(&analysis).interactions), ["a*b", "a*c", "a*d"]);
    assert!(covers(effect(&only(&analysis).interactions, "a*b"), BOTH));
    assert_eq!(only(&analysis).interactions[0].aliases, ["c*d"]);
    assert_eq!(analysis.notes, Vec::<String>::new());
}

#[test]
fn leaving_one_out_is_a_comparison_with_the_rest() {
    let plan = designed(&["+++", "-++", "+-+", "++-"], 16);
    let analysis = simulate(&plan, 4);
    let without = difference(&analysis, "cell-1", "ready");
    let with = effect(&only(&analysis).effects, "a");
    assert!((with.value + without.value).abs() < 1e-9 && (with.p - without.p).abs() < 1e-9);
}

#[test]
fn a_factor_that_changes_no_program_is_a_no_op() {
    let plan = designed(&["--", "+-", "-+", "++"], 10);
    let built = |cell: &str, same_as: Option<&str>| BuildRecord {
        schema: SCHEMA,
        cell: cell.to_owned(),
        program: None,
        agent: None,
        sha256: String::new(),
        bytes: 0,
        seconds: 0.0,
        cached: false,
        compiled: None,
        group: None,
        slowdown: None,
        launcher: None,
        brought: std::collections::BTreeSet::new(),
        origin: None,
        same_as: same_as.map(str::to_owned),
        failure: None,
    };
    let builds = [built("cell-0", None), built("cell-1", Some("cell-0")), built("cell-3", Some("cell-2"))];
    let mut samples = Machine::new(6).run(&plan, &["ready"], |cell, _| 4.0 + sign(cell, "b"));
    samples.retain(|start| ["cell-0", "cell-2"].contains(&start.cell.as_str()));
    let analysis = analyze(&plan, &builds, &samples, RESAMPLES);
    let found = only(&analysis);
    let a = effect(&found.effects, "a");
    assert_eq!((a.verdict, a.value, a.low, a.high), (Verdict::NoOp, 0.0, 0.0, 0.0));
    assert!(covers(effect(&found.effects, "b"), 2.0));
    assert_eq!(difference(&analysis, "cell-1", "ready").verdict, Verdict::NoOp);
    // The same program as another that differs from the reference is worth what that is worth.
    assert_eq!(difference(&analysis, "cell-3", "ready"), difference(&analysis, "cell-2", "ready"));
    assert_eq!(analysis.notes, Vec::<String>::new());
}

#[test]
fn an_axis_is_read_from_its_first_value_to_the_other() {
    let mut plan = designed(&["-", "+"], 10);
    for (cell, provider) in plan.cells.iter_mut().zip(["ring", "aws-lc"]) {
        cell.levels.insert("a".to_owned(), provider.to_owned());
    }
    plan.cells.push(Cell { kind: CellKind::Floor, levels: BTreeMap::new(), ..cell("floor") });
    let samples = Machine::new(8).run(&plan, &["ready"], |cell, _| if cell.id == "cell-1" { 9.0 } else { 5.0 });
    let analysis = analyze(&plan, &[], &samples, RESAMPLES);
    assert!(covers(effect(&only(&analysis).effects, "a"), 4.0));
    noted(&analysis, "The effect of a is that of going from ring to aws-lc.");
    // The direction is the plan's, whatever cell comes first among those that are left.
    let samples: Vec<_> = Machine::new(8)
        .run(&plan, &["ready"], |cell, _| if cell.id == "cell-1" { 9.0 } else { 5.0 })
        .into_iter()
        .filter(|start| start.cell != "cell-0")
        .collect();
    assert!(only(&analyze(&plan, &[], &samples, RESAMPLES)).effects.is_empty());
}

/// What is true of a simulated experiment: these effects are worth 1.5 ms each, and nothing else is worth anything.
const TRUTHS: [&[&str]; 4] = [&[], &["a"], &["a", "b"], &["a*b"]];
const WORTH: f64 = 1.5;
const RUNS_OF_EACH: u64 = 25;

fn planted(cell: &Cell, truth: &[&str]) -> f64 {
    let of = |name: &&str| name.split('*').map(|factor| sign(cell, factor)).product::<f64>() * WORTH / 2.0;
    5.0 + truth.iter().map(of).sum::<f64>()
}

fn signs(design: &Matrix) -> Vec<String> {
    design.runs.iter().map(|run| run.iter().map(|high| if *high { '+' } else { '-' }).collect()).collect()
}

/// Whether a run calls something found that is not there: a main effect that is none, an interaction that neither is one nor stands for one.
fn is_wrong(analysis: &Analysis, truth: &[&str]) -> bool {
    let found = only(analysis);
    let is_true = |effect: &Effect| {
        let named = |name: &str| truth.contains(&name);
        let stands_for = effect.name.contains('*') && effect.aliases.iter().any(|alias| named(alias));
        named(&effect.name) || stands_for
    };
    let mut claimed = found.effects.iter().chain(&found.interactions);
    claimed.any(|effect| effect.estimates.values().any(is_found) && !is_true(effect))
}

#[test]
fn simulated_truths_hold_the_error_rate_with_and_without_a_missing_cell() {
    let designs = [screen(11).unwrap(), fraction(6, 4).unwrap(), fraction(8, 4).unwrap(), full(3).unwrap()];
    let (mut wrong, mut found) = (Rate::default(), Rate::default());
    for (number, design) in designs.iter().enumerate() {
        let rows: Vec<String> = signs(design);
        let plan = designed(&rows.iter().map(String::as_str).collect::<Vec<_>>(), 12);
        for truth in TRUTHS {
            for missing in [false, true] {
                let mut here = Rate::default();
                for seed in 0..RUNS_OF_EACH {
                    let mut samples =
                        Machine::new(seed + 1000 * number as u64)
                            .run(&plan, &["register", "ready"], |cell, _| planted(cell, truth));
                    let gone = &plan.cells[usize::try_from(seed).unwrap() % plan.cells.len()].id;
                    samples.retain(|start| !missing || start.cell != *gone);
                    let analysis = analyze(&plan, &[], &samples, RESAMPLES);
                    here.count(is_wrong(&analysis, truth));
                    wrong.count(is_wrong(&analysis, truth));
                    if truth == ["a", "b"] && !missing {
                        found.count(is_found(effect(&only(&analysis).effects, "a")));
                    }
                }
                assert!(here.share() <= 0.16, "design {number}, {truth:?}, missing {missing}: {here:?}");
            }
        }
    }
    assert!(wrong.share() <= 0.055, "{wrong:?}");
    assert!(found.share() >= 0.9, "{found:?}");
}

#[test]
fn missing_cell_of_a_screening_design_widens_intervals_only() {
    let rows = signs(&screen(11).unwrap());
    let plan = designed(&rows.iter().map(String::as_str).collect::<Vec<_>>(), 20);
    let mut samples = Machine::new(3).run(&plan, &["ready"], |cell, _| planted(cell, &["a*b"]));
    samples.retain(|start| start.cell != "cell-5");
    let analysis = analyze(&plan, &[], &samples, RESAMPLES);
    assert_eq!(only(&analysis).effects.len(), 11);
    assert!(only(&analysis).effects.iter().all(|effect| effect.aliases.is_empty()), "{:?}", only(&analysis).effects);
    let found: Vec<&str> = only(&analysis)
        .effects
        .iter()
        .filter(|effect| is_found(&effect.estimates["ready"]))
        .map(|effect| effect.name.as_str())
        .collect();
    assert_eq!(found, Vec::<&str>::new());
}

#[test]
fn effects_that_a_missing_cell_takes_are_named() {
    // Eight main effects and seven sums of interactions of 16 cells: 15 cells hold none of them apart.
    let rows = signs(&fraction(8, 4).unwrap());
    let plan = designed(&rows.iter().map(String::as_str).collect::<Vec<_>>(), 12);
    let mut samples = Machine::new(3).run(&plan, &["ready"], |cell, _| planted(cell, &["a"]));
    samples.retain(|start| start.cell != "cell-5");
    let analysis = analyze(&plan, &[], &samples, RESAMPLES);
    noted(&analysis, "none of them is called found: a, b, c, d, e, f, g, h");
    assert!(noted(&analysis, "are left out").contains("a*b"), "{:?}", analysis.notes);
    assert!(only(&analysis).effects.iter().all(|effect| !effect.aliases.is_empty()));
}
