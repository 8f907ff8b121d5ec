//! Whether the module tests itself: copies of the program with one bit of the module changed have to end before `main`.

use std::ops::Range;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use nix::sys::signal::Signal;

use super::proof::{Facts, Proof};
use crate::elf::program::Program;
use crate::{emulator, executable};

/// The module's own names of where its code and constants begin and end. Source: `crypto/fipsmodule/bcm.c` and `util/fipstools/delocate/delocate.go`.
const BOUNDS: [&str; 2] = ["BORINGSSL_bcm_text_start", "BORINGSSL_bcm_text_end"];
/// How many copies are made, each with one bit changed, at places spread evenly over the module.
const COPIES: usize = 16;
/// What the program is asked in `main`.
const QUESTION: &str = "--version=json";
/// How long it may take for its answer. A changed copy may go on for ever in the test of the module.
const LIMIT: Duration = Duration::from_mins(1);

pub const NAME: &str = "integrity";
pub const CLAIM: &str = "The module tests its own integrity before `main`: a program in which one bit of it has changed aborts and says nothing.";

/// The bytes of the module in a program's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleBytes(Range<usize>);

/// How a program ended that was asked what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The byte of the file that was changed; none in the program as it is.
    pub changed: Option<usize>,
    /// By which signal it ended, if it did.
    pub signal: Option<i32>,
    /// Whether it answered.
    pub answered: bool,
    /// Whether it was killed because it had not ended after [`LIMIT`].
    pub late: bool,
}

impl ModuleBytes {
    /// Finds the module by the names in a program, which has to have the same bytes there as the one that is shipped without names.
    pub fn of(named: &[u8], shipped: &[u8]) -> Result<Self, String> {
        let program = Program::parse(named).map_err(|error| error.to_string())?;
        let [start, end] = BOUNDS.map(|bound| {
            let found = program.symbols().find(|symbol| symbol.name.ends_with(bound));
            found
                .map(|symbol| symbol.address)
                .ok_or_else(|| format!("there is no {bound} in it, so that where the module is cannot be told"))
        });
        let (start, end) = (start?, end?);
        let nowhere = || format!("no segment has the module, which is at {start:#x} to {end:#x}");
        let place = |file: &[u8]| Program::parse(file).ok()?.loaded_at(start..end);
        let (there, here) = (place(named).ok_or_else(nowhere)?, place(shipped).ok_or_else(nowhere)?);
        let same = named.get(there).zip(shipped.get(here.clone())).is_some_and(|(there, here)| there == here);
        if same {
            Ok(Self(here))
        } else {
            Err("the program with names has another module than the one that is shipped".to_owned())
        }
    }

    /// The bytes to change, one in each copy.
    fn places(&self) -> impl Iterator<Item = usize> {
        let Range { start, end } = self.0;
        let last = end - start - 1;
        (0..COPIES).map(move |copy| start + last * copy / (COPIES - 1))
    }

    /// Runs the program as it is, and then copies of it.
    pub fn run_copies(&self, program: &[u8]) -> io::Result<Vec<Run>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("program");
        let mut runs = vec![run(&file, program, None)?];
        for place in self.places() {
            let mut copy = program.to_vec();
            if let Some(byte) = copy.get_mut(place) {
                *byte ^= 1;
            }
            runs.push(run(&file, &copy, Some(place))?);
        }
        Ok(runs)
    }
}

fn run(file: &Path, bytes: &[u8], changed: Option<usize>) -> io::Result<Run> {
    executable::write(file, bytes)?;
    let start = emulator::start(file).map_err(io::Error::other)?;
    let mut command = Command::new(start.program);
    command.args(start.arguments).arg(QUESTION).env_clear().current_dir("/");
    let output = executable::output_within(&mut command, LIMIT)?;
    fs::remove_file(file)?;
    let Some(output) = output else { return Ok(Run { changed, signal: None, answered: false, late: true }) };
    let answered = output.status.success() && !output.stdout.is_empty();
    Ok(Run { changed, signal: output.status.signal(), answered, late: false })
}

/// Judges how the program and its copies ended. The test's own code is in the module as well: a copy may crash or hang in it, and most have to abort.
pub fn judge(runs: &[Run]) -> Proof {
    let mut facts = Facts::default();
    let (copies, whole): (Vec<&Run>, Vec<&Run>) = runs.iter().partition(|run| run.changed.is_some());
    let answers = whole.iter().all(|run| run.answered) && !whole.is_empty();
    if whole.iter().any(|run| run.late) {
        facts.not_run.push(format!("as it is, the program has not answered within {} s", LIMIT.as_secs()));
    } else {
        facts.note(
            answers,
            if answers { "as it is, the program answers" } else { "as it is, the program does not answer" },
        );
    }
    let ended = |run: &&&Run| !run.answered && (run.signal.is_some() || run.late);
    let aborted = copies.iter().filter(|run| run.signal == Some(Signal::SIGABRT as i32) && !run.answered).count();
    for run in copies.iter().filter(|run| !ended(run)) {
        facts.note(
            false,
            format!("with bit 0 of byte {} changed, it {}", run.changed.unwrap_or_default(), outcome(run)),
        );
    }
    let crashed = copies.iter().filter(ended).count() - aborted;
    let most = aborted > 0 && 4 * aborted >= 3 * copies.len();
    facts.note(
        most,
        format!("of {} copies with one bit of the module changed, {aborted} abort before main and {crashed} crash or hang in the test", copies.len()),
    );
    let how = format!(
        "`{QUESTION}` of the program, and of copies of it with one bit changed, in bytes spread evenly over the module"
    );
    Proof::new(NAME, CLAIM, how, facts)
}

fn outcome(run: &Run) -> &'static str {
    if run.answered { "answers as before" } else { "ends by itself" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(changed: Option<usize>, signal: Option<i32>) -> Run {
        Run { changed, signal, answered: signal.is_none(), late: false }
    }

    fn copies(signals: &[Option<i32>]) -> Vec<Run> {
        let changed = signals.iter().enumerate().map(|(place, signal)| run(Some(place), *signal));
        [run(None, None)].into_iter().chain(changed).collect()
    }

    #[test]
    fn every_changed_copy_has_to_end_and_most_of_them_by_an_abort() {
        let (abort, crash) = (Some(Signal::SIGABRT as i32), Some(Signal::SIGSEGV as i32));
        assert!(judge(&copies(&[abort, abort, abort, crash])).holds);
        assert!(!judge(&copies(&[abort, abort, abort, None])).holds, "one copy lives");
        assert!(!judge(&copies(&[crash, crash, crash, crash])).holds, "nothing is tested");
        assert!(!judge(&copies(&[])).holds && !judge(&[]).holds);
        let late = |run: &Run| Run { answered: false, signal: None, late: true, ..run.clone() };
        let mut hanging = copies(&[abort, abort, abort, abort]);
        hanging[1] = late(&hanging[1]);
        assert!(judge(&hanging).holds, "it says nothing either: {:?}", judge(&hanging));
        hanging[0] = late(&hanging[0]);
        assert_eq!(judge(&hanging).outcome(), "not run", "a program that was not asked proves nothing");
        let mut dead = copies(&[abort]);
        dead[0].answered = false;
        assert!(!judge(&dead).holds, "a program that always aborts proves nothing");
    }

    /// A program without an integrity test lives whatever of its constants changes: this is what the proof has to catch.
    #[test]
    fn a_program_that_does_not_test_itself_is_caught() {
        let folder = tempfile::tempdir().unwrap();
        let (source, program) = (folder.path().join("program.rs"), folder.path().join("program"));
        let module = r#"
            std::arch::global_asm!(
                ".section .rodata.module, \"a\"",
                ".globl x_BORINGSSL_bcm_text_start", "x_BORINGSSL_bcm_text_start:", ".fill 4096",
                ".globl x_BORINGSSL_bcm_text_end", "x_BORINGSSL_bcm_text_end:", ".byte 1",
                ".text",
            );
            extern "C" { static x_BORINGSSL_bcm_text_start: u8; }
            fn main() { println!("{}", unsafe { x_BORINGSSL_bcm_text_start }); }
        "#;
        fs::write(&source, module).unwrap();
        let made = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["--target", &crate::target::plain(), "-o"])
            .args([&program, &source])
            .status();
        assert!(made.unwrap().success());
        let bytes = fs::read(&program).unwrap();
        let module = ModuleBytes::of(&bytes, &bytes).unwrap();
        let proof = judge(&module.run_copies(&bytes).unwrap());
        assert!(!proof.holds && proof.against.len() == COPIES + 1, "{proof:?}");
        let mut other = bytes.clone();
        other[module.0.start] ^= 1;
        assert!(ModuleBytes::of(&bytes, &other).is_err(), "the shipped program has another module");
        assert!(ModuleBytes::of(b"#!/bin/sh\n", &bytes).is_err());
    }

    #[test]
    fn a_program_without_the_module_has_no_place_to_change() {
        let file = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(ModuleBytes::of(&file, &file).unwrap_err().contains("BORINGSSL_bcm_text_start"));
    }
}
