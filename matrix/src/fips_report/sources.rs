//! Whether the sources of the module that lie on this machine are those that were pinned. No FIPS build is compiled from others; this is for the report.

use super::proof::{Facts, Proof};
use crate::build::pinned::{COMMAND, PinnedSource};
use crate::materials::packages::Packages;

/// Compares the folders of the packages with what is pinned of them.
pub fn judge(packages: &Packages, pinned: &[PinnedSource]) -> Proof {
    let mut facts = Facts::default();
    for source in pinned {
        match source.compare(packages) {
            Ok(fact) => facts.note(true, fact),
            Err(fact) => facts.note(false, fact),
        }
    }
    let claim = "The sources of the module, and of what stands between it and this program, are those that were pinned, file by file.";
    let how = format!(
        "`{COMMAND}` in the folder of each package, and the numbers in `matrix/fips.toml`; `cargo matrix` compiles no FIPS build from others"
    );
    Proof::new("source", claim, how, facts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn sources_that_are_not_there_prove_nothing() {
        let pinned =
            PinnedSource { package: "module".to_owned(), version: "1.0.0".to_owned(), sha256: "00".to_owned() };
        assert!(!judge(&Packages(BTreeMap::new()), &[pinned]).holds);
        assert!(!judge(&Packages(BTreeMap::new()), &[]).holds);
    }
}
