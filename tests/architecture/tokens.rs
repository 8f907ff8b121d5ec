//! Rust files as tokens: comments and the contents of strings can't be mistaken for code.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::tree::File;

pub fn of(file: &File) -> Vec<TokenTree> {
    // The lexer knows no shebang, and none of our files has a reason for one.
    let stream: TokenStream = file.text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.path));
    stream.into_iter().collect()
}

pub fn line(token: &TokenTree) -> usize {
    token.span().start().line
}

pub fn is_ident(token: Option<&TokenTree>, name: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == name)
}

pub fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

pub fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

/// Whether the name at `at` goes on with a path that began before it. A separator without a name before it begins a path.
pub fn continues_path(tokens: &[TokenTree], at: usize) -> bool {
    const NO_NAMES: [&str; 7] = ["as", "else", "in", "match", "mut", "return", "use"];
    let is_separated = at >= 2 && is_path_separator(tokens, at - 2);
    let before = at.checked_sub(3).and_then(|at| tokens.get(at));
    let is_name = matches!(before, Some(TokenTree::Ident(name)) if !NO_NAMES.iter().any(|keyword| name == keyword));
    is_separated && (is_name || is_punct(before, '>'))
}

pub fn group(token: Option<&TokenTree>, delimiter: Delimiter) -> Option<Vec<TokenTree>> {
    match token {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => Some(group.stream().into_iter().collect()),
        _ => None,
    }
}

/// Whether a name occurs at any depth.
pub fn mentions(tokens: &[TokenTree], name: &str) -> bool {
    tokens.iter().any(|token| match token {
        TokenTree::Group(group) => mentions(&group.stream().into_iter().collect::<Vec<_>>(), name),
        other => is_ident(Some(other), name),
    })
}

/// Every name, at any depth.
pub fn idents(tokens: &[TokenTree], names: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(name) => drop(names.insert(name.to_string())),
            TokenTree::Group(group) => idents(&group.stream().into_iter().collect::<Vec<_>>(), names),
            _ => {}
        }
    }
}

/// Whether a string occurs at any depth, in whatever case.
pub fn has_text(tokens: &[TokenTree], text: &str) -> bool {
    tokens.iter().any(|token| match token {
        TokenTree::Group(group) => has_text(&group.stream().into_iter().collect::<Vec<_>>(), text),
        other => other.to_string().eq_ignore_ascii_case(&format!("\"{text}\"")),
    })
}

/// Whether an attribute is `cfg(test)`.
pub fn is_cfg_test(attribute: &[TokenTree]) -> bool {
    is_ident(attribute.first(), "cfg")
        && group(attribute.get(1), Delimiter::Parenthesis)
            .is_some_and(|condition| condition.len() == 1 && is_ident(condition.first(), "test"))
}

/// The paths that start at `at`, with their groups spread out: `a::{b, c::d}` is `a::b` and `a::c::d`. No path is
/// followed further than `depth` names.
pub fn paths(tokens: &[TokenTree], at: usize, depth: usize) -> Vec<Vec<String>> {
    if depth == 0 {
        return vec![Vec::new()];
    }
    match tokens.get(at) {
        Some(TokenTree::Ident(name)) => {
            let rest =
                if is_path_separator(tokens, at + 1) { paths(tokens, at + 3, depth - 1) } else { vec![Vec::new()] };
            rest.into_iter().map(|path| [vec![name.to_string()], path].concat()).collect()
        }
        Some(TokenTree::Punct(star)) if star.as_char() == '*' => vec![vec!["*".to_owned()]],
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            inner
                .split(|token| is_punct(Some(token), ','))
                .filter(|item| !item.is_empty())
                .flat_map(|item| paths(item, 0, depth))
                .collect()
        }
        _ => vec![Vec::new()],
    }
}
