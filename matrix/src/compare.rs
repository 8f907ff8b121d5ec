//! `cargo matrix compare`: two programs against each other, by the same verbs that a person would type.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::bench::{Circumstances, alone, follow};
use crate::build::external::Form;
use crate::cli;
use crate::invoke::build::target_directory;

const AFTER: &str = "\
Examples:
  cargo matrix compare ship ship-tag-cache
  cargo matrix compare old-layer.zip new-layer.zip --blocks 100
  cargo matrix compare ./datadog-agent ship --memory 128,1024 --cache warm,cold

Each is started many times, in turn and in random order; the table says by how much the second differs from the first, with an interval. What both deliver
is compared as well. The plan, the samples and the report stay in target/matrix/compare; an interrupted comparison goes on with the same command.

Exit status:
  0    they were compared
  2    the command line asks for something that cannot be
  3    one could not be built
  4    one does not deliver what its function printed and sent, or not what the other delivers
  6    something is missing on this machine
  7    the sandbox could not make its starts
  8    one did not start
  130  interrupted";

/// Compares two programs, layers or sets in one command
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// What the other is compared with: a set, with what is added or taken away, an executable file, a layer, or a folder as it stands below /opt
    #[arg(value_name = "A")]
    pub first: String,

    /// What is compared with it
    #[arg(value_name = "B")]
    pub second: String,

    /// How often each is started under each condition
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    pub blocks: u32,

    /// Memory tiers in MB
    #[arg(long, value_name = "MB,…", default_value = "1024")]
    pub memory: String,

    /// How much CPU initialization gets: `boosted`, `throttled`, or both
    #[arg(long, value_name = "REGIME,…", default_value = "boosted")]
    pub regime: String,

    /// Whether the files are in memory before a start: `warm`, `cold`, or both
    #[arg(long, value_name = "CACHE,…", default_value = "warm")]
    pub cache: String,

    /// Does not compare what the two deliver, because it differs by design
    #[arg(long)]
    pub own_payload: bool,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Side {
    name: String,
    /// Where it is, if it is not built.
    path: Option<String>,
}

/// Runs the verb. `verb` runs one command line.
pub fn run(arguments: &Arguments, verb: &dyn Fn(&[String]) -> ExitCode) -> ExitCode {
    let store = match Circumstances::here(false) {
        Ok(circumstances) => circumstances.store(),
        Err(error) => return cli::complain(&error, cli::SETUP_FAILED),
    };
    let folder = target_directory().join("matrix/compare");
    let lines = steps(&folder, arguments, store);
    alone(&folder, || follow(&folder, &lines, verb))
}

/// The command lines, without `cargo matrix`.
fn steps(folder: &Path, arguments: &Arguments, store: &str) -> Vec<Vec<String>> {
    let here = folder.display().to_string();
    let at = |name: &str| folder.join(name).display().to_string();
    let sides = sides(&arguments.first, &arguments.second);
    let cells = sides.each_ref().map(|side| side.name.as_str()).join(",");
    let mut plan =
        words(&["plan", "list", "--out", &here, "--cells", &cells, "--blocks", &arguments.blocks.to_string()]);
    plan.extend(words(&["--memory", &arguments.memory, "--regime", &arguments.regime, "--cache", &arguments.cache]));
    plan.extend(words(&["--trust-store", store]));
    for Side { name, path } in &sides {
        let Some(path) = path else { continue };
        plan.extend(words(&["--external", &format!("{name}={path}")]));
        if arguments.own_payload {
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

/// What is there as a file is taken from there; everything else is the name of a set. Files are called by their names, and by numbers behind them where both have
/// the same.
fn sides(first: &str, second: &str) -> [Side; 2] {
    let mut sides = [first, second].map(|given| {
        if Form::of(Path::new(given)).is_none() {
            return Side { name: given.to_owned(), path: None };
        }
        let stem = Path::new(given)
            .file_stem()
            .map_or_else(|| "program".to_owned(), |stem| stem.to_string_lossy().into_owned());
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
        Side { name: stem.chars().map(plain).collect(), path: Some(given.to_owned()) }
    });
    let [one, other] = &mut sides;
    if one.name == other.name {
        for (number, side) in [(1, one), (2, other)] {
            if side.path.is_some() {
                side.name = format!("{}-{number}", side.name);
            }
        }
    }
    sides
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

    #[test]
    fn the_plan_is_what_was_asked_for() {
        let line = ["compare", "/bin/true", "ship+jemalloc", "--blocks", "7", "--cache", "warm,cold", "--own-payload"];
        let lines = steps(Path::new("/here"), &Line::try_parse_from(line).unwrap().arguments, "host");
        let verbs: Vec<&str> = lines.iter().map(|line| line[0].as_str()).collect();
        assert_eq!(verbs, ["plan", "build", "bench", "analyze", "report", "report"]);
        let plan = Planned::try_parse_from(&lines[0]).unwrap().arguments;
        assert_eq!((plan.cells, plan.blocks, plan.cache.len()), (words(&["true", "ship+jemalloc"]), 7, 2));
        assert_eq!(plan.own_payload, ["true"]);
        assert_eq!(plan.external.len(), 1);
    }

    #[test]
    fn files_are_called_by_their_names_and_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let layer = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, b"PK\x03\x04").unwrap();
            path.display().to_string()
        };
        let (old, new) = (layer("old.v1.zip"), layer("new.zip"));
        let names = |first: &str, second: &str| sides(first, second).map(|side| (side.name, side.path.is_some()));
        let told = |name: &str, is_file: bool| (name.to_owned(), is_file);
        assert_eq!(names(&old, &new), [told("old-v1", true), told("new", true)]);
        assert_eq!(names(&new, &new), [told("new-1", true), told("new-2", true)]);
        assert_eq!(names("ship", &new), [told("ship", false), told("new", true)]);
        assert_eq!(names("ship", "ship+jemalloc"), [told("ship", false), told("ship+jemalloc", false)]);
    }
}
