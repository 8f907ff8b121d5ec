//! What Lambda tells every extension through its environment variables.
//!
//! Source: AWS Lambda developer guide, "Defined runtime environment variables" and "Using the Lambda Extensions API".

use extension_protocol::{INITIALIZATION_TYPE, RUNTIME_API};

use super::ids::RuntimeApi;

pub use extension_protocol::Initialization;

/// The sandbox that we were started in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Where Lambda's APIs answer. Empty outside of Lambda: then registration fails with a message that says so.
    pub runtime_api: RuntimeApi,
    /// The region, for example `eu-west-1`; `us-east-1` when Lambda does not say.
    pub region: String,
    /// The function's name; empty when Lambda does not say.
    pub function_name: String,
    /// The published version, or `$LATEST`.
    pub function_version: Option<String>,
    /// The configured memory in MB, as Lambda writes it.
    pub memory_size: Option<String>,
    /// How this sandbox came to be, as Lambda writes it.
    pub initialization_type: Option<String>,
    /// The directory of the function's code, where `datadog.yaml` is looked for.
    pub task_root: String,
}

impl Environment {
    /// Of this process.
    pub fn of_process() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads the process's variables; `variable` is asked once for each name.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let non_empty = |name| variable(name).filter(|value| !value.is_empty());
        Self {
            runtime_api: RuntimeApi(variable(RUNTIME_API).unwrap_or_default()),
            region: non_empty("AWS_DEFAULT_REGION")
                .or_else(|| non_empty("AWS_REGION"))
                .unwrap_or_else(|| "us-east-1".to_owned()),
            function_name: variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
            function_version: non_empty("AWS_LAMBDA_FUNCTION_VERSION"),
            memory_size: non_empty("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
            initialization_type: non_empty(INITIALIZATION_TYPE),
            task_root: non_empty("LAMBDA_TASK_ROOT").unwrap_or_else(|| "/var/task".to_owned()),
        }
    }

    /// The kind of sandbox. Absent and unknown values count as on-demand, which every platform supports.
    pub fn initialization(&self) -> Initialization {
        Initialization::parse(self.initialization_type.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn nothing_set_gives_documented_defaults() {
        let environment = environment(&[]);
        assert_eq!(environment.region, "us-east-1");
        assert_eq!(environment.task_root, "/var/task");
        assert_eq!(environment.function_version, None);
        assert_eq!(environment.initialization(), Initialization::OnDemand);
    }

    #[test]
    fn the_default_region_wins_over_the_region() {
        let both = environment(&[("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-3")]);
        assert_eq!(both.region, "eu-west-3");
        assert_eq!(environment(&[("AWS_REGION", "eu-west-1")]).region, "eu-west-1");
    }
}
