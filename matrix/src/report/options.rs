//! The input and the formats of a report.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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

impl Files {
    /// The files that are read, whether they are there or not.
    pub fn inputs(&self) -> impl Iterator<Item = PathBuf> {
        let or_beside = |named: &Option<PathBuf>, name: &str| named.clone().unwrap_or_else(|| self.beside(name));
        let (plan, builds) = (or_beside(&self.plan, "plan.json"), or_beside(&self.builds, "builds.jsonl"));
        [self.analysis.clone(), plan, builds, self.beside("run.json")].into_iter()
    }

    /// The file of this name in the directory of the analysis.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.analysis.with_file_name(name)
    }
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
