//! `cargo matrix compare`: compares two programs, by the commands that a person would type.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::comparison::{MachineCapabilities, alone, follow};
use super::steps::Step;
use crate::plan::arguments::External;
use crate::plan::external::{self, Form};
use crate::plan::{self, Cache, DesignName, FLOOR, Regime, STD_FLOOR, TrustStore};
use crate::workspace::target_directory;
use crate::{hash, terminal};

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
    #[arg(long, value_delimiter = ',', value_name = "MB", default_value = "1024", value_parser = clap::value_parser!(u32).range(128..=10_240))]
    pub memory: Vec<u32>,

    /// CPU of the init phase
    #[arg(long, value_enum, value_delimiter = ',', default_value = "boosted")]
    pub regime: Vec<Regime>,

    /// Whether the files are in the page cache before a start
    #[arg(long, value_enum, value_delimiter = ',', default_value = "warm")]
    pub cache: Vec<Cache>,

    /// Do not compare payloads, because they differ by design: files are exempt from delivery checks, and of two sets, B is
    #[arg(long)]
    pub own_payload: bool,
}

/// Names of cells that every plan has.
const RESERVED: [&str; 3] = [FLOOR, STD_FLOOR, "again"];

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

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    let store = match MachineCapabilities::here(false) {
        Ok(capabilities) => capabilities.store(),
        Err(error) => return terminal::exit_with_error(&error, terminal::SETUP_FAILED),
    };
    let sides = match sides(arguments) {
        Ok(sides) => sides,
        Err(reason) => return terminal::exit_with_error(&Error(reason), terminal::USAGE),
    };
    let folder = target_directory().join("matrix/compare").join(name(arguments, &sides));
    let steps = steps(&folder, arguments, &sides, store);
    alone(&folder, || follow(&folder, &steps))
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

/// The steps of a comparison.
fn steps(folder: &Path, arguments: &Arguments, sides: &[Side; 2], store: TrustStore) -> Vec<Step> {
    let Arguments { blocks, memory, regime, cache, own_payload, .. } = arguments.clone();
    let mut plan = plan::Arguments {
        cells: sides.iter().map(|side| side.name.clone()).collect(),
        trust_store: vec![store],
        blocks,
        memory,
        regime,
        cache,
        ..plan::Arguments::new(DesignName::Cells, folder)
    };
    let are_built = sides.iter().all(|side| side.path.is_none());
    for (place, Side { name, path }) in sides.iter().enumerate() {
        if let Some(path) = path {
            plan.external.push(External { name: name.clone(), path: path.into() });
        }
        if own_payload && (path.is_some() || (are_built && place == 1)) {
            plan.own_payload.push(name.clone());
        }
    }
    vec![
        Step::Plan(Box::new(plan)),
        Step::build(folder),
        Step::bench(folder),
        Step::analyze(folder),
        Step::report(folder, true),
        Step::report(folder, false),
    ]
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
    use super::*;
    use crate::test_arguments::parse;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn plan(arguments: &Arguments) -> plan::Arguments {
        let steps = steps(Path::new("/here"), arguments, &sides(arguments).unwrap(), TrustStore::Host);
        let Some(Step::Plan(plan)) = steps.into_iter().next() else { panic!("it begins with the plan") };
        *plan
    }

    fn arguments(words: &[&str]) -> Arguments {
        parse(words)
    }

    #[test]
    fn the_plan_is_what_was_asked_for() {
        let asked =
            arguments(&["/bin/true", "ship+jemalloc", "--blocks", "7", "--cache", "warm,cold", "--own-payload"]);
        let plan = plan(&asked);
        assert_eq!((plan.blocks, plan.cache.len()), (7, 2));
        assert_eq!((plan.cells, plan.own_payload), (words(&["true", "ship+jemalloc"]), words(&["true"])));
        assert_eq!(plan.external.len(), 1);
    }

    #[test]
    fn steps_are_shown_as_command_lines() {
        let asked = arguments(&["/bin/true", "ship", "--regime", "boosted,throttled", "--own-payload"]);
        let steps = steps(Path::new("/here"), &asked, &sides(&asked).unwrap(), TrustStore::Host);
        let lines: Vec<String> = steps.iter().map(Step::to_string).collect();
        assert_eq!(
            lines,
            [
                "plan cells --out /here --cells true,ship --blocks 40 --memory 1024 --regime boosted,throttled --cache warm --trust-store host \
                 --fault none --external true=/bin/true --own-payload true",
                "build /here",
                "bench --out /here",
                "analyze /here/plan.json /here/samples.jsonl --out /here/analysis.json",
                "report /here/analysis.json --out /here",
                "report /here/analysis.json",
            ]
        );
    }

    #[test]
    fn a_set_is_not_compared_with_itself() {
        let reason = sides(&arguments(&["ship", "ship"])).unwrap_err();
        assert!(reason.starts_with("ship is to be compared with itself"), "{reason}");
    }

    #[test]
    fn files_are_named_by_distinct_cell_names() {
        let folder = tempfile::tempdir().unwrap();
        let layer = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, b"PK\x03\x04").unwrap();
            path.display().to_string()
        };
        let names = |first: &str, second: &str| {
            sides(&arguments(&[first, second])).unwrap().map(|side| (side.name, side.path.is_some()))
        };
        let side = |name: &str, is_file: bool| (name.to_owned(), is_file);
        let (old, new) = (layer("old.v1.zip"), layer("_new.zip"));
        assert_eq!(names(&old, &new), [side("old-v1", true), side("new", true)]);
        assert_eq!(names(&new, &new), [side("new-1", true), side("new-2", true)]);
        assert_eq!(names("ship", &layer("floor.zip")), [side("ship", false), side("floor-2", true)]);
        assert_eq!(names("ship", "ship+jemalloc"), [side("ship", false), side("ship+jemalloc", false)]);
        for wrong in ["./gone", "gone.zip"] {
            assert!(sides(&arguments(&[wrong, "ship"])).unwrap_err().starts_with(wrong));
        }
        let arguments = arguments(&["ship", "seed+opt-level=3", "--own-payload"]);
        assert_eq!(plan(&arguments).own_payload, ["seed+opt-level=3"]);
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
