//! Whom the extension trusts, and what it says of others: an HTTPS server in the sandbox's network, under an authority that is known here or there.

use std::{path::Path, sync::Arc};

use bottlecap::features;
use matrix::sandbox::{
    Function,
    function::{Answer, Call, Handler, InitError},
};
use rustls::ServerConfig;

use crate::{
    https::{
        Agreed,
        certificates::{Authority, Identity},
        serve,
    },
    support::{Life, live, setup_with},
};

/// A function beside a server that stands for the intake of logs.
struct Served {
    port: u16,
    config: ServerConfig,
    agreed: Agreed,
}

impl Handler for Served {
    fn init(&self, _: &Call<'_>) -> Result<(), InitError> {
        serve(self.port, self.config.clone(), &self.agreed);
        Ok(())
    }

    fn handle(&self, call: &Call<'_>) -> Answer {
        Answer::Response(call.event.to_vec())
    }
}

/// A life of one invocation, and how many handshakes with the server were completed in it.
fn life(port: u16, identity: Identity, variables: &[(&str, &Path)]) -> (Life, usize) {
    let config = identity.config(&["http/1.1"]);
    let served = Arc::new(Served { port, config, agreed: Agreed::default() });
    let url = format!("https://localhost:{port}");
    let files = variables.iter().map(|(name, path)| (*name, path.to_str().unwrap()));
    let own = [("DD_LOGS_CONFIG_LOGS_DD_URL", url.as_str()), ("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let variables: Vec<_> = own.into_iter().chain(files).collect();
    let life = live(setup_with(Function::InProcess(served.clone()), &variables), 1);
    life.assert_unharmed();
    let agreed = served.agreed.lock().unwrap().len();
    (life, agreed)
}

/// The store is named as OpenSSL names it.
const STORE: &str = "SSL_CERT_FILE";
const OWN: &str = "DD_TLS_CERT_FILE";

#[test]
fn the_operating_systems_store_counts_unless_roots_are_compiled_in() {
    let authority = Authority::new("Own");
    let directory = tempfile::tempdir().unwrap();
    let file = authority.save(directory.path());
    let (life, agreed) = life(28_140, authority.issue("localhost"), &[(STORE, &file)]);
    assert_eq!(agreed > 0, !features::COMPILED_ROOTS, "{}", life.own_lines());
}

#[test]
fn the_stores_roots_stay_beside_the_customers() {
    let (known, own) = (Authority::new("Known"), Authority::new("Own"));
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [store, file] = [known.save(directories[0].path()), own.save(directories[1].path())];
    let both = [(STORE, store.as_path()), (OWN, file.as_path())];
    let (with_own, agreed) = life(28_141, own.issue("localhost"), &both);
    assert!(agreed > 0, "{}", with_own.own_lines());
    let (with_known, agreed) = life(28_142, known.issue("localhost"), &both);
    assert_eq!(agreed > 0, !features::COMPILED_ROOTS, "{}", with_known.own_lines());
}

#[test]
fn a_certificate_that_vouches_for_itself_is_trusted_if_it_is_named() {
    let identity = Identity::self_signed("localhost");
    let directory = tempfile::tempdir().unwrap();
    let file = identity.save(directory.path());
    let (life, agreed) = life(28_143, identity, &[(OWN, &file)]);
    assert!(agreed > 0, "{}", life.own_lines());
}

#[test]
fn who_is_not_trusted_gets_nothing_and_that_is_told_in_one_line_a_flush() {
    let authority = Authority::new("Own");
    let directory = tempfile::tempdir().unwrap();
    let file = authority.save(directory.path());
    for (port, identity, why) in [
        (28_144, Authority::new("Unknown").issue("localhost"), "UnknownIssuer"),
        (28_145, Identity::self_signed("localhost"), "UnknownIssuer"),
        (28_146, authority.issue_expired("localhost"), "certificate expired"),
        (28_147, authority.issue("example.com"), "certificate not valid for name \\\"localhost\\\""),
    ] {
        let (life, agreed) = life(port, identity, &[(OWN, &file)]);
        assert_eq!(agreed, 0, "{why}");
        let lines = life.own_lines();
        let told: Vec<&str> = lines.lines().filter(|line| line.contains("certificate")).collect();
        let errors = lines.lines().filter(|line| line.contains("ERROR | LOGS | Failed to send request")).count();
        assert!(errors > 0 && told.len() == errors, "{lines}");
        let clear = format!("invalid peer certificate: {why}");
        assert!(told.iter().all(|line| line.contains(&clear)), "{lines}");
        assert!(life.count("invocations") > 0, "what others may know still arrives");
    }
}
