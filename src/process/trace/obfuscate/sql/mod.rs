//! SQL without its literals: each becomes a question mark, lists of them one, and comments, aliases and needless space go.
//!
//! A query need not be complete or correct: what is no literal, comment or alias stays as it is, one space between tokens.
//!
//! Source: the behaviour of the full agent's obfuscator in its default mode.

mod scan;
mod shorten;
mod writer;

use scan::{Escapes, Scanner};
use writer::Writer;

/// Whose SQL it is, where that changes the meaning of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    SqlServer,
    Postgres,
    Other,
}

impl Dialect {
    /// By the tag `db.type` of Datadog's tracers, or by the system as OpenTelemetry names it.
    pub(super) fn of(name: &str) -> Self {
        if name.eq_ignore_ascii_case("mssql") || name.eq_ignore_ascii_case("microsoft.sql_server") {
            Self::SqlServer
        } else if name.eq_ignore_ascii_case("postgresql") {
            Self::Postgres
        } else {
            Self::Other
        }
    }

    /// How a backslash in a text is read, and how if that leaves a text without an end. SQL Server knows no escapes, and `PostgreSQL` only in texts that begin with `E`.
    fn escapes(self, query: &str) -> (Escapes, Escapes) {
        let has_escapes = || query.as_bytes().windows(2).any(|pair| pair.eq_ignore_ascii_case(b"e'"));
        match self {
            Self::SqlServer => (Escapes::None, Escapes::None),
            Self::Postgres if !has_escapes() => (Escapes::None, Escapes::None),
            Self::Postgres | Self::Other => (Escapes::Backslash, Escapes::None),
        }
    }
}

/// The query without literals.
///
/// Whether a backslash escapes a quote depends on the server and its settings. The query is read as is usual for its dialect; if a text has no end then, once more the
/// other way; and if one has no end either way, it is what was read first.
pub(super) fn obfuscate(query: &str, dialect: Dialect) -> String {
    let (usual, other) = dialect.escapes(query);
    let mut translation = Translation::of(query, dialect, usual);
    if usual != other && translation.scanner.may_be_misread() {
        let other = Translation::of(query, dialect, other);
        if !other.scanner.is_open() {
            translation = other;
        }
    }
    shorten::lists(translation.out.finish())
}

struct Translation<'q> {
    scanner: Scanner<'q>,
    out: Writer,
    dialect: Dialect,
}

impl<'q> Translation<'q> {
    /// Translates all of a query.
    fn of(query: &'q str, dialect: Dialect, escapes: Escapes) -> Self {
        let mut translation = Self { scanner: Scanner::new(query, escapes), out: Writer::new(query.len()), dialect };
        while let Some(next) = translation.scanner.peek() {
            translation.token(next);
        }
        translation
    }

    /// Translates the token that begins with this character; always reads at least that.
    fn token(&mut self, next: char) {
        match next {
            _ if next.is_whitespace() => {
                self.scanner.skip_space();
                self.out.space_between();
            }
            '(' => self.open(),
            ')' => {
                self.scanner.take(1);
                self.out.close();
            }
            ',' => {
                self.scanner.take(1);
                self.out.comma();
            }
            ';' => {
                self.scanner.take(1);
                self.out.end_statement();
            }
            '\'' => {
                self.scanner.quoted();
                self.out.literal();
            }
            'x' | 'X' if self.scanner.starts_with_at(1, "'") => {
                self.scanner.take(1);
                self.scanner.quoted();
                self.out.literal();
            }
            '0' if self.scanner.starts_with_at(1, "x") || self.scanner.starts_with_at(1, "X") => {
                self.scanner.take(2);
                self.scanner.take_while(|char| char.is_ascii_hexdigit());
                self.out.literal();
            }
            '0'..='9' => {
                self.scanner.number(false);
                self.out.literal();
            }
            '`' | '"' => self.quoted_name(next),
            '[' | ']' => self.bracket(next),
            '{' => self.brace(),
            '.' => self.dot(),
            '$' => self.dollar(),
            '%' => self.percent(),
            '@' => self.at(),
            ':' => self.colon(),
            '#' => self.hash(),
            '?' => self.question_mark(),
            _ if next.is_ascii_alphabetic() || next == '_' || !next.is_ascii() => {
                let word = self.scanner.take_dotted_word();
                let is_last = self.scanner.peek().is_none();
                self.out.word(word);
                if word.ends_with('.') && !is_last {
                    self.out.push(" ");
                }
            }
            _ => self.operator(next),
        }
    }

    fn open(&mut self) {
        self.scanner.take(1);
        if self.out.drop_alias() {
            return;
        }
        self.scanner.skip_space();
        self.out.open();
    }

    /// A name in backticks or double quotes. In double quotes after an equals sign it is a value, as it is where a savepoint is named.
    fn quoted_name(&mut self, quote: char) {
        let name = self.scanner.quoted_name(if quote == '"' { b'"' } else { b'`' });
        let is_blank = name.chars().all(char::is_whitespace);
        if quote == '"' && (self.out.expects_value() || (is_blank && !name.is_empty())) {
            if self.out.literal() {
                self.qualifier();
            }
        } else {
            let name = if is_blank { format!("{quote}{name}{quote}").into() } else { name };
            if self.out.name(&name) {
                self.qualifier();
            }
        }
    }

    /// The dot after a quoted name.
    fn qualifier(&mut self) {
        if self.scanner.peek() != Some('.') {
            return;
        }
        self.scanner.take(1);
        match self.scanner.peek() {
            Some('*') => {
                self.scanner.take(1);
                self.out.push(".*");
            }
            Some('`' | '"' | '[') => self.out.push(" . "),
            Some(next) if next.is_ascii_alphabetic() || next == '_' || !next.is_ascii() => self.out.push(" . "),
            _ => self.out.push("."),
        }
    }

    fn bracket(&mut self, next: char) {
        self.scanner.take(1);
        if next == ']' {
            self.out.drop_alias();
            self.out.close_bracket();
            if self.scanner.take_if(".") {
                self.out.push(" . ");
            }
        } else if self.dialect == Dialect::SqlServer {
            let name = self.scanner.take_while(|char| char != ']');
            self.scanner.take_if("]");
            if self.out.name(name) && self.scanner.take_if(".") {
                self.out.push(if self.scanner.peek() == Some('[') { " . " } else { "." });
            }
        } else if self.out.drop_alias() {
            self.scanner.take_while(|char| char != ']');
            self.scanner.take_if("]");
        } else {
            self.scanner.skip_space();
            self.out.symbol("[");
            self.out.space();
        }
    }

    /// A call in braces keeps them; a map or anything else in braces is one literal.
    fn brace(&mut self) {
        self.out.drop_alias();
        if self.scanner.is_call_in_braces() {
            self.scanner.take(1);
            self.scanner.skip_space();
            self.out.symbol("{");
            self.out.push(" ");
        } else {
            self.scanner.braces();
            self.out.literal();
        }
    }

    /// The start of a number, a part of a name, or on its own.
    fn dot(&mut self) {
        let is_digit_next = self.scanner.peek_at(1).is_some_and(|char| char.is_ascii_digit());
        let follows_name = self.out.ends_in_name();
        if is_digit_next && !follows_name {
            self.scanner.take(1);
            self.scanner.number(true);
            self.out.literal();
        } else if is_digit_next {
            let part = self.scanner.qualified_rest();
            self.out.push(part);
        } else {
            if !follows_name {
                self.out.drop_alias();
                self.out.space();
            }
            self.scanner.take(1);
            self.out.push(".");
        }
    }

    /// A parameter by number, a quoted text, or a name.
    fn dollar(&mut self) {
        let next = self.scanner.peek_at(1);
        if next.is_some_and(|char| char.is_ascii_digit() || char == '?') {
            self.scanner.take(1);
            self.scanner.take_while(|char| char.is_ascii_digit() || char == '?');
            if self.scanner.take_if(".") {
                self.scanner.take_while(|char| char.is_ascii_digit());
            }
            self.out.literal();
        } else if next.is_some_and(|char| char.is_ascii_alphabetic() || matches!(char, '_' | '$'))
            && self.scanner.dollar_quoted()
        {
            self.out.literal();
        } else {
            let name = self.scanner.take_with_first(is_word);
            self.out.name(name);
        }
    }

    /// A parameter such as `%s` or `%(name)s`, or the operator.
    fn percent(&mut self) {
        match self.scanner.peek_at(1) {
            Some('(') => {
                self.scanner.take_while(|char| char != ')');
                self.scanner.take_if(")");
                if self.scanner.peek().is_some_and(|char| char.is_ascii_alphabetic()) {
                    self.scanner.take(1);
                }
                self.out.literal();
            }
            Some(next) if next.is_alphabetic() || matches!(next, '_' | '@' | '#') => {
                self.scanner.take(1);
                self.scanner.take(next.len_utf8());
                self.out.literal();
            }
            _ => {
                self.scanner.take(1);
                self.out.drop_alias();
                self.out.symbol("%");
                self.out.space();
            }
        }
    }

    /// A variable such as `@name` or `@@global`, which stays, or an operator.
    fn at(&mut self) {
        let next = self.scanner.peek_at(1).unwrap_or(' ');
        let is_name = if next.is_ascii() {
            next.is_ascii_alphanumeric() || matches!(next, '_' | '#' | '$' | '*' | '@')
        } else {
            next.is_alphabetic()
        };
        if is_name {
            let name =
                self.scanner.take_with_first(|char| is_word(char) && (char.is_ascii() || char.is_alphanumeric()));
            self.out.name(name);
        } else {
            self.symbols(&["@>", "@"]);
        }
    }

    /// A bound variable, which stays, or an operator.
    fn colon(&mut self) {
        let next = self.scanner.peek_at(1).unwrap_or(' ');
        let is_name = next.is_ascii_alphanumeric()
            || matches!(next, '_' | '#' | '@')
            || (!next.is_ascii() && next.is_alphabetic());
        if is_name {
            let name = self
                .scanner
                .take_with_first(|char| char == '.' || (is_word(char) && (char.is_ascii() || char.is_alphanumeric())));
            if self.out.name(name) && name.ends_with('.') {
                self.out.push(" ");
            }
        } else {
            self.symbols(&["::", ":=", ":"]);
        }
    }

    /// A comment, unless the dialect has other uses for it.
    fn hash(&mut self) {
        let next = self.scanner.peek_at(1).unwrap_or(' ');
        match self.dialect {
            Dialect::SqlServer if next.is_ascii_alphanumeric() || matches!(next, '_' | '#') => {
                let name = self.scanner.take_while(is_word);
                self.out.name(name);
            }
            Dialect::Postgres if matches!(next, '>' | '-') => self.symbols(&["#>>", "#>", "#-"]),
            _ => self.scanner.skip_line(),
        }
    }

    /// A parameter; for `PostgreSQL` it may be an operator and stays what it is.
    fn question_mark(&mut self) {
        let is_operator = self.scanner.starts_with_at(1, "&")
            || (self.scanner.starts_with_at(1, "|") && !self.scanner.starts_with_at(1, "||"));
        if is_operator {
            self.symbols(&["?|", "?&"]);
            return;
        }
        self.scanner.take(1);
        self.out.drop_alias();
        if self.dialect == Dialect::Postgres {
            self.out.bare_question_mark();
        } else {
            self.out.literal();
        }
    }

    fn operator(&mut self, next: char) {
        match next {
            '-' if self.scanner.starts_with_at(1, "-") => self.scanner.skip_line(),
            '/' if self.scanner.starts_with_at(1, "/") => self.scanner.skip_line(),
            '/' if self.scanner.starts_with_at(1, "*") => self.scanner.skip_comment(),
            '-' if self.scanner.is_number_after_sign() => {
                self.scanner.take(1);
                self.scanner.number(false);
                self.out.literal();
            }
            '=' => {
                self.symbols(&["="]);
                self.out.expect_value();
            }
            '<' if self.scanner.is_comparison_with_variable(self.dialect) => self.symbols(&["<"]),
            '-' | '+' | '<' | '>' | '!' | '|' | '&' | '~' | '^' | '*' | '/' => self.symbols(&[
                "->>", "->", "<@", "<>", "<=", ">=", "!=", "!~*", "!~", "~*", "-", "+", "<", ">", "!", "|", "&", "~",
                "^", "*", "/",
            ]),
            '}' => {
                self.scanner.take(1);
                self.out.drop_alias();
                self.out.space();
                self.out.push("}");
            }
            _ => {
                let other = self.scanner.take(next.len_utf8());
                if !self.out.drop_alias() {
                    self.out.push(other);
                }
            }
        }
    }

    /// The first of the symbols that comes next, with a space after it. One of them must.
    fn symbols(&mut self, symbols: &[&'static str]) {
        self.out.drop_alias();
        if let Some(symbol) = symbols.iter().find(|symbol| self.scanner.take_if(symbol)) {
            self.out.symbol(symbol);
            self.out.push(" ");
        }
    }
}

/// True for characters that continue a name.
fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric()
        || matches!(char, '_' | '$' | '#' | '*' | '@')
        || (!char.is_ascii() && !char.is_whitespace())
}

#[cfg(test)]
mod tests;
