//! Name of the function's runtime.

/// The name if the runtime cannot be determined.
pub const UNKNOWN: &str = "unknown";

/// The runtime's name: from `AWS_EXECUTION_ENV` in the environment of the function's process or, for an OS-only runtime, from the text of
/// `/etc/os-release`.
///
/// Source: AWS Lambda developer guide, "Defined runtime environment variables" (the variable is not set for OS-only runtimes) and "Lambda runtimes"
/// (the names).
pub fn name<'a>(execution_environment: Option<&'a str>, os_release: Option<&str>) -> &'a str {
    let named = execution_environment.map(str::trim).and_then(|value| value.rsplit('_').next());
    let named = named.map(|name| name.trim_matches(['"', '\''])).filter(|name| !name.is_empty());
    named.or_else(|| os_release.and_then(provided)).unwrap_or(UNKNOWN)
}

fn provided(os_release: &str) -> Option<&'static str> {
    let pretty = os_release.lines().find_map(|line| line.trim().strip_prefix("PRETTY_NAME="))?;
    match pretty.trim_matches(['"', '\'']) {
        "Amazon Linux 2" => Some("provided.al2"),
        name if name.starts_with("Amazon Linux 2023") => Some("provided.al2023"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_the_runtime_and_the_system_stands_in_for_it() {
        let al2 = "NAME=\"Amazon Linux\"\nPRETTY_NAME=\"Amazon Linux 2\"\n";
        let al2023 = "NAME=\"Amazon Linux\"\nPRETTY_NAME=\"Amazon Linux 2023.6.20241010\"\n";
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n";
        for (variable, system, expected) in [
            (Some("AWS_Lambda_nodejs20.x"), Some(al2023), "nodejs20.x"),
            (Some("AWS_Lambda_java8.al2"), None, "java8.al2"),
            (Some("\"AWS_Lambda_python3.13\""), None, "python3.13"),
            (Some("AWS_Lambda_"), Some(al2), "provided.al2"),
            (Some(""), None, UNKNOWN),
            (None, Some(al2), "provided.al2"),
            (None, Some(al2023), "provided.al2023"),
            (None, Some("PRETTY_NAME='Amazon Linux 2'"), "provided.al2"),
            (None, Some("NAME=\"Amazon Linux 2\""), UNKNOWN),
            (None, Some(debian), UNKNOWN),
            (None, None, UNKNOWN),
        ] {
            assert_eq!(name(variable, system), expected, "{variable:?} {system:?}");
        }
    }
}
