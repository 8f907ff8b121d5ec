//! Text of the function, made safe for a terminal: it can neither move the cursor nor change colours.

use console::measure_text_width;

/// The lines of a text. Runtimes put a carriage return between the lines of one record.
pub fn lines(text: &str) -> impl Iterator<Item = String> + '_ {
    let text = text.trim_end_matches(['\r', '\n']);
    text.split('\n').flat_map(|line| line.trim_end_matches('\r').split('\r')).map(escaped)
}

/// A line with its control characters written as escapes, and tabs as blanks.
pub fn escaped(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for letter in line.chars() {
        match letter {
            '\t' => out.push_str("    "),
            // They would change the direction of what follows.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.extend(letter.escape_unicode()),
            letter if letter.is_control() => out.extend(letter.escape_debug()),
            letter => out.push(letter),
        }
    }
    out
}

/// The parts of a line that fit into `width` columns each.
pub fn wrapped(line: &str, width: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut used = 0;
    let mut letter_text = [0; 4];
    for letter in line.chars() {
        let columns = measure_text_width(letter.encode_utf8(&mut letter_text));
        if used + columns > width.max(1) && used > 0 {
            parts.push(String::new());
            used = 0;
        }
        used += columns;
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceback_has_a_line_for_each_of_its_lines() {
        let text = "[ERROR] ValueError: x\rTraceback (most recent call last):\r\u{a0}\u{a0}File \"app.py\"\n";
        let expected = ["[ERROR] ValueError: x", "Traceback (most recent call last):", "\u{a0}\u{a0}File \"app.py\""];
        assert_eq!(lines(text).collect::<Vec<_>>(), expected);
        assert_eq!(lines("a\r\nb\r\n").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(lines("").collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn nothing_of_a_line_reaches_the_terminal_as_a_command() {
        let text = escaped("\u{1b}[2J\u{7}bell\u{9b}31m \u{202e}right\tü");
        assert_eq!(text, "\\u{1b}[2J\\u{7}bell\\u{9b}31m \\u{202e}right    ü");
        assert!(!text.chars().any(char::is_control));
    }

    #[test]
    fn long_line_is_split_into_several() {
        assert_eq!(wrapped("abcdefg", 3), ["abc", "def", "g"]);
        assert_eq!(wrapped("漢字x", 2), ["漢", "字", "x"]);
        assert_eq!(wrapped("", 3), [""]);
    }
}
