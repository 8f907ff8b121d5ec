//! Conditions of `cfg(…)`, so that it can be told whether they exclude each other.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenTree};

use crate::tokens;

/// One condition.
#[derive(Debug, PartialEq, Eq)]
pub enum Condition {
    /// Such as `feature = "x"` or `unix`, as it is written.
    Atom(String),
    Not(Vec<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

impl Condition {
    /// What stands between the parentheses of `cfg(…)`, or before the comma of `cfg_attr(…)`.
    pub fn of(tokens: &[TokenTree]) -> Self {
        let first = tokens.split(|token| tokens::is_punct(Some(token), ',')).next().unwrap_or_default();
        let parts = tokens::group(first.get(1), Delimiter::Parenthesis).map(|inner| {
            let parts = inner.split(|token| tokens::is_punct(Some(token), ',')).filter(|part| !part.is_empty());
            parts.map(Self::of).collect()
        });
        match (first.first().map(ToString::to_string).as_deref(), parts) {
            (Some("not"), Some(parts)) => Self::Not(parts),
            (Some("all"), Some(parts)) => Self::All(parts),
            (Some("any"), Some(parts)) => Self::Any(parts),
            _ => Self::Atom(first.iter().map(ToString::to_string).collect()),
        }
    }

    fn atoms<'c>(&'c self, found: &mut BTreeSet<&'c str>) {
        match self {
            Self::Atom(atom) => drop(found.insert(atom)),
            Self::Not(parts) | Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.atoms(found)),
        }
    }

    fn holds(&self, on: &BTreeMap<&str, bool>) -> bool {
        match self {
            Self::Atom(atom) => on[&**atom],
            Self::Not(parts) => !parts.iter().any(|part| part.holds(on)),
            Self::All(parts) => parts.iter().all(|part| part.holds(on)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(on)),
        }
    }
}

/// Whether one of the conditions holds, and no other, whatever is on.
pub fn are_alternatives(conditions: &[&Condition]) -> bool {
    let mut atoms = BTreeSet::new();
    for condition in conditions {
        condition.atoms(&mut atoms);
    }
    (0..1_u32 << atoms.len().min(16)).all(|case| {
        let on = atoms.iter().enumerate().map(|(at, atom)| (*atom, case & (1 << at) != 0)).collect();
        conditions.iter().filter(|condition| condition.holds(&on)).count() == 1
    })
}
