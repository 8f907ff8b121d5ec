//! What is written of a query: tokens with a space between them, without aliases, a run of literals as one.

/// Replacement of a literal.
const LITERAL: &str = "?";

/// Words that come after `AS` without being an alias.
const NO_ALIAS: [&str; 26] = [
    "begin",
    "end",
    "select",
    "insert",
    "update",
    "delete",
    "from",
    "where",
    "join",
    "on",
    "set",
    "values",
    "into",
    "group",
    "order",
    "having",
    "union",
    "intersect",
    "except",
    "limit",
    "offset",
    "with",
    "create",
    "drop",
    "alter",
    "truncate",
];

/// The query so far.
pub(super) struct Writer {
    text: String,
    /// The length before `AS`, while the alias after it has not come.
    alias: Option<usize>,
    /// Whether a literal that comes next belongs to the one that was written.
    in_literals: bool,
    /// Whether the last token was `=`.
    after_equals: bool,
    after_savepoint: bool,
}

impl Writer {
    pub(super) fn new(capacity: usize) -> Self {
        let text = String::with_capacity(capacity);
        Self { text, alias: None, in_literals: false, after_equals: false, after_savepoint: false }
    }

    pub(super) fn finish(mut self) -> String {
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text
    }

    /// Takes back an `AS` whose alias has come; false if there is none.
    pub(super) fn drop_alias(&mut self) -> bool {
        let alias = self.alias.take();
        self.text.truncate(alias.unwrap_or(self.text.len()));
        alias.is_some()
    }

    /// Whether a name in double quotes would be a value.
    pub(super) fn expects_value(&self) -> bool {
        self.after_equals || self.after_savepoint
    }

    pub(super) fn expect_value(&mut self) {
        self.after_equals = true;
    }

    /// Whether a dot would continue a name.
    pub(super) fn ends_in_name(&self) -> bool {
        let last = self.text.as_bytes().last();
        last.is_some_and(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'_' | b'$' | b'#' | b'*' | b'@' | b'"' | b'`')
                || !byte.is_ascii()
        })
    }

    /// Writes without a space before it.
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// A literal; false if it was an alias.
    pub(super) fn literal(&mut self) -> bool {
        self.after_savepoint = false;
        if self.drop_alias() {
            return false;
        }
        if !self.in_literals {
            self.space();
            self.push(LITERAL);
            self.in_literals = true;
            self.after_equals = false;
        }
        true
    }

    /// A question mark that need not be a literal.
    pub(super) fn bare_question_mark(&mut self) {
        self.space();
        self.push(LITERAL);
        self.after_equals = false;
    }

    /// A name, whatever word it is; false if it was an alias.
    pub(super) fn name(&mut self, name: &str) -> bool {
        if self.drop_alias() {
            return false;
        }
        self.space();
        self.push(name);
        self.in_literals = false;
        self.after_equals = false;
        true
    }

    /// A name or a keyword.
    pub(super) fn word(&mut self, word: &str) {
        let is = |keyword: &str| word.len() == keyword.len() && word.eq_ignore_ascii_case(keyword);
        if self.after_savepoint || is("null") || is("true") || is("false") {
            self.literal();
        } else if is("as") {
            self.drop_space();
            let before = self.text.len();
            self.space();
            self.push(word);
            self.alias = Some(before);
            self.in_literals = false;
        } else {
            if self.alias.is_some() && NO_ALIAS.iter().any(|keyword| is(keyword)) {
                self.alias = None;
            }
            if self.name(word) {
                self.after_savepoint = is("savepoint");
            }
        }
    }

    /// An operator or the like.
    pub(super) fn symbol(&mut self, symbol: &str) {
        self.space();
        self.push(symbol);
        self.in_literals = false;
    }

    pub(super) fn open(&mut self) {
        self.after_savepoint = false;
        self.space();
        self.push("( ");
    }

    pub(super) fn close(&mut self) {
        self.drop_alias();
        if self.last().is_some_and(|last| !matches!(last, b'(' | b' ')) {
            self.push(" ");
        }
        self.push(")");
    }

    pub(super) fn close_bracket(&mut self) {
        if self.last().is_some_and(|last| !matches!(last, b'[' | b' ')) {
            self.space();
        }
        self.push("]");
    }

    /// A comma between literals goes with the second of them.
    pub(super) fn comma(&mut self) {
        self.drop_alias();
        if self.in_literals {
            self.text.truncate(self.text.trim_end_matches(' ').len());
        } else {
            self.drop_space();
            self.push(",");
        }
    }

    /// A semicolon is left out, and with it a literal right after it.
    pub(super) fn end_statement(&mut self) {
        self.in_literals = true;
    }

    /// The space where the query has one; not between `AS` and its alias.
    pub(super) fn space_between(&mut self) {
        if self.alias.is_none() {
            self.space();
        }
    }

    /// A space if the last token has none after it, unless it is the dot of a qualified name.
    pub(super) fn space(&mut self) {
        let is_spaced = self.last().is_none_or(|last| last == b' ');
        if !is_spaced && self.ends_in_qualifier() {
            return;
        }
        if self.in_literals {
            let last = self.text.bytes().rev().find(|byte| *byte != b' ');
            // Parentheses do not end a run of literals by themselves, but what follows a closing one does.
            self.in_literals = last == Some(b'?') || self.text.is_empty() || (is_spaced && last == Some(b'('));
        }
        if !is_spaced {
            self.text.push(' ');
        }
    }

    fn ends_in_qualifier(&self) -> bool {
        let before = self.text.as_bytes().strip_suffix(b".").and_then(<[u8]>::last);
        before.is_some_and(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'"' | b']' | b'#' | b'?') || !byte.is_ascii()
        })
    }

    fn last(&self) -> Option<u8> {
        self.text.as_bytes().last().copied()
    }

    /// Takes back one space.
    fn drop_space(&mut self) {
        if self.last() == Some(b' ') {
            self.text.pop();
        }
    }
}
