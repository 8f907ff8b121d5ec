//! One claim, and whether the facts bear it out.

use serde::Serialize;

/// A claim with its evidence. Whether it holds is computed from the evidence, where that is gathered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// A word for it, by which a failure is named.
    pub name: &'static str,
    /// What is claimed, in a sentence.
    pub claim: String,
    /// How anybody finds out.
    pub how: String,
    /// What was found, one fact each.
    pub evidence: Vec<String>,
    /// What stands against it, one fact each.
    pub against: Vec<String>,
    pub holds: bool,
}

impl Proof {
    /// It holds if nothing stands against it and there is something for it.
    pub fn new(name: &'static str, claim: impl Into<String>, how: impl Into<String>, facts: Facts) -> Self {
        let Facts { evidence, against } = facts;
        let holds = against.is_empty() && !evidence.is_empty();
        Self { name, claim: claim.into(), how: how.into(), evidence, against, holds }
    }
}

/// What speaks for a claim and what against it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub evidence: Vec<String>,
    pub against: Vec<String>,
}

impl Facts {
    /// Notes a fact that is for or against the claim.
    pub fn note(&mut self, is_for: bool, fact: impl Into<String>) {
        if is_for { &mut self.evidence } else { &mut self.against }.push(fact.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_needs_something_for_it_and_nothing_against_it() {
        let proof = |facts| Proof::new("name", "claim", "how", facts).holds;
        let mut facts = Facts::default();
        assert!(!proof(facts.clone()), "nothing was found");
        facts.note(true, "for");
        assert!(proof(facts.clone()));
        facts.note(false, "against");
        assert!(!proof(facts));
    }
}
