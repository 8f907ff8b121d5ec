//! A run of the program in the sandbox beside a TLS server, to which one of its clients connects. A run for which the machine had too little time says nothing.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::clients::{Client, PORT};
use super::error::Error;
use super::handshake::ProgramUnderTest;
use super::server::{ConnectionLog, ObservedConnection, Server};
use crate::archive::places;
use crate::sandbox::function::{Call, Handler, HandlerOutcome, InitError};
use crate::sandbox::setup::{LayerFile, Limits, Mount};
use crate::sandbox::{ExitOf, Extension, Function, Outcome, Sandbox, Setup, intake};

/// Time limit of the shutdown phase. The program ends by its own budget, which is that of Lambda's 2 s whatever the sandbox allows; on a busy machine and in an emulator, it may need longer
/// for what comes after that, and whether it keeps to Lambda's limit is not what a proof is about.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// Options of a run: what its sandbox has beside the program and the server.
#[derive(Clone, Debug)]
pub struct RunOptions {
    pub environment: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    pub limits: Limits,
}

impl Default for RunOptions {
    fn default() -> Self {
        let limits = Limits { shutdown_external: SHUTDOWN, ..Limits::default() };
        Self { environment: Vec::new(), mounts: Vec::new(), limits }
    }
}

/// The result of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SandboxRun {
    /// The program's connections to the server.
    pub seen: Vec<ObservedConnection>,
    /// How the function was not served, or the program did not end by itself.
    pub harmed: Option<String>,
    /// Why it says nothing of the program: the time was up before there was something to see. It can be a busy machine's fault, and so the run is repeated.
    pub out_of_time: Option<String>,
}

/// A run, and the one before it for which there was no time, if there was one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepeatedRun {
    pub run: SandboxRun,
    pub before: Option<SandboxRun>,
}

impl RepeatedRun {
    /// Runs the program beside that server, once more if there was no time the first time.
    pub fn beside(
        subject: &ProgramUnderTest,
        server: Server,
        client: Client,
        options: &RunOptions,
    ) -> Result<Self, Error> {
        let server = Arc::new(server);
        Self::of(|| SandboxRun::beside(subject, &server, client, options))
    }

    fn of(run: impl Fn() -> Result<SandboxRun, Error>) -> Result<Self, Error> {
        let first = run()?;
        if first.out_of_time.is_none() {
            return Ok(Self { run: first, before: None });
        }
        Ok(Self { run: run()?, before: Some(first) })
    }
}

impl SandboxRun {
    fn beside(
        subject: &ProgramUnderTest,
        server: &Arc<Server>,
        client: Client,
        options: &RunOptions,
    ) -> Result<Self, Error> {
        let connections = ConnectionLog::default();
        let host = Arc::new(Host { server: Arc::clone(server), connections: Arc::clone(&connections), client });
        let sandbox = Sandbox::start(setup(subject, host, client, options))?;
        let invocation = sandbox.invoke(b"1")?;
        let record = sandbox.shutdown()?;
        let seen = connections.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Self::of(seen, &invocation.outcome, &record.extensions))
    }

    /// Judges the end of a run in which these connections were made.
    fn of(seen: Vec<ObservedConnection>, outcome: &Outcome, exits: &[ExitOf]) -> Self {
        // A request that arrived, or a refusal, is what a run is for. A connection that was broken off is neither.
        let says_something = seen.iter().any(|seen| seen.data > 0 || seen.refused || seen.alert.is_some());
        let killed = exits.iter().find(|exit| exit.killed);
        let failed = exits.iter().find(|exit| exit.status != "exit status: 0");
        let (mut harmed, mut out_of_time) = (None, None);
        match (outcome, killed, failed) {
            (Outcome::Timeout, ..) => out_of_time = Some("the function was not served before its timeout".to_owned()),
            // Its exit code may be that of a program that ended just then.
            (_, Some(exit), _) => {
                let after = exit.took.as_millis();
                out_of_time =
                    Some(format!("the program was killed at the deadline of the shutdown phase, after {after} ms"));
            }
            (Outcome::Success, None, None) if !says_something => {
                out_of_time = Some(format!("none of {} connections came to a request or a refusal", seen.len()));
            }
            (Outcome::Success, None, None) => {}
            (Outcome::Success, None, Some(exit)) => harmed = Some(format!("the program ended with {}", exit.status)),
            _ => harmed = Some(format!("the function ended with {outcome:?}")),
        }
        Self { seen, harmed, out_of_time }
    }
}

/// A function beside the server.
struct Host {
    server: Arc<Server>,
    connections: ConnectionLog,
    client: Client,
}

impl Handler for Host {
    fn init(&self, _: &Call<'_>) -> Result<(), InitError> {
        let served = self.server.serve(PORT, &self.connections);
        served.map(|_| ()).map_err(|error| InitError::Reported(error.to_string()))
    }

    fn handle(&self, call: &Call<'_>) -> HandlerOutcome {
        match self.client.feed() {
            Ok(()) => HandlerOutcome::Response(call.event.to_vec()),
            Err(error) => HandlerOutcome::Error { error_type: "Feed".to_owned(), message: error.to_string() },
        }
    }
}

fn setup(subject: &ProgramUnderTest, host: Arc<Host>, client: Client, options: &RunOptions) -> Setup {
    let own = [("DD_SERVERLESS_FLUSH_STRATEGY", "end".to_owned())].into_iter().chain(client.settings());
    let own = own.map(|(name, value)| (name.to_owned(), value));
    let mut extension = Extension::new("datadog-agent", &subject.program);
    let layer_file = |source: &PathBuf| LayerFile { place: places::AGENT.into(), source: source.clone() };
    extension.layer_files = subject.agent.iter().map(layer_file).collect();
    Setup {
        function: Function::InProcess(host),
        extensions: vec![extension],
        intake: Some(intake::Plan::default()),
        environment: own.chain(options.environment.iter().cloned()).collect(),
        mounts: options.mounts.clone(),
        limits: options.limits.clone(),
        ..Setup::default()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn exit(status: &str, killed: bool) -> ExitOf {
        let name = "datadog-agent".to_owned();
        ExitOf { name, status: status.to_owned(), killed, took: Duration::from_millis(2001) }
    }

    fn run(seen: Vec<ObservedConnection>, outcome: &Outcome, exit: ExitOf) -> SandboxRun {
        SandboxRun::of(seen, outcome, &[exit])
    }

    fn refused() -> Vec<ObservedConnection> {
        vec![ObservedConnection { refused: true, ..ObservedConnection::default() }]
    }

    const ENDED: &str = "exit status: 0";

    #[test]
    fn run_past_a_deadline_is_inconclusive_with_any_exit_code() {
        let good = run(refused(), &Outcome::Success, exit(ENDED, false));
        assert_eq!((good.harmed, good.out_of_time), (None, None));
        for (outcome, exit, reason) in [
            (Outcome::Success, exit(ENDED, true), "killed at the deadline of the shutdown phase, after 2001 ms"),
            (Outcome::Success, exit("signal: 9 (SIGKILL)", true), "killed at the deadline"),
            (Outcome::Timeout, exit(ENDED, false), "was not served before its timeout"),
        ] {
            let starved = run(refused(), &outcome, exit);
            assert!(starved.harmed.is_none(), "{starved:?}");
            assert!(starved.out_of_time.as_ref().is_some_and(|message| message.contains(reason)), "{starved:?}");
        }
    }

    #[test]
    fn a_run_without_a_request_or_a_refusal_says_nothing() {
        let data = ObservedConnection { agreed: Some("TLS13_X".to_owned()), data: 9, ..ObservedConnection::default() };
        let alert = ObservedConnection { alert: Some(40), ..ObservedConnection::default() };
        let cut = ObservedConnection::default();
        let out_of_time = |seen: &[&ObservedConnection]| {
            let seen = seen.iter().map(|seen| (*seen).clone()).collect();
            run(seen, &Outcome::Success, exit(ENDED, false)).out_of_time
        };
        assert_eq!(out_of_time(&[]).as_deref(), Some("none of 0 connections came to a request or a refusal"));
        assert_eq!(out_of_time(&[&cut]).as_deref(), Some("none of 1 connections came to a request or a refusal"));
        assert!(out_of_time(&[&cut, &data]).is_none() && out_of_time(&[&alert]).is_none());
    }

    #[test]
    fn a_program_that_fails_by_itself_is_harmed_and_not_out_of_time() {
        for seen in [Vec::new(), refused()] {
            let crashed = run(seen, &Outcome::Success, exit("signal: 6 (SIGABRT)", false));
            assert_eq!(crashed.harmed.as_deref(), Some("the program ended with signal: 6 (SIGABRT)"));
            assert!(crashed.out_of_time.is_none(), "{crashed:?}");
        }
        let error = Outcome::FunctionError { error_type: "Feed".to_owned() };
        let unserved = run(Vec::new(), &error, exit(ENDED, false));
        assert!(unserved.harmed.is_some() && unserved.out_of_time.is_none(), "{unserved:?}");
    }

    #[test]
    fn a_run_is_repeated_once_where_there_was_no_time_for_it() {
        let runs = Cell::new(0);
        let out_of_time = |short: u32| {
            runs.set(0);
            RepeatedRun::of(|| {
                runs.set(runs.get() + 1);
                let out_of_time = (runs.get() <= short).then(|| format!("run {}", runs.get()));
                Ok(SandboxRun { out_of_time, ..SandboxRun::default() })
            })
            .unwrap()
        };
        assert_eq!((out_of_time(0).before, runs.get()), (None, 1));
        let repeated = out_of_time(1);
        assert_eq!((repeated.run.out_of_time, runs.get()), (None, 2));
        assert_eq!(repeated.before.unwrap().out_of_time.as_deref(), Some("run 1"));
        assert_eq!((out_of_time(9).run.out_of_time.as_deref(), runs.get()), (Some("run 2"), 2), "no third one");
    }
}
