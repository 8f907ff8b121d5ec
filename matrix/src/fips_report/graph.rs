//! What the program is made of, by its dependencies.

use std::collections::BTreeSet;

use serde::Serialize;

use super::allowed::{FILE, PackageAllowlist, Program};
use super::certificate::CertifiedModule;
use super::proof::{Facts, Proof};
use crate::materials::packages::{Key, Package, Packages, ROOT};

/// A package of a FIPS build that no other build has in this version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldBackPackage {
    pub name: String,
    pub version: String,
    /// The versions in other builds; none where they do without it.
    pub others: Vec<String>,
}

/// The packages that are in no version of those in `others`, the lock file of builds without the module.
pub fn held_back(packages: &Packages, others: &BTreeSet<Key>) -> Vec<HeldBackPackage> {
    let own = packages.0.keys().filter(|key| key.name != ROOT && !others.contains(*key));
    own.map(|key| HeldBackPackage {
        name: key.name.clone(),
        version: key.version.clone(),
        others: others.iter().filter(|other| other.name == key.name).map(|other| other.version.clone()).collect(),
    })
    .collect()
}

/// What an auditor would ask about, with the answer.
const REMARKS: [(&str, &str); 2] = [
    (
        "aws-lc-sys",
        "is not validated, and compiled because rustls names it wherever it names AWS-LC; whether anything of it is linked, the symbols show",
    ),
    ("chacha20", "mixes random numbers that name nothing secret, and encrypts nothing"),
];

/// Nothing but what is on the list, and the module in the version that holds the certificate. `foreign` says whether a package has code in other languages than Rust,
/// and `command` is what shows the same packages to a person.
pub fn judge(
    packages: &Packages,
    certified: &CertifiedModule,
    allowed: &PackageAllowlist,
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
    let problems = allowed.problems(Program::Agent, packages, foreign);
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
    let claim = "Every package that cargo compiles for the program or runs while it is built is on the list, in that version and with that checksum; one of them is the package of the module, in the pinned version, and code in other languages than Rust is only in those for which the list says so. Which cryptography the listed packages have, whoever listed them has answered.";
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
        let allowed = PackageAllowlist { linked: listed.into(), ..PackageAllowlist::default() };
        judge(&packages(names), &CertifiedModule::embedded().unwrap(), &allowed, |_| false, "cargo tree")
    }

    #[test]
    fn what_other_builds_have_in_another_version_is_held_back() {
        let here = packages(&[MODULE, ["tokio", "1.0.0"], ["older", "1.0.0"], [ROOT, "0.1.0"]]);
        let others = [["tokio", "1.0.0"], ["older", "1.1.0"], ["older", "2.0.0"], ["ring", "0.17.14"]];
        let others = others.map(|[name, version]| Key::new(name, version)).into();
        let held = held_back(&here, &others);
        let names: Vec<_> = held.iter().map(|held| (held.name.as_str(), held.others.join(" "))).collect();
        assert_eq!(names, [(MODULE[0], String::new()), ("older", "1.1.0 2.0.0".to_owned())]);
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
