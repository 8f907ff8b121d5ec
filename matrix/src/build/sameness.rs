//! What two programs have in common if they are one: all bytes but those in which each says how it was built.

use std::fs;
use std::io;
use std::iter;
use std::path::Path;

use crate::elf::program::Program;
use crate::hash;

/// The first bytes of the record of compiler flags in an agent, and its size: those of `src/build_info/flags.rs`.
const MARK: &[u8] = b"\0bottlecap: target features and flags\0";
const SIZE: usize = 2048;
/// The section in which a linker leaves a hash of all others.
const BUILD_ID: &str = ".note.gnu.build-id";

/// The SHA-256 of programs one after the other, without what they say of their compiler flags; in hexadecimal.
pub fn of_files<'p>(paths: impl IntoIterator<Item = &'p Path>) -> io::Result<String> {
    let mut all = Vec::new();
    for path in paths {
        let mut program = fs::read(path)?;
        blank(&mut program);
        all.append(&mut program);
    }
    Ok(hash::hexadecimal(&all))
}

/// Overwrites the record of compiler flags with zeros, and the linker's hash, which changes with it. A program without a record, or with several, stays as it is.
fn blank(program: &mut [u8]) {
    let Some(start) = only_record(program) else { return };
    let build_id = Program::parse(program).ok().and_then(|program| program.section(BUILD_ID));
    let record = start..start.saturating_add(SIZE);
    for place in iter::once(record).chain(build_id) {
        program.get_mut(place).unwrap_or_default().fill(0);
    }
}

fn only_record(program: &[u8]) -> Option<usize> {
    let mut places =
        program.windows(MARK.len()).enumerate().filter(|(_, bytes)| *bytes == MARK).map(|(place, _)| place);
    places.next().filter(|_| places.next().is_none())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;
    use crate::workspace;

    /// A program that prints its flags, compiled from the agent's own record with these in it.
    fn compiled(folder: &Path, name: &str, flags: &str, number: u8) -> PathBuf {
        let source = folder.join(format!("{name}.rs"));
        let record = workspace::root().join("src/build_info/flags.rs");
        let main = format!("fn main() {{ println!(\"{{}} {number}\", flags::FLAGS.rustflags()); }}");
        fs::write(&source, format!("#[allow(dead_code)]\n#[path = {record:?}]\nmod flags;\n{main}\n")).unwrap();
        let program = folder.join(name);
        let mut rustc = workspace::environment::rustc(&workspace::root());
        rustc.args(["--edition", "2024", "--crate-name", "one", "-O", "-C", "link-arg=-Wl,--build-id"]);
        rustc.env("BOTTLECAP_TARGET_FEATURES", "sse2").env("BOTTLECAP_FLAGS", flags);
        let output = rustc.arg("-o").arg(&program).arg(&source).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        program
    }

    #[test]
    fn programs_that_differ_only_in_their_flags_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, flags: &str, number| compiled(folder.path(), name, flags, number);
        let programs = [
            program("short", "-C a", 1),
            program("long", "-C link-arg=-Wl,-z,now -C b", 1),
            program("other", "-C a", 2),
        ];
        let said = programs.each_ref().map(|program| Command::new(program).output().unwrap().stdout);
        assert_eq!(said, [&b"-C a 1\n"[..], b"-C link-arg=-Wl,-z,now -C b 1\n", b"-C a 2\n"]);
        let whole = programs.each_ref().map(|program| hash::of_files([program.as_path()]).unwrap());
        let [short, long, other] = programs.each_ref().map(|program| of_files([program.as_path()]).unwrap());
        assert_ne!(whole[0], whole[1]);
        assert_eq!(short, long);
        assert_ne!(short, other);
    }

    #[test]
    fn programs_without_one_record_are_compared_whole() {
        let folder = tempfile::tempdir().unwrap();
        let same = |content: &[u8]| {
            let path = folder.path().join("program");
            fs::write(&path, content).unwrap();
            of_files([path.as_path()]).unwrap() == hash::hexadecimal(content)
        };
        assert!(same(b"") && same(b"#!/bin/sh\n") && same(&[MARK, MARK].concat()));
        assert!(same(&[MARK, b"flags"].concat()), "a record that is cut off");
        assert!(!same(&[MARK, &[1; SIZE]].concat()));
        assert!(of_files([Path::new("/nowhere")]).is_err());
    }
}
