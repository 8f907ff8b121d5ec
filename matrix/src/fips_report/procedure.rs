//! What this build of the module does where the security policy's procedure asks for something: computed from what the build has left behind.

use std::collections::BTreeMap;

use serde::Serialize;

use super::build_report::BuildReport;
use super::certificate::{CertifiedModule, StepKind};
use super::module_build::ModuleBuild;
use super::tools::{BuildTools, C_COMPILER, CMAKE, GO, MAKE, PERL};

/// Where a system says what it is.
pub const SYSTEM: &str = "/etc/os-release";
/// The system of the procedure, by its own words there.
const AMAZON_LINUX: [(&str, &str); 2] = [("ID", "amzn"), ("VERSION_ID", "2023")];
/// Replaces what paths begin with in texts, and nothing else.
const PREFIX_MAP: &str = "-ffile-prefix-map=";

/// One step: what the policy asks for, and what was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub about: &'static str,
    pub asked: String,
    pub done: String,
    /// Whether both are the same, as far as that can be told.
    pub same: bool,
}

/// What a build was, and what its program says.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    pub certified: &'a CertifiedModule,
    pub module: &'a ModuleBuild,
    pub tools: &'a BuildTools,
    /// The SHA-256 of the archive of the module's package.
    pub checksum: &'a str,
    /// The text of [`SYSTEM`].
    pub system: &'a str,
    /// What the program says; none where nothing can start it.
    pub build_report: Option<&'a BuildReport>,
}

/// Every step of the procedure beside what was done.
pub fn steps(evidence: &Evidence<'_>) -> Vec<Step> {
    let steps = evidence.certified.procedure.steps.iter().map(|step| {
        let (about, (done, same)) = match step.step {
            StepKind::Sources => ("Sources", evidence.sources()),
            StepKind::System => ("System", evidence.system()),
            StepKind::Configuration => ("Configuration", evidence.configuration()),
            StepKind::Flags => ("Flags of the compiler", evidence.flags()),
            StepKind::Build => ("Build", evidence.build()),
            StepKind::Form => ("Form", evidence.form()),
            StepKind::Mode => ("Check of the mode", evidence.mode()),
            StepKind::Version => ("Check of the version", evidence.version()),
        };
        Step { about, asked: step.asked.clone(), done, same }
    });
    steps.collect()
}

impl Evidence<'_> {
    /// Nobody here has the archive of the policy.
    fn sources(&self) -> (String, bool) {
        let CertifiedModule { package, package_version, sources, .. } = self.certified;
        let files = sources.iter().find(|source| source.package == *package).map_or("none", |source| &source.sha256);
        let done = format!(
            "the copy in the package {package} {package_version}, whose archive has SHA-256 {} and whose files have {files} as a whole; they were not compared with the policy's archive",
            self.checksum
        );
        (done, false)
    }

    fn system(&self) -> (String, bool) {
        let lines = self.system.lines().filter_map(|line| line.split_once('='));
        let facts: BTreeMap<&str, &str> = lines.map(|(name, value)| (name, value.trim_matches('"'))).collect();
        let fact = |name: &str| facts.get(name).copied().unwrap_or("unknown");
        let tools = [C_COMPILER, CMAKE, MAKE, GO, PERL].map(|name| match self.tools.version_of(name) {
            "" => format!("{name} of an unknown version"),
            version => format!("{name}: {version}"),
        });
        let same = AMAZON_LINUX.iter().all(|(name, value)| fact(name) == *value);
        (format!("{}, with {}", fact("PRETTY_NAME"), tools.join("; ")), same)
    }

    fn configuration(&self) -> (String, bool) {
        let given =
            self.module.given.iter().map(|option| {
                option.split(' ').filter(|word| !word.starts_with(PREFIX_MAP)).collect::<Vec<_>>().join(" ")
            });
        let given: Vec<String> = given.collect();
        let done = format!(
            "{}, called by the build script of the package, with {} ({PREFIX_MAP} is left out here)",
            self.tools.version_of(CMAKE),
            given.join("; ")
        );
        (done, given == ["-DFIPS=1"])
    }

    fn flags(&self) -> (String, bool) {
        let ModuleBuild { flags, .. } = self.module;
        let build_type = self.module.entry("CMAKE_BUILD_TYPE");
        let optimization: Vec<&str> = flags.iter().map(String::as_str).filter(|flag| flag.starts_with("-O")).collect();
        let named = if optimization.is_empty() { "none".to_owned() } else { optimization.join(" ") };
        let done = format!(
            "those of the build type {build_type:?}; optimization: {named}; all, without those that only warn: {}",
            flags.join(" ")
        );
        (done, build_type.is_empty() && optimization.is_empty() && !flags.is_empty())
    }

    fn build(&self) -> (String, bool) {
        let generator = self.module.entry("CMAKE_GENERATOR");
        let done = format!(
            "{}, called by the build script of the package, with files of the generator {generator:?}",
            self.tools.version_of(MAKE)
        );
        (done, generator == "Unix Makefiles")
    }

    fn form(&self) -> (String, bool) {
        let ModuleBuild { libraries, .. } = self.module;
        let shared = self.module.entry("BUILD_SHARED_LIBS");
        let same = !libraries.is_empty() && libraries.iter().all(|library| library.starts_with("static="));
        let done =
            format!("BUILD_SHARED_LIBS is {shared:?}, and what is linked into the program: {}", libraries.join(", "));
        (done, same && shared == "0")
    }

    /// The program's own answer is another check than the tool's, whatever it says.
    fn mode(&self) -> (String, bool) {
        let tool = self.module.entry("BUILD_TOOL");
        let build_report = match self.build_report {
            None => "the program was not asked, because nothing here can start it",
            Some(BuildReport { module: Some(_), .. }) => "the program says that its module is in FIPS mode",
            Some(_) => "the program does not say that its module is in FIPS mode",
        };
        (format!("BUILD_TOOL is {tool:?}; {build_report} (`FIPS_mode`, in `--version=json`)"), false)
    }

    fn version(&self) -> (String, bool) {
        let version = self.build_report.and_then(|build_report| build_report.module.as_deref());
        let build_report = version.map_or_else(|| "says no version".to_owned(), |version| format!("says {version}"));
        let done = format!(
            "the program, which asks the same function, {build_report}; one with another version does not compile"
        );
        (done, version == Some(self.certified.module.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tools::BuildTool;
    use super::*;

    const DEBIAN: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n";
    const AMAZON: &str = "PRETTY_NAME=\"Amazon Linux 2023\"\nID=\"amzn\"\nVERSION_ID=\"2023\"\n";

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn module(given: &[&str], flags: &[&str], cache: &[[&str; 2]]) -> ModuleBuild {
        ModuleBuild {
            cache: cache.iter().map(|[name, value]| ((*name).to_owned(), (*value).to_owned())).collect(),
            flags: words(flags),
            given: words(given),
            libraries: words(&["static=crypto"]),
            ..ModuleBuild::default()
        }
    }

    /// The steps, by what they are about.
    fn done(module: &ModuleBuild, system: &str, build_report: Option<&BuildReport>) -> BTreeMap<&'static str, Step> {
        let certified = CertifiedModule::embedded().unwrap();
        let [name, path, sha256, version] = [CMAKE, "/usr/bin/cmake", "ff", "cmake version 3.25.1"].map(str::to_owned);
        let after = vec![BuildTool { name, path, sha256, is_elf: true, version }];
        let tools = BuildTools { after, ..BuildTools::default() };
        let evidence =
            Evidence { certified: &certified, module, tools: &tools, checksum: "c0ffee", system, build_report };
        steps(&evidence).into_iter().map(|step| (step.about, step)).collect()
    }

    #[test]
    fn what_is_done_is_what_the_build_has_left_behind() {
        let given = ["-DFIPS=1", "-DCMAKE_C_FLAGS= -static -ffile-prefix-map=/a=. -w"];
        let cache =
            [["CMAKE_BUILD_TYPE", "release"], ["CMAKE_GENERATOR", "Unix Makefiles"], ["BUILD_SHARED_LIBS", "0"]];
        let steps = done(&module(&given, &["-O3", "-static"], &cache), DEBIAN, None);
        for (about, same, part) in [
            ("Sources", false, "SHA-256 c0ffee"),
            (
                "System",
                false,
                "Debian GNU/Linux 12 (bookworm), with C compiler of an unknown version; CMake: cmake version 3.25.1",
            ),
            ("Configuration", false, "with -DFIPS=1; -DCMAKE_C_FLAGS= -static -w ("),
            (
                "Flags of the compiler",
                false,
                "\"release\"; optimization: -O3; all, without those that only warn: -O3 -static",
            ),
            ("Build", true, "\"Unix Makefiles\""),
            ("Form", true, "static=crypto"),
            ("Check of the mode", false, "was not asked"),
            ("Check of the version", false, "says no version"),
        ] {
            let step = &steps[about];
            assert!(step.same == same && step.done.contains(part), "{about}: {step:?}");
        }
    }

    #[test]
    fn a_build_as_the_policy_asks_for_it_would_be_the_same() {
        let cache = [["CMAKE_GENERATOR", "Unix Makefiles"], ["BUILD_SHARED_LIBS", "0"]];
        let build_report = BuildReport::of(&serde_json::json!({ "crypto": {
            "provider": "aws-lc-fips", "module": CertifiedModule::embedded().unwrap().module, "fips": true, "roots": "operating system"
        }}));
        let steps = done(&module(&["-DFIPS=1"], &["-fPIC"], &cache), AMAZON, Some(&build_report.unwrap()));
        let differing: Vec<_> = steps.values().filter(|step| !step.same).map(|step| step.about).collect();
        assert_eq!(differing, ["Check of the mode", "Sources"], "these two cannot be told to be the same");
        let shared = ModuleBuild { libraries: words(&["dylib=crypto"]), ..module(&["-DFIPS=1"], &[], &cache) };
        let steps = done(&shared, AMAZON, None);
        assert!(!steps["Form"].same && !steps["Flags of the compiler"].same, "{steps:?}");
    }
}
