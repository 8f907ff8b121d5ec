//! How long builds take, by what this machine has built before.

use std::collections::BTreeMap;

use crate::build::BuildRecord;
use crate::build::dependencies::Dependencies;
use crate::build::recipe::Group;

/// Guesses for a machine of two cores, used until there is something better, and always named as guesses.
pub(super) const GUESS: Pace = Pace { first: 120.0, further: 60.0 };
/// The launcher and the few crates that it is made of.
pub(super) const LAUNCHER_SECONDS: f64 = 10.0;
/// Crates of ours, and their build scripts: what is compiled where all dependencies are there.
const ALONE: usize = 4;
/// What the C code of a feature adds to the first build that has it, where no earlier build tells. That of FIPS was measured: its build scripts run beside the compiler, so that
/// `ship-fips` took as long from nothing as `ship`, 155 to 161 s and 160 s on two cores.
pub(super) const C_SECONDS: [(&str, f64); 3] = [("aws-lc", 60.0), ("fips", 30.0), ("jemalloc", 30.0)];

/// How long builds take, and how we know.
pub(super) struct BuildSeconds {
    /// Of groups of flags that were never built.
    pub(super) any: Pace,
    /// Of those that were: flags decide how long the optimizer takes.
    pub(super) groups: BTreeMap<Group, Pace>,
    pub(super) launcher: f64,
    /// What the C code of a feature adds to either.
    pub(super) c_code: BTreeMap<&'static str, f64>,
    pub(super) basis: String,
}

/// A program that is to be built.
pub(super) struct Program {
    /// The cell, or that it is a launcher.
    pub(super) name: String,
    pub(super) needs: Dependencies,
}

/// Seconds of a build of one program without new C code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// The first of a group, which compiles everything.
    pub(super) first: f64,
    /// Any other of it.
    pub(super) further: f64,
}

/// An earlier build of an agent, as it is measured.
struct AgentBuild<'b> {
    record: &'b BuildRecord,
    /// Without the launcher's, and as on an idle machine.
    seconds: f64,
    /// Whether it compiled everything.
    is_first: bool,
}

impl BuildSeconds {
    /// From the lines of earlier builds.
    pub(super) fn of(builds: &[BuildRecord]) -> Self {
        let all = AgentBuild::among(builds);
        let refs: Vec<&AgentBuild<'_>> = all.iter().collect();
        let known = Pace::of(&refs, GUESS);
        let any = known.unwrap_or(GUESS);
        let mut by_group: BTreeMap<Option<&str>, Vec<&AgentBuild<'_>>> = BTreeMap::new();
        for built in &all {
            by_group.entry(built.record.group.as_deref()).or_default().push(built);
        }
        let paces = by_group.iter().filter_map(|(group, builds)| Some((*group, Pace::of(builds, any)?)));
        let paces: BTreeMap<Option<&str>, Pace> = paces.collect();
        let groups = paces.iter().filter_map(|(group, pace)| Some((Group((*group)?.to_owned()), *pace)));
        let basis = match known {
            Some(_) => format!("from {} earlier builds", all.len()),
            None => format!("assumed: {} s for the first build of each group, {} s for others", any.first, any.further),
        };
        let launchers = builds.iter().filter(|built| built.failure.is_none()).filter_map(|built| {
            let compiled = built.launcher.filter(|launcher| launcher.compiled > 0)?;
            Some(idle(built, compiled.seconds))
        });
        let mut known = Self {
            any,
            groups: groups.collect(),
            launcher: median(launchers.collect()).unwrap_or(LAUNCHER_SECONDS * any.first / GUESS.first),
            c_code: BTreeMap::new(),
            basis,
        };
        if !known.groups.is_empty() {
            known.basis += ", by group of flags";
        }
        let measured = by_group.iter().flat_map(|(group, builds)| c_code_of(builds, paces.get(group)));
        known.add_c_code(&measured.collect::<Vec<_>>());
        known
    }

    fn add_c_code(&mut self, measured: &[(&'static str, f64)]) {
        for (feature, guess) in C_SECONDS {
            let of_feature = measured.iter().filter(|(name, _)| *name == feature).map(|(_, added)| *added).collect();
            let median = median(of_feature);
            if let Some(median) = median {
                self.basis += &format!(", {median:.0} s for the C code of {feature} in earlier builds");
            }
            self.c_code.insert(feature, median.unwrap_or(guess * self.any.first / GUESS.first));
        }
    }

    /// How long the builds of all groups take, one after the other.
    pub(super) fn of_groups(
        &self,
        groups: &BTreeMap<Group, Vec<Program>>,
        compiled: impl Fn(&Group) -> Vec<Dependencies>,
    ) -> f64 {
        let mut seconds = 0.0;
        for (group, programs) in groups {
            let pace = self.groups.get(group).unwrap_or(&self.any);
            let mut there = compiled(group);
            for program in programs {
                seconds += self.of_program(&program.needs, pace, &there);
                there.push(program.needs.clone());
            }
        }
        seconds
    }

    /// How long the build of a program takes where all of this is compiled already.
    fn of_program(&self, needs: &Dependencies, pace: &Pace, there: &[Dependencies]) -> f64 {
        let ours = match () {
            () if needs.are_of_launcher() => self.launcher,
            () if needs.shares(there) => pace.further,
            () => pace.first,
        };
        let lacking = needs.lacking(there);
        ours + lacking.iter().filter_map(|feature| self.c_code.get(feature.as_str())).sum::<f64>()
    }
}

impl Pace {
    /// The medians of these builds. Where they are of one kind alone, the other takes as much more or less as in `usual`; none without builds.
    fn of(builds: &[&AgentBuild<'_>], usual: Self) -> Option<Self> {
        let of = |is_first: bool, guess: f64| {
            let kind: Vec<&AgentBuild<'_>> =
                builds.iter().filter(|built| built.is_first == is_first).copied().collect();
            without_c(&kind, guess)
        };
        let ratio = usual.first / usual.further;
        match (of(true, GUESS.first), of(false, GUESS.further)) {
            (Some(first), Some(further)) => Some(Self { first, further }),
            (Some(first), None) => Some(Self { first, further: first / ratio }),
            (None, Some(further)) => Some(Self { first: further * ratio, further }),
            (None, None) => None,
        }
    }
}

impl<'b> AgentBuild<'b> {
    /// Those that compiled something. Those that compiled more than half as many crates as any has compiled count as first ones of a group.
    fn among(builds: &'b [BuildRecord]) -> Vec<Self> {
        let is_real = |built: &&BuildRecord| {
            let is_agent_known = built.agent.is_none() || built.launcher.is_some();
            built.failure.is_none() && !built.cached && is_agent_known
        };
        let real = || {
            let compiled = builds.iter().filter(is_real).filter_map(|built| Some((built, built.compiled?)));
            compiled.filter(|(_, compiled)| *compiled > 0)
        };
        let most = real().map(|(_, compiled)| compiled).max().unwrap_or_default();
        let of = |(record, compiled): (&'b BuildRecord, usize)| Self {
            record,
            seconds: idle(record, record.seconds - record.launcher.map_or(0.0, |launcher| launcher.seconds)),
            is_first: compiled * 2 > most && most > ALONE,
        };
        real().map(of).collect()
    }

    /// The features with C code that were compiled for the first time in it, each with its guess.
    fn with_c(&self) -> Vec<(&'static str, f64)> {
        C_SECONDS.into_iter().filter(|(feature, _)| self.record.brought.contains(*feature)).collect()
    }
}

/// What a part of a build would have taken on an idle machine.
fn idle(built: &BuildRecord, seconds: f64) -> f64 {
    seconds / built.slowdown.unwrap_or(1.0)
}

/// The median of builds of one kind without C code of new features; if all of them had some, without what that is guessed to have taken. `guess` is that of the kind.
fn without_c(builds: &[&AgentBuild<'_>], guess: f64) -> Option<f64> {
    let plain = builds.iter().filter(|built| built.with_c().is_empty());
    median(plain.map(|built| built.seconds).collect()).or_else(|| {
        // Where one step takes longer than was guessed, so does the other.
        let guessed = |built: &AgentBuild<'_>| built.with_c().iter().map(|(_, seconds)| seconds).sum::<f64>();
        median(builds.iter().map(|built| built.seconds * guess / (guess + guessed(built))).collect())
    })
}

/// What the C code of a feature has added to builds of one group that had that of no other, where others of the same kind show how long they take without. No less than
/// nothing: build scripts run beside the compiler.
fn c_code_of(builds: &[&AgentBuild<'_>], pace: Option<&Pace>) -> Vec<(&'static str, f64)> {
    let Some(pace) = pace else { return Vec::new() };
    let is_known = |kind: bool| builds.iter().any(|other| other.is_first == kind && other.with_c().is_empty());
    let alone = builds.iter().filter(|built| is_known(built.is_first)).filter_map(|built| {
        let without = if built.is_first { pace.first } else { pace.further };
        match built.with_c()[..] {
            [(feature, _)] => Some((feature, (built.seconds - without).max(0.0))),
            _ => None,
        }
    });
    alone.collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
