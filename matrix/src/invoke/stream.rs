//! Lines of the function and the extensions, shown as they come.

use std::io::Write;

use console::{Style, Term};

use crate::cli;

/// Writes lines with the name of their origin before them.
#[derive(Debug)]
pub struct Printer {
    terminal: Term,
    colours: bool,
    to_stderr: bool,
}

impl Printer {
    /// `to_stderr` leaves standard output to a document.
    pub fn new(to_stderr: bool) -> Self {
        if to_stderr {
            Self { terminal: Term::stderr(), colours: console::colors_enabled_stderr(), to_stderr }
        } else {
            Self { terminal: Term::stdout(), colours: console::colors_enabled(), to_stderr }
        }
    }

    /// A line of that origin.
    pub fn line(&self, origin: &str, is_function: bool, line: &str) {
        self.text(&(prefixed(origin, is_function, line, self.colours) + "\n"));
    }

    /// Columns of the terminal, or of an ordinary one when the output goes elsewhere.
    pub fn width(&self) -> usize {
        if self.terminal.is_term() { usize::from(self.terminal.size().1) } else { 160 }
    }

    pub fn colours(&self) -> bool {
        self.colours
    }

    /// A piece of text as it is.
    pub fn text(&self, text: &str) {
        let written = write!(&self.terminal, "{text}");
        // Where standard error is full there is nobody left to tell.
        if !self.to_stderr {
            cli::remember_loss(written);
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
    fn a_line_says_whose_it_is() {
        assert_eq!(prefixed("function", true, "hello", false), "function | hello");
        let coloured = prefixed("datadog-agent", false, "ready", true);
        assert!(coloured.contains("\u{1b}[") && coloured.ends_with(" ready"), "{coloured:?}");
    }
}
