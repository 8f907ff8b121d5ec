//! Whether the sources of the packages that lie on this machine are those of the registry, and those of the module the pinned ones, before the build and after it.

use super::archives;
use super::proof::{Facts, Proof};
use crate::build::pinned::{COMMAND, PinnedSource};
use crate::materials::packages::Packages;

/// What the folders and archives of the packages are now, compared with their checksums and with what is pinned of them.
pub fn look(packages: &Packages, pinned: &[PinnedSource]) -> Facts {
    let mut facts = Facts::default();
    archives::look(packages, &mut facts);
    for source in pinned {
        match source.compare(packages) {
            Ok(fact) => facts.note(true, fact),
            Err(fact) => facts.note(false, fact),
        }
    }
    facts
}

/// Judges what was found before the build and after it.
pub fn judge(before: &Facts, after: Facts) -> Proof {
    let mut facts = after;
    let same = facts == *before;
    for fact in &before.against {
        facts.note(false, fact.clone());
    }
    let comparison =
        if same { "the same before the build and after it" } else { "not the same before the build and after it" };
    // Two empty looks are alike as well, and show nothing.
    facts.note(same && !facts.evidence.is_empty(), format!("what is said here of the packages was {comparison}"));
    let claim = "The sources of every package on the machine that builds are, file by file, those of the archive whose checksum the lock file has; those of the module, and of what stands between it and this program, are also the pinned ones.";
    let how = format!(
        "the SHA-256 of each `.crate` file in cargo's cache, its files beside those of the unpacked folder, and for the pinned ones `{COMMAND}` in the folder of each; `cargo matrix` compiles no FIPS build from others than the pinned ones"
    );
    Proof::new("source", claim, how, facts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn facts(against: &[&str]) -> Facts {
        Facts {
            evidence: vec!["every file is as pinned".to_owned()],
            against: against.iter().map(|fact| (*fact).to_owned()).collect(),
            ..Facts::default()
        }
    }

    #[test]
    fn sources_that_are_not_there_prove_nothing() {
        let pinned =
            PinnedSource { package: "module".to_owned(), version: "1.0.0".to_owned(), sha256: "00".to_owned() };
        let none = Packages(BTreeMap::new());
        let found = look(&none, &[pinned]);
        assert!(!judge(&found, found.clone()).holds);
        let found = look(&none, &[]);
        assert!(!judge(&found, found.clone()).holds);
        assert!(!judge(&Facts::default(), Facts::default()).holds);
    }

    #[test]
    fn sources_that_change_while_something_is_built_are_against_it() {
        assert!(judge(&facts(&[]), facts(&[])).holds);
        for [before, after] in [[&["changed"][..], &[]], [&[], &["changed"]], [&["changed"], &["changed"]]] {
            assert!(!judge(&facts(before), facts(after)).holds, "{before:?} {after:?}");
        }
        let other = Facts { evidence: vec!["every file is as pinned elsewhere".to_owned()], ..facts(&[]) };
        assert!(!judge(&facts(&[]), other).holds);
    }
}
