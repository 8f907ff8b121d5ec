//! Renders the delivered logs, grouped by invocation.

use console::Style;

use super::{Text, clock, short};
use crate::invoke::run_summary::{Log, RunSummary};
use crate::invoke::text;

/// Maximum number of lines of an invocation that are shown, about a screenful.
const SCREENFUL: usize = 40;
/// Columns of the time and the status before each message.
const BEFORE_MESSAGE: usize = 25;

impl Text {
    /// The logs of each invocation in the order of time, in full or as far as they fit on a screen.
    pub(super) fn logs(&mut self, run_summary: &RunSummary) {
        self.title("Logs");
        if run_summary.logs.is_empty() {
            self.line("  none");
        }
        for (request_id, logs) in groups(&run_summary.logs) {
            let heading =
                request_id.map_or_else(|| "  of no invocation".to_owned(), |id| format!("  of {}", short(id)));
            self.line(&self.paint(Style::new().dim(), &heading));
            let lines: Vec<String> = logs.into_iter().flat_map(|log| self.lines_of(log)).collect();
            let shown = if self.page.all_logs { lines.len() } else { SCREENFUL };
            for line in lines.iter().take(shown) {
                self.line(line);
            }
            if lines.len() > shown {
                self.line(&format!("  … {} more lines; --all-logs shows them", lines.len() - shown));
            }
        }
    }

    fn lines_of(&self, log: &Log) -> Vec<String> {
        let time = log.timestamp.map_or_else(|| "?".to_owned(), clock);
        let before = format!("  {time:<12}  {:<8} ", text::escaped(&log.status));
        let width = self.page.width.saturating_sub(BEFORE_MESSAGE);
        let parts = text::lines(&log.message).flat_map(|line| text::wrapped(&line, width));
        let line = |(index, part): (usize, String)| {
            let before = if index == 0 { before.as_str() } else { "" };
            format!("{before:<BEFORE_MESSAGE$}{part}").trim_end().to_owned()
        };
        parts.enumerate().map(line).collect()
    }
}

/// The logs by request id, in the order in which the ids first occur; those of an id are in the order of time.
fn groups(logs: &[Log]) -> Vec<(Option<&str>, Vec<&Log>)> {
    let mut groups: Vec<(Option<&str>, Vec<&Log>)> = Vec::new();
    for log in logs {
        let id = log.request_id.as_deref();
        match groups.iter_mut().find(|(known, _)| *known == id) {
            Some((_, group)) => group.push(log),
            None => groups.push((id, vec![log])),
        }
    }
    for (_, group) in &mut groups {
        group.sort_by_key(|log| log.timestamp);
    }
    groups
}
