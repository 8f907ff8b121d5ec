//! The options of `cargo matrix invoke`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

const AFTER: &str = "\
Examples:
  cargo matrix invoke examples/hello-python
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

/// Runs a function with the extension in a local sandbox and shows what would reach Datadog
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// The directory of the function, or `null` for a function that does nothing
    pub function: PathBuf,

    /// The Python handler, as `module.function` [default: that of the file that is there: `lambda_function.lambda_handler`,
    /// `app.handler`, `index.handler` or `handler.handler`]
    #[arg(long)]
    pub handler: Option<String>,

    /// The event: a file, `-` for standard input, or JSON [default: `event.json` of the function, else `{}`]
    #[arg(long, allow_hyphen_values = true)]
    pub event: Option<String>,

    /// How often the function is invoked, one after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub times: u32,

    /// Invokes asynchronously: a failed event is retried twice under the same request id, as on Lambda but without its pauses of minutes
    #[arg(long = "async")]
    pub asynchronous: bool,

    /// The memory of the function in MB
    #[arg(long, value_name = "MB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(128..=10_240))]
    pub memory: u32,

    /// The timeout of the function in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=900))]
    pub timeout: u32,

    /// A variable for the function and the extension; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub environment: Vec<Variable>,

    /// The program of the extension [default: bottlecap, built from this workspace]
    #[arg(long, value_name = "PATH")]
    pub extension: Option<PathBuf>,

    /// A layer's zip file, whose extensions are started instead of bottlecap; may be repeated, and a later one lies over the earlier ones
    #[arg(long = "layer", value_name = "ZIP", conflicts_with_all = ["extension", "no_extension", "profile"])]
    pub layers: Vec<PathBuf>,

    /// A directory that is the function's `/opt`, such as that of a container image, whose extensions are started instead of bottlecap
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["extension", "layers", "no_extension", "profile"])]
    pub opt: Option<PathBuf>,

    /// The profile with which bottlecap is built
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["extension", "no_extension"])]
    pub profile: Profile,

    /// Runs the function alone
    #[arg(long, conflicts_with = "extension")]
    pub no_extension: bool,

    /// An executable that speaks the Runtime API and runs the function [default: `bootstrap` of the function, if it is there]
    #[arg(long, value_name = "PATH")]
    pub program: Option<PathBuf>,

    /// Whose network the processes use: `isolated` needs the right to make network namespaces
    #[arg(long, value_enum, default_value_t)]
    pub network: Network,

    /// How the execution environment comes to be
    #[arg(long, value_enum, default_value_t)]
    pub init: Init,

    /// Writes one JSON document to standard output instead of the account; lines go to standard error
    #[arg(long)]
    pub json: bool,
}

/// One `--env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    pub value: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    Dev,
    #[default]
    Release,
}

impl Profile {
    /// As cargo calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }

    /// As cargo tells it to build scripts.
    pub fn told(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
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
