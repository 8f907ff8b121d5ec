//! Whom the extension trusts, and what it says of others: an HTTPS server in the sandbox's network, under an authority that is known here or there.

use std::{fs, path::Path, sync::Arc};

use bottlecap::features;
use matrix::sandbox::{
    Function,
    function::{Call, Handler, HandlerOutcome, InitError},
};
use nix::{sys::stat::Mode, unistd::mkfifo};
use rustls::ServerConfig;
use serde_json::Value;

use crate::{
    stand_in::{Reply, Server},
    support::{Run, echo, run_sandbox, setup_with},
    tls_server::{
        Journal,
        certificates::{Authority, Identity},
        serve,
    },
};

/// A function that echoes, with a TLS server that stands for the intake of logs.
struct EchoWithTlsServer {
    port: u16,
    config: ServerConfig,
    journal: Journal,
    /// Another server.
    other: Option<Arc<Server>>,
}

impl Handler for EchoWithTlsServer {
    fn init(&self, _: &Call<'_>) -> Result<(), InitError> {
        self.other.iter().for_each(|server| server.start());
        serve(self.port, self.config.clone(), &self.journal);
        Ok(())
    }

    fn handle(&self, call: &Call<'_>) -> HandlerOutcome {
        HandlerOutcome::Response(call.event.to_vec())
    }
}

/// A run of one invocation, and how many handshakes with the server were completed in it.
fn run(port: u16, identity: Identity, variables: &[(&str, &Path)]) -> (Run, usize) {
    let (run, journal) = run_with(port, identity, &["http/1.1"], variables);
    (run, journal.agreed().len())
}

/// A run of one invocation beside a server that offers these protocols, and what the server saw of it.
fn run_with(port: u16, identity: Identity, protocols: &[&str], variables: &[(&str, &Path)]) -> (Run, Journal) {
    let handler = Arc::new(EchoWithTlsServer {
        port,
        config: identity.config(protocols),
        journal: Journal::default(),
        other: None,
    });
    let url = format!("https://localhost:{port}");
    let files = variables.iter().map(|(name, path)| (*name, path.to_str().unwrap()));
    let own = [("DD_LOGS_CONFIG_LOGS_DD_URL", url.as_str()), ("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let variables: Vec<_> = own.into_iter().chain(files).collect();
    let run = run_sandbox(setup_with(Function::InProcess(handler.clone()), &variables), 1);
    run.assert_unharmed();
    (run, handler.journal.clone())
}

/// The store is named as OpenSSL names it.
const STORE: &str = "SSL_CERT_FILE";
const OWN: &str = "DD_TLS_CERT_FILE";

#[test]
fn the_operating_systems_store_counts_unless_roots_are_compiled_in() {
    let authority = Authority::new("Own");
    let directory = tempfile::tempdir().unwrap();
    let file = authority.save(directory.path());
    let (run, agreed) = run(28_140, authority.issue("localhost"), &[(STORE, &file)]);
    assert_eq!(agreed > 0, !features::COMPILED_ROOTS, "{}", run.own_lines());
}

#[test]
fn the_stores_roots_stay_beside_the_customers() {
    let (known, own) = (Authority::new("Known"), Authority::new("Own"));
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [store, file] = [known.save(directories[0].path()), own.save(directories[1].path())];
    let both = [(STORE, store.as_path()), (OWN, file.as_path())];
    let (with_own, agreed) = run(28_141, own.issue("localhost"), &both);
    assert!(agreed > 0, "{}", with_own.own_lines());
    let (with_known, agreed) = run(28_142, known.issue("localhost"), &both);
    assert_eq!(agreed > 0, !features::COMPILED_ROOTS, "{}", with_known.own_lines());
}

#[test]
fn a_certificate_that_vouches_for_itself_is_trusted_if_it_is_named() {
    let identity = Identity::self_signed("localhost");
    let directory = tempfile::tempdir().unwrap();
    let file = identity.save(directory.path());
    let (run, agreed) = run(28_143, identity, &[(OWN, &file)]);
    assert!(agreed > 0, "{}", run.own_lines());
}

/// What is set for Datadog's intakes is none of AWS's business, unless a certificate is named.
#[test]
fn aws_is_always_authenticated_and_never_reached_through_datadogs_proxy() {
    let authority = Authority::new("Own");
    let directory = tempfile::tempdir().unwrap();
    let file = authority.save(directory.path());
    let proxy = Arc::new(Server::new("127.0.0.1:28152", |_, _| Reply::new(502, &[], "")));
    for (port, own, is_trusted) in [(28_150, "", false), (28_151, file.to_str().unwrap(), true)] {
        let config = authority.issue("localhost").config(&["http/1.1"]);
        let handler =
            Arc::new(EchoWithTlsServer { port, config, journal: Journal::default(), other: Some(proxy.clone()) });
        let url = format!("https://localhost:{port}");
        let variables = [
            ("DD_API_KEY", ""),
            ("DD_API_KEY_SECRET_ARN", "s"),
            ("AWS_ENDPOINT_URL", url.as_str()),
            ("DD_SKIP_SSL_VALIDATION", "true"),
            ("DD_PROXY_HTTPS", "http://127.0.0.1:28152"),
            (OWN, own),
        ];
        let run = run_sandbox(setup_with(Function::InProcess(handler.clone()), &variables), 2);
        run.assert_unharmed();
        let lines = run.own_lines();
        assert_eq!(handler.journal.requests().iter().any(|request| request.path == "/"), is_trusted, "{lines}");
        let refused = lines.contains("secretsmanager: ") && lines.contains("invalid peer certificate: UnknownIssuer");
        assert_eq!(refused, !is_trusted, "{lines}");
        let target = format!("localhost:{port}");
        assert!(proxy.requests().iter().all(|request| request.path != target), "{:?}", proxy.requests());
    }
}

/// Both ends agree on HTTP/2 in the handshake, and it is spoken: what was sent can be read there.
#[test]
fn http2_is_used_where_the_server_offers_it() {
    let authority = Authority::new("Own");
    let directory = tempfile::tempdir().unwrap();
    let file = authority.save(directory.path());
    let identity = authority.issue("localhost");
    let (run, journal) = run_with(28_148, identity, &["h2", "http/1.1"], &[(OWN, &file)]);
    let requests = journal.requests();
    assert!(requests.iter().all(|request| request.protocol == "h2" && request.path == "/api/v2/logs"));
    assert!(requests.iter().all(|request| request.headers["dd-protocol"] == "agent-json"), "{requests:?}");
    let bodies = requests.iter().map(|request| zstd::bulk::decompress(&request.body, 1 << 20).unwrap());
    let logs = bodies.flat_map(|body| serde_json::from_slice::<Vec<Value>>(&body).unwrap());
    let messages: Vec<_> = logs.map(|log| log["message"]["message"].as_str().unwrap().to_owned()).collect();
    for beginning in ["START RequestId: ", "END RequestId: ", "REPORT RequestId: "] {
        let count = messages.iter().filter(|message| message.starts_with(beginning)).count();
        assert_eq!(count, 1, "{beginning} in {messages:?}\n{}", run.own_lines());
    }
}

/// A company's bundle holds certificates that are older than anybody remembers.
#[test]
fn unusable_certificate_leaves_the_others_in_use() {
    let authority = Authority::new("Own");
    let directory = tempfile::tempdir().unwrap();
    let file = authority.save(directory.path());
    let own = fs::read_to_string(&file).unwrap();
    let odd = "-----BEGIN CERTIFICATE-----\nb2Rk\n-----END CERTIFICATE-----\n";
    fs::write(&file, format!("{odd}{odd}{own}")).unwrap();
    let (run, agreed) = run(28_149, authority.issue("localhost"), &[(OWN, &file)]);
    let own = run.own_lines();
    assert!(agreed > 0, "{own}");
    assert_eq!(own.matches("2 of 3 certificates cannot be used").count(), 1, "{own}");
}

/// A FIFO gives nothing until somebody writes into it, a device gives bytes without end.
#[test]
fn endless_certificate_file_warns_and_is_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    for path in [fifo.as_path(), Path::new("/dev/zero"), directory.path()] {
        for setting in [OWN, STORE] {
            let run = run_sandbox(setup_with(echo(), &[(setting, path.to_str().unwrap())]), 2);
            run.assert_unharmed();
            run.assert_exactly_once();
            let own = run.own_lines();
            let told = own.matches("is not used: it is not a regular file").count();
            let read = setting == OWN || !features::COMPILED_ROOTS;
            assert_eq!(told, usize::from(read), "{setting} {}: {own}", path.display());
        }
    }
}

#[test]
fn untrusted_server_gets_no_data_one_error_per_flush() {
    let authority = Authority::new("Own");
    let directory = tempfile::tempdir().unwrap();
    let file = authority.save(directory.path());
    for (port, identity, why) in [
        (28_144, Authority::new("Unknown").issue("localhost"), "UnknownIssuer"),
        (28_145, Identity::self_signed("localhost"), "UnknownIssuer"),
        (28_146, authority.issue_expired("localhost"), "certificate expired"),
        (28_147, authority.issue("example.com"), "certificate not valid for name \\\"localhost\\\""),
    ] {
        let (run, agreed) = run(port, identity, &[(OWN, &file)]);
        assert_eq!(agreed, 0, "{why}");
        let lines = run.own_lines();
        let told: Vec<&str> = lines.lines().filter(|line| line.contains("certificate")).collect();
        let errors = lines.lines().filter(|line| line.contains("ERROR | LOGS | Failed to send request")).count();
        assert!(errors > 0 && told.len() == errors, "{lines}");
        let clear = format!("invalid peer certificate: {why}");
        assert!(told.iter().all(|line| line.contains(&clear)), "{lines}");
        assert!(run.count("invocations") > 0, "what others may know still arrives");
    }
}
