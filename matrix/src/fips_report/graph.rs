//! What the program is made of, by its dependencies.

use super::certificate::Certified;
use super::proof::{Facts, Proof};
use crate::layer::packages::Packages;

/// Packages that bring another cryptography along, or roots of trust.
const OTHERS: [&str; 14] = [
    "boring-sys",
    "graviola",
    "mbedtls-sys-auto",
    "native-tls",
    "openssl",
    "openssl-sys",
    "ring",
    "rustls-openssl",
    "sha2",
    "aes-gcm",
    "chacha20poly1305",
    "webpki-root-certs",
    "webpki-roots",
    "wolfssl-sys",
];

/// What an auditor would ask about, with the answer.
const REMARKS: [(&str, &str); 2] = [
    (
        "aws-lc-sys",
        "is not validated, and compiled because rustls names it wherever it names AWS-LC; that nothing of it is linked is for the symbols to show",
    ),
    ("chacha20", "mixes random numbers that name nothing secret, and encrypts nothing"),
];

/// No other cryptography, and the module in the version that holds the certificate. `command` is what shows the same to a person.
pub fn judge(packages: &Packages, certified: &Certified, command: &str) -> Proof {
    let linked = || packages.0.iter().filter(|(_, package)| package.linked).map(|(key, _)| key);
    let mut facts = Facts::default();
    let versions: Vec<_> = linked().filter(|key| key.name == certified.package).map(|key| &key.version).collect();
    let found =
        versions.iter().map(|version| format!("{} {version}", certified.package)).collect::<Vec<_>>().join(", ");
    let found = if found.is_empty() { format!("{} is not among them", certified.package) } else { found };
    facts.note(versions == [&certified.package_version], found);
    let mut others = 0_usize;
    for key in linked().filter(|key| OTHERS.contains(&key.name.as_str())) {
        others += 1;
        facts.note(false, format!("{key} is among the dependencies"));
    }
    if others == 0 {
        facts.note(true, format!("of {} packages none is one of: {}", linked().count(), OTHERS.join(", ")));
    }
    for (name, remark) in REMARKS {
        facts.evidence.extend(linked().filter(|key| key.name == name).map(|key| format!("{key} {remark}")));
    }
    let claim = "Among the dependencies there is the certified module and no other cryptography, and there are no compiled-in roots.";
    Proof::new("graph", claim, format!("`{command}`"), facts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::layer::packages::{Key, Package};

    /// Names with their versions; a name that ends with `!` is of a package that only runs while the program is built.
    fn packages(names: &[[&str; 2]]) -> Packages {
        let keyed = names.iter().map(|[name, version]| {
            let package = Package { linked: !name.ends_with('!'), ..Package::default() };
            (Key::new(name.trim_end_matches('!'), version), package)
        });
        Packages(keyed.collect::<BTreeMap<_, _>>())
    }

    fn judged(names: &[[&str; 2]]) -> Proof {
        judge(&packages(names), &Certified::embedded().unwrap(), "cargo tree")
    }

    const MODULE: [&str; 2] = ["aws-lc-fips-sys", "0.13.11"];

    #[test]
    fn the_module_alone_is_what_is_claimed() {
        let proof = judged(&[MODULE, ["aws-lc-sys", "0.42.0"], ["tokio", "1.0.0"]]);
        assert!(proof.holds, "{proof:?}");
        assert!(proof.evidence.iter().any(|fact| fact.starts_with("aws-lc-sys 0.42.0 is not validated")), "{proof:?}");
    }

    #[test]
    fn another_cryptography_or_another_module_is_against_it() {
        for other in OTHERS {
            let proof = judged(&[MODULE, [other, "1.0.0"]]);
            assert!(!proof.holds && proof.against.concat().contains(other), "{proof:?}");
        }
        assert!(!judged(&[["aws-lc-fips-sys", "0.13.12"]]).holds);
        assert!(!judged(&[MODULE, ["aws-lc-fips-sys", "0.14.4"]]).holds, "two of them");
        assert!(!judged(&[["tokio", "1.0.0"]]).holds, "none of them");
    }

    #[test]
    fn what_only_runs_while_it_is_built_is_not_in_it() {
        assert!(judged(&[MODULE, ["sha2!", "0.11.0"]]).holds);
    }
}
