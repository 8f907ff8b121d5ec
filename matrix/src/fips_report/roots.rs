//! Whom each client of the program trusts: each place that roots come from once, and certificates that nobody may accept.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::build_report::BuildReport;
use super::error::Error;
use super::handshake::{CLIENTS, Client, HandshakeResult, ProgramUnderTest, RunOptions};
use super::proof::{Facts, Proof};
use super::server::{Server, ServerCertificate, ServerTlsConfig};
use crate::sandbox::setup::Mount;

/// Where systems have their store, and where the bundle is below.
const STORES: [(&str, &str); 2] = [("/etc/ssl", "certs/ca-certificates.crt"), ("/etc/pki", "tls/certs/ca-bundle.crt")];

/// Where a program finds the certificate of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    SslCertFile,
    SslCertDir,
    /// The operating system's own, with no variable set.
    System,
    /// Beside the system's.
    TlsCertFile,
    /// Nowhere: `SSL_CERT_FILE` has another authority's.
    Nowhere,
}

/// What one server showed to a client, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub name: &'static str,
    /// Whether data may arrive.
    pub trusted: bool,
    pub result: HandshakeResult,
}

/// The name of a case, what the server shows, and where its certificate is found.
pub const CASES: [(&str, ServerCertificate, Store); 8] = [
    ("a certificate in SSL_CERT_FILE", ServerCertificate::Good, Store::SslCertFile),
    ("a certificate in a folder of SSL_CERT_DIR", ServerCertificate::Good, Store::SslCertDir),
    ("a certificate in the operating system's store", ServerCertificate::Good, Store::System),
    ("a certificate in DD_TLS_CERT_FILE", ServerCertificate::Good, Store::TlsCertFile),
    ("a certificate of an unknown authority", ServerCertificate::Good, Store::Nowhere),
    ("a certificate for another host", ServerCertificate::OtherHost, Store::SslCertFile),
    ("a certificate that is not valid any more", ServerCertificate::Expired, Store::SslCertFile),
    ("a certificate that is not valid yet", ServerCertificate::NotYetValid, Store::SslCertFile),
];

impl Case {
    /// Starts the program beside a server to which that client is sent, with further settings.
    pub fn connect(
        subject: &ProgramUnderTest,
        (name, shown, store): (&'static str, ServerCertificate, Store),
        client: Client,
        further: &[(&str, &str)],
    ) -> Result<Self, Error> {
        let server = Server::new(ServerTlsConfig::Approved, shown)?;
        let stranger = Server::new(ServerTlsConfig::Approved, ServerCertificate::Good)?;
        let folder = tempfile::tempdir().map_err(Error::Directory)?;
        let mut options = store.run_options(&server, &stranger, &folder).map_err(Error::Directory)?;
        let further = further.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        options.environment.extend(further);
        let trusted = shown == ServerCertificate::Good && store != Store::Nowhere;
        Ok(Self { name, trusted, result: HandshakeResult::with(subject, server, client, &options)? })
    }
}

impl Store {
    fn run_options(self, server: &Server, stranger: &Server, folder: &TempDir) -> std::io::Result<RunOptions> {
        let place = folder.path();
        let set = |name: &str, path: &Path| vec![(name.to_owned(), path.display().to_string())];
        let (mut environment, mut mounts) = (Vec::new(), Vec::new());
        match self {
            Self::SslCertFile => environment = set("SSL_CERT_FILE", &server.save(place)?),
            Self::Nowhere => environment = set("SSL_CERT_FILE", &stranger.save(place)?),
            Self::TlsCertFile => environment = set("DD_TLS_CERT_FILE", &server.save(place)?),
            Self::SslCertDir => {
                // As OpenSSL names certificates: by a hash of their subject, whichever that is.
                fs::write(place.join("0badc0de.0"), server.pem())?;
                environment = set("SSL_CERT_DIR", place);
            }
            Self::System => {
                for (number, (target, bundle)) in
                    STORES.iter().enumerate().filter(|(_, (it, _))| Path::new(it).exists())
                {
                    let source = place.join(number.to_string());
                    let file = source.join(bundle);
                    file.parent().map_or(Ok(()), fs::create_dir_all)?;
                    fs::write(file, server.pem())?;
                    mounts.push(Mount { source, target: (*target).into() });
                }
            }
        }
        Ok(RunOptions { environment, mounts, ..RunOptions::default() })
    }
}

/// Judges whom the program trusted. `build_report` says where its roots come from.
pub fn judge(build_report: &BuildReport, cases: &[Case]) -> Proof {
    let mut facts = Facts::default();
    facts.note(build_report.has_system_roots(), format!("it says that its roots come from: {}", build_report.roots));
    for Case { name, trusted, result } in cases {
        result.judge(name, *trusted, &mut facts);
    }
    let all = CASES.iter().flat_map(|(name, ..)| CLIENTS.map(|client| (*name, client.name())));
    let is_missing =
        |(name, client): &(&str, &str)| !cases.iter().any(|case| (case.name, case.result.client) == (*name, *client));
    for (name, client) in all.filter(is_missing) {
        facts.note(false, format!("{client}: {name} was not tried"));
    }
    let claim = "The roots of every client are the operating system's: those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else the system's own store; and those in `DD_TLS_CERT_FILE`. Whatever they do not vouch for is refused.";
    let how = "a TLS server on loopback for each case and each client, to which the program is sent in a local sandbox of Lambda";
    Proof::new("roots", claim, how, facts)
}

#[cfg(test)]
mod tests {
    use super::super::handshake::{RepeatedRun, SandboxRun};
    use super::super::server::ObservedConnection;
    use super::*;

    fn build_report(roots: &str) -> BuildReport {
        let crypto = serde_json::json!({ "provider": "p", "module": null, "fips": true, "roots": roots });
        BuildReport::of(&serde_json::json!({ "crypto": crypto })).unwrap()
    }

    /// What a program does that trusts as it should.
    fn cases() -> Vec<Case> {
        let case = |((name, shown, store), client): ((&'static str, ServerCertificate, Store), Client)| {
            let trusted = shown == ServerCertificate::Good && store != Store::Nowhere;
            let seen = if trusted {
                ObservedConnection { agreed: Some("TLS13_X".to_owned()), data: 9, ..ObservedConnection::default() }
            } else {
                ObservedConnection::default()
            };
            let runs = RepeatedRun { run: SandboxRun { seen: vec![seen], ..SandboxRun::default() }, before: None };
            let result = HandshakeResult { client: client.name(), runs, control: Some("TLS13_X".to_owned()) };
            Case { name, trusted, result }
        };
        CASES.into_iter().flat_map(|one| CLIENTS.map(|client| case((one, client)))).collect()
    }

    #[test]
    fn every_case_has_to_end_as_it_should() {
        let build_report = build_report("operating system");
        assert!(judge(&build_report, &cases()).holds);
        let (trusted, stranger) = (cases()[0].result.clone(), cases().pop().unwrap().result);
        assert_eq!(cases().len(), CASES.len() * CLIENTS.len());
        for number in 0..cases().len() {
            let mut doctored = cases();
            let other = if doctored[number].trusted { &stranger } else { &trusted };
            doctored[number].result = HandshakeResult { client: doctored[number].result.client, ..other.clone() };
            assert!(!judge(&build_report, &doctored).holds, "{}", doctored[number].name);
            doctored.remove(number);
            assert!(!judge(&build_report, &doctored).holds, "a case that was not tried");
        }
        assert!(!judge(&build_report, &[]).holds);
    }

    #[test]
    fn a_case_without_time_is_named_and_leaves_the_proof_open() {
        let mut starved = cases();
        let out_of_time = Some("killed".to_owned());
        let short = SandboxRun { out_of_time, ..SandboxRun::default() };
        starved[0].result.runs = RepeatedRun { run: short.clone(), before: Some(short) };
        let proof = judge(&build_report("operating system"), &starved);
        assert_eq!(proof.outcome(), "not run", "{proof:?}");
        let expected =
            "logs, a certificate in SSL_CERT_FILE: could not be run, because time was up twice: killed; killed";
        assert_eq!(proof.not_run.as_deref(), Some(expected));
    }

    #[test]
    fn roots_are_the_operating_systems_by_word_as_well() {
        assert!(!judge(&build_report("compiled in"), &cases()).holds);
    }
}
