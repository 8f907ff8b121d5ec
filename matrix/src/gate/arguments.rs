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

/// Hold a candidate's growth to budgets
#[derive(Args, Debug)]
#[command(after_help = after())]
pub struct Arguments {
    #[command(flatten)]
    pub files: Files,

    /// The file of budgets: the growth that is allowed, by memory tier and regime
    #[arg(long, value_name = "BUDGETS.TOML")]
    pub budgets: PathBuf,

    /// The cells to judge [default: every cell but the reference, the floor and the control]
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

/// A format of a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for a terminal or a log.
    #[default]
    Text,
    /// A comment for a pull request.
    Markdown,
    /// The whole decision as JSON.
    Json,
    /// Annotations for GitHub Actions; with any other format they go to standard error if `GITHUB_ACTIONS` is `true`.
    Github,
}
