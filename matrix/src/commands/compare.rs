//! `cargo matrix compare`: compares two programs, by the same command lines that a person would type.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::comparison::{Circumstances, alone, follow};
use crate::hash;
use crate::plan::external::{self, Form};
use crate::terminal;
use crate::workspace::target_directory;

const AFTER: &str = "\
Examples:
  cargo matrix compare ship ship-tag-cache
  cargo matrix compare old-layer.zip new-layer.zip --blocks 100
  cargo matrix compare ./datadog-agent ship --memory 128,1024 --cache warm,cold

Each is started many times, in turn and in random order; the table says by how much the second differs from the first, with an interval. What both deliver
is compared as well. The plan, the samples and the report stay in a folder below target/matrix/compare, a new one for other programs or conditions; an
interrupted comparison goes on with the same command.

Exit status:
  0    they were compared
  2    the command line asks for something that cannot be
  3    one could not be built
  4    one does not deliver what its function printed and sent, or not what the other delivers
  6    something is missing on this machine, or a disk is full
  7    the sandbox could not make its starts
  8    one did not start
  130  interrupted";

/// Compare two programs, layers or sets
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// The reference: a set, with added and removed switches, an executable file, a layer, or a folder with the contents of /opt
    #[arg(value_name = "A")]
    pub first: String,

    /// What is compared with A
    #[arg(value_name = "B")]
    pub second: String,

    /// Number of starts of each under each condition
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    pub blocks: u32,

    /// Memory tiers in MB
    #[arg(long, value_name = "MB,…", default_value = "1024")]
    pub memory: String,

    /// CPU of the init phase: `boosted`, `throttled`, or both
    #[arg(long, value_name = "REGIME,…", default_value = "boosted")]
    pub regime: String,

    /// Whether the files are in the page cache before a start: `warm`, `cold`, or both
    #[arg(long, value_name = "CACHE,…", default_value = "warm")]
    pub cache: String,

    /// Do not compare payloads, because they differ by design: files are exempt from delivery checks, and of two sets, B is
    #[arg(long)]
    pub own_payload: bool,
}

/// Names of cells that every plan has.
const RESERVED: [&str; 2] = ["floor", "again"];

/// Why the two cannot be compared.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Error(String);

/// One of the two sides.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Side {
    name: String,
    /// The path, unless it is built.
    path: Option<String>,
}

/// Runs the verb and returns its exit status. `verb` runs one command line.
pub fn run(arguments: &Arguments, verb: &dyn Fn(&[String]) -> ExitCode) -> ExitCode {
    let store = match Circumstances::here(false) {
        Ok(circumstances) => circumstances.store(),
        Err(error) => return terminal::exit_with_error(&error, terminal::SETUP_FAILED),
    };
    let sides = match sides(arguments) {
        Ok(sides) => sides,
        Err(reason) => return terminal::exit_with_error(&Error(reason), terminal::USAGE),
    };
    let folder = target_directory().join("matrix/compare").join(name(arguments, &sides));
    let lines = steps(&folder, arguments, &sides, store);
    alone(&folder, || follow(&folder, &lines, verb))
}

/// The folder name of a comparison. It contains a hash of the files and the conditions, so another comparison has another name.
fn name(arguments: &Arguments, sides: &[Side; 2]) -> String {
    let mut all = format!("{arguments:?}");
    for path in sides.iter().filter_map(|side| side.path.as_deref()).map(Path::new) {
        let files = match external::of_folder(path) {
            Ok(files) if path.is_dir() => std::iter::once(files.program).chain(files.agent).collect(),
            _ => vec![path.to_owned()],
        };
        all += &hash::of_files(files.iter().map(AsRef::as_ref)).unwrap_or_default();
    }
    let hash: String = hash::hexadecimal(all.as_bytes()).chars().take(8).collect();
    let names = sides.each_ref().map(|side| side.name.replace('=', "-")).join("-and-");
    format!("{names}-{hash}")
}

/// The command lines, without `cargo matrix`.
fn steps(folder: &Path, arguments: &Arguments, sides: &[Side; 2], store: &str) -> Vec<Vec<String>> {
    let here = folder.display().to_string();
    let at = |name: &str| folder.join(name).display().to_string();
    let cells = sides.each_ref().map(|side| side.name.as_str()).join(",");
    let mut plan =
        words(&["plan", "cells", "--out", &here, "--cells", &cells, "--blocks", &arguments.blocks.to_string()]);
    plan.extend(words(&["--memory", &arguments.memory, "--regime", &arguments.regime, "--cache", &arguments.cache]));
    plan.extend(words(&["--trust-store", store]));
    let are_built = sides.iter().all(|side| side.path.is_none());
    for (place, Side { name, path }) in sides.iter().enumerate() {
        if let Some(path) = path {
            plan.extend(words(&["--external", &format!("{name}={path}")]));
        }
        if arguments.own_payload && (path.is_some() || (are_built && place == 1)) {
            plan.extend(words(&["--own-payload", name]));
        }
    }
    vec![
        plan,
        words(&["build", &here]),
        words(&["bench", "--out", &here]),
        words(&["analyze", &at("plan.json"), &at("samples.jsonl"), "--out", &at("analysis.json")]),
        words(&["report", &at("analysis.json"), "--out", &here]),
        words(&["report", &at("analysis.json")]),
    ]
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The two sides. An existing file is used as it is; anything else is the name of a set. A file's side is named after the file. A number is appended if both
/// names are equal, or if the plan reserves the name.
fn sides(arguments: &Arguments) -> Result<[Side; 2], String> {
    let Arguments { first, second, .. } = arguments;
    let mut sides = [side(first)?, side(second)?];
    if sides[0] == sides[1] && sides[0].path.is_none() {
        return Err(format!("{first} is to be compared with itself: every comparison has that as its control already"));
    }
    let same = sides[0].name == sides[1].name;
    for (number, side) in [1, 2].into_iter().zip(&mut sides) {
        if side.path.is_some() && (same || RESERVED.contains(&side.name.as_str())) {
            side.name = format!("{}-{number}", side.name);
        }
    }
    Ok(sides)
}

fn side(given: &str) -> Result<Side, String> {
    let path = Path::new(given);
    if Form::of(path).is_none() {
        if given.contains('/') || path.exists() || path.extension().is_some_and(|ending| ending == "zip") {
            return Err(format!("{given}: there is no executable file, layer or folder with an extension"));
        }
        return Ok(Side { name: given.to_owned(), path: None });
    }
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let name: String = stem.chars().map(plain).collect();
    let name = name.trim_start_matches(['-', '_']);
    Ok(Side { name: if name.is_empty() { "program" } else { name }.to_owned(), path: Some(given.to_owned()) })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[derive(Parser)]
    struct Planned {
        #[command(flatten)]
        arguments: crate::plan::Arguments,
    }

    fn arguments(words: &[&str]) -> Arguments {
        Line::try_parse_from([&["compare"], words].concat()).unwrap().arguments
    }

    #[test]
    fn the_plan_is_what_was_asked_for() {
        let asked =
            arguments(&["/bin/true", "ship+jemalloc", "--blocks", "7", "--cache", "warm,cold", "--own-payload"]);
        let lines = steps(Path::new("/here"), &asked, &sides(&asked).unwrap(), "host");
        let verbs: Vec<&str> = lines.iter().map(|line| line[0].as_str()).collect();
        assert_eq!(verbs, ["plan", "build", "bench", "analyze", "report", "report"]);
        let plan = Planned::try_parse_from(&lines[0]).unwrap().arguments;
        assert_eq!((plan.cells, plan.blocks, plan.cache.len()), (words(&["true", "ship+jemalloc"]), 7, 2));
        assert_eq!(plan.own_payload, ["true"]);
        assert_eq!(plan.external.len(), 1);
    }

    #[test]
    fn a_set_is_not_compared_with_itself() {
        let reason = sides(&arguments(&["ship", "ship"])).unwrap_err();
        assert!(reason.starts_with("ship is to be compared with itself"), "{reason}");
    }

    #[test]
    fn files_are_called_by_their_names_and_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let layer = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, b"PK\x03\x04").unwrap();
            path.display().to_string()
        };
        let names = |first: &str, second: &str| {
            sides(&arguments(&[first, second])).unwrap().map(|side| (side.name, side.path.is_some()))
        };
        let told = |name: &str, is_file: bool| (name.to_owned(), is_file);
        let (old, new) = (layer("old.v1.zip"), layer("_new.zip"));
        assert_eq!(names(&old, &new), [told("old-v1", true), told("new", true)]);
        assert_eq!(names(&new, &new), [told("new-1", true), told("new-2", true)]);
        assert_eq!(names("ship", &layer("floor.zip")), [told("ship", false), told("floor-2", true)]);
        assert_eq!(names("ship", "ship+jemalloc"), [told("ship", false), told("ship+jemalloc", false)]);
        for wrong in ["./gone", "gone.zip"] {
            assert!(sides(&arguments(&[wrong, "ship"])).unwrap_err().starts_with(wrong));
        }
        let arguments = arguments(&["ship", "seed+opt-level=3", "--own-payload"]);
        let lines = steps(Path::new("/here"), &arguments, &sides(&arguments).unwrap(), "host");
        assert!(lines[0].join(" ").contains(" --own-payload seed+opt-level=3"), "{:?}", lines[0]);
    }

    #[test]
    fn other_bytes_are_another_comparison() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layer.zip");
        let named = |content: &str, blocks: &str| {
            std::fs::write(&path, format!("PK\x03\x04{content}")).unwrap();
            let asked = arguments(&[path.to_str().unwrap(), "ship", "--blocks", blocks]);
            name(&asked, &sides(&asked).unwrap())
        };
        let first = named("a", "7");
        assert!(first.starts_with("layer-and-ship-"), "{first}");
        assert_eq!(named("a", "7"), first);
        assert!(named("b", "7") != first && named("a", "8") != first);
    }
}
