//! The cells in which a switch is said to matter, and what can be seen of a program from outside.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use matrix::build::{self, BuildRecord};
use matrix::executable;
use matrix::manifest::{Choice, Factor, Levels, Manifest, Tier};
use matrix::plan::{Cell, CellKind, Condition, Plan, SCHEMA, file};
use matrix::sandbox::faults::{Calls, Effect, Endpoint, Fault};
use matrix::sandbox::setup::LayerFile;
use matrix::sandbox::{Extension, Sandbox, Setup, intake};
use object::{Object as _, ObjectSymbol as _};

/// How long the platform takes to answer the registration and the subscription. What the extension does meanwhile comes before the answer.
const DELAY: Duration = Duration::from_millis(250);

/// A named set with one switch at another level.
pub struct Case<'m> {
    pub set: &'m str,
    pub factor: &'m Factor,
    pub level: &'m str,
    /// The set itself, with what the switch needs.
    pub before: Levels,
    /// The set with the switch at that level.
    pub after: Levels,
}

/// Each switch at each other level in each set where the manifest lets it make a difference.
pub fn cases<'m>(manifest: &'m Manifest, sets: &[&'m str]) -> Vec<Case<'m>> {
    let mut cases = Vec::new();
    for set in sets {
        let levels = manifest.set_levels(set).unwrap();
        for factor in &manifest.factors {
            let before = with_needs(manifest, &levels, factor);
            let others = factor.levels().into_iter().map(|level| level.name);
            let others = others.filter(|level| before.get(&factor.name).is_none_or(|before| before != level));
            for level in others.filter(|level| !factor.is_apart(level)) {
                let mut after = before.clone();
                after.insert(factor.name.clone(), level.to_owned());
                drop_dependents(manifest, &mut after);
                let is_chosen = after.get(&factor.name).is_some_and(|after| after == level);
                let is_inert = factor.subsumed_by.iter().any(|above| above.holds(&before));
                if is_chosen && !is_inert && [&before, &after].iter().all(|levels| manifest.illegal(levels).is_none()) {
                    cases.push(Case { set, factor, level, before: before.clone(), after });
                }
            }
        }
    }
    cases
}

/// Lets the cases of a set share one program that has all of these switches at their other levels, if they need nothing beside the set.
pub fn share(manifest: &Manifest, cases: &mut [Case<'_>], switches: &[&str]) {
    let sets: BTreeSet<&str> = cases.iter().map(|case| case.set).collect();
    for set in sets {
        let levels = manifest.set_levels(set).unwrap();
        let is_shared =
            |case: &Case<'_>| case.set == set && case.before == levels && switches.contains(&case.factor.name.as_str());
        let mut shared = levels.clone();
        for case in cases.iter().filter(|case| is_shared(case)) {
            shared.insert(case.factor.name.clone(), case.level.to_owned());
        }
        drop_dependents(manifest, &mut shared);
        if let Some(reason) = manifest.illegal(&shared) {
            panic!("{switches:?} cannot share a program in {set}: {reason}");
        }
        for case in cases.iter_mut().filter(|case| is_shared(case)) {
            // Of a switch with several other levels, one is in the program; the others keep programs of their own.
            if shared.get(&case.factor.name).is_some_and(|level| level == case.level) {
                case.after = shared.clone();
            }
        }
    }
}

/// These levels with what a switch needs, and what that needs.
fn with_needs(manifest: &Manifest, levels: &Levels, factor: &Factor) -> Levels {
    let mut levels = levels.clone();
    let joint = manifest.factors.iter().filter(|other| levels.get(&other.name).is_some_and(|level| level == "on"));
    let joint = joint.flat_map(|other| &other.beside).filter(|joint| joint.choice.factor == factor.name);
    let joint: Vec<Choice> = joint.map(|joint| joint.requires.clone()).collect();
    levels.extend(joint.into_iter().map(|choice| (choice.factor, choice.level)));
    for needed in factor.requires.iter().filter(|needed| !needed.holds(&levels)).cloned().collect::<Vec<_>>() {
        levels = with_needs(manifest, &levels, manifest.factor(&needed.factor).unwrap());
        levels.insert(needed.factor, needed.level);
    }
    levels
}

/// Turns off what needs something that is not there.
fn drop_dependents(manifest: &Manifest, levels: &mut Levels) {
    loop {
        let dependent =
            manifest.chosen(levels).find(|(factor, _)| factor.requires.iter().any(|required| !required.holds(levels)));
        let Some((factor, _)) = dependent else { return };
        let (name, reference) = (factor.name.clone(), factor.reference().to_owned());
        levels.insert(name, reference);
    }
}

/// These levels without what the sources know nothing of, so that all programs share their dependencies.
pub fn without_flags(manifest: &Manifest, levels: &Levels) -> Levels {
    let mut plain = levels.clone();
    for factor in manifest.factors.iter().filter(|factor| is_flag(factor)) {
        plain.insert(factor.name.clone(), factor.reference().to_owned());
    }
    plain
}

/// Whether a switch is a matter of the compiler or of the linker alone.
pub fn is_flag(factor: &Factor) -> bool {
    factor.tier == Tier::C && factor.levels().iter().all(|level| !level.setting.launcher)
}

/// The programs of these levels, built quickly, in the order of the levels.
pub fn built(folder: &Path, levels: &[Levels]) -> Vec<BuildRecord> {
    let cell = |(number, levels): (usize, &Levels)| Cell {
        id: format!("cell-{number}"),
        kind: CellKind::Build,
        levels: levels.clone(),
    };
    let condition = Condition {
        memory_mb: 1024,
        regime: matrix::plan::Regime::Boosted,
        cache: matrix::plan::Cache::Warm,
        platform: matrix::plan::Latency::Loopback,
        trust_store: matrix::plan::TrustStore::Host,
        runtime: "null".to_owned(),
        fault: matrix::plan::InjectedFault::None,
        appsec: matrix::plan::AppSec::Off,
    };
    let plan = Plan {
        schema: SCHEMA,
        seed: 1,
        design: "cells".to_owned(),
        factors: Vec::new(),
        cells: levels.iter().enumerate().map(cell).collect(),
        aliases: Vec::new(),
        conditions: vec![condition],
        blocks: 1,
        own_payload: Vec::new(),
        shard: None,
    };
    fs::create_dir_all(folder).unwrap();
    file::write(&plan, folder).unwrap();
    let mut matrix = Command::new(env!("CARGO_BIN_EXE_matrix"));
    let status = matrix.arg("build").arg(folder).args(["--profile", "dev"]).status().unwrap();
    assert!(status.success(), "a cell of {} could not be built", folder.display());
    let lines = fs::read_to_string(folder.join(build::FILE)).unwrap();
    let lines = build::latest(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect());
    let located = lines.into_iter().map(|built| (built.cell.clone(), built.located(folder)));
    let by_cell: BTreeMap<String, BuildRecord> = located.collect();
    plan.cells.iter().map(|cell| by_cell.get(&cell.id).unwrap().clone()).collect()
}

/// The runs of programs, in rounds: in each of them a program runs once, however many cases look at it.
pub struct TracedRuns<'p> {
    folder: &'p Path,
    programs: &'p [BuildRecord],
    rounds: BTreeMap<(usize, usize), TracedRun>,
}

impl<'p> TracedRuns<'p> {
    pub fn new(folder: &'p Path, programs: &'p [BuildRecord]) -> Self {
        Self { folder, programs, rounds: BTreeMap::new() }
    }

    /// The run of a program, given by its index, in a round.
    pub fn of(&mut self, round: usize, place: usize) -> &TracedRun {
        let run = || TracedRun::of(self.folder, self.programs.get(place).unwrap());
        self.rounds.entry((round, place)).or_insert_with(run)
    }
}

/// What an extension did in a sandbox: its system calls, in order, and what it left behind.
pub struct TracedRun {
    calls: Vec<String>,
    /// Whether it wrote the checkpoints of its start, which it was asked for.
    pub wrote_checkpoints: bool,
    program: PathBuf,
}

impl TracedRun {
    /// Starts the extension under strace, invokes a function once, and ends the sandbox.
    pub fn of(folder: &Path, built: &BuildRecord) -> Self {
        let folder = folder.join("runs").join(&built.cell);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let (calls, checkpoints) = (folder.join("calls"), folder.join("checkpoints"));
        let program = built.program.clone().unwrap().canonicalize().unwrap();
        let starter = folder.join("datadog-agent");
        // SIGTERM ends strace and what it follows.
        let script = format!("#!/bin/sh\nexec strace -f -qq -s 3000 -o {} -- {}\n", calls.display(), program.display());
        executable::write(&starter, script).unwrap();
        let mut extension = Extension::new("datadog-agent", starter);
        extension.environment.insert("BOTTLECAP_INIT_TRACE".to_owned(), checkpoints.display().to_string());
        // There is no worker to be found, but a build that could start one looks for its rules.
        extension.environment.insert("DD_SERVERLESS_APPSEC_ENABLED".to_owned(), "true".to_owned());
        if let Some(agent) = &built.agent {
            let source = agent.canonicalize().unwrap();
            extension.layer_files.push(LayerFile { place: PathBuf::from("bottlecap/agent"), source });
        }
        let delayed = |endpoint| Fault { endpoint, calls: Calls::Only(1), effect: Effect::Delay(DELAY) };
        let setup = Setup {
            extensions: vec![extension],
            intake: Some(intake::Plan::default()),
            faults: vec![delayed(Endpoint::Register), delayed(Endpoint::Subscribe)],
            ..Setup::default()
        };
        let sandbox = Sandbox::start(setup).unwrap();
        sandbox.invoke(b"{}").unwrap();
        sandbox.shutdown().unwrap();
        let text = String::from_utf8_lossy(&fs::read(&calls).unwrap()).into_owned();
        let calls = text.lines().map(str::to_owned).collect();
        Self { calls, wrote_checkpoints: checkpoints.exists(), program: built.agent.clone().unwrap_or(program) }
    }

    /// Where the first call stands that has one of these texts in it.
    pub fn first(&self, texts: &[&str]) -> Option<usize> {
        self.calls.iter().position(|call| texts.iter().any(|text| call.contains(text)))
    }

    /// Whether the one comes before the other; None if either is missing.
    pub fn is_before(&self, one: &[&str], other: &[&str]) -> Option<bool> {
        Some(self.first(one)? < self.first(other)?)
    }

    /// Whether the first call with one of these texts has this one as well; None without such a call.
    pub fn has(&self, texts: &[&str], other: &str) -> Option<bool> {
        Some(self.calls.get(self.first(texts)?)?.contains(other))
    }

    /// How many calls have this text in them.
    pub fn count(&self, text: &str) -> usize {
        self.calls.iter().filter(|call| call.contains(text)).count()
    }

    /// The same, before the first call with one of these texts.
    pub fn count_before(&self, text: &str, texts: &[&str]) -> usize {
        let end = self.first(texts).unwrap_or(self.calls.len());
        self.calls.iter().take(end).filter(|call| call.contains(text)).count()
    }

    /// The bytes of all functions of the program whose names have this text in them.
    pub fn bytes_of_functions(&self, text: &str) -> u64 {
        let file = fs::read(&self.program).unwrap();
        let elf = object::File::parse(file.as_slice()).unwrap();
        let named = elf.symbols().filter(|symbol| symbol.name().is_ok_and(|name| name.contains(text)));
        named.map(|symbol| symbol.size()).sum()
    }
}

/// A small program, built with these flags of rustc.
pub fn compiled<S: AsRef<OsStr>>(flags: &[S]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("program.rs"), folder.path().join("program"));
    fs::write(&source, "fn main() { println!(\"{:?}\", std::env::args().collect::<Vec<_>>()); }\n").unwrap();
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(env!("CARGO_MANIFEST_DIR")).args(["--target", &matrix::target::plain(), "-C", "strip=symbols"]);
    let made = rustc.args(flags).arg("-o").arg(&program).arg(&source).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::read(program).unwrap()
}

/// What the compiler knows of its target with these flags.
pub fn target_cfg<S: AsRef<OsStr>>(flags: &[S]) -> String {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--target", &matrix::target::plain(), "--print", "cfg"])
        .args(flags);
    String::from_utf8(rustc.output().unwrap().stdout).unwrap()
}

/// What a switch is called in messages.
pub fn name(case: &Case<'_>) -> String {
    format!("{} with {}", case.set, Choice::new(&case.factor.name, case.level))
}
