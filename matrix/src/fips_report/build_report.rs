//! What the program says of its cryptography when it runs.

use serde::Deserialize;
use serde_json::Value;

use super::certificate::CertifiedModule;
use super::proof::{Facts, Proof};

/// The provider's name in `--version=json`.
const PROVIDER: &str = "aws-lc-fips";
/// Where the roots have to come from.
const ROOTS: &str = "operating system";

/// The part `crypto` of `--version=json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BuildReport {
    pub provider: String,
    /// As the library that is linked in calls itself; none out of its FIPS mode.
    pub module: Option<String>,
    /// Whether the configuration that every client gets keeps to what is approved.
    pub fips: bool,
    pub roots: String,
}

impl BuildReport {
    /// From all that the program says.
    pub fn of(build_info: &Value) -> Result<Self, String> {
        let crypto = build_info.get("crypto").cloned().unwrap_or_default();
        serde_json::from_value(crypto)
            .map_err(|error| format!("--version=json says nothing of its cryptography: {error}"))
    }

    /// Which module it is, and in which mode.
    pub fn module(&self, certified: &CertifiedModule, command: &str) -> Proof {
        let mut facts = Facts::default();
        facts.note(self.provider == PROVIDER, format!("its provider is {}", self.provider));
        let module = self.module.as_deref().unwrap_or("none, or one that is out of its FIPS mode");
        facts.note(module == certified.module, format!("the module calls itself: {module}"));
        let keeps = if self.fips { "keeps" } else { "does not keep" };
        facts.note(self.fips, format!("the configuration of its TLS clients {keeps} to what is approved"));
        let claim = format!("The module that runs is {}, in its FIPS mode.", certified.module);
        let how = format!(
            "`{command}`. Every client's configuration goes the same way: one that is not approved is an error, and nothing is sent (`src/intake/tls/mod.rs`, `a_build_that_promises_a_validated_module_has_it_in_every_configuration`)"
        );
        Proof::new("module", claim, how, facts)
    }

    /// Whether it says that its roots are the operating system's.
    pub fn has_system_roots(&self) -> bool {
        self.roots == ROOTS
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn build_report() -> BuildReport {
        let crypto = json!({ "provider": PROVIDER, "module": "AWS-LC FIPS 3.1.0", "fips": true, "roots": ROOTS });
        BuildReport::of(&json!({ "crypto": crypto })).unwrap()
    }

    #[test]
    fn the_certified_module_in_its_mode_is_what_is_claimed() {
        let certified = CertifiedModule::embedded().unwrap();
        let holds = |report: BuildReport| report.module(&certified, "").holds;
        assert!(holds(build_report()));
        assert!(!holds(BuildReport { module: Some("AWS-LC FIPS 3.2.0".to_owned()), ..build_report() }));
        assert!(!holds(BuildReport { module: None, ..build_report() }));
        assert!(!holds(BuildReport { fips: false, ..build_report() }));
        assert!(!holds(BuildReport { provider: "ring".to_owned(), ..build_report() }));
    }

    #[test]
    fn program_without_build_info_proves_nothing() {
        assert!(BuildReport::of(&json!({ "name": "bottlecap" })).is_err());
        assert!(BuildReport::of(&json!({ "crypto": null })).is_err());
    }
}
