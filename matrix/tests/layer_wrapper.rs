//! The exec wrapper of a layer, before a runtime that tells how it was started.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use matrix::executable;
use matrix::sandbox::{in_own_network, isolation};
use tempfile::TempDir;

/// `/opt` with the wrapper, and with what a test puts there.
struct Opt(TempDir);

/// How the runtime was started.
struct RuntimeCommand {
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
    /// What the wrapper said.
    said: Vec<String>,
}

impl Opt {
    fn with(files: &[&str]) -> Self {
        let opt = Self(tempfile::tempdir().unwrap());
        for file in files {
            let path = opt.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let wrapper = opt.path().join("datadog_wrapper");
        executable::write(&wrapper, include_bytes!("../src/layer/datadog_wrapper")).unwrap();
        opt
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn at(&self, place: &str) -> String {
        self.path().join(place).display().to_string()
    }

    fn start(&self, arguments: &[&str], variables: &[(&str, &str)]) -> RuntimeCommand {
        let runtime = self.path().join("runtime");
        let script = "#!/bin/sh\necho arguments:\nfor a in \"$@\"; do echo \"$a\"; done\necho variables:\nenv\n";
        executable::write(&runtime, script).unwrap();
        let mut command = Command::new(self.path().join("datadog_wrapper"));
        command.arg(runtime).args(arguments).env_clear().env("PATH", "/usr/bin:/bin");
        let output = command.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        let at = |mark: &str| lines.iter().position(|line| line == mark).unwrap();
        let (arguments, variables) = (at("arguments:"), at("variables:"));
        let pair = |line: &String| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        RuntimeCommand {
            said: lines[..arguments].to_vec(),
            arguments: lines[arguments + 1..variables].to_vec(),
            variables: lines[variables + 1..].iter().filter_map(pair).collect(),
        }
    }
}

impl RuntimeCommand {
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

#[test]
fn a_command_stays_as_it_is_and_statistics_are_left_to_the_extension() {
    let opt = Opt::with(&[]);
    let started = opt.start(&["-m", "with a blank", "*", ""], &[("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13")]);
    assert_eq!(started.arguments, ["-m", "with a blank", "*", ""]);
    assert_eq!(started.variable("DD_TRACE_STATS_COMPUTATION_ENABLED"), Some("false"));
    assert_eq!(started.said, Vec::<String>::new());
    let own = opt.start(&[], &[("DD_TRACE_STATS_COMPUTATION_ENABLED", "true")]);
    assert_eq!(own.variable("DD_TRACE_STATS_COMPUTATION_ENABLED"), Some("true"));
}

#[test]
fn the_runtime_is_left_at_its_own_api() {
    let asked = [("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"), ("DD_EXPERIMENTAL_ENABLE_PROXY", "true")];
    let started = Opt::with(&[]).start(&[], &asked);
    assert_eq!(started.variable("AWS_LAMBDA_RUNTIME_API"), Some("127.0.0.1:9001"), "there is no proxy to go to");
}

#[test]
fn the_runtime_is_sent_to_the_proxy_if_that_listens() {
    let opt = Opt::with(&["extensions/datadog-agent"]);
    let start = |asked: &[(&str, &str)]| {
        let started = opt.start(&[], &[&[("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")], asked].concat());
        (started.variable("AWS_LAMBDA_RUNTIME_API").unwrap().to_owned(), started.said.len())
    };
    let proxied = ("127.0.0.1:9000".to_owned(), 0);
    let test = || {
        let direct = ("127.0.0.1:9001".to_owned(), 1);
        assert_eq!(start(&[("DD_EXPERIMENTAL_ENABLE_PROXY", "true")]), direct, "nothing listens");
        let _proxy = TcpListener::bind("127.0.0.1:9000").unwrap();
        assert_eq!(start(&[("DD_EXPERIMENTAL_ENABLE_PROXY", "True")]), proxied);
        let own = ("127.0.0.1:9001".to_owned(), 0);
        for asked in [("DD_EXPERIMENTAL_ENABLE_PROXY", "false"), ("DD_SERVERLESS_APPSEC_ENABLED", "true")] {
            assert_eq!(start(&[asked]), own, "{asked:?}");
        }
    };
    if let Err(refused) = in_own_network(test) {
        isolation::skip(&format!("this machine gives a test no network of its own: {refused}"));
    }
}

#[test]
fn appsec_has_its_defaults() {
    let opt = Opt::with(&[]);
    let names = ["DD_TRACE_ENABLED", "DD_INSTRUMENTATION_TELEMETRY_ENABLED", "DD_TRACE_TELEMETRY_ENABLED"];
    let appsec = ("DD_SERVERLESS_APPSEC_ENABLED", "true");
    let of = |started: &RuntimeCommand| names.map(|name| started.variable(name).map(str::to_owned));
    assert_eq!(of(&opt.start(&[], &[])), [None, None, None]);
    assert_eq!(of(&opt.start(&[], &[appsec])), ["true"; 3].map(|it| Some(it.to_owned())));
    let own = opt.start(&[], &[appsec, (names[0], "false"), (names[1], "false")]);
    assert_eq!(of(&own), ["true", "false", "true"].map(|it| Some(it.to_owned())));
}

#[test]
fn actions_are_logged_at_debug_only() {
    let opt = Opt::with(&["java/lib/dd-java-agent.jar"]);
    let java = ("AWS_EXECUTION_ENV", "AWS_Lambda_java21");
    let loud = opt.start(&["Main"], &[java, ("DD_LOG_LEVEL", "DeBug")]);
    assert!(loud.said[0].starts_with("[datadog-wrapper] the Java agent is"), "{:?}", loud.said);
    assert!(loud.said[1].starts_with("[datadog-wrapper] starting"), "{:?}", loud.said);
    assert_eq!(opt.start(&["Main"], &[java, ("DD_LOG_LEVEL", "info")]).said, Vec::<String>::new());
}

#[test]
fn java_gets_its_agent_right_after_the_executable() {
    let opt = Opt::with(&["java/lib/dd-java-agent.jar"]);
    let command = ["-XX:-TieredCompilation", "-Dname=a b", "Main"];
    let started = opt.start(&command, &[("AWS_EXECUTION_ENV", "AWS_Lambda_java21")]);
    let agent = format!("-javaagent:{}", opt.at("java/lib/dd-java-agent.jar"));
    assert_eq!(started.arguments, [agent.as_str(), "-XX:TieredStopAtLevel=1", "-Dname=a b", "Main"]);
    assert_eq!(started.variable("DD_JMXFETCH_ENABLED"), Some("false"));

    let without = Opt::with(&[]).start(&command, &[("AWS_EXECUTION_ENV", "AWS_Lambda_java21")]);
    assert_eq!(
        (without.arguments, without.variables.get("DD_JMXFETCH_ENABLED")),
        (command.map(str::to_owned).to_vec(), None)
    );
}

#[test]
fn dot_net_gets_the_profiler_that_is_there() {
    let dotnet = ("AWS_EXECUTION_ENV", "AWS_Lambda_dotnet8");
    let opt =
        Opt::with(&["datadog/linux-x64/Datadog.Tracer.Native.so", "datadog/linux-arm64/Datadog.Tracer.Native.so"]);
    let started = opt.start(&["app.dll"], &[dotnet]);
    let path = opt.at("datadog/linux-x64/Datadog.Tracer.Native.so");
    assert_eq!(started.variable("CORECLR_PROFILER_PATH"), Some(path.as_str()));
    assert_eq!(started.variable("CORECLR_PROFILER"), Some("{846F5F1C-F9AE-4B07-969E-05C26BC060D8}"));
    assert_eq!(started.variable("CORECLR_ENABLE_PROFILING"), Some("1"));
    assert_eq!(started.variable("DD_DOTNET_TRACER_HOME"), Some(opt.at("datadog").as_str()));

    let own = opt.start(&[], &[dotnet, ("CORECLR_PROFILER_PATH", "/own.so"), ("CORECLR_PROFILER", "{own}")]);
    assert_eq!(
        (own.variable("CORECLR_PROFILER_PATH"), own.variable("CORECLR_PROFILER")),
        (Some("/own.so"), Some("{own}"))
    );

    let without = Opt::with(&[]).start(&["app.dll"], &[dotnet]);
    assert!(without.said[0].contains("there is no .NET library of Datadog's"), "{:?}", without.said);
    assert_eq!((without.variable("CORECLR_ENABLE_PROFILING"), without.arguments.len()), (None, 1));
}
