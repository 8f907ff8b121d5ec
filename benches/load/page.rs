//! The page that a run is recorded on.

use std::fmt;

/// One benchmark.
pub struct Section {
    pub title: &'static str,
    /// What was measured against what, in whole sentences.
    pub about: String,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "## {}\n\n{}\n", self.title, self.about)?;
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.columns.len()))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        Ok(())
    }
}

const INTRODUCTION: &str = "\
# Load benchmarks

Written by `cargo bench --profile release --bench load -- --record` on a two-core virtual machine. A ratio is the median of the ratios of rounds that were measured
in turns with their yardstick; above 1 is faster than the yardstick. Cold starts: [cold-start.md](cold-start.md).
";

/// The whole page.
pub fn whole(sections: &[Section]) -> String {
    let sections: Vec<_> = sections.iter().map(Section::to_string).collect();
    format!("{INTRODUCTION}\n{}", sections.join("\n"))
}

/// The value in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// With as many digits as say something.
pub fn number(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { count(value) }
}

/// A whole number, with groups of thousands.
pub fn count(value: f64) -> String {
    let digits = format!("{value:.0}");
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}
