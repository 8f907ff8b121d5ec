//! The proofs of `cargo matrix fips-report` for which a program runs, with this build: they hold of a FIPS build, and each catches what it is for in a build with
//! another cryptography, or with settings that trust everybody.

use std::path::PathBuf;

use bottlecap::features;
use matrix::fips_report::build_report::BuildReport;
use matrix::fips_report::certificate::Certified;
use matrix::fips_report::handshake::{self, CLIENTS, Client, HandshakeResult, ProgramUnderTest};
use matrix::fips_report::roots::{self, CASES, Case, Store};
use matrix::fips_report::server::{ServerCertificate, ServerTlsConfig};

fn subject() -> ProgramUnderTest {
    ProgramUnderTest { program: PathBuf::from(env!("CARGO_BIN_EXE_bottlecap")), agent: None }
}

fn meet(taste: ServerTlsConfig, client: Client) -> HandshakeResult {
    HandshakeResult::arrange(&subject(), taste, client).unwrap()
}

fn told() -> BuildReport {
    BuildReport::of(&matrix::build::BuildReport::document(&subject().program).unwrap()).unwrap()
}

/// Whether the operating system's store makes a server of the test's own known.
const OWN_ROOTS: bool = !features::COMPILED_ROOTS;

#[test]
fn the_module_is_told_of_a_fips_build_alone() {
    let proof = told().module(&Certified::embedded().unwrap(), "bottlecap --version=json");
    assert_eq!(proof.holds, features::FIPS, "{proof:#?}");
}

#[test]
fn every_client_offers_what_is_approved_and_nothing_else_in_a_fips_build_alone() {
    for client in CLIENTS {
        let meeting = meet(ServerTlsConfig::Approved, client);
        let offer = handshake::offer(std::slice::from_ref(&meeting));
        assert!(!meeting.seen.is_empty(), "{client:?} has connected: {meeting:?}");
        assert_eq!(offer.holds, features::FIPS, "{client:?}: {offer:#?}");
        assert!(handshake::accepted(std::slice::from_ref(&meeting)).holds, "{client:?}: {meeting:?}");
    }
}

#[test]
fn servers_that_speak_something_else_get_data_of_other_builds() {
    for (taste, client) in [ServerTlsConfig::ChaCha, ServerTlsConfig::X25519]
        .into_iter()
        .flat_map(|taste| CLIENTS.map(|client| (taste, client)))
    {
        let meeting = meet(taste, client);
        let refused = handshake::refused("name", "it", std::slice::from_ref(&meeting));
        assert_eq!(refused.holds, features::FIPS, "{taste:?}, {client:?}: {meeting:?}");
    }
}

#[test]
fn a_server_without_extended_master_secret_is_refused_by_every_client_of_a_fips_build_alone() {
    for client in CLIENTS {
        let proof = handshake::extended_master_secret(&[meet(ServerTlsConfig::NoExtendedMasterSecret, client)]);
        assert_eq!(proof.holds, features::FIPS, "{client:?}: {proof:#?}");
    }
}

#[test]
fn roots_are_proven_of_every_client_of_builds_with_the_systems() {
    let all = CASES.into_iter().flat_map(|case| CLIENTS.map(|client| (case, client)));
    let cases: Vec<Case> = all.map(|(case, client)| Case::arrange(&subject(), case, client, &[]).unwrap()).collect();
    let proof = roots::judge(&told(), &cases);
    assert_eq!(proof.holds, OWN_ROOTS, "{proof:#?}");
}

#[test]
fn clients_that_trust_everybody_are_caught_by_each_certificate_that_nobody_may_accept() {
    // The client to AWS has no such setting.
    for client in CLIENTS.into_iter().filter(|client| *client != Client::Aws) {
        let careless = [("DD_SKIP_SSL_VALIDATION", "true")];
        let refusable =
            CASES.into_iter().filter(|(_, shown, store)| *shown != ServerCertificate::Good || *store == Store::Nowhere);
        let cases: Vec<Case> =
            refusable.map(|case| Case::arrange(&subject(), case, client, &careless).unwrap()).collect();
        let against = roots::judge(&told(), &cases).against;
        for Case { name, .. } in &cases {
            let caught = format!("{name} is trusted: {}:", client.name());
            assert!(against.iter().any(|fact| fact.starts_with(&caught)), "{caught}: {against:#?}");
        }
        assert_eq!(cases.len(), 4);
    }
}
