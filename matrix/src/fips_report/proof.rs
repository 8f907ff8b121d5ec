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
    /// Why it was not run, or not as a whole: then it does not hold, and nothing stands against it.
    pub not_run: Option<String>,
}

impl Proof {
    /// It holds if nothing stands against it, nothing could not be run, and there is something for it.
    pub fn new(name: &'static str, claim: impl Into<String>, how: impl Into<String>, facts: Facts) -> Self {
        let Facts { evidence, mut against, not_run } = facts;
        let reason = (against.is_empty() && !not_run.is_empty()).then(|| not_run.join("; "));
        if reason.is_none() {
            against.extend(not_run);
        }
        let holds = against.is_empty() && !evidence.is_empty() && reason.is_none();
        Self { name, claim: claim.into(), how: how.into(), evidence, against, holds, not_run: reason }
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
    /// What could not be run, one reason each: it speaks neither for the claim nor against it, and without it the claim is not proven.
    pub not_run: Vec<String>,
}

impl Facts {
    /// Adds what was found elsewhere.
    pub fn extend(&mut self, others: Self) {
        let Self { evidence, against, not_run } = others;
        self.evidence.extend(evidence);
        self.against.extend(against);
        self.not_run.extend(not_run);
    }

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

    #[test]
    fn partly_run_proof_never_holds() {
        let mut facts = Facts::default();
        facts.note(true, "for");
        facts.not_run.push("a sandbox run was too short".to_owned());
        let proof = Proof::new("name", "claim", "how", facts.clone());
        assert!(!proof.holds && proof.against.is_empty(), "{proof:?}");
        assert_eq!((proof.outcome(), proof.not_run.as_deref()), ("not run", Some("a sandbox run was too short")));
        facts.note(false, "against");
        let proof = Proof::new("name", "claim", "how", facts);
        assert_eq!((proof.outcome(), proof.not_run), ("fails", None));
        assert_eq!(proof.against, ["against", "a sandbox run was too short"]);
    }
}
