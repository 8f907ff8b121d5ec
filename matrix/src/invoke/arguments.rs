//! The options of `cargo matrix invoke`.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::limits;
use super::run_summary::MetricAssertion;
use crate::sample_events::{ALL, SampleEvent, named};
use crate::workspace::Profile;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, ValueEnum};

const AFTER: &str = "\
Examples:
  cargo matrix invoke examples/hello-python
  cargo matrix invoke examples/hello-node
  cargo matrix invoke ./my-function --handler app.main --event order.json --times 3
  cargo matrix invoke ./my-function --event '{\"id\": 1}' --env DD_SERVICE=orders --env DD_ENV=dev
  cargo matrix invoke examples/traced-python --event-from sqs
  cargo matrix invoke examples/appsec-python --env DD_SERVERLESS_APPSEC_ENABLED=true
  cargo matrix invoke ./my-function --async
  cargo matrix invoke ./custom-runtime --program ./target/debug/bootstrap
  cargo matrix invoke null --extension ./target/release/bottlecap --json > run.json
  cargo matrix invoke examples/hello-python --layer target/matrix/layers/ship-x86_64.zip
  cargo matrix invoke ./image/var/task --opt ./image/opt

The extension finds a stand-in for Datadog's intake, whatever the variables say: nothing leaves this machine without --allow-network, and no API key is needed.

Exit status:
  0    everything that was expected has arrived
  2    the command line is wrong
  3    the function failed, with --async at the last attempt at an event
  4    the extension exited before SHUTDOWN
  5    something is missing at the intake
  6    a file cannot be read or written, the extension could not be built, or the sandbox could not be set up
  130  interrupted, by Ctrl-C, SIGTERM or SIGHUP";

/// Run a function and its extension locally
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// The directory of the function, or `null` for a function that does nothing
    pub function: PathBuf,

    /// The handler in Python or Node, as `module.function` [default: that of the template, the handler that `lambda_function.py`, `app.py`, `index.py`,
    /// `handler.py`, `main.py` or `function.py` has, or `index.handler` and the like of a JavaScript file]
    #[arg(long)]
    pub handler: Option<String>,

    /// A SAM, `CloudFormation` or Serverless template with handler, runtime, variables, timeout, memory and layers [default: `template.yaml` or `serverless.yml` of the
    /// function's directory, unless that has a `bootstrap`, or `--handler` or `--program` says what the function is]
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,

    /// The name of the function in the template, if that has several; the template is then used in any case
    #[arg(long = "function", value_name = "NAME")]
    pub template_function: Option<String>,

    /// The runtime, such as `python3.12`: that Python is used if this machine has it
    #[arg(long, value_name = "NAME")]
    pub runtime: Option<String>,

    /// The event: a file, `-` for standard input, or JSON; may be repeated, and a file may have one on each line [default: `event.json` of the function, else
    /// `{}`]
    #[arg(long = "event", value_name = "EVENT", allow_hyphen_values = true)]
    pub events: Vec<String>,

    /// The event: a documented one of the service that invokes the function, with times of the last seconds; may be repeated
    #[arg(long = "event-from", value_name = "TRIGGER", value_parser = SampleEvents, conflicts_with = "events")]
    pub sample_events: Vec<SampleEvent>,

    /// Number of invocations with each event, one after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub times: u32,

    /// Invoke asynchronously: a failed event is retried twice with the same request id, as on Lambda but without the pauses of minutes
    #[arg(long = "async")]
    pub asynchronous: bool,

    /// Memory of the function in MB, 128 to 10240 [default: that of the template, else 1024]
    #[arg(long, value_name = "MB", value_parser = |text: &str| limits::MEMORY.parse(text))]
    pub memory: Option<u32>,

    /// Timeout of the function in seconds, 1 to 900 [default: that of the template, else 30]
    #[arg(long, value_name = "SECONDS", value_parser = |text: &str| limits::TIMEOUT.parse(text))]
    pub timeout: Option<u32>,

    /// Size of `/tmp` in MB, 512 to 10240 [default: that of the template, else 512]
    #[arg(long, value_name = "MB", value_parser = |text: &str| limits::EPHEMERAL_STORAGE.parse(text))]
    pub ephemeral_storage: Option<u32>,

    /// The region that the function finds itself in
    #[arg(long, default_value = "us-east-1")]
    pub region: String,

    /// The account that the function finds itself in
    #[arg(long, default_value = "123456789012")]
    pub account: String,

    /// The name of the function [default: that of the template, else that of its directory]
    #[arg(long, value_name = "NAME")]
    pub function_name: Option<String>,

    /// Set an environment variable of the function and the extension; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub environment: Vec<Variable>,

    /// A file with environment variables, one `NAME=VALUE` on each line; `--env` goes before it; may be repeated
    #[arg(long = "env-file", value_name = "FILE")]
    pub environment_files: Vec<PathBuf>,

    /// The program of the extension [default: bottlecap, built from this workspace]
    #[arg(long, value_name = "PATH")]
    pub extension: Option<PathBuf>,

    /// A layer for `/opt`, as a zip file or a directory; may be repeated, and files of later layers replace those of earlier ones. Its extensions run beside bottlecap; an
    /// extension called `datadog-agent` replaces it
    #[arg(long = "layer", value_name = "PATH")]
    pub layers: Vec<PathBuf>,

    /// A directory to use as `/opt`, such as that of a container image, whose extensions run instead of bottlecap
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["extension", "layers", "no_extension", "profile"])]
    pub opt: Option<PathBuf>,

    /// The cargo profile that bottlecap is built with
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["extension", "no_extension"])]
    pub profile: Profile,

    /// Run the function without bottlecap; extensions of layers still run
    #[arg(long, conflicts_with = "extension")]
    pub no_extension: bool,

    /// An executable that implements the Runtime API and runs the function [default: `bootstrap` of the function, if it exists]
    #[arg(long, value_name = "PATH")]
    pub program: Option<PathBuf>,

    /// The network of the processes: their own, or that of this machine [default: their own, if the kernel allows that]
    #[arg(long, value_enum)]
    pub network: Option<Network>,

    /// Use this machine's network, and send data wherever variables say, with real keys and secrets
    #[arg(long, conflicts_with = "network")]
    pub allow_network: bool,

    /// The initialization type of the execution environment
    #[arg(long, value_enum, default_value_t)]
    pub init: Init,

    /// Print neither the summary nor lines as they arrive, only what is missing and the verdict
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,

    /// Leave logs out of the summary
    #[arg(long)]
    pub no_logs: bool,

    /// Leave the metrics `aws.lambda.enhanced.*` out of the summary
    #[arg(long)]
    pub no_enhanced: bool,

    /// Fail unless a log with this text has arrived; may be repeated
    #[arg(long = "expect-log", value_name = "TEXT")]
    pub expected_logs: Vec<String>,

    /// Fail unless this metric has arrived, with this sum if one is given; may be repeated
    #[arg(long = "expect-metric", value_name = "NAME[=VALUE]", value_parser = MetricAssertion::parse)]
    pub expected_metrics: Vec<MetricAssertion>,

    /// Fail if anything has arrived
    #[arg(long = "expect-none", conflicts_with_all = ["expected_logs", "expected_metrics"])]
    pub expects_nothing: bool,

    /// Show all logs instead of a screenful for each invocation
    #[arg(long)]
    pub all_logs: bool,

    /// Show the tags of each metric
    #[arg(long)]
    pub tags: bool,

    /// Write one JSON document to standard output instead of the summary; log lines go to standard error
    #[arg(long)]
    pub json: bool,

    /// Write one HTML page that needs nothing else: the timeline of the sandbox, and a flame graph of each trace with its logs
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Parses the name of a sample event; the help and errors list all of them.
#[derive(Clone, Copy, Debug)]
struct SampleEvents;

impl TypedValueParser for SampleEvents {
    type Value = SampleEvent;

    fn parse_ref(&self, command: &Command, option: Option<&Arg>, name: &OsStr) -> Result<SampleEvent, clap::Error> {
        let names = PossibleValuesParser::new(ALL.iter().map(|sample| sample.name));
        let name = names.parse_ref(command, option, name)?;
        named(&name).ok_or_else(|| clap::Error::new(ErrorKind::InvalidValue).with_cmd(command))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(ALL.iter().map(|sample| PossibleValue::new(sample.name).help(sample.service))))
    }
}

/// The value of one `--env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    pub value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Network {
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
