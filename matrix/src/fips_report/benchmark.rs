//! The benchmark of a FIPS report: what the module costs at the start, compared with programs that differ in nothing but their cryptography.

use std::path::Path;

use serde::Serialize;

use super::error::Error;
use super::proof::{Facts, Proof};
use crate::analyze::{self, Analysis, ConditionAnalysis, read};
use crate::build::recipe::Recipe;
use crate::build::{self, BuildRecord, latest};
use crate::manifest::Manifest;
use crate::measure::sample::Sample;
use crate::plan::{self, Plan, circumstances};

/// Both gates, as the measures are called.
const GATES: [&str; 2] = ["register", "ready"];

/// The cells of a set with a module: what it is compared with comes first, and everything is there with and without the launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cells {
    pub ring: String,
    pub aws_lc: String,
    pub fips: String,
    pub ring_launched: String,
    pub fips_launched: String,
}

/// The results of the benchmark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Benchmark {
    /// The condition, in words.
    pub condition: String,
    pub blocks: usize,
    pub rows: Vec<Row>,
    /// The module against ring, and behind the launcher against ring behind the launcher.
    pub differences: Vec<Difference>,
    /// Whether the launcher has the module in it, whose self-test would then run before the launcher does anything.
    pub launcher_has_module: bool,
    /// What a reader has to know beside the numbers.
    pub notes: Vec<String>,
    /// Why nothing of it may be believed, if that is so.
    pub invalid: Option<String>,
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub cell: String,
    pub starts: usize,
    pub bytes: u64,
    /// Of the program, and of the agent behind a launcher.
    pub sha256: String,
    /// Medians in ms.
    pub register: f64,
    pub ready: f64,
}

/// One cell against another, at one gate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    pub cell: String,
    pub reference: String,
    pub gate: &'static str,
    /// ms, and the ends of the 95 % interval.
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Cells {
    /// Those of a set, or of a set with further choices.
    pub fn of_set(set: &str) -> Result<Self, Error> {
        let manifest = Manifest::embedded().map_err(|_| plan::Error::Manifest)?;
        let (cell, _) = plan::cell(manifest, set)?;
        Ok(Self::of(set, Recipe::of(manifest, &cell.levels).launcher))
    }

    /// `has_launcher` says whether the set itself has it.
    pub fn of(set: &str, has_launcher: bool) -> Self {
        let [alone, launched] = if has_launcher { ["-launcher", ""] } else { ["", "+launcher"] };
        let with = |crypto: &str, launcher: &str| format!("{set}{crypto}{launcher}");
        Self {
            ring: with("+crypto=ring", alone),
            aws_lc: with("+crypto=aws-lc", alone),
            fips: with("", alone),
            ring_launched: with("+crypto=ring", launched),
            fips_launched: with("", launched),
        }
    }

    /// As `cargo matrix plan` reads them.
    pub fn list(&self) -> String {
        let Self { ring, aws_lc, fips, ring_launched, fips_launched } = self;
        [ring, aws_lc, fips, ring_launched, fips_launched].map(String::as_str).join(",")
    }
}

/// Reads the measurement of these cells, whose plan, builds and samples are in the folder.
pub fn read(folder: &Path, cells: &Cells, module: &str) -> Result<Benchmark, Error> {
    let plan = read::plan(&folder.join("plan.json"))?;
    let builds = latest(read::lines(&folder.join(build::FILE))?.values);
    let samples = read::lines(&folder.join("samples.jsonl"))?.values;
    let cells = cells.in_files();
    let benchmark = of(&plan, &builds, &samples, &cells)?;
    let launcher = builds.iter().find(|built| built.cell == cells.fips_launched);
    let launcher = launcher.and_then(|built| built.clone().located(folder).program);
    let launcher = launcher.ok_or_else(|| Error::NotMeasured(cells.fips_launched.clone()))?;
    let bytes = std::fs::read(&launcher).map_err(|source| Error::File { path: launcher, source })?;
    Ok(Benchmark { launcher_has_module: names(&bytes, module), ..benchmark })
}

/// Whether a program has the module's own name in it, as every program with the module has.
pub fn names(program: &[u8], module: &str) -> bool {
    program.windows(module.len()).any(|window| window == module.as_bytes())
}

impl Cells {
    /// The identifiers that a plan gives the cells: without `=`, and without choices that the set has already.
    fn in_files(&self) -> Self {
        let known = |name: &str| plan::cell(Manifest::embedded().ok()?, name).ok().map(|(cell, _)| cell.id);
        let id = |name: &String| known(name).unwrap_or_else(|| name.replace('=', "-"));
        let Self { ring, aws_lc, fips, ring_launched, fips_launched } = self;
        Self {
            ring: id(ring),
            aws_lc: id(aws_lc),
            fips: id(fips),
            ring_launched: id(ring_launched),
            fips_launched: id(fips_launched),
        }
    }
}

/// What the samples say.
fn of(plan: &Plan, builds: &[BuildRecord], samples: &[Sample], cells: &Cells) -> Result<Benchmark, Error> {
    let Cells { ring, aws_lc, fips, ring_launched, fips_launched } = cells;
    let analysis = against(plan, builds, samples, ring)?;
    let launched = against(plan, builds, samples, ring_launched)?;
    let condition = first(&analysis)?;
    let names = [ring, aws_lc, fips, ring_launched, fips_launched];
    let rows = names.into_iter().map(|name| row(condition, builds, name)).collect::<Result<_, _>>()?;
    let mut differences = Vec::new();
    for gate in GATES {
        differences.push(difference(condition, [aws_lc, ring], gate)?);
        differences.push(difference(condition, [fips, ring], gate)?);
        differences.push(difference(first(&launched)?, [fips_launched, ring_launched], gate)?);
    }
    Ok(Benchmark {
        condition: circumstances::describe(&condition.condition),
        blocks: condition.blocks,
        rows,
        differences,
        launcher_has_module: true,
        notes: analysis.notes.clone(),
        invalid: condition.invalid.clone(),
    })
}

/// The analysis in which everything is compared with that cell: with the first one of a plan it is.
fn against(plan: &Plan, builds: &[BuildRecord], samples: &[Sample], reference: &str) -> Result<Analysis, Error> {
    let mut plan = plan.clone();
    let place = plan.cells.iter().position(|cell| cell.id == reference);
    let cell = plan.cells.remove(place.ok_or_else(|| Error::NotMeasured(reference.to_owned()))?);
    plan.cells.insert(0, cell);
    Ok(analyze::analyze(&plan, builds, samples, analyze::RESAMPLES))
}

fn first(analysis: &Analysis) -> Result<&ConditionAnalysis, Error> {
    analysis.conditions.first().ok_or_else(|| Error::NotMeasured("no condition".to_owned()))
}

fn row(condition: &ConditionAnalysis, builds: &[BuildRecord], name: &str) -> Result<Row, Error> {
    let missing = || Error::NotMeasured(name.to_owned());
    let cell = condition.cells.iter().find(|cell| cell.cell == name).ok_or_else(missing)?;
    let median = |gate: &str| cell.measures.get(gate).map(|summary| summary.p50).ok_or_else(missing);
    let built = builds.iter().find(|built| built.cell == name).ok_or_else(missing)?;
    let [register, ready] = GATES;
    Ok(Row {
        cell: name.to_owned(),
        starts: cell.starts,
        bytes: built.bytes,
        sha256: built.sha256.clone(),
        register: median(register)?,
        ready: median(ready)?,
    })
}

/// The first of the two against the second.
fn difference(condition: &ConditionAnalysis, pair: [&String; 2], gate: &'static str) -> Result<Difference, Error> {
    let [cell, reference] = pair;
    let mut comparisons = condition.comparisons.iter();
    let found = comparisons.find(|comparison| comparison.cell == *cell && comparison.reference == *reference);
    let estimate = found.and_then(|comparison| comparison.differences.get(gate));
    let estimate = estimate.ok_or_else(|| Error::NotMeasured(cell.to_owned()))?;
    Ok(Difference {
        cell: cell.to_owned(),
        reference: reference.to_owned(),
        gate,
        value: estimate.value,
        low: estimate.low,
        high: estimate.high,
    })
}

impl Benchmark {
    /// Says so if the program that was measured is not the one that the proofs are about.
    #[must_use]
    pub fn beside(mut self, cell: &str, sha256: &str) -> Self {
        if let Some(row) = self.rows.iter().find(|row| row.cell == cell && row.sha256 != sha256) {
            let note = format!(
                "The program that was measured is another one than that of the proofs: its SHA-256 is {}.",
                row.sha256
            );
            self.notes.push(note);
        }
        self
    }

    /// The proof that behind the launcher neither gate waits for the module's self-test.
    pub fn proof(&self, cells: &Cells) -> Proof {
        let cells = cells.in_files();
        let mut facts = Facts::default();
        if let Some(reason) = &self.invalid {
            facts.note(false, format!("the run is invalid: {reason}"));
        }
        for gate in GATES {
            let at = |cell: &str| self.differences.iter().find(|one| one.cell == cell && one.gate == gate);
            let (Some(open), Some(behind)) = (at(&cells.fips), at(&cells.fips_launched)) else {
                facts.note(false, format!("{gate} was not measured"));
                continue;
            };
            facts.evidence.push(format!("{gate}: in front of the gate the module costs {}", open.text()));
            // A measurement that could not have seen that time behind the launcher shows nothing by not seeing it.
            let is_hidden = behind.low <= 0.0 && behind.high < open.value;
            let words = match (behind.low <= 0.0, is_hidden) {
                (true, true) => "nothing that was seen, and less than that",
                (true, false) => "nothing that was seen, but this measurement is too coarse to tell",
                (false, _) => "more than nothing",
            };
            facts.note(is_hidden, format!("{gate}: behind the launcher it costs {words}: {}", behind.text()));
        }
        let launcher = if self.launcher_has_module {
            "the launcher has the module in it"
        } else {
            "the launcher does not have the module in it, so that no self-test runs before the agent does"
        };
        facts.note(!self.launcher_has_module, launcher);
        let claim = "Behind the launcher, the module's self-test is off both gates: it runs when nobody waits for the extension any more.";
        let how = "cold starts in randomised blocks of programs that differ in their cryptography and in the packages that the module holds back, and in nothing else; brackets are 95 % intervals";
        Proof::new("benchmark", claim, how, facts)
    }
}

impl Difference {
    /// `6.52 ms [6.40, 6.64]`.
    pub fn text(&self) -> String {
        let Self { value, low, high, .. } = self;
        format!("{value:+.2} ms [{low:.2}, {high:.2}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn benchmark(open: [f64; 3], behind: [f64; 3]) -> Benchmark {
        let cells = Cells::of_set("ship-fips").unwrap().in_files();
        let one = |cell: &str, reference: &str, [value, low, high]: [f64; 3]| {
            let (cell, reference) = (cell.to_owned(), reference.to_owned());
            GATES.map(|gate| Difference { cell: cell.clone(), reference: reference.clone(), gate, value, low, high })
        };
        let open = one(&cells.fips, &cells.ring, open);
        let differences = open.into_iter().chain(one(&cells.fips_launched, &cells.ring_launched, behind)).collect();
        Benchmark {
            condition: String::new(),
            blocks: 20,
            rows: Vec::new(),
            differences,
            launcher_has_module: false,
            notes: Vec::new(),
            invalid: None,
        }
    }

    #[test]
    fn behind_the_launcher_nothing_may_be_left() {
        let cells = Cells::of_set("ship-fips").unwrap();
        let good = benchmark([6.5, 6.3, 6.7], [0.1, -0.1, 0.3]);
        assert!(good.proof(&cells).holds, "{:?}", good.proof(&cells));
        let seen = benchmark([6.5, 6.3, 6.7], [0.2, 0.1, 0.3]);
        assert!(!seen.proof(&cells).holds);
        assert!(seen.proof(&cells).against.concat().contains("more than nothing: +0.20 ms [0.10, 0.30]"));
        let coarse = benchmark([1.0, 0.8, 1.2], [0.2, -0.8, 1.2]).proof(&cells);
        assert!(!coarse.holds && coarse.against.concat().contains("too coarse to tell"), "{coarse:?}");
        assert!(!Benchmark { launcher_has_module: true, ..good.clone() }.proof(&cells).holds);
        assert!(names(b"..AWS-LC FIPS 3.1.0..", "AWS-LC FIPS 3.1.0") && !names(b"AWS-LC", "AWS-LC FIPS 3.1.0"));
        let invalid = Benchmark { invalid: Some("the same program differed".to_owned()), ..good };
        assert!(!invalid.proof(&cells).holds);
    }

    #[test]
    fn a_benchmark_of_another_program_is_reported() {
        let row = Row {
            cell: "ship-fips".to_owned(),
            starts: 1,
            bytes: 1,
            sha256: "a".to_owned(),
            register: 1.0,
            ready: 1.0,
        };
        let benchmark = Benchmark { rows: vec![row], ..benchmark([1.0; 3], [0.0; 3]) };
        assert_eq!(benchmark.clone().beside("ship-fips", "a").notes, Vec::<String>::new());
        assert!(benchmark.beside("ship-fips", "b").notes.concat().contains("SHA-256 is a."));
    }

    #[test]
    fn the_cells_differ_in_nothing_but_the_cryptography_and_the_launcher() {
        let manifest = Manifest::embedded().unwrap();
        let levels = |name: &str| crate::plan::cell(manifest, name).unwrap().0;
        // Whichever of the two the set is.
        for set in ["ship-fips+launcher", "ship-fips-launcher"] {
            let Ok((cell, _)) = crate::plan::cell(manifest, set) else { continue };
            let cells = Cells::of_set(set).unwrap();
            let fips = [&cells.fips, &cells.fips_launched].map(|name| levels(name));
            assert!(fips.iter().any(|it| it.levels == cell.levels), "the set is one of them: {cells:?}");
            for (one, other, differing) in [
                (&cells.ring, &cells.fips, "crypto"),
                (&cells.aws_lc, &cells.fips, "crypto"),
                (&cells.ring_launched, &cells.fips_launched, "crypto"),
                (&cells.fips, &cells.fips_launched, "launcher"),
            ] {
                let (one, other) = (levels(one), levels(other));
                let names = one.levels.iter().filter(|(name, level)| other.levels.get(*name) != Some(level));
                let names: Vec<_> = names.map(|(name, _)| name.as_str()).collect();
                assert_eq!(names, [differing], "{set}");
            }
            assert_eq!(levels(&cells.ring_launched).id, cells.in_files().ring_launched);
        }
    }

    #[test]
    fn an_unreadable_benchmark_is_an_error() {
        let error = read(Path::new("/nonexistent"), &Cells::of_set("ship-fips").unwrap(), "AWS-LC").unwrap_err();
        assert!(matches!(error, Error::Measured(_)), "{error:?}");
    }
}
