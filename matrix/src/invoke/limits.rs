//! Lambda's limits for what a command line or a template gives a function. Sources: "Lambda quotas", "Working with Lambda environment variables", "Configure Lambda
//! function timeout", "Configure ephemeral storage for Lambda functions".

use std::collections::BTreeMap;

/// Maximum size of an event in bytes: 6 MB for synchronous invocations, 1 MB for asynchronous ones.
pub const EVENT: usize = 6 * 1024 * 1024;
pub const ASYNCHRONOUS_EVENT: usize = 1024 * 1024;
/// Maximum size in bytes of all names and values of a function's variables together.
pub const ENVIRONMENT: usize = 4 * 1024;

/// The memory of a function in MB.
pub const MEMORY: Range = Range { least: 128, most: 10_240 };
/// Its timeout in seconds.
pub const TIMEOUT: Range = Range { least: 1, most: 900 };
/// The size of its `/tmp` in MB.
pub const EPHEMERAL_STORAGE: Range = Range { least: 512, most: 10_240 };

/// The whole numbers that a setting can have.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    least: u32,
    most: u32,
}

impl Range {
    /// The number of an option or of a template's setting.
    pub fn parse(self, text: &str) -> Result<u32, Refusal> {
        let Self { least, most } = self;
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| Refusal::Range { value: text.to_owned(), least, most })
    }
}

/// Variables that Lambda sets, with the option that sets them here.
const RESERVED: [(&str, Option<&str>); 19] = [
    ("_HANDLER", Some("handler")),
    ("_X_AMZN_TRACE_ID", None),
    ("AWS_ACCESS_KEY", None),
    ("AWS_ACCESS_KEY_ID", None),
    ("AWS_DEFAULT_REGION", Some("region")),
    ("AWS_EXECUTION_ENV", None),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", Some("memory")),
    ("AWS_LAMBDA_FUNCTION_NAME", Some("function-name")),
    ("AWS_LAMBDA_FUNCTION_VERSION", None),
    ("AWS_LAMBDA_INITIALIZATION_TYPE", Some("init")),
    ("AWS_LAMBDA_LOG_GROUP_NAME", None),
    ("AWS_LAMBDA_LOG_STREAM_NAME", None),
    ("AWS_LAMBDA_METADATA_API", None),
    ("AWS_LAMBDA_RUNTIME_API", None),
    ("AWS_REGION", Some("region")),
    ("AWS_SECRET_ACCESS_KEY", None),
    ("AWS_SESSION_TOKEN", None),
    ("LAMBDA_RUNTIME_DIR", None),
    ("LAMBDA_TASK_ROOT", None),
];

/// Why Lambda would refuse a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "the name of the variable \"{0}\" is not one that Lambda accepts: it has two or more letters, digits and underscores, and begins with a letter"
    )]
    Name(String),
    #[error("{name} is reserved: Lambda sets it{}", option.map(|option| format!("; use --{option}")).unwrap_or_default())]
    Reserved { name: String, option: Option<&'static str> },
    #[error("the variables of the function have {bytes} bytes; Lambda accepts {ENVIRONMENT}, names included")]
    Size { bytes: usize },
    #[error("\"{value}\" is not in {least}..={most}")]
    Range { value: String, least: u32, most: u32 },
}

/// Checks the customer's variables as Lambda does when a function is created.
pub fn check_variables(variables: &BTreeMap<String, String>) -> Result<(), Refusal> {
    for name in variables.keys() {
        if let Some((_, option)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
            return Err(Refusal::Reserved { name: name.clone(), option: *option });
        }
        let is_plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if name.len() < 2 || !is_plain || !name.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
            return Err(Refusal::Name(name.clone()));
        }
    }
    let bytes = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > ENVIRONMENT { Err(Refusal::Size { bytes }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)]) -> Result<(), String> {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        check_variables(&variables).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn reserved_variables_are_refused_with_the_option_that_sets_them() {
        assert!(check(&[("AWS_REGION", "eu-west-1")]).unwrap_err().ends_with("use --region"));
        assert!(check(&[("AWS_SESSION_TOKEN", "x")]).unwrap_err().ends_with("Lambda sets it"));
        assert_eq!(check(&[("AWS_LAMBDA_EXEC_WRAPPER", "/opt/w"), ("TZ", "CET")]), Ok(()));
    }

    #[test]
    fn names_that_lambda_does_not_accept_are_refused() {
        for name in ["A", "1A", "_A", "A-B", "A B", ""] {
            assert!(check(&[(name, "x")]).unwrap_err().contains(&format!("\"{name}\"")), "{name}");
        }
        assert_eq!(check(&[("A1", ""), ("a_", "ü")]), Ok(()));
    }

    #[test]
    fn numbers_are_whole_and_in_their_range() {
        for (range, least, most) in
            [(MEMORY, "128", "10240"), (TIMEOUT, "1", "900"), (EPHEMERAL_STORAGE, "512", "10240")]
        {
            assert!(range.parse(least).is_ok() && range.parse(most).is_ok());
            for wrong in ["0", "10241", "4000000000", "99999999999", "-1", "256.0", "abc", "", " 600", "[600]"] {
                let refusal = range.parse(wrong).unwrap_err().to_string();
                assert_eq!(refusal, format!("\"{wrong}\" is not in {least}..={most}"));
            }
        }
    }

    #[test]
    fn all_variables_together_have_four_kilobytes() {
        let long = "x".repeat(ENVIRONMENT - 2);
        assert_eq!(check(&[("AB", &long)]), Ok(()));
        assert!(check(&[("ABC", &long)]).unwrap_err().contains("4097 bytes"));
    }
}
