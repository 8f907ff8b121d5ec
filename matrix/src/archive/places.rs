//! The places of a layer's files below `/opt`.

/// Directory of external extensions. Lambda executes every file in it; the file name is the name to register with.
pub const EXTENSIONS: &str = "extensions";
/// Where the loader looks for libraries, by the last of the directories in Lambda's `LD_LIBRARY_PATH`.
pub const LIBRARIES: &str = "lib/";
/// The extension, or the launcher before it.
pub const EXTENSION: &str = "extensions/datadog-agent";
/// Path of the agent below `/opt`, if the extension is a launcher.
pub const AGENT: &str = "bottlecap/agent";
/// The WAF worker, the library that it loads, and its compressed rules.
pub const WAF: &str = "bottlecap/waf";
pub const WAF_LIBRARY: &str = "bottlecap/libddwaf.so";
pub const WAF_RULES: &str = "bottlecap/rules.json.gz";
/// The exec wrapper, `/opt/datadog_wrapper` in `AWS_LAMBDA_EXEC_WRAPPER`.
pub const WRAPPER: &str = "datadog_wrapper";
pub const MANIFEST: &str = "bottlecap/manifest.json";
pub const SBOM: &str = "bottlecap/sbom.cdx.json";
pub const LICENCE: &str = "bottlecap/LICENSE";
pub const NOTICE: &str = "bottlecap/NOTICE";
pub const LICENCES: &str = "bottlecap/licenses.txt";
/// The licences of the standard library, without the file name extension.
pub const RUST_LICENCES: &str = "bottlecap/licenses-rust";
