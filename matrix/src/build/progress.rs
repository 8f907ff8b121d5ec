//! How far a build is: a bar on a terminal, else a line when it begins to compile and one for each cell.

use std::sync::Once;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

pub struct Progress {
    bar: ProgressBar,
    cells: usize,
    /// Whether it was said that something is compiled, where no bar shows it.
    announced: Once,
}

impl Progress {
    pub fn new(cells: usize) -> Self {
        let bar = ProgressBar::new(cells as u64);
        if let Ok(style) = ProgressStyle::with_template("{spinner} [{pos}/{len}] {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, cells, announced: Once::new() }
    }

    /// What is being done now; only where it is replaced by what comes next.
    pub fn at(&self, cell: &str, step: &str) {
        if self.bar.is_hidden() {
            self.announced.call_once(|| eprintln!("{cell}: compiling, which takes minutes the first time"));
        }
        self.bar.set_message(format!("{cell}: {step}"));
    }

    /// A cell is through.
    pub fn done(&self, cell: &str, how: &str) {
        self.bar.inc(1);
        let line = format!("[{}/{}] {cell}: {how}", self.bar.position(), self.cells);
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
