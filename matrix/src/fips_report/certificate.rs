//! What is known of the module and of its certificate, from `matrix/fips.toml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::build::pinned::PinnedSource;

/// The contents of matrix/fips.toml.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all(deserialize = "kebab-case"))]
pub struct CertifiedModule {
    /// The name and version that the module reports, such as `AWS-LC FIPS 3.1.0`.
    pub module: String,
    /// The package that it comes in.
    pub package: String,
    pub package_version: String,
    /// Sources that lie on the machine that builds, each with a number for all of their files.
    #[serde(rename(deserialize = "source"))]
    pub sources: Vec<PinnedSource>,
    pub build: ModuleOptions,
    pub certificate: Certificate,
    pub environments: Environments,
    pub procedure: Procedure,
}

/// The pinned options and flags of the module's build.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleOptions {
    /// Entries of `CMake`'s cache.
    pub options: BTreeMap<String, String>,
    /// Entries that may not be there.
    pub unset: Vec<String>,
    /// Definitions and flags of the compiler, without those that only warn, by the processor that the module is for.
    pub flags: BTreeMap<String, Vec<String>>,
    /// The SHA-256 of each file of the Rust toolchain that takes part, by a word for it, by the processor that the program is for.
    pub rust: BTreeMap<String, BTreeMap<String, String>>,
}

/// What the security policy asks of a build. What this one does is computed: [`super::procedure`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Procedure {
    /// Where the procedure was read, and when.
    pub source: String,
    pub read: String,
    pub steps: Vec<PolicyStep>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyStep {
    pub step: StepKind,
    pub asked: String,
}

/// What a step of the procedure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    Sources,
    System,
    Configuration,
    Flags,
    Build,
    Form,
    Mode,
    Version,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all(deserialize = "kebab-case"))]
pub struct Certificate {
    pub standard: String,
    pub number: u32,
    /// The name of the module on the certificate.
    pub name: String,
    pub page: String,
    /// The security policy.
    pub policy: String,
    /// Status, validation date and sunset date, as far as they are known.
    pub status: String,
    /// Where those were read, and when.
    pub status_source: String,
    pub status_read: String,
    /// The caveats of the certificate.
    pub caveats: Vec<String>,
    /// What of this program's cryptography is approved by which standard.
    pub algorithms: Vec<Algorithm>,
    /// Where the number was read, and when.
    pub source: String,
    pub read: String,
}

/// A use of cryptography.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Algorithm {
    pub name: String,
    pub purpose: String,
    pub standard: String,
}

/// The operating environments of the certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Environments {
    pub tested: Vec<Environment>,
    /// The vendor-affirmed environments.
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

impl CertifiedModule {
    /// Parses the matrix/fips.toml that was compiled into this program.
    pub fn embedded() -> Result<Self, toml::de::Error> {
        toml::from_str(include_str!("../../fips.toml"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fact_has_a_source() {
        let certified = CertifiedModule::embedded().unwrap();
        let CertifiedModule { certificate, environments, .. } = &certified;
        assert!(certificate.page.ends_with(&certificate.number.to_string()));
        assert!(certificate.policy.contains(&certificate.number.to_string()));
        assert!(!certificate.status_source.is_empty() && certificate.status_read.len() == "2026-11-28".len());
        assert!(!certificate.source.is_empty() && !environments.source.is_empty());
        let architectures: Vec<_> = environments.tested.iter().map(|tested| tested.architecture.as_str()).collect();
        assert_eq!(architectures, ["x86_64", "arm64"]);
        assert!(!certified.procedure.source.is_empty() && certified.procedure.read.len() == "2026-11-28".len());
        let steps: BTreeSet<_> = certified.procedure.steps.iter().map(|step| step.step).collect();
        assert_eq!((steps.len(), certified.procedure.steps.len()), (8, 8), "each step once");
        assert!(certificate.algorithms.iter().all(|algorithm| !algorithm.standard.is_empty()));
    }

    #[test]
    fn the_module_is_among_the_pinned_sources() {
        let certified = CertifiedModule::embedded().unwrap();
        let module = certified.sources.iter().find(|source| source.package == certified.package).unwrap();
        assert_eq!(module.version, certified.package_version);
        assert!(certified.sources.iter().all(|source| source.sha256.len() == 64));
    }
}
