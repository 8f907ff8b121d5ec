//! The options of `cargo matrix report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

const AFTER: &str = "\
Examples:
  cargo matrix report run/analysis.json
  cargo matrix report run/analysis.json --format markdown > comment.md
  cargo matrix report run/analysis.json --format bencher --out run
  cargo matrix report run/analysis.json run/plan.json run/builds.jsonl --out run/report

Exit status:
  0  the report is written
  2  the command line is wrong, or a file is not what it should be
  6  a file cannot be read or written";

/// Writes what was found as a table, a comment for a pull request, a page with pictures, or data
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    #[command(flatten)]
    pub files: Files,

    /// The form of the report; may be repeated with --out [default: text, or all of them with --out]
    #[arg(long = "format", value_enum, value_delimiter = ',', value_name = "FORMAT")]
    pub formats: Vec<Format>,

    /// A directory for report.txt, report.md, report.csv, report.json, report.html, report.benchstat.txt and report.bencher.json
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// What a run has left behind.
#[derive(Args, Clone, Debug)]
pub struct Files {
    /// What `analyze` has written; run.json beside it says where
    #[arg(value_name = "ANALYSIS.JSON")]
    pub analysis: PathBuf,

    /// What `plan` has written [default: plan.json beside the analysis]
    #[arg(value_name = "PLAN.JSON")]
    pub plan: Option<PathBuf>,

    /// What `build` has written [default: builds.jsonl beside the analysis, if it is there]
    #[arg(value_name = "BUILDS.JSONL")]
    pub builds: Option<PathBuf>,
}

/// What a report can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables for a terminal.
    Text,
    /// A comment for a pull request.
    Markdown,
    /// One number in each line.
    Csv,
    /// The analysis with its sentences.
    Json,
    /// A page with pictures, complete in one file.
    Html,
    /// One start in each line, as Go's benchstat reads them.
    Benchstat,
    /// Medians and ratios to the floor, as Bencher's adapter `json` takes them.
    Bencher,
}

impl Format {
    /// The name of its file in the directory of `--out`.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Text => "report.txt",
            Self::Markdown => "report.md",
            Self::Csv => "report.csv",
            Self::Json => "report.json",
            Self::Html => "report.html",
            Self::Benchstat => "report.benchstat.txt",
            Self::Bencher => "report.bencher.json",
        }
    }
}
