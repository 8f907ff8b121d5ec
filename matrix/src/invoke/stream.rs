//! Lines of the function and the extensions, shown as they come.

use std::io::Write;

use console::{Style, Term};

/// Writes lines with the name of their origin before them.
#[derive(Debug)]
pub struct Printer {
    terminal: Term,
    colours: bool,
}

impl Printer {
    /// `to_stderr` leaves standard output to a document.
    pub fn new(to_stderr: bool) -> Self {
        if to_stderr {
            Self { terminal: Term::stderr(), colours: console::colors_enabled_stderr() }
        } else {
            Self { terminal: Term::stdout(), colours: console::colors_enabled() }
        }
    }

    /// A reader that has gone away, such as `head`, is no reason to end the run.
    pub fn line(&self, origin: &str, is_function: bool, line: &str) {
        let _ = writeln!(&self.terminal, "{}", prefixed(origin, is_function, line, self.colours));
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
        let _ = write!(&self.terminal, "{text}");
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
