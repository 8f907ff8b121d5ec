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

/// Report an analysis as text, HTML or data
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    #[command(flatten)]
    pub files: Files,

    /// Formats of the report, separated by commas; more than one needs --out [default: text, or all of them with --out]
    #[arg(long = "format", value_enum, value_delimiter = ',', value_name = "FORMAT")]
    pub formats: Vec<Format>,

    /// The directory for report.txt, report.md, report.csv, report.json, report.html, report.benchstat.txt and report.bencher.json [default: standard output]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// The files of a run.
#[derive(Args, Clone, Debug)]
pub struct Files {
    /// The analysis that `analyze` has written; run.json beside it describes the machine
    #[arg(value_name = "ANALYSIS.JSON")]
    pub analysis: PathBuf,

    /// The plan [default: plan.json beside the analysis]
    #[arg(value_name = "PLAN.JSON")]
    pub plan: Option<PathBuf>,

    /// The build records [default: builds.jsonl beside the analysis, if it exists]
    #[arg(value_name = "BUILDS.JSONL")]
    pub builds: Option<PathBuf>,
}

/// A format of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables for a terminal.
    Text,
    /// A comment for a pull request.
    Markdown,
    /// One number a line.
    Csv,
    /// The analysis with its sentences.
    Json,
    /// A page with charts, complete in one file.
    Html,
    /// One start a line, as Go's benchstat reads it.
    Benchstat,
    /// Medians and ratios to the floor, as Bencher's adapter `json` reads them.
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
