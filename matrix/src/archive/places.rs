//! The places of a layer's files below `/opt`.

/// Everything in here is executed; the name of a file is that with which it has to register.
pub const EXTENSIONS: &str = "extensions";
/// Where the loader looks for libraries, by the last of the directories in Lambda's `LD_LIBRARY_PATH`.
pub const LIBRARIES: &str = "lib/";
/// The extension, or the launcher before it.
pub const EXTENSION: &str = "extensions/datadog-agent";
/// What a launcher executes.
pub const AGENT: &str = "bottlecap/agent";
/// What an agent with AppSec starts, what that needs, and the rules that it works by.
pub const WAF: &str = "bottlecap/waf";
pub const WAF_LIBRARY: &str = "bottlecap/libddwaf.so";
pub const WAF_RULES: &str = "bottlecap/rules.json.gz";
/// What `AWS_LAMBDA_EXEC_WRAPPER` names.
pub const WRAPPER: &str = "datadog_wrapper";
pub const MANIFEST: &str = "bottlecap/manifest.json";
pub const SBOM: &str = "bottlecap/sbom.cdx.json";
pub const LICENCE: &str = "bottlecap/LICENSE";
pub const NOTICE: &str = "bottlecap/NOTICE";
pub const LICENCES: &str = "bottlecap/licenses.txt";
/// With the ending of the file that the compiler brings.
pub const RUST_LICENCES: &str = "bottlecap/licenses-rust";
