//! The proofs for which the program runs: asked what it is, changed by a bit, and beside servers that it must and must not talk to.

use std::sync::atomic::AtomicBool;

use super::build_report::BuildReport;
use super::certificate::Certified;
use super::error::Error;
use super::gather::check;
use super::handshake::{self, CLIENTS, HandshakeResult, ProgramUnderTest};
use super::integrity::{self, ModuleBytes};
use super::lives;
use super::proof::{Facts, Proof};
use super::roots::{self, CASES, Case};
use super::server::ServerTlsConfig;
use crate::target::Architecture;
use crate::{build, emulator};

/// What is run.
#[derive(Clone, Copy)]
pub struct Runs<'a> {
    pub subject: &'a ProgramUnderTest,
    /// Of the agent.
    pub bytes: &'a [u8],
    pub certified: &'a Certified,
    pub architecture: Architecture,
    pub interrupted: &'a AtomicBool,
}

/// The names of these proofs, in their order.
const NAMES: [&str; 8] =
    ["module", integrity::NAME, "offer", "accepted", "chacha", "x25519", "extended-master-secret", "roots"];

/// What came of the lives of a program that something here can start.
pub struct Lives {
    /// What the program says of itself.
    told: BuildReport,
    /// Those of the lives.
    proofs: Vec<Proof>,
}

/// What came of it.
pub struct Ran {
    pub proofs: Vec<Proof>,
    /// What the program says of itself; none where nothing can start it.
    pub told: Option<BuildReport>,
}

/// All of these proofs. `place` is where the module is in the program, or why that cannot be told.
pub fn proofs(runs: &Runs<'_>, lives: Option<Lives>, place: Result<ModuleBytes, String>) -> Result<Ran, Error> {
    let Some(Lives { told, proofs: of_lives }) = lives else {
        return Ok(Ran { proofs: not_run(runs.architecture), told: None });
    };
    let asked = format!("{} --version=json", runs.subject.agent().display());
    let mut proofs = vec![told.module(runs.certified, &asked), runs.integrity(place)?];
    proofs.extend(of_lives);
    if runs.is_emulated() {
        let note = format!(
            "run in an emulator of {}, not by such a processor, and without a launcher before it",
            runs.architecture
        );
        for proof in &mut proofs {
            proof.evidence.push(note.clone());
        }
    }
    Ok(Ran { proofs, told: Some(told) })
}

/// The same where nothing can start the program.
fn not_run(architecture: Architecture) -> Vec<Proof> {
    let reason = format!("the program is for {architecture}, and there is no emulator of that here");
    let how = "the same command on such a machine";
    NAMES.iter().map(|name| Proof::not_run(name, "What the program does when it runs.", how, &reason)).collect()
}

impl Runs<'_> {
    /// Has the program live beside each server, which needs nothing but the program; none where nothing can start it.
    pub fn lives(&self) -> Result<Option<Lives>, Error> {
        if !emulator::can_start(self.architecture) {
            return Ok(None);
        }
        // An emulator does not start what the program that it runs executes.
        let alone = ProgramUnderTest { program: self.subject.agent().to_owned(), agent: None };
        let runs = Runs { subject: if self.is_emulated() { &alone } else { self.subject }, ..*self };
        let told = build::BuildReport::document(runs.subject.agent()).and_then(|told| BuildReport::of(&told));
        let told = told.map_err(|reason| Error::Mute { program: runs.subject.agent().to_owned(), reason })?;
        let mut proofs = runs.handshakes()?;
        proofs.push(runs.roots(&told)?);
        Ok(Some(Lives { told, proofs }))
    }

    fn is_emulated(&self) -> bool {
        self.architecture != Architecture::of_this_machine()
    }

    /// How many lives there may be at once. An emulator keeps a processor busy with each.
    fn at_once(&self) -> usize {
        if self.is_emulated() { 2 } else { lives::AT_ONCE }
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
        let approved = self.meet(ServerTlsConfig::Approved)?;
        let chacha = self.meet(ServerTlsConfig::ChaCha)?;
        let x25519 = self.meet(ServerTlsConfig::X25519)?;
        let old = self.meet(ServerTlsConfig::NoExtendedMasterSecret)?;
        Ok(vec![
            handshake::offer(&approved),
            handshake::accepted(&approved),
            handshake::refused("chacha", "nothing but suites with ChaCha20-Poly1305", &chacha),
            handshake::refused("x25519", "AES-GCM, but exchanges keys over X25519 alone,", &x25519),
            handshake::extended_master_secret(&old),
        ])
    }

    /// Every client beside such a server.
    fn meet(&self, taste: ServerTlsConfig) -> Result<Vec<HandshakeResult>, Error> {
        lives::each(self.at_once(), &CLIENTS, |client| {
            check(self.interrupted)?;
            HandshakeResult::arrange(self.subject, taste, *client)
        })
    }

    fn roots(&self, told: &BuildReport) -> Result<Proof, Error> {
        let all: Vec<_> = CASES.into_iter().flat_map(|case| CLIENTS.map(|client| (case, client))).collect();
        let cases = lives::each(self.at_once(), &all, |(case, client)| {
            check(self.interrupted)?;
            Case::arrange(self.subject, *case, *client, &[])
        })?;
        Ok(roots::judge(told, &cases))
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
