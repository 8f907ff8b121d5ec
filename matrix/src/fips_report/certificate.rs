//! What is known of the module and of its certificate, from `matrix/fips.toml`.

use serde::{Deserialize, Serialize};

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all(deserialize = "kebab-case"))]
pub struct Certified {
    /// As the module calls itself.
    pub module: String,
    /// The package that it comes in.
    pub package: String,
    pub package_version: String,
    pub certificate: Certificate,
    pub environments: Environments,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    pub standard: String,
    pub number: u32,
    /// What it is about, as it calls that.
    pub name: String,
    pub page: String,
    /// The security policy.
    pub policy: String,
    /// Where the number was read, and when.
    pub source: String,
    pub read: String,
}

/// Where the module was tested.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Environments {
    pub tested: Vec<Environment>,
    /// Those that were not tested and are answered for.
    pub affirmed: String,
    /// Whether Lambda is among them.
    pub lambda: String,
    pub source: String,
    pub read: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    pub system: String,
    /// Lambda's name of the processor.
    pub architecture: String,
    pub machine: String,
}

impl Certified {
    /// What this program was built with.
    pub fn embedded() -> Result<Self, toml::de::Error> {
        toml::from_str(include_str!("../../fips.toml"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_has_a_source() {
        let certified = Certified::embedded().unwrap();
        let Certified { certificate, environments, .. } = &certified;
        assert!(certificate.page.ends_with(&certificate.number.to_string()));
        assert!(certificate.policy.contains(&certificate.number.to_string()));
        assert!(!certificate.source.is_empty() && !environments.source.is_empty());
        let architectures: Vec<_> = environments.tested.iter().map(|tested| tested.architecture.as_str()).collect();
        assert_eq!(architectures, ["x86_64", "arm64"]);
    }
}
