//! A life of the program in the sandbox, beside a TLS server to which one of its clients is sent, and what it says: nothing if the machine had too little time for it.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::clients::{Client, PORT};
use super::error::Error;
use super::handshake::ProgramUnderTest;
use super::server::{Guests, Seen, Server};
use crate::archive::places;
use crate::sandbox::function::{Answer, Call, Handler, InitError};
use crate::sandbox::setup::{LayerFile, Limits, Mount};
use crate::sandbox::{ExitOf, Extension, Function, Outcome, Sandbox, Setup, intake};

/// Time limit of the shutdown phase. The program ends by its own budget, which is that of Lambda's 2 s whatever the sandbox allows; on a busy machine and in an emulator, it may need longer
/// for what comes after that, and whether it keeps to Lambda's limit is not what a proof is about.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// What a life has in it beside the program and its server.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub environment: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    pub limits: Limits,
}

impl Default for Surroundings {
    fn default() -> Self {
        let limits = Limits { shutdown_external: SHUTDOWN, ..Limits::default() };
        Self { environment: Vec::new(), mounts: Vec::new(), limits }
    }
}

/// What became of a life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// The program's connections to the server.
    pub seen: Vec<Seen>,
    /// How the function was not served, or the program did not end by itself.
    pub harmed: Option<String>,
    /// Why it says nothing of the program: the time was up before there was something to see. It can be a busy machine's fault, and so another life is lived in its place.
    pub out_of_time: Option<String>,
}

/// A life, and the one that was lived before it in vain, if there was one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lived {
    pub life: Life,
    pub before: Option<Life>,
}

impl Lived {
    /// Has the program live beside that server, once more if there was no time the first time.
    pub fn beside(
        subject: &ProgramUnderTest,
        server: Server,
        client: Client,
        around: &Surroundings,
    ) -> Result<Self, Error> {
        let server = Arc::new(server);
        Self::of(|| Life::beside(subject, &server, client, around))
    }

    fn of(live: impl Fn() -> Result<Life, Error>) -> Result<Self, Error> {
        let first = live()?;
        if first.out_of_time.is_none() {
            return Ok(Self { life: first, before: None });
        }
        Ok(Self { life: live()?, before: Some(first) })
    }
}

impl Life {
    fn beside(
        subject: &ProgramUnderTest,
        server: &Arc<Server>,
        client: Client,
        around: &Surroundings,
    ) -> Result<Self, Error> {
        let guests = Guests::default();
        let host = Arc::new(Host { server: Arc::clone(server), guests: Arc::clone(&guests), client });
        let sandbox = Sandbox::start(setup(subject, host, client, around))?;
        let invocation = sandbox.invoke(b"1")?;
        let ending = sandbox.shutdown()?;
        let seen = guests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Self::of(seen, &invocation.outcome, &ending.extensions))
    }

    /// Judges how a life ended, in which these connections were made.
    fn of(seen: Vec<Seen>, outcome: &Outcome, exits: &[ExitOf]) -> Self {
        // A request that arrived, or a refusal, is what a life is for. A connection that was broken off is neither.
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
    guests: Guests,
    client: Client,
}

impl Handler for Host {
    fn init(&self, _: &Call<'_>) -> Result<(), InitError> {
        let served = self.server.serve(PORT, &self.guests);
        served.map(|_| ()).map_err(|error| InitError::Reported(error.to_string()))
    }

    fn handle(&self, call: &Call<'_>) -> Answer {
        match self.client.feed() {
            Ok(()) => Answer::Response(call.event.to_vec()),
            Err(error) => Answer::Error { error_type: "Feed".to_owned(), message: error.to_string() },
        }
    }
}

fn setup(subject: &ProgramUnderTest, host: Arc<Host>, client: Client, around: &Surroundings) -> Setup {
    let own = [("DD_SERVERLESS_FLUSH_STRATEGY", "end".to_owned())].into_iter().chain(client.settings());
    let own = own.map(|(name, value)| (name.to_owned(), value));
    let mut extension = Extension::new("datadog-agent", &subject.program);
    let companion = |source: &PathBuf| LayerFile { place: places::AGENT.into(), source: source.clone() };
    extension.layer_files = subject.agent.iter().map(companion).collect();
    Setup {
        function: Function::InProcess(host),
        extensions: vec![extension],
        intake: Some(intake::Plan::default()),
        environment: own.chain(around.environment.iter().cloned()).collect(),
        mounts: around.mounts.clone(),
        limits: around.limits.clone(),
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

    fn life(seen: Vec<Seen>, outcome: &Outcome, exit: ExitOf) -> Life {
        Life::of(seen, outcome, &[exit])
    }

    fn refused() -> Vec<Seen> {
        vec![Seen { refused: true, ..Seen::default() }]
    }

    const ENDED: &str = "exit status: 0";

    #[test]
    fn a_life_that_met_a_deadline_says_nothing_whatever_its_exit_code() {
        let good = life(refused(), &Outcome::Success, exit(ENDED, false));
        assert_eq!((good.harmed, good.out_of_time), (None, None));
        for (outcome, exit, reason) in [
            (Outcome::Success, exit(ENDED, true), "killed at the deadline of the shutdown phase, after 2001 ms"),
            (Outcome::Success, exit("signal: 9 (SIGKILL)", true), "killed at the deadline"),
            (Outcome::Timeout, exit(ENDED, false), "was not served before its timeout"),
        ] {
            let starved = life(refused(), &outcome, exit);
            assert!(starved.harmed.is_none(), "{starved:?}");
            assert!(starved.out_of_time.as_ref().is_some_and(|told| told.contains(reason)), "{starved:?}");
        }
    }

    #[test]
    fn a_life_without_a_request_or_a_refusal_says_nothing() {
        let data = Seen { agreed: Some("TLS13_X".to_owned()), data: 9, ..Seen::default() };
        let alert = Seen { alert: Some(40), ..Seen::default() };
        let cut = Seen::default();
        let lived = |seen: &[&Seen]| {
            let seen = seen.iter().map(|seen| (*seen).clone()).collect();
            life(seen, &Outcome::Success, exit(ENDED, false)).out_of_time
        };
        assert_eq!(lived(&[]).as_deref(), Some("none of 0 connections came to a request or a refusal"));
        assert_eq!(lived(&[&cut]).as_deref(), Some("none of 1 connections came to a request or a refusal"));
        assert!(lived(&[&cut, &data]).is_none() && lived(&[&alert]).is_none());
    }

    #[test]
    fn a_program_that_fails_by_itself_is_harmed_and_not_out_of_time() {
        for seen in [Vec::new(), refused()] {
            let crashed = life(seen, &Outcome::Success, exit("signal: 6 (SIGABRT)", false));
            assert_eq!(crashed.harmed.as_deref(), Some("the program ended with signal: 6 (SIGABRT)"));
            assert!(crashed.out_of_time.is_none(), "{crashed:?}");
        }
        let error = Outcome::FunctionError { error_type: "Feed".to_owned() };
        let unserved = life(Vec::new(), &error, exit(ENDED, false));
        assert!(unserved.harmed.is_some() && unserved.out_of_time.is_none(), "{unserved:?}");
    }

    #[test]
    fn a_life_is_repeated_once_where_there_was_no_time_for_it() {
        let lives = Cell::new(0);
        let lived = |short: u32| {
            lives.set(0);
            Lived::of(|| {
                lives.set(lives.get() + 1);
                let out_of_time = (lives.get() <= short).then(|| format!("life {}", lives.get()));
                Ok(Life { out_of_time, ..Life::default() })
            })
            .unwrap()
        };
        assert_eq!((lived(0).before, lives.get()), (None, 1));
        let repeated = lived(1);
        assert_eq!((repeated.life.out_of_time, lives.get()), (None, 2));
        assert_eq!(repeated.before.unwrap().out_of_time.as_deref(), Some("life 1"));
        assert_eq!((lived(9).life.out_of_time.as_deref(), lives.get()), (Some("life 2"), 2), "no third one");
    }
}
