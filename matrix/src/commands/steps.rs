//! The steps of an experiment, from its plan to its report, as commands with their options.

use std::fmt::{self, Display};
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;

use super::{analyze, bench, build, plan, report};
use crate::workspace::Profile;

/// One command with its options. It is displayed as the command line that does the same, without `cargo matrix`.
#[derive(Debug)]
pub enum Step {
    Plan(Box<crate::plan::Arguments>),
    Build(build::Arguments),
    Bench(bench::Arguments),
    Analyze(analyze::Arguments),
    Report(report::Arguments),
}

impl Step {
    /// Runs the command and returns its exit status.
    pub fn run(&self) -> ExitCode {
        match self {
            Self::Plan(arguments) => plan::run(arguments),
            Self::Build(arguments) => build::run(arguments),
            Self::Bench(arguments) => bench::run(arguments),
            Self::Analyze(arguments) => analyze::run(arguments),
            Self::Report(arguments) => report::run(arguments),
        }
    }

    /// Builds the cells of the plan in a folder.
    pub fn build(folder: &Path) -> Self {
        Self::Build(build::Arguments { what: folder.display().to_string(), profile: Profile::Release })
    }

    /// Makes the starts of the plan in a folder.
    pub fn bench(folder: &Path) -> Self {
        Self::Bench(bench::Arguments {
            plan: None,
            builds: None,
            out: Some(folder.to_owned()),
            blocks: None,
            shard: None,
            require: false,
            dry_run: false,
        })
    }

    /// Analyzes the starts in a folder.
    pub fn analyze(folder: &Path) -> Self {
        Self::Analyze(analyze::Arguments {
            plan: folder.join("plan.json"),
            samples: vec![folder.join("samples.jsonl")],
            builds: None,
            out: folder.join("analysis.json"),
            json: false,
        })
    }

    /// Reports the analysis in a folder: into files beside it, or to standard output.
    pub fn report(folder: &Path, to_files: bool) -> Self {
        let analysis = folder.join("analysis.json");
        let files = crate::report::Files { analysis, plan: None, builds: None };
        Self::Report(report::Arguments { files, formats: Vec::new(), out: to_files.then(|| folder.to_owned()) })
    }

    /// Whether the command judges what the cells deliver.
    pub fn is_analysis(&self) -> bool {
        matches!(self, Self::Analyze(_))
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(arguments) => write_plan(arguments, f),
            Self::Build(arguments) => write!(f, "build {}", arguments.what),
            Self::Bench(arguments) => {
                f.write_str("bench")?;
                option("out", arguments.out.as_ref().map(|out| out.display()), f)
            }
            Self::Analyze(arguments) => {
                write!(f, "analyze {}", arguments.plan.display())?;
                arguments.samples.iter().try_for_each(|samples| write!(f, " {}", samples.display()))?;
                option("out", Some(arguments.out.display()), f)
            }
            Self::Report(arguments) => {
                write!(f, "report {}", arguments.files.analysis.display())?;
                option("out", arguments.out.as_ref().map(|out| out.display()), f)
            }
        }
    }
}

fn write_plan(arguments: &crate::plan::Arguments, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "plan {}", arguments.design.as_str())?;
    option("out", arguments.out.as_ref().map(|out| out.display()), f)?;
    option("cells", list(&arguments.cells), f)?;
    option("blocks", Some(arguments.blocks), f)?;
    option("memory", list(&arguments.memory), f)?;
    option("regime", list(&names(&arguments.regime)), f)?;
    option("cache", list(&names(&arguments.cache)), f)?;
    option("trust-store", list(&names(&arguments.trust_store)), f)?;
    option("fault", list(&names(&arguments.fault)), f)?;
    for external in &arguments.external {
        option("external", Some(format!("{}={}", external.name, external.path.display())), f)?;
    }
    arguments.own_payload.iter().try_for_each(|name| option("own-payload", Some(name), f))
}

fn option(name: &str, value: Option<impl Display>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " --{name} {value}"))
}

fn names<T: ValueEnum>(values: &[T]) -> Vec<String> {
    values.iter().filter_map(|value| Some(value.to_possible_value()?.get_name().to_owned())).collect()
}

/// Separated by commas; none without any.
fn list<T: ToString>(values: &[T]) -> Option<String> {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    (!values.is_empty()).then(|| values.join(","))
}
