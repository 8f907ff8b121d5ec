//! What the program is made of, by its dependencies.

use super::allowed::{Allowed, FILE};
use super::certificate::Certified;
use super::proof::{Facts, Proof};
use crate::materials::packages::{Package, Packages};

/// What an auditor would ask about, with the answer.
const REMARKS: [(&str, &str); 2] = [
    (
        "aws-lc-sys",
        "is not validated, and compiled because rustls names it wherever it names AWS-LC; that nothing of it is linked is for the symbols to show",
    ),
    ("chacha20", "mixes random numbers that name nothing secret, and encrypts nothing"),
];

/// Nothing but what is on the list, and the module in the version that holds the certificate. `foreign` says whether a package has code in other languages than Rust,
/// and `command` is what shows the same packages to a person.
pub fn judge(
    packages: &Packages,
    certified: &Certified,
    allowed: &Allowed,
    foreign: impl Fn(&Package) -> bool,
    command: &str,
) -> Proof {
    let mut facts = Facts::default();
    let of_module = packages.0.keys().filter(|key| key.name == certified.package);
    let versions: Vec<_> = of_module.map(|key| &key.version).collect();
    let found =
        versions.iter().map(|version| format!("{} {version}", certified.package)).collect::<Vec<_>>().join(", ");
    let found = if found.is_empty() { format!("{} is not among them", certified.package) } else { found };
    facts.note(versions == [&certified.package_version], found);
    let problems = allowed.problems(packages, foreign);
    if problems.is_empty() {
        let linked = packages.0.values().filter(|package| package.linked).count();
        let others = packages.0.len() - linked;
        facts.note(true, format!("{linked} packages are linked, and {others} only compiled or run while it is built; each is on the list, with the checksum of its archive"));
        let names: Vec<_> = allowed.foreign.iter().map(|(name, about)| format!("{name} ({about})")).collect();
        facts.note(true, format!("code in other languages than Rust is in {} alone", names.join(", ")));
    }
    for problem in problems {
        facts.note(false, problem);
    }
    for (name, remark) in REMARKS {
        let there = packages.0.keys().filter(|key| key.name == name);
        facts.evidence.extend(there.map(|key| format!("{key} {remark}")));
    }
    let claim = "The program is made of listed packages alone, each with a checksum; among them are the certified module, no other cryptography, and no compiled-in roots.";
    let how = format!("`{command}`, and the list in `{FILE}`");
    Proof::new("graph", claim, how, facts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::materials::packages::Key;

    /// Names with their versions.
    fn packages(names: &[[&str; 2]]) -> Packages {
        let keyed = names.iter().map(|[name, version]| {
            let package = Package { linked: true, checksum: Some("aa".to_owned()), ..Package::default() };
            (Key::new(name, version), package)
        });
        Packages(keyed.collect::<BTreeMap<_, _>>())
    }

    fn judged(names: &[[&str; 2]]) -> Proof {
        let listed = [MODULE, ["tokio", "1.0.0"]].map(|[name, version]| (format!("{name} {version}"), "aa".to_owned()));
        let allowed = Allowed { linked: listed.into(), ..Allowed::default() };
        judge(&packages(names), &Certified::embedded().unwrap(), &allowed, |_| false, "cargo tree")
    }

    const MODULE: [&str; 2] = ["aws-lc-fips-sys", "0.13.11"];

    #[test]
    fn the_module_among_listed_packages_is_what_is_claimed() {
        let proof = judged(&[MODULE, ["tokio", "1.0.0"]]);
        assert!(proof.holds, "{proof:?}");
    }

    #[test]
    fn another_package_or_another_module_is_against_it() {
        for other in ["ring", "sha1", "x25519-dalek", "webpki-roots", "a-name-that-nobody-knows"] {
            let proof = judged(&[MODULE, ["tokio", "1.0.0"], [other, "1.0.0"]]);
            assert!(!proof.holds && proof.against.concat().contains(other), "{proof:?}");
        }
        assert!(!judged(&[["aws-lc-fips-sys", "0.13.12"], ["tokio", "1.0.0"]]).holds);
        assert!(!judged(&[MODULE, ["aws-lc-fips-sys", "0.14.4"], ["tokio", "1.0.0"]]).holds, "two of them");
        assert!(!judged(&[["tokio", "1.0.0"]]).holds, "none of them");
    }
}
