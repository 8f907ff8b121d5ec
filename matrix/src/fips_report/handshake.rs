//! Whom the program talks to: a life in the sandbox beside a TLS server that stands for the intake of logs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::error::Error;
use super::proof::{Facts, Proof};
use super::server::{Guests, Seen, Server, Taste};
use crate::layer::places;
use crate::sandbox::function::{Answer, Call, Handler, InitError};
use crate::sandbox::setup::Companion;
use crate::sandbox::{Extension, Function, Outcome, Sandbox, Setup, intake};

/// Of the server, in a network of the sandbox's own.
const PORT: u16 = 28_150;

/// What a client may offer: the suites and groups that rustls offers of the module in its FIPS mode.
const APPROVED_SUITES: [&str; 7] = [
    "TLS13_AES_128_GCM_SHA256",
    "TLS13_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    // No suite, but a sign that renegotiation is understood (RFC 5746).
    "TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
];
const APPROVED_GROUPS: [&str; 4] = ["secp256r1", "secp384r1", HYBRID, "secp256r1MLKEM768"];
/// One half of it is approved.
const HYBRID: &str = "X25519MLKEM768";

/// The program and what is executed by it, if it is a launcher.
#[derive(Clone, Debug)]
pub struct Subject {
    pub program: PathBuf,
    pub agent: Option<PathBuf>,
}

/// What became of a life beside a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meeting {
    /// The program's connections.
    pub seen: Vec<Seen>,
    /// Whether the function was served all the same, and the program ended by itself.
    pub harmed: Option<String>,
    /// What the same server agreed on with a client that offers everything.
    pub control: Option<String>,
}

impl Meeting {
    /// Starts the program beside a server of that taste, whose certificate its store knows.
    pub fn arrange(subject: &Subject, taste: Taste) -> Result<Self, Error> {
        let server = Server::new(taste)?;
        let control = server.serves_others()?.agreed;
        let directory = tempfile::tempdir().map_err(Error::Directory)?;
        let store = server.save(directory.path()).map_err(Error::Directory)?;
        let guests = Guests::default();
        let host = Arc::new(Host { server, guests: Arc::clone(&guests) });
        let sandbox = Sandbox::start(setup(subject, host, &store))?;
        let invocation = sandbox.invoke(b"1")?;
        let ending = sandbox.shutdown()?;
        let outcome = (invocation.outcome != Outcome::Success)
            .then(|| format!("the function ended with {:?}", invocation.outcome));
        let exits = ending.extensions.iter().find(|exit| exit.killed || exit.status != "exit status: 0");
        let harmed = outcome.or_else(|| exits.map(|exit| format!("the program ended with {}", exit.status)));
        let seen = guests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Self { seen, harmed, control })
    }

    /// Whether data arrived.
    pub fn trusts(&self) -> bool {
        self.seen.iter().any(|seen| seen.agreed.is_some() && seen.data > 0)
    }

    /// The server speaks what is approved: data arrives.
    pub fn accepted(&self) -> Proof {
        let mut facts = self.facts();
        facts.note(self.trusts(), self.outcome());
        let claim = "A server that speaks AES-GCM over P-256 or P-384 gets data.";
        Proof::new("accepted", claim, HOW, facts)
    }

    /// The server speaks only what is not approved: nothing but the beginning of a handshake arrives.
    pub fn refused(&self, name: &'static str, what: &str) -> Proof {
        let mut facts = self.facts();
        let refused = self.seen.iter().all(|seen| seen.agreed.is_none() && seen.data == 0);
        facts.note(refused && !self.seen.is_empty(), self.outcome());
        let claim = format!("A server that speaks {what} gets none: there is no handshake that would be completed.");
        Proof::new(name, claim, HOW, facts)
    }

    /// All that the program has offered is approved.
    pub fn offer(&self) -> Proof {
        let mut facts = Facts::default();
        for seen in self.seen.iter().take(1) {
            list(&mut facts, "suites", &seen.suites, &APPROVED_SUITES);
            list(&mut facts, "groups", &seen.groups, &APPROVED_GROUPS);
        }
        let hybrid = self.seen.iter().any(|seen| seen.groups.iter().any(|group| group == HYBRID));
        if hybrid {
            facts.evidence.push(format!(
                "{HYBRID} counts as approved because one half of it, ML-KEM, is; X25519 alone is not offered"
            ));
        }
        let claim = "The program offers no suite and no group that is not approved.";
        Proof::new("offer", claim, "the first message of the handshake, as the server got it", facts)
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        match &self.control {
            Some(suite) => facts
                .note(true, format!("to a client with ring, which offers everything, the same server speaks {suite}")),
            None => facts.note(false, "the same server speaks with nobody else either"),
        }
        match &self.harmed {
            Some(harmed) => facts.note(false, harmed.clone()),
            None => facts.note(true, "the function was served, and the program ended by itself"),
        }
        facts
    }

    fn outcome(&self) -> String {
        let agreed: Vec<_> = self.seen.iter().filter_map(|seen| seen.agreed.as_deref()).collect();
        let data: usize = self.seen.iter().map(|seen| seen.data).sum();
        let with = agreed.first().map(|suite| format!(" with {suite}")).unwrap_or_default();
        format!(
            "of {} handshakes that were begun, {} were completed{with}, and {data} bytes of requests arrived",
            self.seen.len(),
            agreed.len()
        )
    }
}

const HOW: &str = "the program as it is shipped, in a local sandbox of Lambda, whose logs go to a TLS server on loopback that `SSL_CERT_FILE` makes known to it";

fn list(facts: &mut Facts, what: &str, offered: &[String], approved: &[&str]) {
    let others: Vec<_> = offered.iter().filter(|name| !approved.contains(&name.as_str())).cloned().collect();
    facts.note(!offered.is_empty(), format!("the {what} offered: {}", offered.join(", ")));
    if !others.is_empty() {
        facts.note(false, format!("not approved: {}", others.join(", ")));
    }
}

/// A function beside the server.
struct Host {
    server: Server,
    guests: Guests,
}

impl Handler for Host {
    fn init(&self, _: &Call<'_>) -> Result<(), InitError> {
        let served = self.server.serve(PORT, &self.guests);
        served.map(|_| ()).map_err(|error| InitError::Reported(error.to_string()))
    }

    fn handle(&self, call: &Call<'_>) -> Answer {
        Answer::Response(call.event.to_vec())
    }
}

fn setup(subject: &Subject, host: Arc<Host>, store: &Path) -> Setup {
    let own = [
        ("DD_LOGS_CONFIG_LOGS_DD_URL", format!("https://localhost:{PORT}")),
        ("DD_SERVERLESS_FLUSH_STRATEGY", "end".to_owned()),
        ("SSL_CERT_FILE", store.display().to_string()),
    ];
    let mut extension = Extension::new("datadog-agent", &subject.program);
    let companion = |source: &PathBuf| Companion { place: places::AGENT.into(), source: source.clone() };
    extension.companions = subject.agent.iter().map(companion).collect();
    Setup {
        function: Function::InProcess(host),
        extensions: vec![extension],
        intake: Some(intake::Plan::default()),
        environment: own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..Setup::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(suites: &[&str], groups: &[&str]) -> Seen {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Seen { suites: owned(suites), groups: owned(groups), ..Seen::default() }
    }

    fn meeting(seen: Vec<Seen>) -> Meeting {
        Meeting { seen, harmed: None, control: Some("TLS13_X".to_owned()) }
    }

    fn served() -> Seen {
        Seen { agreed: Some("TLS13_AES_256_GCM_SHA384".to_owned()), data: 9, ..Seen::default() }
    }

    #[test]
    fn data_has_to_arrive_where_it_may_and_only_there() {
        assert!(meeting(vec![served()]).accepted().holds);
        assert!(!meeting(vec![Seen::default()]).accepted().holds);
        assert!(!meeting(Vec::new()).accepted().holds);
        assert!(meeting(vec![Seen::default()]).refused("chacha", "it").holds);
        assert!(!meeting(vec![Seen::default(), served()]).refused("chacha", "it").holds);
        assert!(!meeting(Vec::new()).refused("chacha", "it").holds, "who was never asked has refused nothing");
    }

    #[test]
    fn a_server_that_serves_nobody_proves_nothing() {
        let broken = Meeting { control: None, ..meeting(vec![Seen::default()]) };
        assert!(!broken.refused("chacha", "it").holds);
        let harmed = Meeting { harmed: Some("killed".to_owned()), ..meeting(vec![Seen::default()]) };
        assert!(!harmed.refused("chacha", "it").holds);
    }

    #[test]
    fn everything_that_is_offered_has_to_be_approved() {
        let good = seen(&["TLS13_AES_256_GCM_SHA384"], &["secp256r1", HYBRID]);
        let proof = meeting(vec![good]).offer();
        assert!(
            proof.holds && proof.evidence.iter().any(|fact| fact.contains("X25519 alone is not offered")),
            "{proof:?}"
        );
        assert!(!meeting(vec![seen(&["TLS13_CHACHA20_POLY1305_SHA256"], &["secp256r1"])]).offer().holds);
        assert!(!meeting(vec![seen(&["TLS13_AES_256_GCM_SHA384"], &["secp256r1", "X25519"])]).offer().holds);
        assert!(!meeting(vec![seen(&[], &[])]).offer().holds);
        assert!(!meeting(Vec::new()).offer().holds);
    }
}
