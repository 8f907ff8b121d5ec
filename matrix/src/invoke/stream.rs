//! Prints lines of the function and the extensions as they arrive.

use std::io::Write;

use console::{Style, Term};

use super::text;
use crate::terminal;

/// Prints lines with the name of their origin.
#[derive(Debug)]
pub struct Printer {
    terminal: Term,
    colours: bool,
    to_stderr: bool,
    is_quiet: bool,
}

impl Printer {
    /// A printer; `to_stderr` keeps standard output free for a document. A quiet one prints no lines of origins.
    pub fn new(to_stderr: bool, is_quiet: bool) -> Self {
        if to_stderr {
            Self { terminal: Term::stderr(), colours: console::colors_enabled_stderr(), to_stderr, is_quiet }
        } else {
            Self { terminal: Term::stdout(), colours: console::colors_enabled(), to_stderr, is_quiet }
        }
    }

    /// Prints a line or a record of an origin, each of its lines with the name.
    pub fn line(&self, origin: &str, is_function: bool, record: &str) {
        if self.is_quiet {
            return;
        }
        let lines = text::lines(record).map(|line| prefixed(origin, is_function, &line, self.colours) + "\n");
        self.text(&lines.collect::<String>());
    }

    /// The width of the terminal in columns, or a default where there is none.
    pub fn width(&self) -> usize {
        if self.terminal.is_term() { usize::from(self.terminal.size().1) } else { 160 }
    }

    pub fn colours(&self) -> bool {
        self.colours
    }

    /// Prints text unchanged.
    pub fn text(&self, text: &str) {
        let written = write!(&self.terminal, "{text}");
        // If standard error cannot be written, the failure cannot be reported.
        if !self.to_stderr {
            terminal::remember_loss(written);
        }
    }
}

fn prefixed(origin: &str, is_function: bool, line: &str, colours: bool) -> String {
    if !colours {
        return format!("{origin} | {line}");
    }
    let style = if is_function { Style::new().cyan() } else { Style::new().magenta() };
    format!("{} {line}", style.force_styling(true).apply_to(format!("{origin} |")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_line_has_its_request_id() {
        assert_eq!(prefixed("function", true, "hello", false), "function | hello");
        let coloured = prefixed("datadog-agent", false, "ready", true);
        assert!(coloured.contains("\u{1b}[") && coloured.ends_with(" ready"), "{coloured:?}");
    }
}
