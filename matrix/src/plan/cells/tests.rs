use std::collections::BTreeSet;

use super::*;
use crate::test_arguments::parse;

fn manifest() -> &'static Manifest {
    Manifest::embedded().unwrap()
}

fn planned(line: &str) -> Result<(Plan, Vec<String>), Error> {
    plan(manifest(), &parse(line.split_whitespace()))
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.cells.iter().map(|cell| cell.id.as_str()).collect()
}

/// What a cell chooses.
fn chosen(plan: &Plan, id: &str) -> Vec<String> {
    let cell = plan.cells.iter().find(|cell| cell.id == id).unwrap();
    manifest().chosen(&cell.levels).map(|(_, choice)| choice.to_string()).collect()
}

fn refusal(line: &str) -> String {
    planned(line).unwrap_err().to_string()
}

#[test]
fn every_plan_has_the_floor_and_the_first_cell_twice() {
    for design in
        ["sets", "add-one", "leave-one-out", "plackett-burman --exclude static,launcher", "cells --cells seed"]
    {
        let (plan, _) = planned(design).unwrap();
        assert!(plan.cells.iter().any(|cell| cell.kind == CellKind::Floor), "{design}");
        let of = plan.cells[0].id.clone();
        assert!(plan.cells.iter().any(|cell| cell.kind == CellKind::Again { of: of.clone() }), "{design}");
        assert_eq!(crate::plan::check::plan(manifest(), &plan), Vec::<String>::new(), "{design}");
    }
}

#[test]
fn a_list_has_its_cells_in_its_order_wherever_they_come_from() {
    let order = |cells: &str| {
        let (plan, _) =
            planned(&format!("cells --cells {cells} --external sh=/bin/sh --external cat=/bin/cat")).unwrap();
        ids(&plan).join(" ")
    };
    assert_eq!(order("sh,ship+opt-level=3,cat"), "sh ship+opt-level-3 cat floor again");
    assert_eq!(order("cat,sh"), "cat sh floor again");
    assert_eq!(order("ship"), "ship sh cat floor again");
    let (plan, _) = planned("cells --cells sh --external sh=/bin/sh").unwrap();
    assert!(plan.cells.iter().any(|cell| cell.kind == CellKind::Again { of: "sh".to_owned() }));
}

#[test]
fn the_sets_are_cells() {
    let (plan, _) = planned("sets").unwrap();
    assert_eq!(ids(&plan), ["baseline", "seed", "ship", "ship-agent", "floor", "std-floor", "again"]);
    assert!(plan.factors.is_empty() && plan.aliases.is_empty());
}

#[test]
fn a_list_has_the_floor_of_the_standard_library_where_it_names_it() {
    let of = |cells: &str| planned(&format!("cells --cells {cells}")).unwrap().0;
    assert_eq!(ids(&of("ship,std-floor")), ["ship", "floor", "std-floor", "again"]);
    assert_eq!(ids(&of("std-floor,ship")), ["ship", "floor", "std-floor", "again"], "it is never the reference");
    let plan = of("std-floor");
    assert_eq!(ids(&plan), ["floor", "std-floor", "again"]);
    assert!(plan.cells[1].kind == CellKind::StdFloor && plan.cells.iter().all(|cell| cell.kind != CellKind::Build));
    assert_eq!(crate::plan::check::plan(manifest(), &plan), Vec::<String>::new());
    let (plan, _) = planned("cells --cells std-floor --external std-floor=/bin/sh").unwrap();
    assert!(matches!(plan.cells[0].kind, CellKind::External { .. }), "the name is taken");
    assert_eq!(ids(&plan), ["std-floor", "floor", "again"]);
    assert!(refusal("sets --external std-floor=/bin/sh").contains("std-floor is there twice"));
}

#[test]
fn add_one_brings_what_the_one_needs() {
    let (plan, notes) = planned("add-one --factors pipelined-next,opt-level,static-libgcc").unwrap();
    let expected = [
        "baseline",
        "baseline-with-pipelined-next",
        "baseline-with-opt-level-s",
        "baseline-with-opt-level-2",
        "baseline-with-opt-level-3",
        "baseline-with-static-libgcc",
        "floor",
        "again",
    ];
    assert_eq!(ids(&plan), expected);
    assert!(chosen(&plan, "baseline-with-pipelined-next").contains(&"raw-control-plane".to_owned()));
    let needed = "has raw-control-plane, late-runtime, appsec-defer as well";
    assert!(notes.iter().any(|note| note.contains(needed)), "{notes:?}");
}

#[test]
fn add_one_leaves_out_what_cannot_be_or_changes_nothing() {
    let (plan, notes) = planned("add-one --base seed --factors allocator=system,tag-cache,static").unwrap();
    assert_eq!(ids(&plan), ["seed", "seed-with-static", "floor", "again"]);
    assert!(notes.iter().any(|note| note.starts_with("allocator=system is left out")), "{notes:?}");
}

#[test]
fn leave_one_out_drops_what_needed_the_one() {
    let (plan, notes) = planned("leave-one-out --base seed --factors allocator,webpki-roots").unwrap();
    assert_eq!(ids(&plan), ["seed", "seed-without-webpki-roots", "seed-without-allocator", "floor", "again"]);
    assert!(!chosen(&plan, "seed-without-allocator").contains(&"jemalloc-narenas".to_owned()));
    assert!(notes.iter().any(|note| note.contains("without jemalloc-narenas as well")), "{notes:?}");
}

#[test]
fn a_screen_holds_what_others_need_and_leaves_out_what_others_cover() {
    let (plan, notes) = planned("plackett-burman --exclude static,fixed-address,launcher,pipelined-next").unwrap();
    let varies = |name: &str| plan.factors.iter().any(|factor| factor == name);
    assert!(varies("late-runtime") && varies("bind-first"), "{:?}", plan.factors);
    assert!(!varies("raw-control-plane") && !varies("register-overlap") && !varies("opt-level"), "{:?}", plan.factors);
    let builds: Vec<_> = plan.cells.iter().filter(|cell| cell.kind == CellKind::Build).collect();
    assert_eq!(builds.len(), 24, "up to 11 factors");
    assert!(builds.iter().all(|cell| cell.levels["raw-control-plane"] == "on"));
    for text in [
        "raw-control-plane is in every cell, because late-runtime needs it",
        "appsec-defer is in every cell, because late-runtime needs it",
        "register-overlap does not vary: it changes nothing where late-runtime is on",
        "opt-level does not vary: opt-level has several values",
    ] {
        assert!(notes.iter().any(|note| note.starts_with(text)), "{text} is not in {notes:#?}");
    }
}

#[test]
fn the_first_cell_of_a_design_is_low_and_every_cell_differs() {
    let (plan, _) = planned("resolution-4 --factors lazy-intake,tag-cache,bind-first,allocator,opt-level=3").unwrap();
    assert_eq!(chosen(&plan, "r4-01"), ["otlp", "appsec", "allocator=jemalloc"], "that is the baseline");
    assert_eq!(plan.factors, ["lazy-intake", "tag-cache", "bind-first", "allocator", "opt-level"]);
    let builds: Vec<_> = plan.cells.iter().filter(|cell| cell.kind == CellKind::Build).collect();
    let distinct: BTreeSet<_> = builds.iter().map(|cell| &cell.levels).collect();
    assert_eq!((builds.len(), distinct.len()), (16, 16));
    for (factor, high) in [("allocator", "system"), ("opt-level", "3"), ("lazy-intake", "on")] {
        let count = builds.iter().filter(|cell| cell.levels[factor] == high).count();
        assert_eq!(count, 8, "{factor} is high in half of the cells");
    }
}

#[test]
fn a_full_design_does_without_what_cannot_be() {
    let (plan, notes) = planned("full --factors raw-control-plane,late-runtime,bind-first").unwrap();
    assert_eq!(plan.cells.iter().filter(|cell| cell.kind == CellKind::Build).count(), 6);
    assert_eq!(notes.iter().filter(|note| note.ends_with("late-runtime needs raw-control-plane")).count(), 2);
    let alias = plan.aliases.iter().find(|alias| alias.effect == "raw-control-plane").unwrap();
    assert!(alias.with.contains(&"late-runtime".to_owned()), "the cells that are left confound the two");
    let own = plan.aliases.iter().find(|alias| alias.effect == "bind-first").unwrap();
    assert!(own.with.iter().all(|name| name.contains("bind-first*") || name.contains("*bind-first")), "{own:?}");
}

#[test]
fn a_full_design_holds_what_is_needed_and_was_not_named() {
    let (plan, notes) = planned("full --factors pipelined-next,bind-first").unwrap();
    assert_eq!(plan.cells.iter().filter(|cell| cell.kind == CellKind::Build).count(), 4);
    let every = ["raw-control-plane", "late-runtime", "otlp", "appsec", "appsec-defer", "allocator=jemalloc"];
    assert_eq!(chosen(&plan, "full-1"), every);
    let note = "raw-control-plane, late-runtime, appsec-defer: in every cell, because others need it";
    assert!(notes.contains(&note.to_owned()), "{notes:?}");
}

#[test]
fn a_list_has_what_was_named_once() {
    let (plan, notes) =
        planned("cells --cells ship,ship+jemalloc-narenas,ship+jemalloc,ship-register-overlap").unwrap();
    assert_eq!(ids(&plan), ["ship", "ship+jemalloc-narenas", "ship+jemalloc", "floor", "again"]);
    assert!(chosen(&plan, "ship+jemalloc-narenas").contains(&"allocator=jemalloc".to_owned()));
    assert!(notes.contains(&"ship-register-overlap is left out: it is the same as ship".to_owned()), "{notes:?}");
    assert!(refusal("cells --cells seed-jemalloc").contains("jemalloc-narenas needs allocator=jemalloc"));
}

#[test]
fn a_worker_that_cannot_be_ready_in_time_is_refused() {
    let refused = refusal("cells --cells ship-agent,ship-agent-appsec-defer");
    assert!(refused.contains("appsec beside late-runtime needs appsec-defer"), "{refused}");
    let (plan, _) = planned("cells --cells baseline,baseline+appsec-defer,ship-agent-appsec-appsec-defer").unwrap();
    assert_eq!(ids(&plan)[..3], ["baseline", "baseline+appsec-defer", "ship-agent-appsec-appsec-defer"]);
    let (plan, notes) = planned("leave-one-out --factors appsec-defer,tag-cache").unwrap();
    assert_eq!(ids(&plan), ["ship-agent", "ship-agent-without-tag-cache", "floor", "again"]);
    assert!(notes.iter().any(|note| note.starts_with("appsec-defer is left in: appsec beside")), "{notes:?}");
}

#[test]
fn what_the_launcher_makes_moot_takes_no_cells() {
    let refused = refusal("cells --cells ship,ship-bind-first-pipelined-next");
    for text in
        ["the same as ship", "bind-first changes nothing beside launcher", "pipelined-next changes", "ship-agent"]
    {
        assert!(refused.contains(text), "{text} is not in {refused}");
    }
    let (_, notes) = planned("cells --cells ship-bind-first,ship-tag-cache,ship-agent,ship-agent-bind-first").unwrap();
    assert_eq!(notes, ["ship-bind-first: bind-first changes nothing beside launcher"]);
    let (plan, notes) = planned("leave-one-out --base ship --factors bind-first,tag-cache").unwrap();
    assert_eq!(ids(&plan), ["ship", "ship-without-tag-cache", "floor", "again"]);
    assert!(notes.contains(&"bind-first is left in: it changes nothing beside launcher".to_owned()), "{notes:?}");
    let (plan, _) = planned("leave-one-out --factors bind-first,pipelined-next").unwrap();
    let agents = ["ship-agent", "ship-agent-without-bind-first", "ship-agent-without-pipelined-next"];
    assert_eq!(ids(&plan)[..3], agents);
    let (plan, notes) = planned("resolution-4 --base ship --factors bind-first,tag-cache,runtime-sizing").unwrap();
    assert_eq!(plan.factors, ["tag-cache", "runtime-sizing"]);
    assert!(notes.contains(&"bind-first does not vary: it changes nothing beside launcher".to_owned()), "{notes:?}");
    let (_, notes) = planned("full --factors bind-first,launcher").unwrap();
    assert!(notes.iter().any(|note| note.ends_with("bind-first changes nothing beside launcher")), "{notes:?}");
}

#[test]
fn conditions_are_every_combination() {
    let (plan, _) = planned(
        "sets --memory 128,1024,128 --regime boosted,throttled --cache cold --latency lambda --runtime null,sleep:50 --trust-store debian",
    )
    .unwrap();
    assert_eq!(plan.conditions.len(), 8);
    assert_eq!(plan.conditions[0].memory_mb, 128);
    assert!(plan.conditions.iter().all(|condition| condition.cache == crate::plan::Cache::Cold));
}

#[test]
fn a_condition_with_app_and_api_protection_needs_the_component_in_every_cell() {
    let (plan, _) = planned("sets --appsec off,on").unwrap();
    let appsec: Vec<_> = plan.conditions.iter().map(|condition| condition.appsec).collect();
    assert_eq!(appsec, [crate::plan::AppSec::Off, crate::plan::AppSec::On]);
    assert_eq!(crate::plan::check::plan(manifest(), &plan), Vec::<String>::new());
    let (plan, _) = planned("cells --cells baseline,baseline-appsec --appsec on").unwrap();
    let complaints = crate::plan::check::plan(manifest(), &plan);
    assert_eq!(complaints, ["cell baseline-appsec: it has no appsec, and a condition has it on"]);
}

#[test]
fn other_programs_come_with_their_variables() {
    let line = "sets --external sh=/bin/sh --external-env sh:A=b=c --external cat=/bin/cat --own-payload cat";
    let (plan, _) = planned(line).unwrap();
    let kind = |id: &str| plan.cells.iter().find(|cell| cell.id == id).unwrap().kind.clone();
    let CellKind::External { path, environment, own_payload } = kind("sh") else { panic!("{plan:?}") };
    assert!(path.is_absolute() && environment["A"] == "b=c" && !own_payload);
    assert!(matches!(kind("cat"), CellKind::External { own_payload: true, .. }));
    assert!(refusal("sets --own-payload sh").contains("there is no built cell sh with payloads of its own"));
    let (plan, _) = planned("cells --cells ship,seed+opt-level=3 --own-payload seed+opt-level=3").unwrap();
    let own = |plan: &Plan| {
        plan.cells.iter().filter(|cell| plan.sends_its_own(cell)).map(|cell| cell.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(own(&plan), ["seed+opt-level-3"]);
    assert!(refusal("sets --external x=/etc/passwd").contains("executable"));
    assert!(refusal("sets --external-env x:A=b").contains("no --external brings in"));
    assert!(refusal("sets --external ship=/bin/sh").contains("cell ship is there twice"));
}

#[test]
fn what_cannot_be_is_refused_with_advice() {
    assert!(refusal("full").contains("resolution-5"));
    assert!(refusal("resolution-5 --factors opt-level").contains("--factors opt-level=<value>"));
    assert!(refusal("add-one --factors target-cpu=x86-64-v3").contains("SIGILL"));
    assert!(refusal("add-one --factors magic").contains("no factor \"magic\""));
    assert!(refusal("add-one --exclude magic").contains("no factor \"magic\""));
    assert!(refusal("add-one --base magic").contains("no set \"magic\""));
    assert!(refusal("sets --factors static").contains("no use for --factors"));
    assert!(refusal("cells").contains("needs --cells"));
    assert!(refusal("full --factors allocator=jemalloc").contains("what the base has already"));
}

#[test]
fn a_share_has_its_own_blocks_and_the_same_cells() {
    let (whole, _) = planned("sets --blocks 7").unwrap();
    let (share, _) = planned("sets --blocks 7 --shard 1/3").unwrap();
    assert_eq!(whole.cells, share.cells);
    assert_eq!(whole.blocks_here().count(), 7);
    assert_eq!(share.blocks_here().collect::<Vec<_>>(), [1, 4]);
}

#[test]
fn subsets_are_each_none_all_and_a_sample_that_the_seed_decides() {
    let (plan, notes) = planned("subsets --sample 3 --seed 5").unwrap();
    let ids = ids(&plan);
    assert_eq!(ids.first(), Some(&"none"));
    assert_eq!(chosen(&plan, "none"), Vec::<String>::new());
    assert!(
        ["only-tag-cache", "only-early-subscribe", "only-crypto-aws-lc", "only-allocator-jemalloc"]
            .iter()
            .all(|id| ids.contains(id))
    );
    assert!(!ids.contains(&"only-static") && !ids.contains(&"only-opt-level-3"), "no feature: {ids:?}");
    assert_eq!(chosen(&plan, "only-late-runtime"), ["raw-control-plane", "late-runtime"], "with what it needs");
    let most = chosen(&plan, "all");
    assert!(ids.iter().filter_map(|id| id.strip_prefix("only-")).count() == most.len(), "{most:?}");
    assert_eq!(ids.iter().filter(|id| id.starts_with("subset-")).count(), 3);
    assert!(notes.iter().any(|note| note.contains("with the seed 5")), "{notes:?}");
    assert_eq!(planned("subsets --sample 3 --seed 5").unwrap().0, plan);
    assert_ne!(planned("subsets --sample 3 --seed 6").unwrap().0.cells, plan.cells);
    assert_eq!(crate::plan::check::plan(manifest(), &plan), Vec::<String>::new());
}

#[test]
fn a_sample_is_no_larger_than_what_there_is() {
    let (plan, notes) = planned("subsets --factors tag-cache,init-trace --sample 9").unwrap();
    assert_eq!(ids(&plan), ["none", "only-tag-cache", "only-init-trace", "all", "floor", "again"]);
    assert!(notes.iter().any(|note| note == "there are no more than 0 combinations to be drawn"), "{notes:?}");
    assert!(refusal("subsets --base ship").contains("base"));
    assert!(refusal("sets --sample 3").contains("sample"));
}

#[test]
fn subsets_without_singles_are_none_all_and_a_sample() {
    let (plan, _) = planned("subsets --sample 2 --no-singles").unwrap();
    assert_eq!(ids(&plan), ["none", "all", "subset-1", "subset-2", "floor", "again"]);
    assert!(refusal("sets --no-singles").contains("no-singles"));
}
