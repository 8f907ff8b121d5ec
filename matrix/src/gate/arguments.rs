//! The options of `cargo matrix gate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::outcome;
use crate::report::Files;

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

fn after() -> String {
    let table = outcome::help();
    format!(
        "{EXAMPLES}
What arrived is judged before any time, under every condition and in the starts that are not timed. Exit status, the worst of all conditions and gates:
{table}  2   the command line or a file is not what it should be, or there is no budget
  6   a file cannot be read or written"
    )
}

/// Decides whether a candidate may be merged: holds what it has grown to budgets
#[derive(Args, Debug)]
#[command(after_help = after())]
pub struct Arguments {
    #[command(flatten)]
    pub files: Files,

    /// How much may grow, by memory tier and regime
    #[arg(long, value_name = "BUDGETS.TOML")]
    pub budgets: PathBuf,

    /// The cells that are judged [default: every cell but the reference, the floor and the control]
    #[arg(long, value_name = "CELL", value_delimiter = ',')]
    pub candidate: Vec<String>,

    /// The cell of the same run that they are compared with [default: the first of the plan, unless it is itself a candidate]
    #[arg(long, value_name = "CELL")]
    pub reference: Option<String>,

    /// What an earlier run has stored, ratios to the floor and digests of what was delivered; may be repeated, with a file for each kind of machine
    ///
    /// A run is held to what the same kind of machine has stored, and besides to what two other kinds have stored alike.
    #[arg(long, value_name = "BASELINE.JSON")]
    pub baseline: Vec<PathBuf>,

    /// Stores this run's ratios to the floor and what its cells deliver, unless the run is invalid, inconclusive or not complete
    #[arg(long, value_name = "BASELINE.JSON")]
    pub save_baseline: Option<PathBuf>,

    /// A directory for gate.md, a comment ready to be posted, and gate.json
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// A file for the decision in the XML of `JUnit`, a test case for each candidate, condition and gate
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,

    /// Does not mind budgets that no condition of this run uses
    #[arg(long)]
    pub unused_budgets: bool,

    /// What is written to standard output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What a decision can be written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for a terminal or a log.
    #[default]
    Text,
    /// A comment for a pull request.
    Markdown,
    /// All numbers.
    Json,
    /// Annotations for GitHub Actions, which go to standard error beside any other format where `GITHUB_ACTIONS` is `true`.
    Github,
}
