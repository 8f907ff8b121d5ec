//! The options of `cargo matrix plan`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{AppSec, Cache, InjectedFault, Latency, Regime, ShardIndex, TrustStore};

const AFTER: &str = "\
Designs:
  sets             the named sets against each other
  add-one          the base, and the base with each factor by itself
  leave-one-out    the base, and the base without each factor it has
  plackett-burman  24, 40 or 48 cells for up to 11, 19 or 23 factors: main effects, clear of interactions of two
  resolution-4     a fraction for up to 11 factors: main effects, clear of interactions of two
  resolution-5     a larger fraction: main effects and every interaction of two factors
  full             every combination of up to 8 factors
  cells            the cells that --cells names
  subsets          every Cargo feature by itself, none, all, and a random sample of combinations: whether all work and deliver the same

Examples:
  cargo matrix plan sets --dry-run
  cargo matrix plan leave-one-out --blocks 50 --memory 128,1024 --regime boosted,throttled
  cargo matrix plan plackett-burman --exclude static,launcher --seed 7
  cargo matrix plan resolution-5 --factors raw-control-plane,lazy-intake,opt-level=3 --name trio
  cargo matrix plan cells --cells 'ship,ship+jemalloc,ship-webpki-roots' \\
      --external public=./datadog-agent --external-env public:DD_API_KEY=none
  cargo matrix plan sets --shards 4 --format github
  cargo matrix plan subsets --sample 10 --seed 7 --blocks 1

Exit status:
  0  the plan is written, or shown
  2  the command line asks for something that cannot be
  6  the plan cannot be written";

/// Maximum number of jobs that one matrix may have: GitLab takes 200, GitHub 256.
const SHARDS: i64 = 200;

/// Plan an experiment: cells, conditions and blocks
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// The design: how the cells are chosen
    #[arg(value_enum)]
    pub design: DesignName,

    /// The factors that vary, `opt-level=3` for a value of an axis [default: all that the design supports]
    #[arg(long, value_delimiter = ',', value_name = "FACTOR")]
    pub factors: Vec<String>,

    /// Factors that do not vary
    #[arg(long, value_delimiter = ',', value_name = "FACTOR")]
    pub exclude: Vec<String>,

    /// The set that the design starts from [default: `ship-agent` for leave-one-out, otherwise `baseline`]
    #[arg(long, value_name = "SET")]
    pub base: Option<String>,

    /// The cells of the design `cells`: a set, with `+` before an added switch and `-` before a removed one, the name of an --external, or `std-floor`, the yardstick with the standard library
    #[arg(long, value_delimiter = ',', value_name = "CELL")]
    pub cells: Vec<String>,

    /// Number of combinations that the design `subsets` draws [default: 6]
    #[arg(long, value_name = "N")]
    pub sample: Option<u32>,

    /// Leave each feature by itself out of the design `subsets`
    #[arg(long)]
    pub no_singles: bool,

    /// Memory tiers in MB
    #[arg(long, value_delimiter = ',', value_name = "MB", default_value = "1024", value_parser = clap::value_parser!(u32).range(128..=10_240))]
    pub memory: Vec<u32>,

    /// CPU of the init phase
    #[arg(long, value_enum, value_delimiter = ',', default_value = "boosted")]
    pub regime: Vec<Regime>,

    /// Whether the extension's file is in the page cache before a start
    #[arg(long, value_enum, value_delimiter = ',', default_value = "warm")]
    pub cache: Vec<Cache>,

    /// Latencies of the platform
    #[arg(long, value_enum, value_delimiter = ',', default_value = "loopback")]
    pub latency: Vec<Latency>,

    /// The operating system's trust store, as the extension sees it
    #[arg(long, value_enum, value_delimiter = ',', default_value = "al2023")]
    pub trust_store: Vec<TrustStore>,

    /// The runtime beside the extension: `null`, `python` or `sleep:<ms>`
    #[arg(long, value_delimiter = ',', default_value = "null", value_parser = runtime)]
    pub runtime: Vec<String>,

    /// Faults to inject, to check that every cell delivers the same payload nevertheless
    #[arg(long, value_enum, value_delimiter = ',', default_value = "none")]
    pub fault: Vec<InjectedFault>,

    /// Whether settings ask for App & API Protection; on, every cell needs the component appsec
    #[arg(long, value_enum, value_delimiter = ',', default_value = "off")]
    pub appsec: Vec<AppSec>,

    /// Number of blocks: starts of every cell under each condition
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub blocks: u32,

    /// The seed of all randomness
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Limit the plan to the blocks whose number is M modulo N, for one of N machines; `cargo matrix merge` merges the results
    #[arg(long, value_name = "M/N")]
    pub shard: Option<ShardIndex>,

    /// Number of machines for the formats `github` and `gitlab`, at most one for each block
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "shard", value_parser = clap::value_parser!(u32).range(1..=SHARDS))]
    pub shards: u32,

    /// Another extension to start beside ours: a program, a layer, or a folder with the contents of /opt, of which the extension and the agent of our launcher
    /// are started; copied into the folder of the plan; may be repeated
    #[arg(long, value_name = "NAME=PATH", value_parser = external)]
    pub external: Vec<External>,

    /// Set an environment variable of an --external; may be repeated
    #[arg(long, value_name = "NAME:KEY=VALUE", value_parser = external_variable)]
    pub external_env: Vec<ExternalVariable>,

    /// An --external or a built cell whose payloads differ by design and are not compared; may be repeated
    #[arg(long, value_name = "NAME")]
    pub own_payload: Vec<String>,

    /// The name of the experiment and of its folder under `target/matrix` [default: the design]
    #[arg(long, value_parser = file_name)]
    pub name: Option<String>,

    /// The folder for the plan [default: the one under `target/matrix`]
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "name")]
    pub out: Option<PathBuf>,

    /// Show what would be built and started, and write nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Samples of an earlier run, whose variance gives the minimum detectable effect of this plan
    #[arg(long, value_name = "SAMPLES.JSONL")]
    pub history: Option<PathBuf>,

    /// The format of the summary
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

impl Arguments {
    /// The options of a plan of this design in this folder, each with the default of the command line.
    pub fn new(design: DesignName, folder: &Path) -> Self {
        Self {
            design,
            factors: Vec::new(),
            exclude: Vec::new(),
            base: None,
            cells: Vec::new(),
            sample: None,
            no_singles: false,
            memory: vec![1024],
            regime: vec![Regime::Boosted],
            cache: vec![Cache::Warm],
            latency: vec![Latency::Loopback],
            trust_store: vec![TrustStore::Al2023],
            runtime: vec!["null".to_owned()],
            fault: vec![InjectedFault::None],
            appsec: vec![AppSec::Off],
            blocks: 30,
            seed: 1,
            shard: None,
            shards: 1,
            external: Vec::new(),
            external_env: Vec::new(),
            own_payload: Vec::new(),
            name: None,
            out: Some(folder.to_owned()),
            dry_run: false,
            history: None,
            format: Format::Text,
        }
    }
}

/// A way to choose cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DesignName {
    Sets,
    AddOne,
    LeaveOneOut,
    PlackettBurman,
    #[value(name = "resolution-4")]
    Resolution4,
    #[value(name = "resolution-5")]
    Resolution5,
    Full,
    Cells,
    Subsets,
}

impl DesignName {
    /// As on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sets => "sets",
            Self::AddOne => "add-one",
            Self::LeaveOneOut => "leave-one-out",
            Self::PlackettBurman => "plackett-burman",
            Self::Resolution4 => "resolution-4",
            Self::Resolution5 => "resolution-5",
            Self::Full => "full",
            Self::Cells => "cells",
            Self::Subsets => "subsets",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
    /// The shards, as `strategy.matrix` of a GitHub workflow; the summary goes to standard error.
    Github,
    /// The shards, as a hidden job `.shards` of a GitLab pipeline; the summary goes to standard error.
    Gitlab,
}

/// One `--external`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    pub name: String,
    pub path: PathBuf,
}

/// One `--external-env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalVariable {
    pub external: String,
    pub key: String,
    pub value: String,
}

fn runtime(text: &str) -> Result<String, String> {
    let slept = text.strip_prefix("sleep:").is_some_and(|ms| ms.parse::<u32>().is_ok());
    if slept || ["null", "python"].contains(&text) {
        Ok(text.to_owned())
    } else {
        Err("write null, python, or sleep: with milliseconds, such as sleep:200".to_owned())
    }
}

fn external(text: &str) -> Result<External, String> {
    let (name, path) = text.split_once('=').ok_or("write it as NAME=PATH")?;
    Ok(External { name: file_name(name)?, path: PathBuf::from(path) })
}

fn external_variable(text: &str) -> Result<ExternalVariable, String> {
    let parts = text.split_once(':').and_then(|(name, rest)| Some((name, rest.split_once('=')?)));
    let (external, (key, value)) = parts.ok_or("write it as NAME:KEY=VALUE")?;
    Ok(ExternalVariable { external: external.to_owned(), key: key.to_owned(), value: value.to_owned() })
}

fn file_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("a name begins with a letter or digit and has only those, `-`, `_`, `.` and `+`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_arguments::parse;

    #[test]
    fn new_arguments_have_the_defaults_of_the_command_line() {
        let parsed: Arguments = parse(["sets", "--out", "folder"]);
        assert_eq!(Arguments::new(DesignName::Sets, Path::new("folder")), parsed);
    }

    #[test]
    fn a_runtime_is_one_of_three() {
        assert!(["null", "python", "sleep:0", "sleep:250"].into_iter().all(|text| runtime(text).is_ok()));
        assert!(["", "node", "sleep", "sleep:", "sleep:1s", "sleep:-1"].into_iter().all(|text| runtime(text).is_err()));
    }

    #[test]
    fn an_external_program_and_its_variables_are_split_at_the_first_sign() {
        let expected = External { name: "public".into(), path: "/a=b".into() };
        assert_eq!(external("public=/a=b"), Ok(expected));
        assert!(external("public").is_err() && external("a/b=/c").is_err());
        let expected = ExternalVariable { external: "public".into(), key: "URL".into(), value: "http://x=y".into() };
        assert_eq!(external_variable("public:URL=http://x=y"), Ok(expected));
        assert!(external_variable("public").is_err() && external_variable("URL=x").is_err());
    }

    #[test]
    fn a_name_is_fit_for_a_file() {
        assert!(file_name("ship+jemalloc-2.1").is_ok());
        assert!(["", ".hidden", "a/b", "a b"].into_iter().all(|text| file_name(text).is_err()));
    }
}
