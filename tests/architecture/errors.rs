//! Errors keep their sources. A message that shows its source has it twice wherever the chain is printed, and a source that nobody marks is in no chain.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenTree};

use crate::imports::visit;
use crate::tokens;
use crate::tree::{Complaint, File, Tree};

/// Messages that show a source, and sources that are not marked, of the errors that `thiserror` derives.
pub fn flattened(tree: &Tree) -> Vec<Complaint> {
    tree.rust("").flat_map(|file| complaints(file, &tokens::of(file))).collect()
}

/// Errors of the agent that become texts on their way up, so that their sources are lost. The tool writes texts of errors to its records.
pub fn texts(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.rust("src/").chain(tree.rust("crates/")) {
        let is_lossy = |tokens: &[TokenTree], at: usize| {
            let argument = tokens::group(tokens.get(at + 1), Delimiter::Parenthesis).unwrap_or_default();
            let mut names = BTreeSet::new();
            tokens::idents(&argument, &mut names);
            tokens::is_ident(tokens.get(at), "map_err") && names.contains("to_string")
        };
        visit(&tokens::of(file), 0, &mut |tokens, at, _| {
            if is_lossy(tokens, at) {
                complaints.push(Complaint::new(file, tokens::line(&tokens[at]), "an error becomes a text"));
            }
        });
    }
    complaints
}

fn complaints(file: &File, tokens: &[TokenTree]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if let Some(message) = message(tokens, at) {
            complaints.extend(of_message(file, &message, fields(&tokens[at + 1..])));
        }
        if let TokenTree::Group(group) = token {
            complaints.extend(self::complaints(file, &group.stream().into_iter().collect::<Vec<_>>()));
        }
    }
    complaints
}

fn of_message(file: &File, message: &[TokenTree], fields: Vec<Field>) -> Vec<Complaint> {
    let (shown, is_transparent) = (shown(message), tokens::is_ident(message.first(), "transparent"));
    let line = message.first().map_or(1, tokens::line);
    let complaint = |field: Field| {
        let name = field.name;
        if field.is_marked && shown.contains(&name) {
            Some(Complaint::new(file, line, format!("the message repeats its source, `{name}`")))
        } else if field.is_error && !field.is_marked && !is_transparent {
            Some(Complaint::new(file, line, format!("`{name}` is an error without #[source]")))
        } else {
            None
        }
    };
    fields.into_iter().filter_map(complaint).collect()
}

/// The tokens of `#[error(…)]`, if its brackets are at `at`.
fn message(tokens: &[TokenTree], at: usize) -> Option<Vec<TokenTree>> {
    let attribute = tokens::group(tokens.get(at), Delimiter::Bracket)?;
    let is_error = at > 0 && tokens::is_punct(tokens.get(at - 1), '#') && tokens::is_ident(attribute.first(), "error");
    tokens::group(attribute.get(1), Delimiter::Parenthesis).filter(|_| is_error)
}

/// The fields that a message shows: by placeholders such as `{0}` and `{name:?}`, or by arguments such as `.0` and `name`.
fn shown(message: &[TokenTree]) -> BTreeSet<String> {
    let mut shown = BTreeSet::new();
    tokens::idents(message.get(1..).unwrap_or_default(), &mut shown);
    for (at, token) in message.iter().enumerate() {
        let TokenTree::Literal(literal) = token else { continue };
        if at > 0 && tokens::is_punct(message.get(at - 1), '.') {
            shown.insert(literal.to_string());
            continue;
        }
        let text = literal.to_string().replace("{{", "");
        shown.extend(text.split('{').skip(1).filter_map(|rest| rest.split([':', '}']).next()).map(str::to_owned));
    }
    shown
}

struct Field {
    /// Its name, or its place.
    name: String,
    /// Whether it is in the chain of sources.
    is_marked: bool,
    /// Whether its type is named like one of an error.
    is_error: bool,
}

/// Those of the variant or struct that stands behind an attribute.
fn fields(behind: &[TokenTree]) -> Vec<Field> {
    for (at, token) in behind.iter().enumerate() {
        if tokens::is_punct(Some(token), ',') || tokens::is_punct(Some(token), ';') {
            return Vec::new();
        }
        let is_visibility = at > 0 && tokens::is_ident(behind.get(at - 1), "pub");
        let TokenTree::Group(group) = token else { continue };
        if group.delimiter() == Delimiter::Bracket || is_visibility {
            continue;
        }
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        let is_named = group.delimiter() == Delimiter::Brace;
        let parts = split(&tokens);
        return parts.into_iter().enumerate().map(|(place, part)| field(place, part, is_named)).collect();
    }
    Vec::new()
}

/// At commas, but for those between angle brackets.
fn split(tokens: &[TokenTree]) -> Vec<&[TokenTree]> {
    let mut angles = 0;
    let parts = tokens.split(|token| {
        angles += i32::from(tokens::is_punct(Some(token), '<')) - i32::from(tokens::is_punct(Some(token), '>'));
        angles == 0 && tokens::is_punct(Some(token), ',')
    });
    parts.filter(|part| !part.is_empty()).collect()
}

fn field(place: usize, tokens: &[TokenTree], is_named: bool) -> Field {
    let attributes: Vec<Vec<TokenTree>> =
        tokens.iter().filter_map(|token| tokens::group(Some(token), Delimiter::Bracket)).collect();
    let colon = tokens.iter().position(|token| tokens::is_punct(Some(token), ':')).filter(|_| is_named);
    let name = colon.and_then(|colon| tokens.get(colon - 1)).map_or_else(|| place.to_string(), ToString::to_string);
    let is_source =
        |attribute: &Vec<TokenTree>| ["source", "from"].iter().any(|word| tokens::is_ident(attribute.first(), word));
    let of_type = tokens.get(colon.map_or(0, |colon| colon + 1)..).unwrap_or_default();
    let mut names = BTreeSet::new();
    for token in of_type.iter().filter(|token| tokens::group(Some(token), Delimiter::Bracket).is_none()) {
        tokens::idents(std::slice::from_ref(token), &mut names);
    }
    let is_marked = name == "source" || attributes.iter().any(is_source);
    Field { name, is_marked, is_error: names.iter().any(|name| name.ends_with("Error")) }
}
