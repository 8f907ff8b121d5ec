//! Whom the program talks to: a life in the sandbox beside a TLS server, to which one of its clients is sent.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::clients::PORT;
use super::error::Error;
use super::hello::Offer;
use super::proof::{Facts, Proof};
use super::server::{Guests, Seen, Server, ServerCertificate, ServerTlsConfig};
use crate::archive::places;
use crate::sandbox::function::{Answer, Call, Handler, InitError};
use crate::sandbox::setup::{LayerFile, Mount};
use crate::sandbox::{Extension, Function, Outcome, Sandbox, Setup, intake};

pub use super::clients::{CLIENTS, Client};

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
/// Signatures of FIPS 186-5.
const APPROVED_SIGNATURES: [&str; 10] = [
    "ECDSA_NISTP256_SHA256",
    "ECDSA_NISTP384_SHA384",
    "ECDSA_NISTP521_SHA512",
    "ED25519",
    "RSA_PKCS1_SHA256",
    "RSA_PKCS1_SHA384",
    "RSA_PKCS1_SHA512",
    "RSA_PSS_SHA256",
    "RSA_PSS_SHA384",
    "RSA_PSS_SHA512",
];
/// Those of SP 800-52 revision 2.
const APPROVED_VERSIONS: [&str; 2] = ["TLSv1_2", "TLSv1_3"];
/// The alert of a client that refuses a handshake (RFC 5246, section 7.2), and of one that would have gone on.
const REFUSED: u8 = 40;
const TOO_EARLY: u8 = 10;
/// What a server without extended master secrets agrees on.
const OLD: &str = "TLS 1.2 without extended master secret";

/// The program and what is executed by it, if it is a launcher.
#[derive(Clone, Debug)]
pub struct ProgramUnderTest {
    pub program: PathBuf,
    pub agent: Option<PathBuf>,
}

impl ProgramUnderTest {
    /// The program that has the cryptography in it.
    pub fn agent(&self) -> &Path {
        self.agent.as_ref().unwrap_or(&self.program)
    }
}

/// What became of a life beside a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandshakeResult {
    /// Which client was sent there.
    pub client: &'static str,
    /// The program's connections.
    pub seen: Vec<Seen>,
    /// Whether the function was served all the same, and the program ended by itself.
    pub harmed: Option<String>,
    /// What the same server agreed on with a client that offers everything.
    pub control: Option<String>,
}

/// What a life has in it beside the program and its server.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub environment: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
}

impl HandshakeResult {
    /// Starts the program beside a server of that taste, to which that client is sent and whose certificate `DD_TLS_CERT_FILE` names: so that a build with other roots
    /// talks to it as well, as far as it likes the taste.
    pub fn arrange(subject: &ProgramUnderTest, taste: ServerTlsConfig, client: Client) -> Result<Self, Error> {
        let server = Server::new(taste, ServerCertificate::Good)?;
        let directory = tempfile::tempdir().map_err(Error::Directory)?;
        let store = server.save(directory.path()).map_err(Error::Directory)?;
        let environment = vec![("DD_TLS_CERT_FILE".to_owned(), store.display().to_string())];
        Self::with(subject, server, client, &Surroundings { environment, mounts: Vec::new() })
    }

    /// Starts the program beside that server.
    pub fn with(
        subject: &ProgramUnderTest,
        server: Server,
        client: Client,
        around: &Surroundings,
    ) -> Result<Self, Error> {
        let other = server.serves_others()?;
        let control = other.agreed.or_else(|| (other.alert == Some(TOO_EARLY)).then(|| OLD.to_owned()));
        let guests = Guests::default();
        let host = Arc::new(Host { server, guests: Arc::clone(&guests), client });
        let sandbox = Sandbox::start(setup(subject, host, client, around))?;
        let invocation = sandbox.invoke(b"1")?;
        let ending = sandbox.shutdown()?;
        let outcome = (invocation.outcome != Outcome::Success)
            .then(|| format!("the function ended with {:?}", invocation.outcome));
        let exits = ending.extensions.iter().find(|exit| exit.killed || exit.status != "exit status: 0");
        let harmed = outcome.or_else(|| exits.map(|exit| format!("the program ended with {}", exit.status)));
        let seen = guests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Self { client: client.name(), seen, harmed, control })
    }

    /// Whether data arrived.
    pub fn trusts(&self) -> bool {
        self.seen.iter().any(|seen| seen.agreed.is_some() && seen.data > 0)
    }

    /// Whether there were handshakes, and none was completed.
    pub fn refuses(&self) -> bool {
        !self.seen.is_empty() && self.seen.iter().all(|seen| seen.agreed.is_none() && seen.data == 0)
    }

    /// Notes that the server works for others, and that the program was not harmed.
    pub fn note(&self, facts: &mut Facts) {
        match &self.control {
            Some(suite) => facts.note(true, format!("to a careless client with ring, the same server speaks {suite}")),
            None => facts.note(false, "the same server speaks with nobody else either"),
        }
        match &self.harmed {
            Some(harmed) => facts.note(false, harmed.clone()),
            None => facts.note(true, "the function was served, and the program ended by itself"),
        }
    }

    /// How the handshakes ended.
    pub fn outcome(&self) -> String {
        let agreed: Vec<_> = self.seen.iter().filter_map(|seen| seen.agreed.as_deref()).collect();
        let data: usize = self.seen.iter().map(|seen| seen.data).sum();
        let with = agreed.first().map(|suite| format!(" with {suite}")).unwrap_or_default();
        format!(
            "{}: of {} handshakes that were begun, {} were completed{with}, and {data} bytes of requests arrived",
            self.client,
            self.seen.len(),
            agreed.len()
        )
    }
}

/// The server speaks what is approved: data of every client arrives.
pub fn accepted(meetings: &[HandshakeResult]) -> Proof {
    let mut facts = Facts::default();
    for meeting in meetings {
        meeting.note(&mut facts);
        facts.note(meeting.trusts(), meeting.outcome());
    }
    let claim = "A server that speaks AES-GCM over P-256 or P-384 gets data of every client.";
    Proof::new("accepted", claim, HOW, facts)
}

/// The server speaks only what is not approved: nothing but the beginning of a handshake arrives.
pub fn refused(name: &'static str, what: &str, meetings: &[HandshakeResult]) -> Proof {
    let mut facts = Facts::default();
    for meeting in meetings {
        meeting.note(&mut facts);
        facts.note(meeting.refuses(), meeting.outcome());
    }
    let claim = format!(
        "A server that speaks {what} gets no data of any client: there is no handshake that would be completed."
    );
    Proof::new(name, claim, HOW, facts)
}

/// A server with TLS 1.2 that does without extended master secret is refused at once, by every client.
pub fn extended_master_secret(meetings: &[HandshakeResult]) -> Proof {
    let mut facts = Facts::default();
    for meeting in meetings {
        meeting.note(&mut facts);
        let refused = !meeting.seen.is_empty() && meeting.seen.iter().all(|seen| seen.alert == Some(REFUSED));
        let alerts: BTreeSet<_> = meeting.seen.iter().map(|seen| seen.alert).collect();
        let named = |alert: Option<u8>| alert.map_or_else(|| "none".to_owned(), |alert| alert.to_string());
        let alerts: Vec<_> = alerts.into_iter().map(named).collect();
        let refusal = format!(
            "{}: the alerts in answer to {} such handshakes are {}",
            meeting.client,
            meeting.seen.len(),
            alerts.join(", ")
        );
        facts.note(refused && meeting.refuses(), format!("{refusal}; {REFUSED} is a refused handshake"));
    }
    let claim = "A server that speaks TLS 1.2 without extended master secret (RFC 7627) is refused by every client.";
    Proof::new("extended-master-secret", claim, HOW, facts)
}

/// All that any client has offered in any connection is approved.
pub fn offer(meetings: &[HandshakeResult]) -> Proof {
    let mut facts = Facts::default();
    let mut told: Vec<Offer> = Vec::new();
    for meeting in meetings {
        facts.note(!meeting.seen.is_empty(), format!("{}: {} connections", meeting.client, meeting.seen.len()));
        for Seen { offer, .. } in &meeting.seen {
            if told.contains(offer) {
                continue;
            }
            list(&mut facts, "suites", &offer.suites, &APPROVED_SUITES);
            list(&mut facts, "groups", &offer.groups, &APPROVED_GROUPS);
            list(&mut facts, "signature algorithms", &offer.signatures, &APPROVED_SIGNATURES);
            list(&mut facts, "versions", &offer.versions, &APPROVED_VERSIONS);
            let ems = if offer.extended_master_secret { "is offered" } else { "is not offered" };
            facts.note(offer.extended_master_secret, format!("extended master secret {ems}"));
            told.push(offer.clone());
        }
    }
    if told.iter().any(|offer| offer.groups.iter().any(|group| group == HYBRID)) {
        facts.evidence.push(format!(
            "{HYBRID} counts as approved because one half of it, ML-KEM, is: SP 800-56C revision 2 allows a shared secret of another kind beside it; X25519 alone is not offered"
        ));
    }
    let claim = "No client of the program offers a suite, a group, a signature algorithm or a version of TLS that is not approved.";
    Proof::new("offer", claim, "the first message of every handshake, as the server got it, byte by byte", facts)
}

const HOW: &str = "the program as it is shipped, in a local sandbox of Lambda, one of whose clients is sent to a TLS server on loopback that `DD_TLS_CERT_FILE` makes known to it";

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
        ..Setup::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Offer {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Offer {
            suites: owned(&["TLS13_AES_256_GCM_SHA384"]),
            groups: owned(&["secp256r1", HYBRID]),
            signatures: owned(&["RSA_PSS_SHA256"]),
            versions: owned(&["TLSv1_3"]),
            extended_master_secret: true,
        }
    }

    fn meeting(seen: Vec<Seen>) -> HandshakeResult {
        HandshakeResult { client: "logs", seen, harmed: None, control: Some("TLS13_X".to_owned()) }
    }

    fn served() -> Seen {
        Seen { agreed: Some("TLS13_AES_256_GCM_SHA384".to_owned()), data: 9, ..Seen::default() }
    }

    #[test]
    fn data_has_to_arrive_where_it_may_and_only_there() {
        let accepted = |seen: Vec<Seen>| accepted(&[meeting(seen)]).holds;
        let refused = |seen: Vec<Seen>| refused("chacha", "it", &[meeting(seen)]).holds;
        assert!(accepted(vec![served()]));
        assert!(!accepted(vec![Seen::default()]) && !accepted(Vec::new()));
        assert!(refused(vec![Seen::default()]));
        assert!(!refused(vec![Seen::default(), served()]));
        assert!(!refused(Vec::new()), "who was never asked has refused nothing");
        assert!(!super::accepted(&[meeting(vec![served()]), meeting(Vec::new())]).holds, "every client has to");
        assert!(!super::refused("chacha", "it", &[]).holds && !super::accepted(&[]).holds);
    }

    #[test]
    fn a_server_that_serves_nobody_proves_nothing() {
        let broken = HandshakeResult { control: None, ..meeting(vec![Seen::default()]) };
        assert!(!refused("chacha", "it", &[broken]).holds);
        let harmed = HandshakeResult { harmed: Some("killed".to_owned()), ..meeting(vec![Seen::default()]) };
        assert!(!refused("chacha", "it", &[harmed]).holds);
    }

    #[test]
    fn an_old_server_has_to_be_refused_by_the_alert_that_says_so() {
        let holds =
            |alert: Option<u8>| extended_master_secret(&[meeting(vec![Seen { alert, ..Seen::default() }])]).holds;
        assert!(holds(Some(REFUSED)));
        assert!(!holds(Some(TOO_EARLY)) && !holds(None));
        assert!(!extended_master_secret(&[meeting(Vec::new())]).holds);
    }

    #[test]
    fn everything_that_is_offered_has_to_be_approved_in_every_connection_of_every_client() {
        let seen = |offer: Offer| Seen { offer, ..Seen::default() };
        let proof = offer(&[meeting(vec![seen(good())])]);
        assert!(proof.holds, "{proof:?}");
        assert!(proof.evidence.iter().any(|fact| fact.contains("X25519 alone is not offered")), "{proof:?}");
        let with = |change: &dyn Fn(&mut Offer)| {
            let mut changed = good();
            change(&mut changed);
            changed
        };
        for doctored in [
            with(&|offer| offer.suites.push("TLS13_CHACHA20_POLY1305_SHA256".to_owned())),
            with(&|offer| offer.groups.push("X25519".to_owned())),
            with(&|offer| offer.signatures.push("RSA_PKCS1_SHA1".to_owned())),
            with(&|offer| offer.versions.push("TLSv1_1".to_owned())),
            with(&|offer| offer.extended_master_secret = false),
            Offer::default(),
        ] {
            assert!(!offer(&[meeting(vec![seen(doctored.clone())])]).holds, "{doctored:?}");
            assert!(!offer(&[meeting(vec![seen(good()), seen(doctored.clone())])]).holds, "a later connection");
            let other = [meeting(vec![seen(good())]), meeting(vec![seen(doctored)])];
            assert!(!offer(&other).holds, "another client");
        }
        assert!(!offer(&[meeting(vec![seen(good())]), meeting(Vec::new())]).holds, "a client that never came");
        assert!(!offer(&[]).holds);
    }
}
