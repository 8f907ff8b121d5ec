//! The proofs for which the program runs: asked what it is, changed by a bit, and beside servers that it must and must not talk to.

use std::sync::atomic::AtomicBool;

use super::build_report::BuildReport;
use super::certificate::CertifiedModule;
use super::concurrency;
use super::error::Error;
use super::gather::check;
use super::handshake::{self, CLIENTS, HandshakeResult, ProgramUnderTest};
use super::integrity::{self, ModuleBytes};
use super::proof::{Facts, Proof};
use super::roots::{self, CASES, Case};
use super::server::ServerTlsConfig;
use crate::target::Architecture;
use crate::{build, emulator};

/// The program that the proofs run, and how.
#[derive(Clone, Copy)]
pub struct RunContext<'a> {
    pub subject: &'a ProgramUnderTest,
    /// Of the agent.
    pub bytes: &'a [u8],
    pub certified: &'a CertifiedModule,
    pub architecture: Architecture,
    pub interrupted: &'a AtomicBool,
}

/// The names of these proofs, in their order.
const NAMES: [&str; 8] =
    ["module", integrity::NAME, "offer", "accepted", "chacha", "x25519", "extended-master-secret", "roots"];

/// The results of the sandbox runs of a program that can be started here.
pub struct RunProofs {
    /// What the program says of itself.
    build_report: BuildReport,
    /// The proofs from sandbox runs.
    proofs: Vec<Proof>,
}

/// The results of all proofs for which the program runs.
pub struct ProofResults {
    pub proofs: Vec<Proof>,
    /// What the program says of itself; none where nothing can start it.
    pub build_report: Option<BuildReport>,
}

/// All of these proofs. `place` is where the module is in the program, or why that cannot be told.
pub fn proofs(
    runs: &RunContext<'_>,
    sandboxed: Option<RunProofs>,
    place: Result<ModuleBytes, String>,
) -> Result<ProofResults, Error> {
    let Some(RunProofs { build_report, proofs: from_sandboxes }) = sandboxed else {
        return Ok(ProofResults { proofs: not_run(runs.architecture), build_report: None });
    };
    let asked = format!("{} --version=json", runs.subject.agent().display());
    let mut proofs = vec![build_report.module(runs.certified, &asked), runs.integrity(place)?];
    proofs.extend(from_sandboxes);
    if runs.is_emulated() {
        let note = format!(
            "run in an emulator of {}, not by such a processor, and without a launcher before it",
            runs.architecture
        );
        for proof in &mut proofs {
            proof.evidence.push(note.clone());
        }
    }
    Ok(ProofResults { proofs, build_report: Some(build_report) })
}

/// The same where nothing can start the program.
fn not_run(architecture: Architecture) -> Vec<Proof> {
    let reason = format!("the program is for {architecture}, and there is no emulator of that here");
    let how = "the same command on such a machine";
    NAMES.iter().map(|name| Proof::not_run(name, "What the program does when it runs.", how, &reason)).collect()
}

impl RunContext<'_> {
    /// Runs the program beside each server, which needs nothing but the program; none where nothing can start it.
    pub fn in_sandboxes(&self) -> Result<Option<RunProofs>, Error> {
        if !emulator::can_start(self.architecture) {
            return Ok(None);
        }
        // An emulator does not start what the program that it runs executes.
        let alone = ProgramUnderTest { program: self.subject.agent().to_owned(), agent: None };
        let runs = RunContext { subject: if self.is_emulated() { &alone } else { self.subject }, ..*self };
        let document = build::BuildReport::document(runs.subject.agent());
        let build_report = document.and_then(|document| BuildReport::of(&document));
        let build_report =
            build_report.map_err(|reason| Error::Mute { program: runs.subject.agent().to_owned(), reason })?;
        let mut proofs = runs.handshakes()?;
        proofs.push(runs.roots(&build_report)?);
        Ok(Some(RunProofs { build_report, proofs }))
    }

    fn is_emulated(&self) -> bool {
        self.architecture != Architecture::of_this_machine()
    }

    /// Maximum number of concurrent runs. An emulator keeps a processor busy with each.
    fn at_once(&self) -> usize {
        if self.is_emulated() { 2 } else { concurrency::AT_ONCE }
    }

    fn integrity(&self, place: Result<ModuleBytes, String>) -> Result<Proof, Error> {
        check(self.interrupted)?;
        match place {
            Ok(module) => Ok(integrity::judge(&module.run_copies(self.bytes).map_err(Error::Directory)?)),
            Err(reason) => {
                let mut facts = Facts::default();
                facts.note(false, reason);
                Ok(Proof::new(integrity::NAME, integrity::CLAIM, "the names in the program", facts))
            }
        }
    }

    fn handshakes(&self) -> Result<Vec<Proof>, Error> {
        let approved = self.handshakes_with(ServerTlsConfig::Approved)?;
        let chacha = self.handshakes_with(ServerTlsConfig::ChaCha)?;
        let x25519 = self.handshakes_with(ServerTlsConfig::X25519)?;
        let old = self.handshakes_with(ServerTlsConfig::NoExtendedMasterSecret)?;
        Ok(vec![
            handshake::offer(&approved),
            handshake::accepted(&approved),
            handshake::refused("chacha", "nothing but suites with ChaCha20-Poly1305", &chacha),
            handshake::refused("x25519", "AES-GCM, but exchanges keys over X25519 alone,", &x25519),
            handshake::extended_master_secret(&old),
        ])
    }

    /// Every client beside such a server.
    fn handshakes_with(&self, tls: ServerTlsConfig) -> Result<Vec<HandshakeResult>, Error> {
        concurrency::each(self.at_once(), &CLIENTS, |client| {
            check(self.interrupted)?;
            HandshakeResult::connect(self.subject, tls, *client)
        })
    }

    fn roots(&self, build_report: &BuildReport) -> Result<Proof, Error> {
        let all: Vec<_> = CASES.into_iter().flat_map(|case| CLIENTS.map(|client| (case, client))).collect();
        let cases = concurrency::each(self.at_once(), &all, |(case, client)| {
            check(self.interrupted)?;
            Case::connect(self.subject, *case, *client, &[])
        })?;
        Ok(roots::judge(build_report, &cases))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_started_is_marked_as_not_run() {
        let proofs = not_run(Architecture::Arm64);
        assert_eq!(proofs.len(), NAMES.len());
        assert!(proofs.iter().all(|proof| !proof.holds && proof.outcome() == "not run"));
        assert!(proofs[0].not_run.as_ref().unwrap().contains("arm64"));
    }
}
