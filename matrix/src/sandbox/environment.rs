//! The environment variables of the processes in a sandbox. Nothing of the host's environment is inherited.
//!
//! The names are from "Working with Lambda environment variables" (Defined runtime environment variables). The variables that extensions do not get are from
//! "Using the Lambda Extensions API to create extensions" (Configuration).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::setup::{Initialization, LogFormat, Setup};

/// The seven directories that Lambda searches for shared libraries.
const LD_LIBRARY_PATH: &str = "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib";
const PATH: &str = "/usr/local/bin:/usr/bin/:/bin:/opt/bin";
pub(crate) const CREDENTIALS_TOKEN: &str = "sandbox-credentials-token";

/// Variables that an extension never gets, even if the customer has set them. Neither does it get names that start with `_`. The document lists
/// `LAMBDA_TASK_ROOT` too, but Lambda gives it to extensions, and Datadog's finds its settings file by it.
const NOT_FOR_EXTENSIONS: [&str; 7] = [
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_XRAY_CONTEXT_MISSING",
    "AWS_XRAY_DAEMON_ADDRESS",
    "LAMBDA_RUNTIME_DIR",
    "X_AMZN_TRACE_ID",
];

type Variables = BTreeMap<String, String>;

/// The addresses of Lambda's APIs and of the intake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub runtime_api: SocketAddr,
    pub intake: Option<SocketAddr>,
}

/// The environment of an extension. `task_root` is the directory of the function's code.
pub(crate) fn of_extension(setup: &Setup, addresses: Addresses, task_root: &str, own: &Variables) -> Variables {
    let mut variables = common(setup, addresses);
    variables.retain(|name, _| !NOT_FOR_EXTENSIONS.contains(&name.as_str()) && !name.starts_with('_'));
    variables.insert("LAMBDA_TASK_ROOT".to_owned(), task_root.to_owned());
    variables.extend(own.clone());
    variables
}

/// The function's code and handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code<'a> {
    pub task_root: &'a str,
    pub handler: &'a str,
}

/// The environment of the function's runtime.
pub(crate) fn of_function(setup: &Setup, addresses: Addresses, code: Code<'_>, own: &Variables) -> Variables {
    let mut variables = common(setup, addresses);
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    set("LAMBDA_TASK_ROOT", code.task_root.to_owned());
    set("LAMBDA_RUNTIME_DIR", "/var/runtime".to_owned());
    set("_HANDLER", code.handler.to_owned());
    // A snapshot outlives the log stream in which it was taken, so SnapStart functions do not know their stream.
    if setup.initialization != Initialization::SnapStart {
        set("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", setup.function_name));
        set("AWS_LAMBDA_LOG_STREAM_NAME", "2020/01/01/[$LATEST]0123456789abcdef0123456789abcdef".to_owned());
    }
    variables.extend(own.clone());
    variables
}

fn common(setup: &Setup, addresses: Addresses) -> Variables {
    // Unreserved names come first: the customer's values replace them.
    let mut variables = Variables::new();
    let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    set("LANG", "en_US.UTF-8");
    set("PATH", PATH);
    set("LD_LIBRARY_PATH", LD_LIBRARY_PATH);
    match addresses.intake {
        Some(intake) => variables.extend(setup.destinations.apply(&setup.environment, intake)),
        None => variables.extend(setup.environment.clone()),
    }

    let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    set("TZ", ":UTC");
    set("AWS_REGION", &setup.region);
    set("AWS_DEFAULT_REGION", &setup.region);
    set("AWS_LAMBDA_FUNCTION_NAME", &setup.function_name);
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &setup.memory_mb.to_string());
    set("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
    set("AWS_LAMBDA_INITIALIZATION_TYPE", setup.initialization.name());
    set("AWS_LAMBDA_RUNTIME_API", &addresses.runtime_api.to_string());
    if setup.log_format == LogFormat::Json {
        set("AWS_LAMBDA_LOG_FORMAT", "JSON");
        set("AWS_LAMBDA_LOG_LEVEL", "INFO");
    }
    if setup.initialization == Initialization::SnapStart {
        let url = format!("http://{}/2021-04-23/credentials", addresses.runtime_api);
        set("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url);
        set("AWS_CONTAINER_AUTHORIZATION_TOKEN", CREDENTIALS_TOKEN);
    } else {
        set("AWS_ACCESS_KEY_ID", "sandbox-access-key-id");
        set("AWS_SECRET_ACCESS_KEY", "sandbox-secret-access-key");
        set("AWS_SESSION_TOKEN", "sandbox-session-token");
    }
    variables
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    fn addresses() -> Addresses {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Addresses { runtime_api: at(9001), intake: Some(at(8080)) }
    }

    fn set(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_extension_sees_exactly_these_variables() {
        let environment = set(&[("MINE", "1"), ("_MINE", "2"), ("AWS_EXECUTION_ENV", "x"), ("LAMBDA_TASK_ROOT", "y")]);
        let setup = Setup { environment, ..Setup::default() };
        let names: Vec<String> =
            of_extension(&setup, Addresses { intake: None, ..addresses() }, "/var/task", &Variables::new())
                .into_keys()
                .collect();
        let expected = [
            "AWS_ACCESS_KEY_ID",
            "AWS_DEFAULT_REGION",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            "AWS_LAMBDA_FUNCTION_NAME",
            "AWS_LAMBDA_FUNCTION_VERSION",
            "AWS_LAMBDA_INITIALIZATION_TYPE",
            "AWS_LAMBDA_RUNTIME_API",
            "AWS_REGION",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "LAMBDA_TASK_ROOT",
            "LANG",
            "LD_LIBRARY_PATH",
            "MINE",
            "PATH",
            "TZ",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn reserved_names_win_over_the_customer_and_the_customer_over_the_rest() {
        let environment = set(&[("AWS_REGION", "mars"), ("LANG", "C"), ("DD_API_KEY", "own")]);
        let setup = Setup { environment, ..Setup::default() };
        let seen = of_extension(&setup, addresses(), "/var/task", &set(&[("LANG", "D")]));
        let value = |name: &str| seen.get(name).map(String::as_str);
        assert_eq!(value("AWS_REGION"), Some("us-east-1"));
        assert_eq!(value("LANG"), Some("D"));
        assert_eq!(value("DD_API_KEY"), Some("own"));
        assert_eq!(value("DD_APM_DD_URL"), Some("http://127.0.0.1:8080"));
    }

    #[test]
    fn snap_start_replaces_keys_with_a_credentials_endpoint_and_hides_the_log_stream() {
        let setup = Setup { initialization: Initialization::SnapStart, ..Setup::default() };
        let code = Code { task_root: "/var/task", handler: "app.handler" };
        let seen = of_function(&setup, addresses(), code, &Variables::new());
        assert!(seen.contains_key("AWS_CONTAINER_CREDENTIALS_FULL_URI"));
        assert!(!seen.contains_key("AWS_ACCESS_KEY_ID"));
        assert!(!seen.contains_key("AWS_LAMBDA_LOG_STREAM_NAME"));
        assert_eq!(seen.get("_HANDLER").map(String::as_str), Some("app.handler"));
    }

    #[test]
    fn shared_libraries_are_searched_in_seven_directories() {
        let seen = of_extension(&Setup::default(), addresses(), "/var/task", &Variables::new());
        assert_eq!(seen.get("LD_LIBRARY_PATH").map(|path| path.split(':').count()), Some(7));
    }
}
