//! TLS handshakes of the program with test servers, to which one of its clients connects.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::hello::Offer;
use super::proof::{Facts, Proof};
use super::server::{ObservedConnection, Server, ServerCertificate, ServerTlsConfig};

pub use super::clients::{CLIENTS, Client};
pub use super::sandbox_run::{RepeatedRun, RunOptions, SandboxRun};

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

/// What became of a client that was sent to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandshakeResult {
    /// Which client was sent there.
    pub client: &'static str,
    pub runs: RepeatedRun,
    /// What the same server agreed on with a client that offers everything.
    pub control: Option<String>,
}

impl HandshakeResult {
    /// Starts the program beside a server with that TLS configuration, to which that client is sent and whose certificate `DD_TLS_CERT_FILE` names: so that a build with other roots
    /// talks to it as well, as far as it accepts the configuration.
    pub fn connect(subject: &ProgramUnderTest, tls: ServerTlsConfig, client: Client) -> Result<Self, Error> {
        let server = Server::new(tls, ServerCertificate::Good)?;
        let directory = tempfile::tempdir().map_err(Error::Directory)?;
        let store = server.save(directory.path()).map_err(Error::Directory)?;
        let environment = vec![("DD_TLS_CERT_FILE".to_owned(), store.display().to_string())];
        Self::with(subject, server, client, &RunOptions { environment, ..RunOptions::default() })
    }

    /// Starts the program beside that server.
    pub fn with(
        subject: &ProgramUnderTest,
        server: Server,
        client: Client,
        options: &RunOptions,
    ) -> Result<Self, Error> {
        let other = server.serves_others()?;
        let control = other.agreed.or_else(|| (other.alert == Some(TOO_EARLY)).then(|| OLD.to_owned()));
        Ok(Self { client: client.name(), runs: RepeatedRun::beside(subject, server, client, options)?, control })
    }

    /// The program's connections in the run that counts.
    fn seen(&self) -> &[ObservedConnection] {
        &self.runs.run.seen
    }

    /// Those of a run that was repeated as well: what may not happen may not happen there either.
    fn all_seen(&self) -> impl Iterator<Item = &ObservedConnection> {
        self.runs.before.iter().flat_map(|before| &before.seen).chain(self.seen())
    }

    /// Whether data arrived.
    pub fn trusts(&self) -> bool {
        self.seen().iter().any(|seen| seen.agreed.is_some() && seen.data > 0)
    }

    /// Whether there were handshakes, and none was completed.
    pub fn refuses(&self) -> bool {
        !self.seen().is_empty() && !self.has_agreed()
    }

    /// Whether any handshake was completed.
    fn has_agreed(&self) -> bool {
        self.all_seen().any(|seen| seen.agreed.is_some() || seen.data > 0)
    }

    /// Whether there was time for a run. A server that may get nothing is judged by what it got, all the same.
    fn was_run(&self) -> bool {
        self.runs.run.out_of_time.is_none()
    }

    /// Notes whether every server that may get data got some, and every other none. `case` says what the server shows, where that is not the same in all runs.
    pub(super) fn judge(&self, case: &str, may_get_data: bool, facts: &mut Facts) {
        self.note(case, facts);
        let case = if case.is_empty() { case.to_owned() } else { format!("{case} is {}trusted: ", self.not()) };
        if may_get_data && self.was_run() {
            facts.note(self.trusts(), case + &self.outcome());
        } else if !may_get_data && (self.was_run() || self.has_agreed()) {
            facts.note(self.refuses(), case + &self.outcome());
        }
    }

    fn not(&self) -> &'static str {
        if self.has_agreed() { "" } else { "not " }
    }

    /// Notes that the server works for others, that the program was not harmed, and whether there was time.
    fn note(&self, case: &str, facts: &mut Facts) {
        match &self.control {
            Some(suite) => facts
                .note(true, format!("with a client that offers everything (ring), the same server agrees on {suite}")),
            None => facts.note(false, "the same server speaks with nobody else either"),
        }
        let RepeatedRun { run, before } = &self.runs;
        let about = if case.is_empty() { self.client.to_owned() } else { format!("{}, {case}", self.client) };
        let first = before.as_ref().and_then(|before| before.out_of_time.as_deref()).unwrap_or_default();
        match (&run.out_of_time, &run.harmed) {
            (Some(reason), _) => {
                facts.not_run.push(format!("{about}: could not be run, because time was up twice: {first}; {reason}"));
            }
            (None, Some(harmed)) => facts.note(false, harmed.clone()),
            (None, None) => facts.note(true, "the function was served, and the program ended by itself"),
        }
        if run.out_of_time.is_none() && before.is_some() {
            facts.note(true, format!("{about}: run once more, because time was up: {first}"));
        }
    }

    /// How the handshakes ended.
    pub fn outcome(&self) -> String {
        let agreed: Vec<_> = self.all_seen().filter_map(|seen| seen.agreed.as_deref()).collect();
        let data: usize = self.all_seen().map(|seen| seen.data).sum();
        let with = agreed.first().map(|suite| format!(" with {suite}")).unwrap_or_default();
        format!(
            "{}: of {} handshakes that were begun, {} were completed{with}, and {data} bytes of requests arrived",
            self.client,
            self.all_seen().count(),
            agreed.len()
        )
    }
}

/// The server speaks what is approved: data of every client arrives.
pub fn accepted(results: &[HandshakeResult]) -> Proof {
    let mut facts = Facts::default();
    for result in results {
        result.judge("", true, &mut facts);
    }
    let claim = "A server that speaks AES-GCM over P-256 or P-384 gets data of every client.";
    Proof::new("accepted", claim, HOW, facts)
}

/// The server speaks only what is not approved: nothing but the beginning of a handshake arrives.
pub fn refused(name: &'static str, what: &str, results: &[HandshakeResult]) -> Proof {
    let mut facts = Facts::default();
    for result in results {
        result.judge("", false, &mut facts);
    }
    let claim = format!(
        "A server that speaks {what} gets no data of any client: there is no handshake that would be completed."
    );
    Proof::new(name, claim, HOW, facts)
}

/// A server with TLS 1.2 that does without extended master secret is refused at once, by every client.
pub fn extended_master_secret(results: &[HandshakeResult]) -> Proof {
    let mut facts = Facts::default();
    for result in results {
        result.note("", &mut facts);
        let goes_on = |seen: &ObservedConnection| seen.alert.is_some_and(|alert| alert != REFUSED);
        let never_goes_on = !result.has_agreed() && !result.all_seen().any(goes_on);
        let refused = never_goes_on && result.seen().iter().all(|seen| seen.alert == Some(REFUSED));
        let alerts: BTreeSet<_> = result.all_seen().map(|seen| seen.alert).collect();
        let named = |alert: Option<u8>| alert.map_or_else(|| "none".to_owned(), |alert| alert.to_string());
        let alerts: Vec<_> = alerts.into_iter().map(named).collect();
        let refusal = format!(
            "{}: the alerts in answer to {} such handshakes are {}",
            result.client,
            result.all_seen().count(),
            alerts.join(", ")
        );
        if result.was_run() || !never_goes_on {
            let refused = refused && !result.seen().is_empty();
            facts.note(refused, format!("{refusal}; {REFUSED} is a refused handshake"));
        }
    }
    let claim = "A server that speaks TLS 1.2 without extended master secret (RFC 7627) is refused by every client.";
    Proof::new("extended-master-secret", claim, HOW, facts)
}

/// All that any client has offered in any connection is approved.
pub fn offer(results: &[HandshakeResult]) -> Proof {
    let mut facts = Facts::default();
    let mut offers: Vec<Offer> = Vec::new();
    for result in results {
        if result.was_run() {
            let connections = result.all_seen().count();
            facts.note(connections > 0, format!("{}: {connections} connections", result.client));
        } else {
            result.note("", &mut facts);
        }
        for ObservedConnection { offer, .. } in result.all_seen() {
            if offers.contains(offer) {
                continue;
            }
            list(&mut facts, "suites", &offer.suites, &APPROVED_SUITES);
            list(&mut facts, "groups", &offer.groups, &APPROVED_GROUPS);
            list(&mut facts, "signature algorithms", &offer.signatures, &APPROVED_SIGNATURES);
            list(&mut facts, "versions", &offer.versions, &APPROVED_VERSIONS);
            let ems = if offer.extended_master_secret { "is offered" } else { "is not offered" };
            facts.note(offer.extended_master_secret, format!("extended master secret {ems}"));
            offers.push(offer.clone());
        }
    }
    if offers.iter().any(|offer| offer.groups.iter().any(|group| group == HYBRID)) {
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

    fn result(seen: Vec<ObservedConnection>) -> HandshakeResult {
        let runs = RepeatedRun { run: SandboxRun { seen, ..SandboxRun::default() }, before: None };
        HandshakeResult { client: "logs", runs, control: Some("TLS13_X".to_owned()) }
    }

    fn served() -> ObservedConnection {
        ObservedConnection {
            agreed: Some("TLS13_AES_256_GCM_SHA384".to_owned()),
            data: 9,
            ..ObservedConnection::default()
        }
    }

    #[test]
    fn data_has_to_arrive_where_it_may_and_only_there() {
        let accepted = |seen: Vec<ObservedConnection>| accepted(&[result(seen)]).holds;
        let refused = |seen: Vec<ObservedConnection>| refused("chacha", "it", &[result(seen)]).holds;
        assert!(accepted(vec![served()]));
        assert!(!accepted(vec![ObservedConnection::default()]) && !accepted(Vec::new()));
        assert!(refused(vec![ObservedConnection::default()]));
        assert!(!refused(vec![ObservedConnection::default(), served()]));
        assert!(!refused(Vec::new()), "who was never asked has refused nothing");
        assert!(!super::accepted(&[result(vec![served()]), result(Vec::new())]).holds, "every client has to");
        assert!(!super::refused("chacha", "it", &[]).holds && !super::accepted(&[]).holds);
    }

    #[test]
    fn server_without_handshakes_proves_nothing() {
        let broken = HandshakeResult { control: None, ..result(vec![ObservedConnection::default()]) };
        assert!(!refused("chacha", "it", &[broken]).holds);
        let mut harmed = result(vec![ObservedConnection::default()]);
        harmed.runs.run.harmed = Some("the program ended with signal: 6".to_owned());
        assert!(!refused("chacha", "it", &[harmed]).holds);
    }

    /// What came of a client whose first run had no time, and whose second one was like this.
    fn repeated(first: Vec<ObservedConnection>, second: SandboxRun) -> [HandshakeResult; 1] {
        let out_of_time = Some("the first one".to_owned());
        let runs = RepeatedRun { run: second, before: Some(SandboxRun { seen: first, harmed: None, out_of_time }) };
        [HandshakeResult { runs, ..result(Vec::new()) }]
    }

    fn run(seen: Vec<ObservedConnection>) -> SandboxRun {
        SandboxRun { seen, ..SandboxRun::default() }
    }

    #[test]
    fn repeated_run_is_judged_by_the_second_and_reported() {
        let proof = accepted(&repeated(Vec::new(), run(vec![served()])));
        assert!(proof.holds, "{proof:?}");
        assert!(proof.evidence.contains(&"logs: run once more, because time was up: the first one".to_owned()));
        assert!(
            !accepted(&repeated(vec![served()], run(vec![ObservedConnection::default()]))).holds,
            "the second one counts"
        );
        assert!(
            refused(
                "chacha",
                "it",
                &repeated(vec![ObservedConnection::default()], run(vec![ObservedConnection::default()]))
            )
            .holds
        );
        let alert = |alert: u8| vec![ObservedConnection { alert: Some(alert), ..ObservedConnection::default() }];
        assert!(
            extended_master_secret(&repeated(vec![ObservedConnection::default()], run(alert(REFUSED)))).holds,
            "it was cut off"
        );
    }

    #[test]
    fn violation_in_repeated_run_fails_proof() {
        let proof = refused("chacha", "it", &repeated(vec![served()], run(vec![ObservedConnection::default()])));
        assert!(!proof.holds && proof.against.concat().contains("1 were completed"), "{proof:?}");
        let alert = |alert: u8| vec![ObservedConnection { alert: Some(alert), ..ObservedConnection::default() }];
        assert!(!extended_master_secret(&repeated(alert(TOO_EARLY), run(alert(REFUSED)))).holds);
        let bad = Offer { groups: vec!["X25519".to_owned()], ..good() };
        let [first, second] =
            [bad, good()].map(|offer| vec![ObservedConnection { offer, ..ObservedConnection::default() }]);
        assert!(!offer(&repeated(first, run(second))).holds);
    }

    #[test]
    fn two_starved_runs_are_not_run_and_never_accepted() {
        let starved = |seen: Vec<ObservedConnection>| {
            let out_of_time = Some("the second one".to_owned());
            repeated(Vec::new(), SandboxRun { seen, harmed: None, out_of_time })
        };
        let expected = "logs: could not be run, because time was up twice: the first one; the second one";
        let (cut, fine) = (
            starved(vec![ObservedConnection::default()]),
            starved(vec![ObservedConnection { offer: good(), ..served() }]),
        );
        for proof in
            [accepted(&cut), accepted(&fine), refused("chacha", "it", &cut), extended_master_secret(&cut), offer(&fine)]
        {
            assert!(!proof.holds && proof.against.is_empty(), "{proof:?}");
            assert_eq!((proof.outcome(), proof.not_run.as_deref()), ("not run", Some(expected)));
        }
        let leaked = refused("chacha", "it", &fine);
        assert_eq!(leaked.outcome(), "fails", "what arrived has arrived: {leaked:?}");
        let mixed = accepted(&[starved(Vec::new()), [result(vec![ObservedConnection::default()])]].concat());
        assert_eq!(mixed.outcome(), "fails", "another client fails: {mixed:?}");
    }

    #[test]
    fn an_old_server_has_to_be_refused_by_the_alert_that_says_so() {
        let holds = |alert: Option<u8>| {
            extended_master_secret(&[result(vec![ObservedConnection { alert, ..ObservedConnection::default() }])]).holds
        };
        assert!(holds(Some(REFUSED)));
        assert!(!holds(Some(TOO_EARLY)) && !holds(None));
        assert!(!extended_master_secret(&[result(Vec::new())]).holds);
    }

    #[test]
    fn unapproved_offer_in_any_connection_fails_proof() {
        let seen = |offer: Offer| ObservedConnection { offer, ..ObservedConnection::default() };
        let proof = offer(&[result(vec![seen(good())])]);
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
            assert!(!offer(&[result(vec![seen(doctored.clone())])]).holds, "{doctored:?}");
            assert!(!offer(&[result(vec![seen(good()), seen(doctored.clone())])]).holds, "a later connection");
            let other = [result(vec![seen(good())]), result(vec![seen(doctored)])];
            assert!(!offer(&other).holds, "another client");
        }
        assert!(!offer(&[result(vec![seen(good())]), result(Vec::new())]).holds, "a client that never came");
        assert!(!offer(&[]).holds);
    }
}
