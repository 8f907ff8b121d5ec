//! What of the tools that compile C and link decides what a program becomes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::compiler::{VERSION, first_line};
use super::tools::CC;
use crate::hash;

/// Libraries of the compiler and of its machine's C library that come to lie in programs. A security update replaces them without another version of the compiler.
const LIBRARIES: [&str; 2] = ["libc.a", "libgcc.a"];

/// Of this machine's compiler. The files are megabytes, and every call asks for them several times.
static OF_THIS_MACHINE: LazyLock<String> = LazyLock::new(|| of_compiler(Path::new(CC)));
/// What builds the FIPS module beside the compiler.
static OF_FIPS: LazyLock<String> = LazyLock::new(|| {
    format!("{}\n{}", first_line(Path::new("go"), "version"), first_line(Path::new("cmake"), VERSION))
});

/// The compiler of this machine, with the libraries that it links.
pub fn of_this_machine() -> &'static str {
    &OF_THIS_MACHINE
}

/// The versions of Go and `CMake`, a line each.
pub fn of_fips() -> &'static str {
    &OF_FIPS
}

/// The first line of a compiler's version, and the SHA-256 of each library, a line each; `none` of one that it does not have.
pub(super) fn of_compiler(compiler: &Path) -> String {
    let mut text = first_line(compiler, VERSION);
    for library in LIBRARIES {
        let sha256 = file(compiler, library).and_then(|path| hash::of_files([path.as_path()]).ok());
        let _ = write!(text, "\n{library} {}", sha256.as_deref().unwrap_or("none"));
    }
    text
}

/// Where a compiler finds a library; it repeats the bare name where it does not.
fn file(compiler: &Path, library: &str) -> Option<PathBuf> {
    let output = Command::new(compiler).arg(format!("-print-file-name={library}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_absolute().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executable;

    #[test]
    fn another_compiler_or_library_changes_the_c_tools() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let compiler = |name: &str, version: &str| {
            let script = format!(
                "#!/bin/sh\ncase $1 in\n--version) echo '{version}' ;;\n*libc.a) echo '{}' ;;\n*) echo libgcc.a ;;\nesac\n",
                at("libc.a").display()
            );
            executable::write(&at(name), script).unwrap();
            at(name)
        };
        let (one, other) = (compiler("one", "cc 12"), compiler("other", "cc 13"));
        std::fs::write(at("libc.a"), "abc").unwrap();
        let before = of_compiler(&one);
        let expected = format!("cc 12\nlibc.a {}\nlibgcc.a none", hash::hexadecimal(b"abc"));
        assert_eq!(before, expected);
        assert_ne!(of_compiler(&other), before);
        std::fs::write(at("libc.a"), "an update").unwrap();
        assert_ne!(of_compiler(&one), before);
        assert_eq!(of_this_machine(), of_compiler(Path::new(CC)));
    }
}
