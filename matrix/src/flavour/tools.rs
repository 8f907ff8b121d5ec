//! A flavour on this machine: what has to be called, and with what.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::c_tools;
use super::compiler::{VERSION, check, first_line, sysroot};
use super::zig::ZigInstallation;
use super::{Architecture, Compiler, Error, Flavour, Flavours, LayerTarget, Libc, Linker};
use crate::elf::Glibc;
use crate::manifest::{Levels, ON};
use crate::materials::parts::{Part, version};
use crate::workspace::Profile;
use crate::workspace::sources;

/// The compiler of the distribution for another processor.
const GCC: &str = "aarch64-linux-gnu-gcc";
/// The C compiler of this machine, for itself. No variable names another one: it would not reach the build.
pub(super) const CC: &str = "cc";

/// What the programs of a cell are built with.
#[derive(Clone, Debug)]
pub struct Toolchain {
    pub agent: Tools,
    /// The launcher has no C library whatever the agent has, and the WAF worker always the same one. Both need a Rust compiler and the workspace's linker only.
    pub launcher: Tools,
}

/// What one program is built with.
#[derive(Clone, Debug, PartialEq)]
pub struct Tools {
    pub flavour: Flavour,
    /// As in `rustc --version`.
    pub compiler: String,
    /// The first line of the C compiler's `--version`.
    pub c_compiler: String,
    /// That line, and all else of the C compiler and its libraries that decides what a program becomes.
    pub c_tools: String,
    /// The program in whose stead cargo's `build` is called; cargo's own where there is none.
    pub command: Option<PathBuf>,
    /// The target, with the C library's version where the command takes it.
    pub target: String,
    /// Flags of rustc that every program of this flavour needs, and tells of itself.
    pub rustflags: Vec<String>,
    /// Flags of the C compiler that this flavour needs.
    pub c_flags: Vec<String>,
    /// Variables for cargo.
    pub variables: BTreeMap<String, String>,
    /// The terms of the standard library.
    pub terms: PathBuf,
    /// What the linker adds.
    pub parts: Vec<Part>,
    /// For use, or quickly to see whether something works.
    pub profile: Profile,
}

impl Toolchain {
    /// For a plain build, with whatever toolchain is at hand.
    pub fn plain(root: &Path, profile: Profile) -> Result<Self, Error> {
        let flavour = Flavours::embedded()?.plain(Architecture::of_this_machine())?;
        let tools = Tools { profile, ..Tools::of_workspace(flavour, root) };
        Ok(Self { launcher: tools.clone().for_launcher(root), agent: tools })
    }

    /// The same with the programs of the toolchain that the workspace in `root` names, called by their paths: whatever is on the path under the names of cargo and rustc takes no
    /// part in a build. A program that stands in cargo's stead, the compiler of a distribution, and what the toolchain does not have, stay what they are.
    #[must_use]
    pub fn by_path(self, root: &Path) -> Self {
        self.with_programs_in(&sysroot(root).join("bin"))
    }

    /// The same with the programs in that folder, as far as they are there.
    #[must_use]
    pub(super) fn with_programs_in(self, programs: &Path) -> Self {
        let there = |name: &str| Some(programs.join(name)).filter(|path| path.is_file());
        let by_path = |mut tools: Tools| {
            if tools.flavour.compiler == Compiler::Workspace {
                if let Some(rustc) = there("rustc") {
                    tools.set("RUSTC", &rustc);
                }
                tools.command = tools.command.or_else(|| there("cargo"));
            }
            tools
        };
        Self { agent: by_path(self.agent), launcher: by_path(self.launcher) }
    }

    /// For a layer. Refuses what is not the pinned toolchain, and tells what is missing; installs what is private to this workspace below `target`.
    pub fn of(
        wanted: &LayerTarget,
        levels: &Levels,
        root: &Path,
        target: &Path,
        progress: &dyn Fn(&str),
    ) -> Result<Self, Error> {
        let flavours = Flavours::embedded()?;
        let machine = Architecture::of_this_machine();
        let agent = flavours.of(machine, wanted, levels)?;
        let has_launcher = levels.get("launcher").is_some_and(|level| level == ON);
        let before = BTreeMap::from([("static".to_owned(), ON.to_owned())]);
        let of_launcher = LayerTarget { libc: Libc::Gnu, ..*wanted };
        let has_worker = levels.get("appsec").is_some_and(|level| level == ON);
        let is_beside = has_launcher || has_worker;
        let launcher = if is_beside { flavours.of(machine, &of_launcher, &before)? } else { agent };
        let needed = agent.packages.iter().chain(&launcher.packages).filter(|package| !flavours.has(package));
        present(needed.chain(flavours.missing_for(levels, is_on_path)))?;
        let ready = |flavour: &Flavour| -> Result<Tools, Error> {
            let tools = Tools::ready(flavours, flavour, wanted.glibc_floor, root, target, progress)?;
            let objections = flavours.objections(wanted, Some(flavour.linker), levels);
            let c_flags = objections.flat_map(|accepted| accepted.c_flags.clone()).collect();
            Ok(Tools { c_flags, ..tools })
        };
        Ok(Self { agent: ready(agent)?, launcher: ready(launcher)?.for_launcher(root) })
    }
}

impl Flavours {
    /// Refuses to build cells with these switches if a program that they need is missing.
    pub fn check_programs<'l>(&self, cells: impl Iterator<Item = &'l Levels>) -> Result<(), Error> {
        present(cells.flat_map(|levels| self.missing_for(levels, is_on_path)))
    }

    /// The packages with programs that these switches need and `is_there` does not find.
    pub(super) fn missing_for(
        &self,
        levels: &Levels,
        is_there: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = &String> {
        let required = self.required.iter().filter(|required| required.choice.holds(levels));
        required
            .flat_map(|required| &required.programs)
            .filter(move |(program, _)| !is_there(program))
            .map(|(_, package)| package)
    }

    /// Whether a package is installed.
    fn has(&self, package: &str) -> bool {
        self.packages.get(package).is_some_and(|file| file.exists())
    }
}

/// An error if packages are missing.
fn present<'p>(missing: impl Iterator<Item = &'p String>) -> Result<(), Error> {
    let packages: BTreeSet<&String> = missing.collect();
    if packages.is_empty() { Ok(()) } else { Err(Error::Missing { packages: packages.into_iter().cloned().collect() }) }
}

/// Whether a program is on the path.
fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

impl Tools {
    /// What of these tools makes the launcher, which is never built quickly: it needs the optimizer to be without panics.
    fn for_launcher(mut self, root: &Path) -> Self {
        self.profile = Profile::Release;
        if self.flavour.compiler == Compiler::Debian {
            // This compiler has no linker of its own; rustup's links for every processor.
            let linkers = sysroot(root).join("lib/rustlib").join(crate::target::plain()).join("bin");
            let path = std::env::var_os("PATH").unwrap_or_default();
            let folders = std::iter::once(linkers).chain(std::env::split_paths(&path));
            let path = std::env::join_paths(folders).unwrap_or(path);
            self.variables.insert("PATH".to_owned(), path.to_string_lossy().into_owned());
        }
        self
    }

    fn ready(
        flavours: &Flavours,
        flavour: &Flavour,
        floor: Glibc,
        root: &Path,
        target: &Path,
        progress: &dyn Fn(&str),
    ) -> Result<Self, Error> {
        let mut tools = match flavour.compiler {
            Compiler::Workspace => {
                let tools = Self::of_workspace(flavour, root);
                check(root, &tools.compiler)?;
                tools
            }
            Compiler::Debian => Self::of_debian(flavours, flavour, root)?,
        };
        match flavour.linker {
            Linker::Cc => {}
            Linker::Gcc => tools.link_with_gcc(),
            Linker::Zig => {
                let zig = ZigInstallation::ensure(&flavours.zig, target, progress)?;
                tools.link_with_zig(flavours, &zig, floor, target)?;
            }
        }
        Ok(tools)
    }

    fn of_workspace(flavour: &Flavour, root: &Path) -> Self {
        let terms = sysroot(root).join("share/doc/rust/COPYRIGHT-library.html");
        Self {
            flavour: flavour.clone(),
            compiler: sources::compiler(root),
            c_compiler: first_line(Path::new(CC), VERSION),
            c_tools: c_tools::of_this_machine().to_owned(),
            command: None,
            target: flavour.triple.clone(),
            rustflags: Vec::new(),
            c_flags: Vec::new(),
            variables: BTreeMap::new(),
            terms,
            parts: Vec::new(),
            profile: Profile::Release,
        }
    }

    fn of_debian(flavours: &Flavours, flavour: &Flavour, root: &Path) -> Result<Self, Error> {
        let debian = &flavours.debian;
        for path in [&debian.rustc, &debian.cargo] {
            let found = first_line(path, VERSION);
            if version(&found) != debian.version {
                let packages = flavour.packages.clone();
                return Err(Error::Distribution {
                    path: path.clone(),
                    pinned: debian.version.clone(),
                    found,
                    packages,
                });
            }
        }
        let mut tools = Self::of_workspace(flavour, root);
        tools.compiler = first_line(&debian.rustc, VERSION);
        tools.terms.clone_from(&debian.terms);
        tools.command = Some(debian.cargo.clone());
        tools.set("CARGO", &debian.cargo);
        tools.set("RUSTC", &debian.rustc);
        if flavour.build_std {
            // The options for it are open to every compiler that is told so.
            tools.variables.insert("RUSTC_BOOTSTRAP".to_owned(), "1".to_owned());
        }
        if flavour.libc == Libc::Musl {
            // The start files of musl are the linker's; a compiler that is not the project's own has none.
            tools.rustflags = ["-C", "link-self-contained=no"].map(str::to_owned).to_vec();
        }
        Ok(tools)
    }

    /// The C compiler that links with the libraries of its machine; none where zig brings its own.
    pub fn system_linker(&self) -> Option<OsString> {
        match self.flavour.linker {
            Linker::Cc => Some(CC.into()),
            Linker::Gcc => Some(GCC.into()),
            Linker::Zig => None,
        }
    }

    fn link_with_gcc(&mut self) {
        self.c_compiler = first_line(Path::new(GCC), VERSION);
        self.c_tools = c_tools::of_compiler(Path::new(GCC));
        let variable = format!("CARGO_TARGET_{}_LINKER", self.flavour.triple.to_uppercase().replace('-', "_"));
        self.variables.insert(variable, GCC.to_owned());
    }

    fn link_with_zig(
        &mut self,
        flavours: &Flavours,
        zig: &ZigInstallation,
        floor: Glibc,
        target: &Path,
    ) -> Result<(), Error> {
        let caches = target.join("matrix/zig");
        let caches = std::path::absolute(&caches).map_err(|source| Error::File { path: caches, source })?;
        self.command = Some(zig.command.clone());
        self.set("CARGO_ZIGBUILD_ZIG_PATH", &zig.program());
        self.set("CARGO_ZIGBUILD_CACHE_DIR", &caches.join("commands"));
        self.set("ZIG_GLOBAL_CACHE_DIR", &caches.join("libraries"));
        self.set("ZIG_LOCAL_CACHE_DIR", &caches.join("objects"));
        if self.flavour.libc == Libc::Gnu {
            self.target += &format!(".{floor}");
        }
        self.c_compiler = flavours.zig.requirements.join(" ").replace("==", " ");
        // It brings its libraries. What runs during the build is made by the compiler of this machine.
        self.c_tools = format!("{}\n{}", self.c_compiler, self.c_tools);
        let zig_version = first_line(&zig.program(), "version");
        self.parts = zig.parts(&self.flavour, &zig_version)?;
        Ok(())
    }

    /// A name for what is built with these tools; none of plain builds.
    pub fn folder(&self) -> Option<&str> {
        (self.flavour.linker != Linker::Cc).then_some(self.target.as_str())
    }

    /// The variable that has flags of the C compiler for this target.
    pub fn c_flags_variable(&self) -> String {
        format!("CFLAGS_{}", self.flavour.triple.replace('-', "_"))
    }

    /// The ending of the file with the terms of the standard library.
    pub fn terms_ending(&self) -> &'static str {
        if self.flavour.compiler == Compiler::Debian { "txt" } else { "html" }
    }

    /// What the command is told to do.
    pub fn subcommand(&self) -> &'static str {
        if self.flavour.linker == Linker::Zig { "zigbuild" } else { "build" }
    }

    /// What cargo is told beside.
    pub fn options(&self) -> Vec<&'static str> {
        if self.flavour.build_std { vec!["-Zbuild-std=std,panic_abort"] } else { Vec::new() }
    }

    fn set(&mut self, variable: &str, path: &Path) {
        self.variables.insert(variable.to_owned(), path.display().to_string());
    }
}
