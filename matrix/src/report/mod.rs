//! The results of an analysis for people and for programs.
//!
//! ```text
//!   analysis.json ┐
//!   plan.json     │
//!   run.json      ├─▶ input ──▶ report ──▶ text, markdown, csv, json, html, benchstat, bencher
//!   builds.jsonl  ┘             sentences, alarms and order, the same for all formats
//! ```

mod alarm;
mod bencher;
mod benchstat;
mod document;
mod error;
mod html;
mod input;
mod markdown;
pub mod number;
mod options;
mod provenance;
mod sections;
mod tables;
mod text;
mod values;
mod words;

pub use error::Error;
pub use input::Experiment;
pub use markdown::escaped;
pub use options::{Files, Format};
pub use sections::GATES;

use sections::Report;

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
