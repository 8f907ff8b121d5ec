//! Zig and the command of cargo that links with it: where they are, and what of them is in a program.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Error, Flavour, Libc, Zig};
use crate::materials::parts::{Part, Source};
use crate::venv::{PythonRequirements, Venv};

/// Both of them on this machine.
#[derive(Clone, Debug)]
pub(super) struct ZigInstallation {
    /// The command of cargo.
    pub command: PathBuf,
    /// The folder with the compiler and the sources of its libraries.
    pub folder: PathBuf,
}

impl ZigInstallation {
    /// Installs them below `target`, or finds them there.
    pub fn ensure(zig: &Zig, target: &Path, progress: &dyn Fn(&str)) -> Result<Self, Error> {
        let requirements = zig.requirements.join("\n");
        let wanted = PythonRequirements { name: "zig", requirements: &requirements };
        let environment = Venv::ensure("python3", &target.join("zig"), &wanted, progress)?.directory();
        let libraries = environment.join("lib");
        let failed = |source| Error::File { path: libraries.clone(), source };
        let versions = fs::read_dir(&libraries).map_err(failed)?.flatten();
        let mut folders = versions.map(|version| version.path().join("site-packages/ziglang"));
        let folder = folders.find(|folder| folder.is_dir());
        let folder = folder.ok_or_else(|| failed(std::io::Error::other("ziglang is not in it")))?;
        Ok(Self { command: environment.join("bin/cargo-zigbuild"), folder })
    }

    pub fn program(&self) -> PathBuf {
        self.folder.join("zig")
    }

    /// What zig itself puts into a program of this flavour.
    pub fn parts(&self, flavour: &Flavour, version: &str) -> Result<Vec<Part>, Error> {
        let text = |place: &str| {
            let path = self.folder.join(place);
            fs::read_to_string(&path).map_err(|source| Error::File { path, source })
        };
        let mut parts = vec![
            Part {
                name: "zig-compiler-rt",
                version: version.to_owned(),
                licence: "MIT",
                about: "what zig links into every program: arithmetic that the processor does not have",
                source: Source::Compiler,
                product: None,
                texts: vec![text("LICENSE")?],
            },
            Part {
                name: "llvm-libunwind",
                version: String::new(),
                licence: "Apache-2.0 WITH LLVM-exception",
                about: "the unwinder, of the sources that come with zig",
                source: Source::Compiler,
                product: None,
                texts: vec![text("lib/libunwind/LICENSE.TXT")?],
            },
        ];
        if flavour.libc == Libc::Musl {
            parts.push(Part {
                name: "musl",
                version: quoted(&text("lib/libc/musl/src/internal/version.h")?).to_owned(),
                licence: "MIT",
                about: "the C library, linked into the programs, of the sources that come with zig",
                source: Source::Compiler,
                product: Some("musl-libc:musl"),
                texts: vec![text("lib/libc/musl/COPYRIGHT")?],
            });
        }
        Ok(parts)
    }
}

/// What stands between the first two quotation marks.
fn quoted(text: &str) -> &str {
    text.split('"').nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flavour::Flavours;

    #[test]
    fn components_of_zig_are_listed_with_licence_and_version() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("LICENSE", "Zig's terms"),
            ("lib/libunwind/LICENSE.TXT", "LLVM's terms"),
            ("lib/libc/musl/src/internal/version.h", "#define VERSION \"9.8.7\"\n"),
            ("lib/libc/musl/COPYRIGHT", "musl's terms"),
        ];
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let installed = ZigInstallation { command: PathBuf::new(), folder: folder.path().to_owned() };
        let parts_of = |name: &str| {
            let flavours = Flavours::embedded().unwrap();
            let flavour = flavours.all.iter().find(|flavour| flavour.name == name).unwrap();
            let parts = installed.parts(flavour, "1.2.3").unwrap().into_iter();
            parts.map(|part| (part.name, part.version, part.texts.concat())).collect::<Vec<_>>()
        };
        let (old, musl) = (parts_of("x86_64-old"), parts_of("arm64-musl"));
        assert_eq!(old[0], ("zig-compiler-rt", "1.2.3".to_owned(), "Zig's terms".to_owned()));
        assert_eq!((old.len(), old[1].0), (2, "llvm-libunwind"), "glibc is the system's");
        assert_eq!(musl[2], ("musl", "9.8.7".to_owned(), "musl's terms".to_owned()));
        fs::remove_file(folder.path().join("LICENSE")).unwrap();
        let flavour = Flavours::embedded().unwrap().all[0].clone();
        assert!(installed.parts(&flavour, "1").unwrap_err().to_string().contains("LICENSE"), "nothing is left out");
    }
}
