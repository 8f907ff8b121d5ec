//! Every switch of the manifest makes a difference that can be seen from outside, in each named set where the manifest does not say otherwise.
//!
//! What only tells the compiler or the linker something is seen in a small program. All else is built, quickly, and started in a sandbox under strace, whose
//! platform takes its time to answer. That takes minutes, and so `ci/features` calls it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on has failed")]

use std::collections::BTreeSet;
use std::path::Path;

use crate::switch_support::{
    Case, TracedRun, TracedRuns, built, cases, compiled, is_flag, name, share, target_cfg, without_flags,
};
use matrix::build::recipe::Recipe;
use matrix::elf::Linkage;
use matrix::manifest::{Levels, Manifest};
use object::read::elf::{ElfFile64, FileHeader as _};

/// Sets to look at, separated by commas.
const SETS: &str = "MATRIX_SWITCH_SETS";

/// Whether the switches of [`OBSERVED_APART`] share one program in each set. They have programs of their own without it.
const SHARED: &str = "MATRIX_SWITCHES_SHARED";

/// Switches whose effects are seen in a file, a symbol or a text of their own, which nothing else in this list touches. `init-trace` is none of them: it counts CPUs, as
/// the program without `runtime-sizing` does. Nor is `tag-cache`, which changes the size of a function by a few bytes, nor any switch about the order of steps.
const OBSERVED_APART: &[&str] = &["runtime-sizing", "webpki-roots", "otlp", "appsec", "crypto", "allocator"];

/// How often a switch is looked at again that has shown nothing, or something else each time.
const FURTHER_LIVES: usize = 2;

const REGISTERS: &[&str] = &["POST /2020-01-01/extension/register"];
const REGISTERED: &[&str] = &["Lambda-Extension-Identifier", "lambda-extension-identifier"];
const SUBSCRIBES: &[&str] = &["PUT /2022-07-01/telemetry"];
const NEXT: &[&str] = &["GET /2020-01-01/extension/event/next"];
const FIRST_EVENT: &[&str] = &["eventType"];
const SETTINGS: &[&str] = &["datadog.yaml"];
const TRUST_STORE: &[&str] = &["/ca-certificates.crt", "/ca-bundle.crt", "/etc/ssl/certs", "/etc/pki/tls/certs"];
const RULES: &[&str] = &["/rules.json.gz"];
const DOGSTATSD: &[&str] = &["htons(8125)"];

fn manifest() -> &'static Manifest {
    Manifest::embedded().unwrap()
}

fn set_names() -> Vec<&'static str> {
    manifest().sets.iter().map(|set| set.name.as_str()).collect()
}

#[test]
fn every_switch_matters_in_some_set() {
    let cases = cases(manifest(), &set_names());
    let matter: BTreeSet<&str> = cases.iter().map(|case| case.factor.name.as_str()).collect();
    let missing: Vec<&str> =
        manifest().factors.iter().map(|factor| factor.name.as_str()).filter(|name| !matter.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} change nothing in any set");
}

/// What the flags of a level come to: how the file is linked, how large it is, and which instructions the compiler may use.
fn flag_effect(factor: &str, levels: &Levels) -> String {
    let mut recipe = Recipe::of(manifest(), levels);
    if let Some(level) = recipe.profile.get("opt-level") {
        recipe.rustflags.extend(["-C".to_owned(), format!("opt-level={level}")]);
    }
    if factor == "target-cpu" {
        let target_cfg = target_cfg(&recipe.rustflags);
        let features: BTreeSet<&str> = target_cfg.lines().filter(|line| line.starts_with("target_feature=")).collect();
        return format!("{features:?}");
    }
    if factor == "jemalloc-narenas" {
        // That it gets into the library is for `ci/test` to see, which has the whole program.
        return format!("{:?}", recipe.env);
    }
    let file = compiled(&recipe.rustflags);
    let linkage = Linkage::of(&file).unwrap();
    let elf = ElfFile64::<object::Endianness>::parse(file.as_slice()).unwrap();
    match factor {
        "binding" => linkage.relro.to_string(),
        "static" => format!("{:?}", linkage.interpreter),
        "fixed-address" => format!("{:?}", elf.elf_header().e_type(elf.endian())),
        "static-libgcc" => linkage.libraries.join(" "),
        "opt-level" => format!("{} bytes", file.len()),
        other => panic!("say what can be seen of {other}"),
    }
}

#[test]
fn switches_that_share_a_program_are_all_in_it() {
    let mut shared: Vec<Case<'_>> = cases(manifest(), &["baseline"]);
    let alone = shared.len();
    share(manifest(), &mut shared, OBSERVED_APART);
    let of_list = |case: &&Case<'_>| OBSERVED_APART.contains(&case.factor.name.as_str());
    let programs: BTreeSet<&Levels> = shared.iter().filter(of_list).map(|case| &case.after).collect();
    assert_eq!((shared.len(), programs.len()), (alone, 1));
    for case in shared.iter().filter(of_list) {
        assert_eq!(case.after.get(&case.factor.name).map(String::as_str), Some(case.level), "{}", name(case));
        assert_ne!(case.before.get(&case.factor.name), case.after.get(&case.factor.name), "{}", name(case));
    }
    assert_eq!(shared.iter().filter(of_list).count(), OBSERVED_APART.len());
}

#[test]
fn a_flag_shows_in_the_file() {
    for case in cases(manifest(), &set_names()).iter().filter(|case| is_flag(case.factor)) {
        let [before, after] = [&case.before, &case.after].map(|levels| flag_effect(&case.factor.name, levels));
        assert_ne!(before, after, "{}", name(case));
    }
}

/// What can be seen of a switch in the run of an extension.
fn effect(case: &Case<'_>, run: &TracedRun) -> String {
    match case.factor.name.as_str() {
        // Where it is off, the clients are built before the subscription is sent.
        "early-subscribe" => format!("clients first: {:?}", run.is_before(TRUST_STORE, SUBSCRIBES)),
        "register-overlap" => format!("settings before the answer: {:?}", run.is_before(SETTINGS, REGISTERED)),
        "runtime-sizing" => format!("counts CPUs: {}", run.count("/proc/self/cgroup") > 0),
        "tag-cache" => format!("{} bytes", run.bytes_of_functions("FunctionTags7collect")),
        "raw-control-plane" => format!("a general client's headers: {:?}", run.has(REGISTERS, "accept: */*")),
        "bind-first" => format!("ports before the answer: {:?}", run.is_before(DOGSTATSD, REGISTERED)),
        "pipelined-next" => format!("one write: {}", run.first(SUBSCRIBES) == run.first(NEXT)),
        "late-runtime" => format!("runtime before next: {:?}", run.is_before(&["epoll_create1"], NEXT)),
        // Clients without a store to be read make no calls, but where they are lazy they have a thread.
        "lazy-intake" => match run.is_before(TRUST_STORE, SUBSCRIBES) {
            Some(is_before) => format!("clients before the subscription: {is_before}"),
            None => format!("{} threads before the first event", run.count_before("CLONE_THREAD", FIRST_EVENT)),
        },
        "init-trace" => format!("checkpoints: {}", run.wrote_checkpoints),
        "webpki-roots" => format!("reads the store: {}", run.first(TRUST_STORE).is_some()),
        "appsec" => format!("looks for rules: {}", run.first(RULES).is_some()),
        "appsec-defer" => format!("rules before next: {:?}", run.is_before(RULES, NEXT)),
        "otlp" => format!("a receiver: {}", run.bytes_of_functions("otlp7enabled") > 0),
        "crypto" => format!("aws-lc: {}", run.bytes_of_functions("aws_lc") > 0),
        "allocator" => format!("jemalloc: {}", run.count("/proc/sys/vm/overcommit_memory") > 0),
        "launcher" => format!("{} programs", run.count("execve(")),
        other => panic!("say what can be seen of {other}"),
    }
}

/// What a switch makes of an effect, if two runs with and without it in a row show the same difference; otherwise all that was seen. What two threads do side by
/// side may come in the same order, or in another one, by chance.
fn difference(known: [String; 2], mut again: impl FnMut() -> [String; 2]) -> Result<[String; 2], Vec<[String; 2]>> {
    let mut seen = vec![known];
    for _ in 0..=FURTHER_LIVES {
        let next = again();
        if next[0] != next[1] && seen.last() == Some(&next) {
            return Ok(next);
        }
        seen.push(next);
    }
    Err(seen)
}

#[test]
fn a_difference_by_chance_is_none() {
    let of = |seen: &[&str]| {
        let mut runs =
            seen.iter().map(|pair| pair.split(' ').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap());
        let known = runs.next().unwrap();
        difference(known, || runs.next().unwrap()).is_ok()
    };
    assert!(of(&["a b", "a b"]));
    assert!(of(&["a a", "a b", "a b"]));
    assert!(of(&["b a", "a a", "a b", "a b"]));
    assert!(!of(&["a a", "a a", "a a", "a a"]));
    assert!(!of(&["a b", "a a", "a b", "a a"]), "never twice in a row");
    assert!(!of(&["a b", "b a", "a b", "b a"]));
}

#[test]
#[ignore = "builds dozens of programs; ci/features calls it"]
fn a_switch_shows_in_the_life_of_the_extension() {
    let asked = std::env::var(SETS).unwrap_or_else(|_| "baseline,seed,ship-agent".to_owned());
    let sets: Vec<&str> = set_names().into_iter().filter(|set| asked.split(',').any(|asked| asked == *set)).collect();
    assert_eq!(sets.len(), asked.split(',').count(), "{SETS}={asked} names sets that there are not");
    let cases = cases(manifest(), &sets).into_iter();
    let mut cases: Vec<Case<'_>> = cases.filter(|case| !is_flag(case.factor)).collect();
    if std::env::var_os(SHARED).is_some() {
        share(manifest(), &mut cases, OBSERVED_APART);
    }
    let mut levels: Vec<Levels> = Vec::new();
    let mut place = |of: &Levels| {
        let plain = without_flags(manifest(), of);
        levels.iter().position(|known| *known == plain).unwrap_or_else(|| {
            levels.push(plain);
            levels.len() - 1
        })
    };
    let places: Vec<[usize; 2]> = cases.iter().map(|case| [place(&case.before), place(&case.after)]).collect();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("switches");
    let programs = built(&folder, &levels);
    let mut runs = TracedRuns::new(&folder, &programs);
    let mut same = Vec::new();
    for (case, places) in cases.iter().zip(places) {
        let mut rounds = 0..;
        let mut effects = || {
            let round = rounds.next().unwrap();
            places.map(|place| effect(case, runs.of(round, place)))
        };
        match difference(effects(), effects) {
            Ok([before, after]) => eprintln!("{}: {before}, then {after}", name(case)),
            Err(seen) => same.push(format!("{}: {seen:?} (cells {places:?})", name(case))),
        }
    }
    assert!(same.is_empty(), "\n{}", same.join("\n"));
}
