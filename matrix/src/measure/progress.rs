//! The progress of a run, on standard error.

use indicatif::{ProgressBar, ProgressStyle};

use super::run::Step;
use crate::plan::circumstances::describe;

/// A progress bar on a terminal, lines elsewhere; always on standard error.
pub(super) struct StartProgress {
    bar: ProgressBar,
}

impl StartProgress {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} starts, {eta} left  {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    pub(super) fn step(&self, step: &Step<'_>) {
        match step {
            Step::Preparing(what) => self.say(what),
            Step::Refused(reason) => self.say(&format!("this machine refuses: {reason}")),
            Step::LeftOut { condition, reason } => {
                self.say(&format!("left out: {}, because this machine has {reason}", describe(condition)));
            }
            Step::WarmUp { starts } => {
                self.bar.set_length(*starts as u64);
                self.say(&format!("{starts} starts, after a round that is not recorded"));
                self.bar.reset_eta();
            }
            Step::Retried { cell, block, reason } => {
                self.say(&format!("the sandbox could not start {cell} in block {block} and tries again: {reason}"));
            }
            Step::Started { cell, block, failure } => {
                if let Some(failure) = failure {
                    self.say(&format!("{cell} failed in block {block}: {failure}"));
                }
                self.bar.set_message((*cell).to_owned());
                self.bar.inc(1);
                self.tenth();
            }
        }
    }

    /// Prints a line for each tenth of the starts if there is no bar.
    fn tenth(&self) {
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default().max(1));
        if self.bar.is_hidden() && done * 10 / all > (done - 1) * 10 / all {
            eprintln!("{done}/{all} starts");
        }
    }

    fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }
}
