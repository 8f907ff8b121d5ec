//! Lists of placeholders that the writer has left beside each other become one placeholder.

/// Every list in parentheses or brackets that holds placeholders alone, rows of values, and the two arguments of `LIMIT`.
pub(super) fn lists(query: String) -> String {
    if may_have_lists(&query) { shortened(&query) } else { query }
}

const LIMIT: &str = "limit ?";

/// Whether there is anything to look at: most queries have neither lists nor a limit.
fn may_have_lists(query: &str) -> bool {
    let (mut opens, mut letters) = (false, 0);
    for byte in query.bytes() {
        opens |= matches!(byte, b'(' | b'[');
        // As many letters of the word as have come in order.
        letters = match (letters, byte | 0x20) {
            (_, b'l') => 1,
            (1 | 3, b'i') | (2, b'm') | (4, b't') => letters + 1,
            (5, _) => return true,
            _ => 0,
        };
    }
    opens
}

fn shortened(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    let mut rest = query;
    loop {
        let is_start = |byte: u8| matches!(byte, b'(' | b'[' | b'l' | b'L');
        let at = rest.bytes().position(is_start).unwrap_or(rest.len());
        let (copied, found) = rest.split_at(at);
        out.push_str(copied);
        rest = found;
        let Some(next) = rest.chars().next() else { return out };
        if let Some(list) = List::at(rest) {
            out.push_str(list.short);
            rest = if ends_in_row(&out) { after_rows(list.after) } else { list.after };
        } else if matches!(next, 'l' | 'L') && starts_with(rest, LIMIT) && is_boundary(&out) {
            let (limit, after) = rest.split_at(LIMIT.len());
            out.push_str(limit);
            rest = after.strip_prefix(", ?").or_else(|| after.strip_prefix(" ?")).unwrap_or(after);
        } else {
            out.push(next);
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        }
    }
}

struct List<'q> {
    short: &'static str,
    after: &'q str,
}

impl<'q> List<'q> {
    /// A list of one or more placeholders, with or without commas between them.
    fn at(text: &'q str) -> Option<Self> {
        let (short, close) = match text.as_bytes().first()? {
            b'(' => ("( ? )", ')'),
            b'[' => ("[ ? ]", ']'),
            _ => return None,
        };
        let mut rest = without_space(text.get(1..)?).strip_prefix('?')?;
        loop {
            rest = without_space(rest);
            if let Some(after) = rest.strip_prefix(close) {
                return Some(Self { short, after });
            }
            rest = without_space(rest.strip_prefix(',').unwrap_or(rest)).strip_prefix('?')?;
        }
    }
}

fn without_space(text: &str) -> &str {
    text.strip_prefix(' ').unwrap_or(text)
}

/// Whether the first row after `VALUES` was just written.
fn ends_in_row(text: &str) -> bool {
    const ROW: &str = "values ( ? )";
    let Some((before, row)) = text.len().checked_sub(ROW.len()).and_then(|at| text.split_at_checked(at)) else {
        return false;
    };
    row.eq_ignore_ascii_case(ROW) && is_boundary(before)
}

/// What comes after all further rows.
fn after_rows(mut text: &str) -> &str {
    loop {
        let next = text.strip_prefix(", ").or_else(|| text.strip_prefix(' ')).unwrap_or_default();
        let row = List::at(next).filter(|_| next.starts_with('('));
        match row.map(|row| row.after).or_else(|| text.strip_prefix(" ()")) {
            Some(after) => text = after,
            None => return text,
        }
    }
}

fn starts_with(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Whether a word can begin after this text.
fn is_boundary(text: &str) -> bool {
    text.is_empty() || text.ends_with([' ', '(', '\n'])
}
