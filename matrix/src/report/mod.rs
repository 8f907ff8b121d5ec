//! `cargo matrix report`: the results of an analysis for people and for programs.
//!
//! ```text
//!   analysis.json ┐
//!   plan.json     │
//!   run.json      ├─▶ input ──▶ report ──▶ text, markdown, csv, json, html, benchstat, bencher
//!   builds.jsonl  ┘             sentences, alarms and order, the same for all formats
//! ```

mod alarm;
mod arguments;
mod bencher;
mod benchstat;
mod document;
mod error;
mod html;
mod input;
mod markdown;
pub mod number;
mod provenance;
mod sections;
mod tables;
mod text;
mod values;
mod words;

use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;

pub use arguments::{Arguments, Files, Format};
pub use error::Error;
pub use input::Experiment;
pub use markdown::escaped;
pub use sections::GATES;

use sections::Report;

use crate::{files, terminal};

/// Runs the verb and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    match report(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::exit_with_error(&error, if error.is_usage() { terminal::USAGE } else { terminal::SETUP_FAILED })
        }
    }
}

/// Writes the whole report in one format. `colours` applies to text only.
pub fn write(experiment: &Experiment, format: Format, colours: bool) -> Result<String, Error> {
    let report = Report::of(experiment);
    match format {
        Format::Text => Ok(text::write(&report, colours)),
        Format::Markdown => Ok(markdown::write(&report)),
        Format::Csv => values::write(&report),
        Format::Json => document::write(&report),
        Format::Html => Ok(html::write(&report)),
        Format::Benchstat => Ok(benchstat::write(&report)),
        Format::Bencher => bencher::write(&report),
    }
}

fn report(arguments: &Arguments) -> Result<(), Error> {
    let formats = match (arguments.formats.as_slice(), &arguments.out) {
        ([], None) => &[Format::Text],
        ([], Some(_)) => Format::value_variants(),
        ([_, _, ..], None) => return Err(Error::SeveralFormats),
        (formats, _) => formats,
    };
    let experiment = Experiment::read(&arguments.files)?;
    for format in formats {
        // Bencher's format has no place for notes.
        if *format == Format::Bencher {
            experiment.analysis.notes.iter().for_each(|note| eprintln!("note: {note}"));
        }
        match &arguments.out {
            Some(directory) => save(directory, *format, &write(&experiment, *format, false)?)?,
            None => terminal::print(&write(&experiment, *format, console::colors_enabled())?),
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
