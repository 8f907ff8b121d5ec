//! A program from elsewhere, in the forms in which extensions are to be had: a file, a layer, or a folder as it comes to stand below `/opt`.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::archive::{self, places};
use crate::files;

/// What zip files begin with.
const ZIP: &[u8] = b"PK\x03\x04";

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Program,
    Layer,
    Folder,
}

/// The files of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    pub program: PathBuf,
    /// What the program executes, if it is a launcher of ours.
    pub agent: Option<PathBuf>,
}

impl Form {
    /// None of what cannot be measured.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        if metadata.is_dir() {
            return path.join(places::EXTENSIONS).is_dir().then_some(Self::Folder);
        }
        // A pipe would be waited for.
        if !metadata.is_file() {
            return None;
        }
        let executable = metadata.permissions().mode() & 0o111 != 0;
        if is_zip(path) { Some(Self::Layer) } else { executable.then_some(Self::Program) }
    }
}

fn is_zip(path: &Path) -> bool {
    let mut start = [0; ZIP.len()];
    fs::File::open(path).and_then(|mut file| io::Read::read_exact(&mut file, &mut start)).is_ok() && start == ZIP
}

/// Unpacks a layer into a folder.
pub fn unpack(layer: &Path, folder: &Path) -> io::Result<()> {
    archive::unpack(&files::read(layer)?, folder).map_err(io::Error::other)
}

/// The files of the one extension in a folder that stands for `/opt`.
pub fn of_folder(folder: &Path) -> io::Result<Files> {
    let extensions = folder.join(places::EXTENSIONS);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", extensions.display()));
    let mut programs = Vec::new();
    for entry in fs::read_dir(&extensions).map_err(named)? {
        let path = entry?.path();
        if path.is_file() {
            programs.push(path);
        }
    }
    let Ok([program]) = <[PathBuf; 1]>::try_from(programs) else {
        return Err(io::Error::other(format!("{} has to have one extension in it, no more", extensions.display())));
    };
    let agent = Some(folder.join(places::AGENT)).filter(|agent| agent.is_file());
    Ok(Files { program, agent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_comes_as_a_program_a_layer_or_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("text"), "no program").unwrap();
        fs::write(at("layer.zip"), b"PK\x03\x04...").unwrap();
        fs::create_dir_all(at("opt/extensions")).unwrap();
        let form = |name: &str| Form::of(&at(name));
        assert_eq!(Form::of(Path::new("/bin/true")), Some(Form::Program));
        assert_eq!((form("layer.zip"), form("opt")), (Some(Form::Layer), Some(Form::Folder)));
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in ["text", "nothing", ".", "pipe", "/dev/zero"] {
            assert_eq!(form(name), None, "{name}");
        }
    }

    #[test]
    fn a_folder_has_one_extension_and_perhaps_what_that_executes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(of_folder(folder.path()).unwrap_err().to_string().contains("extensions"));
        fs::create_dir(at("extensions")).unwrap();
        assert!(
            of_folder(folder.path()).unwrap_err().to_string().ends_with("has to have one extension in it, no more")
        );
        fs::write(at("extensions/any-name"), "").unwrap();
        let program = at("extensions/any-name");
        assert_eq!(of_folder(folder.path()).unwrap(), Files { program: program.clone(), agent: None });
        fs::create_dir(at("bottlecap")).unwrap();
        fs::write(at("bottlecap/agent"), "").unwrap();
        assert_eq!(of_folder(folder.path()).unwrap(), Files { program, agent: Some(at("bottlecap/agent")) });
        fs::write(at("extensions/another"), "").unwrap();
        assert!(of_folder(folder.path()).is_err());
    }
}
