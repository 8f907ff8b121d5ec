//! Wraps the text of `--help` to the terminal's width, independent of line breaks in the source.

use clap::Command;
use console::Term;

/// The width where the output is not a terminal, and the maximum width: longer lines are hard to read.
const WIDTH: usize = 100;

/// Wraps the help of a command and of its subcommands to the terminal.
pub fn fitted(command: Command) -> Command {
    let terminal = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    let from_environment = || std::env::var("COLUMNS").ok()?.parse().ok();
    fitted_to(command, terminal.or_else(from_environment).map_or(WIDTH, |columns: usize| columns.clamp(1, WIDTH)))
}

fn fitted_to(command: Command, width: usize) -> Command {
    command.term_width(width).mut_subcommands(|subcommand| {
        let text = subcommand.get_after_help().map(|text| wrapped(&text.to_string(), width));
        let subcommand = subcommand.term_width(width);
        if let Some(text) = text { subcommand.after_help(text) } else { subcommand }
    })
}

/// Wraps a text. Lines that do not begin with a blank form a paragraph, up to an empty or indented line. An indented line is a command or a row of a table.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines = Vec::new();
    let mut paragraph = String::new();
    for line in text.lines().chain([""]) {
        if !line.is_empty() && !line.starts_with(' ') {
            let between = if paragraph.is_empty() { "" } else { " " };
            paragraph += &format!("{between}{line}");
            continue;
        }
        if !paragraph.is_empty() {
            lines.extend(broken(&std::mem::take(&mut paragraph), 0, width));
        }
        lines.extend(row(line, width));
    }
    lines.join("\n").trim_end().to_owned()
}

/// Wraps a row of two columns below its second column; a command stays on one line, so that it can be pasted.
fn row(line: &str, width: usize) -> Vec<String> {
    let cells = line.trim_start().split_once("  ").map(|(_, second)| second.trim_start());
    match cells {
        Some(second) if !second.is_empty() => broken(line, line.len() - second.len(), width),
        _ => vec![line.to_owned()],
    }
}

/// Breaks a line between words, and indents the continuation lines.
fn broken(line: &str, indentation: usize, width: usize) -> Vec<String> {
    let mut rest = line.get(indentation..).unwrap_or_default().split(' ');
    let head = line.get(..indentation).unwrap_or_default();
    let mut lines = vec![head.to_owned() + rest.next().unwrap_or_default()];
    for word in rest {
        let Some(last) = lines.last_mut() else { break };
        if last.chars().count() + 1 + word.chars().count() <= width {
            *last += &format!(" {word}");
        } else {
            lines.push(" ".repeat(indentation) + word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_broken_where_the_terminal_ends_and_nowhere_else() {
        let text = "A paragraph that the source\nbreaks.\n\nRows:\n  1    what is told of a row\n  130  short\n  a --command that stays";
        let expected = "A paragraph that the\nsource breaks.\n\nRows:\n  1    what is told\n       of a row\n  130  short\n  a --command that stays";
        assert_eq!(wrapped(text, 20), expected);
        assert_eq!(wrapped(expected, 20), expected, "clap has nothing left to break");
        assert_eq!(wrapped(text, 99).lines().next(), Some("A paragraph that the source breaks."));
    }

    #[test]
    fn no_line_of_any_help_is_broken_twice() {
        for width in [72, WIDTH] {
            let mut command = fitted_to(crate::commands::command(), width);
            command.build();
            for subcommand in command.get_subcommands_mut().filter(|subcommand| subcommand.get_name() != "help") {
                let name = subcommand.get_name().to_owned();
                let help = subcommand.render_long_help().to_string();
                let lines: Vec<&str> = help.lines().collect();
                let mut is_after = false;
                let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
                for pair in lines.windows(2) {
                    let (Some(line), Some(next)) = (pair.first(), pair.last()) else { continue };
                    assert!(line.starts_with("Usage: ") || line.chars().count() <= width.max(WIDTH), "{name}: {line}");
                    // A row that goes on below its second column, but for commands of several lines.
                    let goes_on = next.starts_with("     ") && is_after && !line.ends_with('\\');
                    is_after |= line.starts_with("Exit status") || line.starts_with("Examples:");
                    if (is_prose(line) && is_prose(next)) || goes_on {
                        let word = next.trim_start().split(' ').next().unwrap();
                        assert!(line.chars().count() + 1 + word.chars().count() > width, "{name}: {line}\n{next}");
                    }
                }
            }
        }
    }
}
