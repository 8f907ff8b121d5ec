//! The options of `cargo matrix invoke`.

use std::path::PathBuf;

use crate::workspace::Profile;
use clap::{Args, ValueEnum};

const AFTER: &str = "\
Examples:
  cargo matrix invoke examples/hello-python
  cargo matrix invoke examples/hello-node
  cargo matrix invoke ./my-function --handler app.main --event order.json --times 3
  cargo matrix invoke ./my-function --event '{\"id\": 1}' --env DD_SERVICE=orders --env DD_ENV=dev
  cargo matrix invoke ./my-function --async
  cargo matrix invoke ./custom-runtime --program ./target/debug/bootstrap
  cargo matrix invoke null --extension ./target/release/bottlecap --json > run.json
  cargo matrix invoke examples/hello-python --layer target/matrix/layers/ship-x86_64.zip
  cargo matrix invoke ./image/var/task --opt ./image/opt

The extension finds a stand-in for Datadog's intake: nothing leaves this machine, and no API key is needed.

Exit status:
  0    everything that was expected has arrived
  2    the command line is wrong
  3    the function failed, with --async at the last attempt at an event
  4    the extension ended before it was told to
  5    something is missing at the intake
  6    a file cannot be read or written, the extension could not be built, or the sandbox could not be set up
  130  interrupted";

/// Run a function and its extension locally
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// The directory of the function, or `null` for a function that does nothing
    pub function: PathBuf,

    /// The handler in Python or Node, as `module.function` [default: the first whose file exists of `lambda_function.lambda_handler`, `app.handler`,
    /// `index.handler` and `handler.handler`]
    #[arg(long)]
    pub handler: Option<String>,

    /// The event: a file, `-` for standard input, or JSON [default: `event.json` of the function, else `{}`]
    #[arg(long, allow_hyphen_values = true)]
    pub event: Option<String>,

    /// Number of invocations, one after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub times: u32,

    /// Invoke asynchronously: a failed event is retried twice with the same request id, as on Lambda but without the pauses of minutes
    #[arg(long = "async")]
    pub asynchronous: bool,

    /// Memory of the function in MB
    #[arg(long, value_name = "MB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(128..=10_240))]
    pub memory: u32,

    /// Timeout of the function in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=900))]
    pub timeout: u32,

    /// Set an environment variable of the function and the extension; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub environment: Vec<Variable>,

    /// The program of the extension [default: bottlecap, built from this workspace]
    #[arg(long, value_name = "PATH")]
    pub extension: Option<PathBuf>,

    /// A layer's zip file, whose extensions run instead of bottlecap; may be repeated, and files of later layers replace those of earlier ones
    #[arg(long = "layer", value_name = "ZIP", conflicts_with_all = ["extension", "no_extension", "profile"])]
    pub layers: Vec<PathBuf>,

    /// A directory to use as `/opt`, such as that of a container image, whose extensions run instead of bottlecap
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["extension", "layers", "no_extension", "profile"])]
    pub opt: Option<PathBuf>,

    /// The cargo profile that bottlecap is built with
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["extension", "no_extension"])]
    pub profile: Profile,

    /// Run the function without an extension
    #[arg(long, conflicts_with = "extension")]
    pub no_extension: bool,

    /// An executable that implements the Runtime API and runs the function [default: `bootstrap` of the function, if it exists]
    #[arg(long, value_name = "PATH")]
    pub program: Option<PathBuf>,

    /// The network of the processes; `isolated` needs the permission to make network namespaces
    #[arg(long, value_enum, default_value_t)]
    pub network: Network,

    /// The initialization type of the execution environment
    #[arg(long, value_enum, default_value_t)]
    pub init: Init,

    /// Write one JSON document to standard output instead of the summary; log lines go to standard error
    #[arg(long)]
    pub json: bool,

    /// Write one HTML page that needs nothing else: the timeline of the sandbox, and a flame graph of each trace with its logs
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// The value of one `--env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    pub value: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Network {
    #[default]
    Host,
    Isolated,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Init {
    #[default]
    OnDemand,
    ProvisionedConcurrency,
    SnapStart,
    ManagedInstances,
}

fn variable(text: &str) -> Result<Variable, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(Variable { name: name.to_owned(), value: value.to_owned() }),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_split_at_its_first_equals_sign() {
        let both = |name: &str, value: &str| Ok(Variable { name: name.into(), value: value.into() });
        assert_eq!(variable("DD_TAGS=a:b=c"), both("DD_TAGS", "a:b=c"));
        assert_eq!(variable("EMPTY="), both("EMPTY", ""));
        assert!(variable("NAME").is_err() && variable("=value").is_err());
    }
}
