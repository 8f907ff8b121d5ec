//! The proofs of `cargo matrix fips-report` for which a program runs, with this build: they hold of a FIPS build, and each catches what it is for in a build with
//! another cryptography, or with settings that trust everybody.

use std::path::PathBuf;
use std::time::Duration;

use bottlecap::features;
use matrix::fips_report::build_report::BuildReport;
use matrix::fips_report::certificate::CertifiedModule;
use matrix::fips_report::concurrency;
use matrix::fips_report::handshake::{self, CLIENTS, Client, HandshakeResult, ProgramUnderTest, RunOptions};
use matrix::fips_report::roots::{self, CASES, Case, Store};
use matrix::fips_report::server::{Server, ServerCertificate, ServerTlsConfig};
use matrix::sandbox::setup::Limits;

fn subject() -> ProgramUnderTest {
    ProgramUnderTest { program: PathBuf::from(env!("CARGO_BIN_EXE_bottlecap")), agent: None }
}

/// Each client beside a server of each of these TLS configurations, with the configuration.
fn connect(configs: &[ServerTlsConfig]) -> Vec<(ServerTlsConfig, HandshakeResult)> {
    let all: Vec<_> = configs.iter().flat_map(|tls| CLIENTS.map(|client| (*tls, client))).collect();
    let results = concurrency::each(concurrency::AT_ONCE, &all, |(tls, client)| {
        HandshakeResult::connect(&subject(), *tls, *client)
    });
    all.iter().map(|(tls, _)| *tls).zip(results.unwrap()).collect()
}

/// Those of these clients in each of these cases, with further settings.
fn cases(
    kinds: &[(&'static str, ServerCertificate, Store)],
    clients: &[Client],
    further: &[(&str, &str)],
) -> Vec<Case> {
    let all: Vec<_> = kinds.iter().flat_map(|kind| clients.iter().map(|client| (*kind, *client))).collect();
    let cases = concurrency::each(concurrency::AT_ONCE, &all, |(kind, client)| {
        Case::connect(&subject(), *kind, *client, further)
    });
    let cases = cases.unwrap();
    for Case { name, result, .. } in &cases {
        let before = result.runs.before.as_ref().and_then(|before| before.out_of_time.as_ref());
        if let Some(reason) = before {
            println!("{}: {name}: run once more: {reason}", result.client);
        }
    }
    cases
}

fn build_facts() -> BuildReport {
    BuildReport::of(&matrix::build::BuildReport::document(&subject().program).unwrap()).unwrap()
}

/// Whether the operating system's store makes a server of the test's own known.
const OWN_ROOTS: bool = !features::COMPILED_ROOTS;

#[test]
fn only_a_fips_build_names_its_module() {
    let proof = build_facts().module(&CertifiedModule::embedded().unwrap(), "bottlecap --version=json");
    assert_eq!(proof.holds, features::FIPS, "{proof:#?}");
}

#[test]
fn every_client_offers_what_is_approved_and_nothing_else_in_a_fips_build_alone() {
    for (_, result) in connect(&[ServerTlsConfig::Approved]) {
        let offer = handshake::offer(std::slice::from_ref(&result));
        assert!(!result.runs.run.seen.is_empty(), "it has connected: {result:?}");
        assert_eq!(offer.holds, features::FIPS, "{}: {offer:#?}", result.client);
        assert!(handshake::accepted(std::slice::from_ref(&result)).holds, "{result:?}");
    }
}

/// Without the authority that has signed the server's certificate, no client completes a handshake, though both sides have suites in common.
#[test]
fn clients_that_cannot_complete_a_handshake_are_not_accepted() {
    let results = concurrency::each(concurrency::AT_ONCE, &CLIENTS, |client| {
        let server = Server::new(ServerTlsConfig::Approved, ServerCertificate::Good)?;
        HandshakeResult::with(&subject(), server, *client, &RunOptions::default())
    });
    for meeting in results.unwrap() {
        let proof = handshake::accepted(std::slice::from_ref(&meeting));
        assert!(!proof.holds && proof.not_run.is_none(), "{}: {proof:#?}", meeting.client);
    }
}

/// As on a machine that is too busy, where the time is up before the program is done.
#[test]
fn a_program_that_is_killed_at_its_deadline_is_neither_accepted_nor_at_fault() {
    let server = Server::new(ServerTlsConfig::Approved, ServerCertificate::Good).unwrap();
    let limits = Limits { shutdown_external: Duration::ZERO, ..Limits::default() };
    let options = RunOptions { limits, ..RunOptions::default() };
    let result = HandshakeResult::with(&subject(), server, Client::Logs, &options).unwrap();
    let proof = handshake::accepted(&[result]);
    assert_eq!(proof.outcome(), "not run", "{proof:#?}");
    let reason = proof.not_run.unwrap();
    assert!(reason.starts_with("logs: could not be run, because time was up twice: "), "{reason}");
    assert_eq!(reason.matches("killed at the deadline of the shutdown phase").count(), 2, "{reason}");
}

#[test]
fn servers_that_speak_something_else_get_data_of_other_builds() {
    for (tls, result) in connect(&[ServerTlsConfig::ChaCha, ServerTlsConfig::X25519]) {
        let refused = handshake::refused("name", "it", std::slice::from_ref(&result));
        assert_eq!(refused.holds, features::FIPS, "{tls:?}: {result:?}");
    }
}

#[test]
fn only_fips_clients_require_extended_master_secret() {
    for (_, result) in connect(&[ServerTlsConfig::NoExtendedMasterSecret]) {
        let proof = handshake::extended_master_secret(std::slice::from_ref(&result));
        assert_eq!(proof.holds, features::FIPS, "{}: {proof:#?}", result.client);
    }
}

#[test]
fn roots_are_proven_of_every_client_of_builds_with_the_systems() {
    let proof = roots::judge(&build_facts(), &cases(&CASES, &CLIENTS, &[]));
    assert_eq!(proof.holds, OWN_ROOTS, "{proof:#?}");
}

#[test]
fn roots_proof_fails_for_insecure_clients() {
    let insecure = [("DD_SKIP_SSL_VALIDATION", "true")];
    let refusable: Vec<_> = CASES
        .into_iter()
        .filter(|(_, shown, store)| *shown != ServerCertificate::Good || *store == Store::Nowhere)
        .collect();
    // The client to AWS has no such setting.
    let clients: Vec<Client> = CLIENTS.into_iter().filter(|client| *client != Client::Aws).collect();
    let cases = cases(&refusable, &clients, &insecure);
    let against = roots::judge(&build_facts(), &cases).against;
    for Case { name, result, .. } in &cases {
        let caught = format!("{name} is trusted: {}:", result.client);
        assert!(against.iter().any(|fact| fact.starts_with(&caught)), "{caught}: {against:#?}");
    }
    assert_eq!(cases.len(), 4 * clients.len());
}
