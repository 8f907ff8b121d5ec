//! Redis commands in a resource: their names without their arguments.

/// Maximum number of commands that are named.
const MAX_COMMANDS: usize = 3;

/// What a tracer ends a text with that it has cut.
const CUT: &str = "...";

/// The names of the first three commands, one a line of the query; dots stand for those left out.
pub(super) fn quantize(query: &str) -> String {
    let (mut names, mut commands, mut is_cut) = (String::with_capacity(32), 0, false);
    for line in query.split('\n') {
        if commands == MAX_COMMANDS {
            break;
        }
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let Some(command) = words.next() else { continue };
        let subcommand = if has_subcommands(command) { words.next() } else { None };
        is_cut = subcommand.unwrap_or(command).ends_with(CUT);
        if is_cut {
            continue;
        }
        for word in [Some(command), subcommand].into_iter().flatten() {
            if !names.is_empty() {
                names.push(' ');
            }
            names.extend(word.chars().map(upper));
        }
        commands += 1;
    }
    if commands == MAX_COMMANDS || is_cut {
        if !names.is_empty() {
            names.push(' ');
        }
        names.push_str(CUT);
    }
    names
}

fn has_subcommands(command: &str) -> bool {
    ["client", "cluster", "command", "config", "debug", "script"].iter().any(|name| command.eq_ignore_ascii_case(name))
}

/// The upper case of a character, where that is one character.
fn upper(char: char) -> char {
    let mut upper = char.to_uppercase();
    let first = upper.next().unwrap_or(char);
    if upper.next().is_none() { first } else { char }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_lose_their_arguments() {
        for (query, expected) in [
            ("", ""),
            ("get key", "GET"),
            ("SET key secret\nGET other", "SET GET"),
            ("a 1\nb 2\nc 3", "A B C ..."),
            ("a 1\nb 2\nc 3\nd 4", "A B C ..."),
            ("\n  \n config  set x y", "CONFIG SET"),
            ("CLIENT", "CLIENT"),
            ("script load 'return 1'", "SCRIPT LOAD"),
            ("GET k\nSE...", "GET ..."),
            ("GE...", "..."),
            ("config se...", "..."),
            ("GE...\nset a b", "SET"),
            ("straße x", "STRAßE"),
        ] {
            assert_eq!(quantize(query), expected, "{query:?}");
        }
    }
}
