//! One call of cargo: what it is told, what it says, and how a person repeats it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde::Deserialize;

use super::link_report::LinkReport;
use super::paths;
use super::profile::ReleaseProfile;
use super::recipe::Recipe;
use super::{Failure, tells_of_full_disk};
use super::{launcher, waf, yardstick};
use crate::flavour::Tools;
use crate::materials::packages::ROOT;
use crate::workspace;
use crate::workspace::Profile;
use crate::workspace::environment::QuickBuilds;
use crate::workspace::{environment, sources};

/// How much of the compiler's output is kept of a failure, in lines from its end.
const OUTPUT_LINES: usize = 40;

/// A build of one of our programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CargoCommand {
    binary: &'static str,
    /// The package that it is a program of.
    package: &'static str,
    /// The program that takes the options of cargo's `build`, where it is not cargo itself.
    command: Option<PathBuf>,
    subcommand: &'static str,
    target: String,
    options: Vec<String>,
    features: Vec<String>,
    variables: BTreeMap<String, String>,
    manifest: PathBuf,
    place: BuildDirectories,
    profile: Profile,
    /// Whether the program keeps its symbols.
    named: bool,
    /// Whether rustc starts the linker, and no C compiler does.
    is_linker_called_directly: bool,
}

/// The directories of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BuildDirectories {
    /// A target directory and a cargo home for one group of flags, so that builds are reproducible.
    Isolated(Isolation),
    /// A shared target directory, for builds that only show whether something works.
    Quick(QuickBuilds),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Isolation {
    target_directory: PathBuf,
    /// The cargo home.
    home: PathBuf,
}

/// The result of a successful cargo command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub program: PathBuf,
    /// The optimization level in cargo's artifact message.
    pub opt_level: String,
    /// The number of crates and build scripts that were compiled.
    pub compiled: usize,
    /// The `OUT_DIR` of each build script, by the id of its package.
    pub scripts: BTreeMap<String, PathBuf>,
    /// Of a program with its names, what the linker has opened for it; none where the linker is zig's, which writes no report.
    pub link_report: Option<LinkReport>,
}

impl Outcome {
    /// The folder of the build script of a package.
    pub fn script(&self, name: &str, version: &str) -> Option<&Path> {
        let ending = format!("#{name}@{version}");
        self.scripts.iter().find(|(id, _)| id.ends_with(&ending)).map(|(_, folder)| folder.as_path())
    }
}

impl CargoCommand {
    /// Builds `binary` of the workspace in `root` as the recipe says and with these tools, in the directory of its group under `builds`; to see whether
    /// features work, where the tests are built. No build sees more of the machine than it has to.
    pub fn new(binary: &'static str, recipe: &Recipe, tools: &Tools, root: &Path, builds: &Path) -> Self {
        let plain = recipe.rustflags.is_empty() && recipe.env.is_empty() && recipe.workspace.is_none();
        if tools.profile == Profile::Dev && plain {
            return Self::quick(binary, recipe, tools, root, QuickBuilds::of(root, builds));
        }
        let group = recipe.group().0;
        let folder = tools.folder().map_or_else(|| group.clone(), |of| format!("{of}-{group}"));
        let builds = absolute(builds.to_owned());
        let isolation =
            Isolation { target_directory: builds.join(folder), home: environment::isolated_cargo_home(&builds) };
        let mut options: Vec<String> = tools.options().into_iter().map(str::to_owned).collect();
        let homes: Vec<PathBuf> = environment::user_cargo_home().into_iter().chain([isolation.home.clone()]).collect();
        let mut remapped = paths::remapped(root, &homes, &isolation.target_directory);
        remapped.extend(paths::remapped_library(root));
        let mut variables = recipe.variables(&remapped);
        // For the target, which keeps out what the environment says for all of them.
        let name = tools.c_flags_variable();
        let flags = variables.get(&name).into_iter().cloned().chain(paths::remapped_in_c(
            root,
            &homes,
            &isolation.target_directory,
        ));
        let flags = flags.collect::<Vec<_>>().join(" ");
        variables.insert(name, flags);
        variables.extend(isolation.variables(root));
        if tools.profile == Profile::Release {
            // Where there is no Cargo.toml, cargo says so.
            if let Ok(whole) = ReleaseProfile::of(recipe, root) {
                variables.extend(whole.variables());
                options.extend(whole.options());
            }
        }
        // The tool knows it even where the build script would not: as root in somebody else's folder, or in the folder of another lock file.
        if let Ok(revision) = sources::revision(root) {
            variables.insert("BOTTLECAP_GIT_SHA".to_owned(), revision);
        }
        variables.extend(tools.variables.clone());
        Self { options, variables, ..Self::bare(binary, recipe, tools, root, BuildDirectories::Isolated(isolation)) }
    }

    /// To see whether features work.
    fn quick(binary: &'static str, recipe: &Recipe, tools: &Tools, root: &Path, place: QuickBuilds) -> Self {
        let variables = place.variables(root).collect();
        Self { variables, ..Self::bare(binary, recipe, tools, root, BuildDirectories::Quick(place)) }
    }

    fn bare(binary: &'static str, recipe: &Recipe, tools: &Tools, root: &Path, place: BuildDirectories) -> Self {
        Self {
            binary,
            package: match binary {
                launcher::NAME | yardstick::FLOOR => launcher::NAME,
                waf::NAME => waf::NAME,
                _ => ROOT,
            },
            command: tools.command.clone(),
            subcommand: tools.subcommand(),
            target: tools.target.clone(),
            options: Vec::new(),
            features: recipe.features.clone(),
            variables: BTreeMap::new(),
            manifest: absolute(recipe.workspace(root).join("Cargo.toml")),
            place,
            profile: tools.profile,
            named: false,
            is_linker_called_directly: recipe.rustflags.iter().any(|flag| flag.starts_with("linker-flavor=")),
        }
    }

    /// The same program, with the names of everything in it. Only the last step is done again for that: a profile that keeps them would be another one for
    /// all dependencies.
    pub fn named(self) -> Self {
        Self { named: true, ..self }
    }

    /// What its linker is to write down: of a program with names, which is linked once more.
    fn link_report(&self) -> Option<LinkReport> {
        let directory = self.release_directory().filter(|_| self.named && self.subcommand == "build")?;
        let folder = self.manifest.parent().unwrap_or(&self.manifest).to_owned();
        Some(LinkReport { file: directory.join(format!("{}.linked", self.binary)), folder })
    }

    /// The target directory of an isolated build of what is measured or shipped.
    pub fn release_directory(&self) -> Option<&Path> {
        match &self.place {
            BuildDirectories::Isolated(isolation) if self.profile == Profile::Release => {
                Some(&isolation.target_directory)
            }
            BuildDirectories::Isolated(_) | BuildDirectories::Quick(_) => None,
        }
    }

    fn arguments(&self, format: Option<&str>) -> Vec<OsString> {
        let subcommand = if self.named { "rustc" } else { self.subcommand };
        let profile = self.profile.as_str();
        let mut arguments: Vec<OsString> =
            [subcommand, "--profile", profile, "--locked", "--package", self.package, "--bin", self.binary]
                .map(Into::into)
                .into();
        arguments.extend(self.options.iter().map(Into::into));
        arguments.extend(["--manifest-path".into(), self.manifest.clone().into()]);
        let target_directory = match &self.place {
            BuildDirectories::Isolated(isolation) => {
                arguments.extend(["--target".into(), self.target.clone().into()]);
                &isolation.target_directory
            }
            BuildDirectories::Quick(quick) => {
                arguments.extend(workspace::AS_TESTS_ARE_BUILT.map(Into::into));
                &quick.target_directory
            }
        };
        arguments.extend(["--target-dir".into(), target_directory.clone().into()]);
        arguments.push("--no-default-features".into());
        if !self.features.is_empty() {
            arguments.extend(["--features".into(), self.features.join(",").into()]);
        }
        if let Some(format) = format {
            arguments.extend(["--message-format".into(), format.into()]);
        }
        if self.named {
            arguments.extend(["--", "-C", "strip=none"].map(Into::into));
            let report = self.link_report().map(|report| report.arguments(self.is_linker_called_directly));
            arguments.extend(report.into_iter().flatten().map(Into::into));
        }
        arguments
    }

    /// For a shell, in the root of the workspace.
    pub fn shell(&self) -> String {
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let arguments = self.arguments(None);
        let arguments = arguments.iter().map(|argument| quoted(&argument.to_string_lossy()));
        let command = self.command.as_ref().map_or_else(|| "cargo".to_owned(), |path| quoted(&path.to_string_lossy()));
        let call = variables.chain([command]).chain(arguments).collect::<Vec<_>>().join(" ");
        let home = r#"PATH="$PATH" HOME="$HOME" ${RUSTUP_HOME:+RUSTUP_HOME="$RUSTUP_HOME"}"#;
        let root = self.manifest.parent().unwrap_or(&self.manifest);
        let directory = match &self.place {
            BuildDirectories::Isolated(_) => Path::new(environment::WORKING_DIRECTORY),
            BuildDirectories::Quick(quick) => quick.working_directory(root),
        };
        format!("(cd {} && env -i {home} {call})", quoted(&directory.to_string_lossy()))
    }

    /// The process without its arguments, where these are the variables of this one.
    fn command(&self, root: &Path, variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Command, Failure> {
        let mut command = self
            .command
            .as_ref()
            .map_or_else(workspace::cargo, |program| workspace::shell_environment(Command::new(program)));
        let closed = match &self.place {
            BuildDirectories::Isolated(isolation) => {
                environment::restrict(&mut command, variables);
                command.current_dir(environment::WORKING_DIRECTORY);
                environment::prepare_cargo_home(&isolation.home, root, environment::user_cargo_home().as_deref())
            }
            BuildDirectories::Quick(quick) => quick.close(&mut command, root, variables),
        };
        closed.map_err(|error| Failure { command: self.shell(), output: error.to_string() })?;
        command.envs(&self.variables);
        Ok(command)
    }

    /// The process with its arguments, which would build.
    pub(super) fn process(
        &self,
        root: &Path,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Command, Failure> {
        let mut command = self.command(root, variables)?;
        command.args(self.arguments(None));
        Ok(command)
    }

    /// Runs it, and tells `progress` which crate is being compiled.
    pub fn run(&self, root: &Path, progress: &(dyn Fn(&str) + Sync)) -> Result<Outcome, Failure> {
        self.run_beside(root, std::env::vars_os(), progress)
    }

    /// The same where these are the variables of the calling process.
    pub(crate) fn run_beside(
        &self,
        root: &Path,
        variables: impl Iterator<Item = (OsString, OsString)>,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<Outcome, Failure> {
        let failure = |output: String| Failure { command: self.shell(), output };
        let mut command = self.command(root, variables)?;
        command.args(self.arguments(Some("json-render-diagnostics")));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failure(format!("cargo cannot be started: {error}")))?;
        let (messages, words) = (child.stdout.take(), child.stderr.take());
        let (messages, said) = thread::scope(|scope| {
            // Both pipes are read at once: cargo would stop at a full one.
            let messages = scope.spawn(|| messages.map(|messages| Messages::read(messages, self.binary)));
            let said = words.map(|words| watch(words, progress)).unwrap_or_default();
            (messages.join().ok().flatten().unwrap_or_default(), said)
        });
        let status = child.wait().map_err(|error| failure(error.to_string()))?;
        match messages.program {
            Some(program) if status.success() => {
                let Messages { opt_level, compiled, scripts, .. } = messages;
                Ok(Outcome { program, opt_level, compiled, scripts, link_report: self.link_report() })
            }
            _ => Err(failure(end_of(&said).join("\n"))),
        }
    }
}

/// The last lines of a failure, and before them the first of all lines that says that a disk is full: others may have followed it.
fn end_of(said: &[String]) -> Vec<&str> {
    let (before, end) = said.split_at(said.len().saturating_sub(OUTPUT_LINES));
    let full = before.iter().find(|line| tells_of_full_disk(line));
    full.into_iter().chain(end).map(String::as_str).collect()
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Runs a command to its end; a failure has what it said.
pub fn quietly(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

impl Isolation {
    /// What cargo is told of the place. Above the workspace, it does not see which toolchain that names.
    fn variables(&self, root: &Path) -> BTreeMap<String, String> {
        let home = ("CARGO_HOME".to_owned(), self.home.to_string_lossy().into_owned());
        let toolchain = environment::toolchain(root).map(|toolchain| ("RUSTUP_TOOLCHAIN".to_owned(), toolchain));
        // The module of the FIPS build is made with programs in Go. Go's own file of settings can replace its compiler, a file `go.work` in any folder above the sources can name
        // another toolchain, which Go would download and start, and its cache has what was compiled before.
        let go = [("GOENV", "off"), ("GOWORK", "off"), ("GOTOOLCHAIN", "local")];
        let go = go.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let go_cache = self.target_directory.join("go-cache");
        let go_cache = ("GOCACHE".to_owned(), go_cache.to_string_lossy().into_owned());
        toolchain.into_iter().chain(go).chain([home, go_cache]).collect()
    }
}

fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=+:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else if text.contains('\u{1f}') {
        // What separates encoded flags would not survive a terminal.
        let escaped = text.replace('\\', r"\\").replace('\'', r"\'").replace('\u{1f}', r"\x1f");
        format!("$'{escaped}'")
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// One of cargo's messages; those about artifacts have the first three, those about build scripts the last.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    fresh: Option<bool>,
    profile: Option<ArtifactProfile>,
    package_id: Option<String>,
    out_dir: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
struct ArtifactProfile {
    opt_level: String,
}

/// What cargo's messages come to.
#[derive(Default)]
struct Messages {
    program: Option<PathBuf>,
    opt_level: String,
    compiled: usize,
    scripts: BTreeMap<String, PathBuf>,
}

impl Messages {
    fn read(messages: impl Read, binary: &str) -> Self {
        let lines = BufReader::new(messages).lines().map_while(Result::ok);
        let mut read = Self::default();
        for message in lines.filter_map(|line| serde_json::from_str::<Message>(&line).ok()) {
            read.compiled += usize::from(message.fresh == Some(false));
            read.scripts.extend(message.package_id.zip(message.out_dir));
            let ours = message.executable.filter(|path| path.file_name().is_some_and(|name| name == binary));
            if let Some(program) = ours {
                read.program = Some(program);
                read.opt_level = message.profile.unwrap_or_default().opt_level;
            }
        }
        read
    }
}

/// Tells what cargo is at, and returns all that it has said.
fn watch(words: impl Read, progress: &dyn Fn(&str)) -> Vec<String> {
    let mut said = Vec::new();
    for line in BufReader::new(words).lines().map_while(Result::ok) {
        if let Some(name) = line.trim_start().strip_prefix("Compiling ").and_then(|rest| rest.split(' ').next()) {
            progress(name);
        }
        said.push(line);
    }
    said
}

#[cfg(test)]
#[path = "cargo_tests.rs"]
mod tests;
