//! `cargo matrix report`: writes the results of an analysis for people and for programs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::report::{self, Error, Experiment, Files, Format};
use crate::{files, terminal};

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

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    match write(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::exit_with_error(&error, if error.is_usage() { terminal::USAGE } else { terminal::SETUP_FAILED })
        }
    }
}

fn write(arguments: &Arguments) -> Result<(), Error> {
    let formats = match (arguments.formats.as_slice(), &arguments.out) {
        ([], None) => &[Format::Text],
        ([], Some(_)) => Format::value_variants(),
        ([_, _, ..], None) => return Err(Error::SeveralFormats),
        (formats, _) => formats,
    };
    let outputs = arguments.out.iter().flat_map(|out| formats.iter().map(move |format| out.join(format.file_name())));
    files::keep_inputs("--out", outputs, arguments.files.inputs())?;
    let experiment = Experiment::read(&arguments.files)?;
    for format in formats {
        // Bencher's format has no place for notes.
        if *format == Format::Bencher {
            experiment.analysis.notes.iter().for_each(|note| eprintln!("note: {note}"));
        }
        match &arguments.out {
            Some(directory) => save(directory, *format, &report::write(&experiment, *format, false)?)?,
            None => terminal::print(&report::write(&experiment, *format, console::colors_enabled())?),
        }
    }
    Ok(())
}

fn save(directory: &Path, format: Format, content: &str) -> Result<(), Error> {
    let path = directory.join(format.file_name());
    files::write(&path, content).map_err(|source| Error::Write { path: path.clone(), source })?;
    eprintln!("{}", path.display());
    Ok(())
}
