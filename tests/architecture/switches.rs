//! A switch has one home: `src/features.rs`, or the `mod.rs` that declares one of two variants of a module.

use proc_macro2::{Delimiter, TokenTree};

use crate::conditions::{self, Condition};
use crate::tokens;
use crate::tree::{Complaint, File, Tree};

const HOME: &str = "src/features.rs";

pub fn homes(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.rust("src/").filter(|file| file.path != HOME) {
        let mut uses = Vec::new();
        collect(&tokens::of(file), &mut uses);
        let chosen = if file.path.ends_with("/mod.rs") { chosen(&uses) } else { Vec::new() };
        let is_permitted = |found: &&Use| match found.on {
            On::Module => chosen.iter().any(|module| std::ptr::eq(*module, *found)),
            On::Import => chosen.iter().any(|module| module.condition == found.condition),
            On::Other => false,
        };
        for found in uses.iter().filter(|found| !is_permitted(found)) {
            complaints.push(complaint(file, found));
        }
    }
    complaints
}

/// Modules in groups of at least two, of which one, and one only, is there whatever features are on. No module is in two groups.
fn chosen(uses: &[Use]) -> Vec<&Use> {
    let modules: Vec<&Use> = uses.iter().filter(|found| found.on == On::Module).collect();
    let mut chosen = 0;
    // Each bit stands for a module; a file with more than this many is complained about.
    for group in 1..1_u32 << modules.len().min(12) {
        let conditions: Vec<_> = members(&modules, group).map(|module| &module.condition).collect();
        if group & chosen == 0 && conditions.len() >= 2 && conditions::are_alternatives(&conditions) {
            chosen |= group;
        }
    }
    members(&modules, chosen).collect()
}

fn members<'u>(modules: &[&'u Use], group: u32) -> impl Iterator<Item = &'u Use> {
    modules.iter().take(12).enumerate().filter(move |(at, _)| group & (1 << at) != 0).map(|(_, module)| *module)
}

fn complaint(file: &File, found: &Use) -> Complaint {
    let what = format!("a feature is read outside of {HOME} and of a mod.rs that chooses between two modules by it");
    Complaint::new(file, found.line, what)
}

/// One place that asks for a feature.
struct Use {
    line: usize,
    on: On,
    condition: Condition,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    /// An attribute of `mod name;`.
    Module,
    /// An attribute of an import, which gives the chosen module its common name.
    Import,
    Other,
}

fn collect(tokens: &[TokenTree], uses: &mut Vec<Use>) {
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
        let before = |by: usize| tokens.get(at.wrapping_sub(by));
        // `#![cfg(…)]` is about the file that it is in, which no mod.rs has chosen.
        let is_inner = tokens::is_punct(before(1), '!') && tokens::is_punct(before(2), '#');
        let is_attribute = group.delimiter() == Delimiter::Bracket && (is_inner || tokens::is_punct(before(1), '#'));
        let attribute = condition(&inner, 0).filter(|_| is_attribute);
        if let Some(condition) = attribute {
            if tokens::mentions(&condition, "feature") {
                let on = if is_inner { On::Other } else { item_after(tokens, at + 1) };
                uses.push(Use { line: tokens::line(token), on, condition: Condition::of(&condition) });
            }
        } else {
            collect(&inner, uses);
        }
    }
    for at in 0..tokens.len() {
        let is_macro = tokens::is_ident(tokens.get(at), "cfg") && tokens::is_punct(tokens.get(at + 1), '!');
        let condition = tokens::group(tokens.get(at + 2), Delimiter::Parenthesis).filter(|_| is_macro);
        if let Some(condition) = condition.filter(|condition| tokens::mentions(condition, "feature")) {
            let condition = Condition::of(&condition);
            uses.push(Use { line: tokens::line(&tokens[at]), on: On::Other, condition });
        }
    }
}

/// What is inside `cfg(…)` or `cfg_attr(…)`.
fn condition(tokens: &[TokenTree], at: usize) -> Option<Vec<TokenTree>> {
    let is_cfg = ["cfg", "cfg_attr"].iter().any(|name| tokens::is_ident(tokens.get(at), name));
    tokens::group(tokens.get(at + 1), Delimiter::Parenthesis).filter(|_| is_cfg)
}

/// What an attribute that ends before `at` is on, past further attributes and the visibility.
fn item_after(tokens: &[TokenTree], mut at: usize) -> On {
    loop {
        let token = tokens.get(at);
        let is_attribute = tokens::is_punct(token, '#');
        let is_visibility = tokens::is_ident(token, "pub");
        let is_scope = tokens::group(token, Delimiter::Parenthesis).is_some();
        if tokens::is_ident(token, "mod") {
            return On::Module;
        } else if tokens::is_ident(token, "use") {
            return On::Import;
        } else if is_attribute {
            at += 2;
        } else if is_visibility || is_scope {
            at += 1;
        } else {
            return On::Other;
        }
    }
}
