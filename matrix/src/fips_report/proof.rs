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
    /// Why it was not run, if it was not: then it does not hold, and nothing stands against it.
    pub not_run: Option<String>,
}

impl Proof {
    /// It holds if nothing stands against it and there is something for it.
    pub fn new(name: &'static str, claim: impl Into<String>, how: impl Into<String>, facts: Facts) -> Self {
        let Facts { evidence, against } = facts;
        let holds = against.is_empty() && !evidence.is_empty();
        Self { name, claim: claim.into(), how: how.into(), evidence, against, holds, not_run: None }
    }

    /// The same claim, which nobody has tested.
    pub fn not_run(name: &'static str, claim: impl Into<String>, how: impl Into<String>, reason: &str) -> Self {
        let proof = Self::new(name, claim, how, Facts::default());
        Self { not_run: Some(reason.to_owned()), ..proof }
    }

    /// A word for its outcome.
    pub fn outcome(&self) -> &'static str {
        match (&self.not_run, self.holds) {
            (Some(_), _) => "not run",
            (None, true) => "holds",
            (None, false) => "fails",
        }
    }
}

/// What speaks for a claim and what against it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub evidence: Vec<String>,
    pub against: Vec<String>,
}

impl Facts {
    /// Notes a fact that is for or against the claim, once.
    pub fn note(&mut self, is_for: bool, fact: impl Into<String>) {
        let (facts, fact) = (if is_for { &mut self.evidence } else { &mut self.against }, fact.into());
        if !facts.contains(&fact) {
            facts.push(fact);
        }
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

    #[test]
    fn a_proof_that_was_not_run_does_not_hold() {
        let proof = Proof::not_run("name", "claim", "how", "no such processor");
        assert!(!proof.holds && proof.against.is_empty());
        assert_eq!(proof.outcome(), "not run");
    }
}
