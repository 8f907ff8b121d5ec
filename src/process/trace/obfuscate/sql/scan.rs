//! Where the tokens of a query end.

use std::borrow::Cow;

use super::{Dialect, is_word};

/// What is left of a query.
pub(super) struct Scanner<'q> {
    rest: &'q str,
    /// How many bytes may still be searched for ends that may not be there: a query of nothing but beginnings would take time by the square of its length.
    searches: usize,
}

/// How often a query is searched to its end at most.
const MAX_SEARCHES: usize = 32;

impl<'q> Scanner<'q> {
    pub(super) fn new(query: &'q str) -> Self {
        Self { rest: query, searches: query.len().saturating_mul(MAX_SEARCHES) }
    }

    pub(super) fn peek(&self) -> Option<char> {
        match self.rest.as_bytes().first() {
            Some(byte) if byte.is_ascii() => Some(char::from(*byte)),
            _ => self.rest.chars().next(),
        }
    }

    /// The character so many bytes ahead.
    pub(super) fn peek_at(&self, bytes: usize) -> Option<char> {
        self.rest.get(bytes..)?.chars().next()
    }

    pub(super) fn starts_with_at(&self, bytes: usize, text: &str) -> bool {
        self.rest.get(bytes..).is_some_and(|rest| rest.starts_with(text))
    }

    /// Reads so many bytes, or all that there are.
    pub(super) fn take(&mut self, bytes: usize) -> &'q str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    pub(super) fn take_if(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    pub(super) fn take_while(&mut self, is_wanted: impl Fn(char) -> bool) -> &'q str {
        self.take(self.rest.find(|char| !is_wanted(char)).unwrap_or(self.rest.len()))
    }

    /// A name with its dots. Nearly all of a query are words of ASCII, for which no character has to be decoded.
    pub(super) fn take_dotted_word(&mut self) -> &'q str {
        let is_wanted = |char| is_word(char) || char == '.';
        let ascii = self.rest.bytes().position(|byte| !byte.is_ascii() || !is_wanted(char::from(byte)));
        let ascii = ascii.unwrap_or(self.rest.len());
        let rest = self.rest.get(ascii..).unwrap_or_default();
        let is_ascii_next = rest.bytes().next().is_none_or(|byte| byte.is_ascii());
        let more = if is_ascii_next { 0 } else { rest.find(|char| !is_wanted(char)).unwrap_or(rest.len()) };
        self.take(ascii + more)
    }

    /// The next character, whatever it is, and the wanted ones after it.
    pub(super) fn take_with_first(&mut self, is_wanted: impl Fn(char) -> bool) -> &'q str {
        let first = self.peek().map_or(0, char::len_utf8);
        let after = self.rest.get(first..).unwrap_or_default();
        self.take(first + after.find(|char| !is_wanted(char)).unwrap_or(after.len()))
    }

    pub(super) fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
        // What is no letter of ASCII may be space as well.
        if self.rest.as_bytes().first().is_some_and(|next| !next.is_ascii_graphic()) {
            self.rest = self.rest.trim_start();
        }
    }

    /// Up to the end of the line, which is left.
    pub(super) fn skip_line(&mut self) {
        self.take_while(|char| char != '\n');
    }

    /// Over a comment between slashes and asterisks; one without an end takes all.
    pub(super) fn skip_comment(&mut self) {
        self.take(2);
        let end = self.rest.find("*/").map_or(self.rest.len(), |end| end + 2);
        self.take(end);
    }

    /// A number: digits, one dot, one exponent. After a dot that was read already there is no second one.
    pub(super) fn number(&mut self, after_dot: bool) {
        let (mut dot, mut exponent) = (after_dot, false);
        while let Some(next) = self.peek() {
            match next {
                '0'..='9' => {}
                '.' if !dot => dot = true,
                'e' | 'E' if !exponent => {
                    exponent = true;
                    if matches!(self.peek_at(1), Some('+' | '-')) {
                        self.take(1);
                    }
                }
                _ => return,
            }
            self.take(1);
        }
    }

    /// Whether a sign is that of a number.
    pub(super) fn is_number_after_sign(&self) -> bool {
        let is_digit = |at| self.peek_at(at).is_some_and(|char| char.is_ascii_digit());
        is_digit(1) || (self.starts_with_at(1, ".") && is_digit(2))
    }

    /// A text in single quotes. One without an end takes all.
    pub(super) fn quoted(&mut self) {
        let end = self.quoted_end().unwrap_or(self.rest.len());
        self.take(end);
    }

    /// Where a text in single quotes ends. Doubled quotes stand for one. Whether a backslash escapes a quote depends on the server: it does if a word would follow
    /// where the text ended otherwise.
    fn quoted_end(&mut self) -> Option<usize> {
        let bytes = self.rest.as_bytes();
        let plain = quoted_end(bytes, Escapes::None);
        let next = plain.and_then(|end| bytes.get(end));
        let is_word_next = next.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if (plain.is_some() && !is_word_next) || !self.may_search() {
            return plain;
        }
        quoted_end(bytes, Escapes::Backslash).or(plain)
    }

    fn may_search(&mut self) -> bool {
        let left = self.searches.checked_sub(self.rest.len());
        self.searches = left.unwrap_or(self.searches);
        left.is_some()
    }

    /// What is in quotes that double to stand for themselves; without an end, all of it.
    pub(super) fn quoted_name(&mut self, quote: char) -> Cow<'q, str> {
        self.take(quote.len_utf8());
        let first = self.take_while(|char| char != quote);
        self.take(quote.len_utf8());
        if self.peek() != Some(quote) {
            return Cow::Borrowed(first);
        }
        let mut name = first.to_owned();
        while self.peek() == Some(quote) {
            name.push(quote);
            self.take(quote.len_utf8());
            name.push_str(self.take_while(|char| char != quote));
            self.take(quote.len_utf8());
        }
        Cow::Owned(name)
    }

    /// A text between two equal tags in dollar signs, as in `$tag$text$tag$`; false and nothing is read if it is none.
    pub(super) fn dollar_quoted(&mut self) -> bool {
        if !self.may_search() {
            return false;
        }
        let end = || {
            let tag_end = self.rest.get(1..)?.find(['$', '\n'])? + 2;
            let (tag, text) = self.rest.split_at_checked(tag_end)?;
            Some(tag_end + text.find(tag.strip_suffix('$').map(|_| tag)?)? + tag.len())
        };
        let Some(end) = end() else { return false };
        self.take(end);
        true
    }

    /// Whether a brace opens a procedure call.
    pub(super) fn is_call_in_braces(&self) -> bool {
        let inner =
            self.rest.get(1..).unwrap_or_default().trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
        let is_call = inner.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("call"));
        is_call && !inner.get(4..).is_some_and(|rest| rest.starts_with(|char: char| char.is_ascii_alphanumeric()))
    }

    /// Everything up to the matching brace; without one, all.
    pub(super) fn braces(&mut self) {
        let mut depth = 0_usize;
        while let Some(next) = self.peek() {
            match next {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                '\'' => {
                    if let Some(end) = self.quoted_end() {
                        self.take(end);
                        continue;
                    }
                }
                _ => {}
            }
            self.take(next.len_utf8());
            if depth == 0 {
                return;
            }
        }
    }

    /// A dot and the rest of a qualified name, which may have parts that begin with digits.
    pub(super) fn qualified_rest(&mut self) -> &'q str {
        let mut length = 0;
        for (at, char) in self.rest.char_indices() {
            let next = self.rest.get(at + char.len_utf8()..).and_then(|rest| rest.chars().next());
            if !(is_word(char) || (char == '.' && next.is_some_and(is_word))) {
                break;
            }
            length = at + char.len_utf8();
        }
        self.take(length.max(1))
    }

    /// Whether `<@` is no operator but a comparison with a variable.
    pub(super) fn is_comparison_with_variable(&self, dialect: Dialect) -> bool {
        let is_name = self.peek_at(2).is_some_and(|char| char.is_ascii_alphanumeric() || char == '_');
        dialect != Dialect::Postgres && self.starts_with_at(1, "@") && is_name
    }
}

/// Whether a backslash takes the next character's meaning.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    None,
    Backslash,
}

fn quoted_end(bytes: &[u8], escapes: Escapes) -> Option<usize> {
    let mut at = 1;
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (b'\'', Some(b'\'')) => at += 2,
            (b'\'', _) => return Some(at + 1),
            (b'\\', _) if escapes == Escapes::Backslash => at += 2,
            _ => at += 1,
        }
    }
}
