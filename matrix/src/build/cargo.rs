//! One call of cargo: what it is told, what it says, and how a person repeats it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde::Deserialize;

use super::Failure;
use super::launcher;
use super::paths;
use super::profile::ReleaseProfile;
use super::recipe::Recipe;
use crate::flavour::Tools;
use crate::materials::packages::ROOT;
use crate::workspace;
use crate::workspace::Profile;
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
    verb: &'static str,
    target: String,
    options: Vec<String>,
    features: Vec<String>,
    variables: BTreeMap<String, String>,
    manifest: PathBuf,
    /// None for where the workspace itself is built, and what it needs is there already.
    isolation: Option<Isolation>,
    profile: Profile,
    /// Whether the program keeps its names.
    named: bool,
}

/// Directories of an isolated build.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Isolation {
    target_directory: PathBuf,
    /// Cargo's.
    home: PathBuf,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub program: PathBuf,
    /// With which optimization cargo says that it was compiled.
    pub opt_level: String,
    /// How many crates and build scripts cargo has compiled.
    pub compiled: usize,
    /// Where the build script of each package that has one has put what it made, by the package's id.
    pub scripts: BTreeMap<String, PathBuf>,
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
    /// features work, where the tests are built.
    pub fn new(binary: &'static str, recipe: &Recipe, tools: &Tools, root: &Path, builds: &Path) -> Self {
        let plain = recipe.rustflags.is_empty() && recipe.env.is_empty() && recipe.workspace.is_none();
        let shared = tools.profile == Profile::Dev && plain;
        let group = recipe.group().0;
        let folder = tools.folder().map_or_else(|| group.clone(), |of| format!("{of}-{group}"));
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let builds = absolute(builds.to_owned());
        let isolation = (!shared).then(|| Isolation {
            target_directory: builds.join(folder),
            home: environment::isolated_cargo_home(&builds),
        });
        let mut variables = recipe.variables(&[]);
        let mut options: Vec<String> = tools.options().into_iter().map(str::to_owned).collect();
        if let Some(isolation) = &isolation {
            let homes: Vec<PathBuf> =
                environment::user_cargo_home().into_iter().chain([isolation.home.clone()]).collect();
            variables = recipe.variables(&paths::remapped(root, &homes, &isolation.target_directory));
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
        }
        variables.extend(tools.variables.clone());
        Self {
            binary,
            package: if binary == launcher::NAME { launcher::NAME } else { ROOT },
            command: tools.command.clone(),
            verb: tools.verb(),
            target: tools.target.clone(),
            options,
            features: recipe.features.clone(),
            variables,
            manifest: absolute(recipe.workspace(root).join("Cargo.toml")),
            isolation,
            profile: tools.profile,
            named: false,
        }
    }

    /// The same program, with the names of everything in it. Only the last step is done again for that: a profile that keeps them would be another one for
    /// all dependencies.
    pub fn named(self) -> Self {
        Self { named: true, ..self }
    }

    /// The target directory of an isolated build of what is measured or shipped.
    pub fn release_directory(&self) -> Option<&Path> {
        let isolation = self.isolation.as_ref().filter(|_| self.profile == Profile::Release);
        isolation.map(|isolation| isolation.target_directory.as_path())
    }

    fn arguments(&self, format: Option<&str>) -> Vec<OsString> {
        let verb = if self.named { "rustc" } else { self.verb };
        let profile = self.profile.as_str();
        let mut arguments: Vec<OsString> =
            [verb, "--profile", profile, "--locked", "--package", self.package, "--bin", self.binary]
                .map(Into::into)
                .into();
        arguments.extend(self.options.iter().map(Into::into));
        if let Some(isolation) = &self.isolation {
            arguments.extend(["--manifest-path".into(), self.manifest.clone().into()]);
            arguments.extend(["--target".into(), self.target.clone().into()]);
            arguments.extend(["--target-dir".into(), isolation.target_directory.clone().into()]);
        } else {
            arguments.extend(workspace::AS_TESTS_ARE_BUILT.map(Into::into));
        }
        arguments.push("--no-default-features".into());
        if !self.features.is_empty() {
            arguments.extend(["--features".into(), self.features.join(",").into()]);
        }
        if let Some(format) = format {
            arguments.extend(["--message-format".into(), format.into()]);
        }
        if self.named {
            arguments.extend(["--", "-C", "strip=none"].map(Into::into));
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
        match &self.isolation {
            Some(_) => {
                let home = r#"PATH="$PATH" HOME="$HOME" ${RUSTUP_HOME:+RUSTUP_HOME="$RUSTUP_HOME"}"#;
                format!("(cd {} && env -i {home} {call})", environment::WORKING_DIRECTORY)
            }
            None => call,
        }
    }

    /// The process without its arguments, where these are the variables of this one.
    fn command(&self, root: &Path, variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Command, Failure> {
        let mut command = self
            .command
            .as_ref()
            .map_or_else(workspace::cargo, |program| workspace::shell_environment(Command::new(program)));
        command.current_dir(root);
        if let Some(isolation) = &self.isolation {
            environment::restrict(&mut command, variables);
            environment::prepare_cargo_home(&isolation.home, root, environment::user_cargo_home().as_deref())
                .map_err(|error| Failure { command: self.shell(), output: error.to_string() })?;
            command.current_dir(environment::WORKING_DIRECTORY);
        }
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
                Ok(Outcome { program, opt_level, compiled, scripts })
            }
            _ => Err(failure(said.get(said.len().saturating_sub(OUTPUT_LINES)..).unwrap_or_default().join("\n"))),
        }
    }
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
        // The module of the FIPS build is made with programs in Go. Go's own file of settings can replace its compiler, and its cache has what was compiled before.
        let go = ("GOENV".to_owned(), "off".to_owned());
        let go_cache = self.target_directory.join("go-cache");
        let go_cache = ("GOCACHE".to_owned(), go_cache.to_string_lossy().into_owned());
        toolchain.into_iter().chain([home, go, go_cache]).collect()
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
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::flavour::{Flavour, Linker, Toolchain};

    fn tools() -> Tools {
        Toolchain::plain(Path::new("."), Profile::Release).unwrap().agent
    }

    fn call() -> CargoCommand {
        let recipe = Recipe {
            features: vec!["a".to_owned(), "b".to_owned()],
            rustflags: vec!["-C".to_owned(), "link-arg=-Wl,-z,now".to_owned()],
            profile: BTreeMap::from([("opt-level".to_owned(), "3".to_owned())]),
            ..Recipe::default()
        };
        CargoCommand::new("bottlecap", &recipe, &tools(), Path::new("/the/root"), Path::new("/builds"))
    }

    #[test]
    fn the_command_can_be_pasted() {
        let shell = call().shell();
        let start = "(cd / && env -i PATH=\"$PATH\" HOME=\"$HOME\" ${RUSTUP_HOME:+RUSTUP_HOME=\"$RUSTUP_HOME\"} BOTTLECAP_GIT_SHA=unknown ";
        assert!(shell.starts_with(start) && shell.contains(" CARGO_HOME=/builds/cargo-home "), "{shell}");
        assert!(
            shell.contains(" CARGO_PROFILE_RELEASE_OPT_LEVEL=3 CFLAGS_")
                && shell.contains("-ffile-prefix-map=/the/root=."),
            "{shell}"
        );
        let flags = " RUSTFLAGS='-C link-arg=-Wl,-z,now --remap-path-prefix=/the/root=.";
        assert!(shell.contains(flags), "{shell}");
        assert!(shell.contains(" cargo build --profile release --locked "), "{shell}");
        assert!(shell.contains(" --manifest-path /the/root/Cargo.toml "), "{shell}");
        assert!(shell.ends_with(" --no-default-features --features a,b)"), "{shell}");
        assert!(shell.contains(&format!(" --target {} --target-dir /builds/", crate::target::plain())), "{shell}");
    }

    #[test]
    fn names_are_kept_by_the_last_step_alone() {
        let shell = call().named().shell();
        assert!(
            shell.contains(" cargo rustc --profile release --locked ") && shell.ends_with(" a,b -- -C strip=none)"),
            "{shell}"
        );
    }

    #[test]
    fn features_are_tried_where_the_tests_are_built() {
        let quick = Tools { profile: Profile::Dev, ..tools() };
        let call =
            |recipe: &Recipe| CargoCommand::new("bottlecap", recipe, &quick, Path::new("/root"), Path::new("/builds"));
        let features = Recipe { features: vec!["a".to_owned()], ..Recipe::default() };
        assert_eq!(
            call(&features).shell(),
            "cargo build --profile dev --locked --package bottlecap --bin bottlecap --package matrix \
             --no-default-features --features a"
        );
        // Flags would have everything there compiled anew.
        let flags = Recipe { rustflags: vec!["-C".to_owned(), "x".to_owned()], ..features };
        assert!(call(&flags).shell().contains(" --target-dir /builds/"));
    }

    #[test]
    fn other_tools_are_called_in_cargos_stead_and_build_apart() {
        let plain = tools();
        let flavour = Flavour { linker: Linker::Zig, build_std: true, ..plain.flavour.clone() };
        let zig = Tools {
            flavour,
            command: Some(PathBuf::from("/the/zig/cargo-zigbuild")),
            target: "x86_64-unknown-linux-gnu.2.26".to_owned(),
            variables: BTreeMap::from([("CARGO_ZIGBUILD_ZIG_PATH".to_owned(), "/the/zig/zig".to_owned())]),
            ..plain
        };
        let call = CargoCommand::new("bottlecap", &Recipe::default(), &zig, Path::new("/root"), Path::new("/builds"));
        let shell = call.shell();
        assert!(shell.contains(" CARGO_ZIGBUILD_ZIG_PATH=/the/zig/zig "), "{shell}");
        assert!(shell.contains(" /the/zig/cargo-zigbuild zigbuild --profile release --locked "), "{shell}");
        assert!(
            shell.contains(" -Zbuild-std=std,panic_abort ")
                && shell.contains(" --target x86_64-unknown-linux-gnu.2.26 "),
            "{shell}"
        );
        assert!(shell.contains(" --target-dir /builds/x86_64-unknown-linux-gnu.2.26-"), "{shell}");
        let told = Tools { c_flags: vec!["-O1".to_owned()], ..tools() };
        let call = CargoCommand::new(
            "bottlecap",
            &Recipe::default().with(&told),
            &told,
            Path::new("/root"),
            Path::new("/builds"),
        );
        assert!(call.shell().contains("='-O1 -ffile-prefix-map=/root=. "), "{}", call.shell());
    }

    #[test]
    fn a_shell_reads_quoted_text_as_it_is() {
        assert_eq!(quoted("a-b=c,d"), "a-b=c,d");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("-C\u{1f}it's a\\b"), r"$'-C\x1fit\'s a\\b'");
    }

    #[test]
    fn the_program_is_found_among_cargos_messages() {
        let artifact = |file: &str, fresh: bool| {
            format!("{{\"reason\":\"compiler-artifact\",\"executable\":{file},\"fresh\":{fresh}}}\n")
        };
        let text = artifact("null", true) + "not json\n" + &artifact("\"/t/bottlecap\"", true);
        let read = Messages::read(text.as_bytes(), "bottlecap");
        assert_eq!((read.program, read.compiled), (Some(PathBuf::from("/t/bottlecap")), 0));
        let read = Messages::read((text + &artifact("\"/t/other\"", false)).as_bytes(), "bottlecap");
        assert_eq!((read.program, read.compiled), (Some(PathBuf::from("/t/bottlecap")), 1));
        assert_eq!(Messages::read("".as_bytes(), "bottlecap").program, None);
    }

    #[test]
    fn the_folders_of_build_scripts_are_found_by_their_packages() {
        let text = r#"{"reason":"build-script-executed","package_id":"registry+https://x#module-sys@1.0.0","out_dir":"/t/out"}"#;
        let read = Messages::read(text.as_bytes(), "bottlecap");
        let outcome = Outcome { program: PathBuf::new(), opt_level: String::new(), compiled: 0, scripts: read.scripts };
        assert_eq!(outcome.script("module-sys", "1.0.0"), Some(Path::new("/t/out")));
        assert_eq!(outcome.script("module-sys", "1.0.1"), None);
    }

    #[test]
    fn the_crates_are_told_while_they_are_compiled() {
        let told = Mutex::new(Vec::new());
        let said =
            watch("   Compiling a v1.0.0\nerror: no\n".as_bytes(), &|name| told.lock().unwrap().push(name.to_owned()));
        assert_eq!(said, ["   Compiling a v1.0.0", "error: no"]);
        assert_eq!(*told.lock().unwrap(), ["a"]);
    }
}
