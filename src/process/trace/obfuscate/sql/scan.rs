//! The scanner of SQL tokens.

use std::borrow::Cow;

use super::{Dialect, is_word};

/// A cursor over the unread rest of a query.
pub(super) struct Scanner<'q> {
    rest: &'q str,
    escapes: Escapes,
    /// Whether a text in quotes had a backslash.
    has_backslash: bool,
    /// Whether a text in quotes had no end.
    is_open: bool,
    /// How many bytes may still be searched for ends that may not be there: a query of nothing but beginnings would take time by the square of its length.
    searches: usize,
}

/// Whether a backslash in a text takes the meaning of the character after it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    None,
    Backslash,
}

/// How often a query is searched to its end at most.
const MAX_SEARCHES: usize = 32;

impl<'q> Scanner<'q> {
    pub(super) fn new(query: &'q str, escapes: Escapes) -> Self {
        let searches = query.len().saturating_mul(MAX_SEARCHES);
        Self { rest: query, escapes, has_backslash: false, is_open: false, searches }
    }

    /// Whether a text in quotes had no end.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether that may be so because a backslash was read as what it is not.
    pub(super) fn may_be_misread(&self) -> bool {
        self.is_open && self.has_backslash
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
        let end = self.quoted_end(b'\'').unwrap_or(self.rest.len());
        self.take(end);
    }

    /// Where a text in quotes ends. Doubled quotes stand for one.
    fn quoted_end(&mut self, quote: u8) -> Option<usize> {
        let bytes = self.rest.as_bytes();
        let mut at = 1;
        while let Some(byte) = bytes.get(at) {
            if *byte == quote {
                if bytes.get(at + 1) != Some(&quote) {
                    return Some(at + 1);
                }
                at += 1;
            } else if *byte == b'\\' {
                self.has_backslash = true;
                at += usize::from(self.escapes == Escapes::Backslash);
            }
            at += 1;
        }
        self.is_open = true;
        None
    }

    fn may_search(&mut self) -> bool {
        let left = self.searches.checked_sub(self.rest.len());
        self.searches = left.unwrap_or(self.searches);
        left.is_some()
    }

    /// What is in quotes, as it is meant; without an end, all of it.
    pub(super) fn quoted_name(&mut self, quote: u8) -> Cow<'q, str> {
        let end = self.quoted_end(quote);
        let quoted = self.take(end.unwrap_or(self.rest.len()));
        let name = quoted.get(1..quoted.len() - usize::from(end.is_some())).unwrap_or_default();
        if !name.bytes().any(|byte| byte == quote || byte == b'\\') {
            return Cow::Borrowed(name);
        }
        let (mut meant, mut chars) = (String::with_capacity(name.len()), name.chars());
        while let Some(char) = chars.next() {
            let stands_for_next = char == char::from(quote) || (char == '\\' && self.escapes == Escapes::Backslash);
            meant.push(if stands_for_next { chars.next().unwrap_or(char) } else { char });
        }
        Cow::Owned(meant)
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
                // What has no end is no text, and is not searched for again.
                '\'' if !self.is_open => {
                    if let Some(end) = self.quoted_end(b'\'') {
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
