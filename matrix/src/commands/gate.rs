//! `cargo matrix gate`: judges a candidate's growth against budgets, to decide whether a change may be merged.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::gate::{self, Baseline, Budgets, ComparedCells, Error, Format, Outcome, outcome};
use crate::report::{Experiment, Files};
use crate::{files, terminal};

const EXAMPLES: &str = "\
Examples:
  cargo matrix gate run/analysis.json --budgets ci/budgets.toml
  cargo matrix gate run/analysis.json --budgets ci/budgets.toml --candidate ship --reference main --out run
  cargo matrix gate run/analysis.json --budgets ci/budgets.toml --candidate ship --save-baseline baseline.json
  cargo matrix gate run/analysis.json --budgets ci/budgets.toml --candidate ship --baseline baseline.json
  cargo matrix gate run/analysis.json --budgets ci/budgets.toml --junit gate.xml --format github

Budgets, the first that fits a condition holds:
  [[budget]]
  memory = 128                          # any tier if it is left out
  regime = \"throttled\"                  # any regime if it is left out
  register = { ms = 1.0, ratio = 1.2 }  # the largest growth in ms against a cell of the same run,
  ready = { ms = 2.0, ratio = 1.2 }     # and of the ratio to the floor against the baseline
  [[measure]]
  name = \"file_size\"                    # any measure but the gates; docs/gate.md has them all
  growth = 65536                        # the largest growth against a cell of the same run
";

/// The files in the directory of `--out`.
const MARKDOWN: &str = "gate.md";
const JSON: &str = "gate.json";

fn after() -> String {
    let table = outcome::help();
    format!(
        "{EXAMPLES}
What arrived is judged before any time, under every condition and in the starts that are not timed. Exit status, the worst of all conditions and gates:
{table}  2   the command line or a file is not what it should be, or there is no budget
  6   a file cannot be read or written"
    )
}

/// Hold a candidate's growth to budgets
#[derive(Args, Debug)]
#[command(after_help = after())]
pub struct Arguments {
    #[command(flatten)]
    pub files: Files,

    /// The file of budgets: the growth that is allowed, by memory tier and regime
    #[arg(long, value_name = "BUDGETS.TOML")]
    pub budgets: PathBuf,

    /// The cells to judge [default: every cell but the reference, the yardsticks and the control]
    #[arg(long, value_name = "CELL", value_delimiter = ',')]
    pub candidate: Vec<String>,

    /// The cell of the same run to compare the candidates with [default: the first of the plan, unless it is itself a candidate]
    #[arg(long, value_name = "CELL")]
    pub reference: Option<String>,

    /// The baseline of an earlier run, with its ratios to the floor and its digests; may be repeated, with a file for each kind of machine
    ///
    /// A run is held to the baseline of the same kind of machine. The baseline of another kind counts only where at least two kinds have stored the same ratio
    /// within the budget.
    #[arg(long, value_name = "BASELINE.JSON")]
    pub baseline: Vec<PathBuf>,

    /// Store this run's ratios to the floor and digests, unless it is invalid, inconclusive or incomplete
    #[arg(long, value_name = "BASELINE.JSON")]
    pub save_baseline: Option<PathBuf>,

    /// The directory for gate.md, a comment ready to be posted, and gate.json
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// The file for the decision as `JUnit` XML, with a test case for each candidate, condition and gate
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,

    /// Accept budgets that no condition of this run uses
    #[arg(long)]
    pub unused_budgets: bool,

    /// The format of standard output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    match judge(arguments) {
        Ok(outcome) => outcome.status().into(),
        Err(error) => {
            terminal::exit_with_error(&error, if error.is_usage() { terminal::USAGE } else { terminal::SETUP_FAILED })
        }
    }
}

/// Returns an error if an option names a file that is read. Only a baseline may be stored anew in its place.
fn keep_inputs(arguments: &Arguments) -> Result<(), Error> {
    let run = || arguments.files.inputs().chain(std::iter::once(arguments.budgets.clone()));
    let all = || run().chain(arguments.baseline.iter().cloned());
    files::keep_inputs("--save-baseline", &arguments.save_baseline, run())?;
    files::keep_inputs("--junit", &arguments.junit, all())?;
    let outputs = arguments.out.iter().flat_map(|directory| [directory.join(MARKDOWN), directory.join(JSON)]);
    Ok(files::keep_inputs("--out", outputs, all())?)
}

fn judge(arguments: &Arguments) -> Result<Outcome, Error> {
    keep_inputs(arguments)?;
    let experiment = Experiment::read(&arguments.files)?;
    let budgets = Budgets::read(&arguments.budgets)?;
    let unused = budgets.unused(&experiment.plan.conditions).filter(|_| !arguments.unused_budgets);
    if let Some(what) = unused {
        return Err(Error::Limit { path: arguments.budgets.clone(), what });
    }
    let baseline = Baseline::read_all(&arguments.baseline)?;
    let sides = ComparedCells::of(&experiment.plan, &arguments.candidate, arguments.reference.as_deref())?;
    if sides.reference.is_none() && baseline.is_none() && arguments.save_baseline.is_none() {
        return Err(Error::NothingToCompare);
    }
    let decision = gate::decide(&experiment, &sides, &budgets, baseline.as_ref())?;
    if let Some(path) = &arguments.save_baseline {
        if let Some(reason) = gate::incomplete(&experiment).filter(|_| decision.may_be_stored()) {
            eprintln!("not stored, because the run is not complete: {reason}: {}", path.display());
        } else if decision.may_be_stored() {
            Baseline::of(&experiment)?.write(path)?;
            eprintln!("stored {}", path.display());
        } else {
            eprintln!("not stored, because the run is {}: {}", decision.outcome.name(), path.display());
        }
    }
    if let Some(directory) = &arguments.out {
        save(directory, MARKDOWN, &gate::write(&decision, Format::Markdown)?)?;
        save(directory, JSON, &gate::write(&decision, Format::Json)?)?;
    }
    if let Some(path) = &arguments.junit {
        files::write(path, gate::junit(&decision)).map_err(gate::writing(path))?;
    }
    terminal::print(&gate::write(&decision, arguments.format)?);
    // GitHub reads annotations from either stream; standard output stays one document.
    if arguments.format != Format::Github && std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true") {
        eprint!("{}", gate::write(&decision, Format::Github)?);
    }
    Ok(decision.outcome)
}

fn save(directory: &Path, name: &str, content: &str) -> Result<(), Error> {
    let path = directory.join(name);
    files::write(&path, content).map_err(gate::writing(&path))
}
