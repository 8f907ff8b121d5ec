//! The yardsticks: the floor, which is a program of the launcher's package, and the floor of the standard library.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::cargo::{self, CargoCommand};
use super::recipe::Recipe;
use super::{Failure, launcher};
use crate::flavour::{Toolchain, Tools};
use crate::hash;
use crate::plan::{Cell, CellKind};
pub use crate::plan::{FLOOR, STD_FLOOR};
use crate::target::Architecture;
use crate::workspace::{self, Profile, builds_directory, environment};

/// The standard library's floor. It needs nothing else, so the compiler alone makes it, without all that this package needs.
const STD_SOURCE: &str = include_str!("../bin/std-floor.rs");

/// Where a yardstick comes from.
pub(super) enum Source {
    /// The launcher's package, in the workspace at hand.
    Package(Box<CargoCommand>),
    /// The compiler alone.
    Compiler,
    /// A file that came with this program, because it cannot be made here.
    Beside(PathBuf),
}

impl Source {
    /// Of the floor in the workspace in `root`; None where it can neither be built nor came with this program, and is not measured.
    pub(super) fn of_floor(root: &Path, tools: &Tools, builds: &Path) -> Option<Self> {
        let manifest = root.join(launcher::FOLDER).join(launcher::NAME).join("Cargo.toml");
        if manifest.is_file() && has_compiler(root) {
            return Some(Self::Package(Box::new(command(root, tools, builds))));
        }
        let beside = beside(FLOOR);
        if beside.is_none() {
            eprintln!("note: {FLOOR} is left out: it is built in a checkout, or stands beside this program");
        }
        beside.map(Self::Beside)
    }

    /// Of the standard library's floor.
    pub(super) fn of_std_floor(root: &Path) -> Self {
        let beside = beside(STD_FLOOR).filter(|_| !has_compiler(root));
        beside.map_or(Self::Compiler, Self::Beside)
    }

    /// A text that changes whenever the program would. `sources` are those of the workspace.
    pub(super) fn stamp(&self, sources: &str, tools: &Tools) -> String {
        match self {
            Self::Package(call) => format!("{sources}\n{}\n{}\n", tools.compiler, call.shell()),
            Self::Compiler => format!("{}\n", hash::hexadecimal(STD_SOURCE.as_bytes())),
            Self::Beside(file) => {
                let of_file = hash::of_files([file.as_path()]).unwrap_or_default();
                format!("{}\n{of_file}\n", file.display())
            }
        }
    }
}

/// The cell of a yardstick by its name.
pub(super) fn cell(name: &str) -> Option<Cell> {
    let kind = match name {
        FLOOR => CellKind::Floor,
        STD_FLOOR => CellKind::StdFloor,
        _ => return None,
    };
    Some(Cell { id: name.to_owned(), kind, levels: std::collections::BTreeMap::new() })
}

/// The command that makes the floor of the workspace in `root` below `builds`.
fn command(root: &Path, tools: &Tools, builds: &Path) -> CargoCommand {
    CargoCommand::new(FLOOR, &Recipe::of_launcher(tools.flavour.architecture), tools, root, builds)
}

/// The floor for tests: built into the target directory by the first that asks, for this machine.
pub fn for_tests() -> Result<&'static Path, Failure> {
    static BUILT: OnceLock<Result<PathBuf, Failure>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let root = workspace::root();
        let failure = |output: String| Failure { command: format!("cargo build --bin {FLOOR}"), output };
        let tools = Toolchain::plain(&root, Profile::Release).map_err(|error| failure(error.to_string()))?.launcher;
        Ok(command(&root, &tools, &builds_directory()).run(&root, &|_| {})?.program)
    });
    built.as_deref().map_err(Clone::clone)
}

/// The file of a yardstick beside this program. Under the name of the floor there may still be that of the standard library, as which it began.
pub(crate) fn beside(name: &str) -> Option<PathBuf> {
    let file = std::env::current_exe().ok()?.with_file_name(name);
    let is_it = |file: &Path| {
        let architecture = Architecture::of_this_machine().to_string();
        name != FLOOR || launcher::objections_to_file(file, &architecture).is_empty()
    };
    Some(file).filter(|file| file.exists() && is_it(file))
}

fn has_compiler(root: &Path) -> bool {
    environment::rustc(root).arg("--version").output().is_ok()
}

/// Makes the standard library's floor in the workspace in `root`, static and small.
pub fn compile_std_floor(root: &Path, program: &Path) -> Result<(), Failure> {
    let source = program.with_extension("rs");
    let mut command = environment::rustc(root);
    command.args(["--edition", "2024", "--crate-name", "floor", "--target", &crate::target::plain()]);
    for option in ["opt-level=z", "panic=abort", "strip=symbols", "codegen-units=1", "target-feature=+crt-static"] {
        command.args(["-C", option]);
    }
    command.arg("-o").arg(program).arg(&source);
    let made = fs::write(&source, STD_SOURCE).map_err(|error| error.to_string());
    let made = made.and_then(|()| cargo::quietly(&mut command));
    made.map_err(|output| Failure { command: format!("{command:?}"), output })
}
