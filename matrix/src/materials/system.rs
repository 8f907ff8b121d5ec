//! The packages of the distribution whose static libraries a linker takes on the machine that builds.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::purl::purl;

/// A package of the distribution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// As the distribution names it; `all` for every one.
    pub architecture: String,
    /// The source package, by which a distribution tracks vulnerabilities.
    pub source: String,
    pub maintainer: String,
    /// `ID` and `VERSION_ID` of os-release, with a hyphen between them.
    pub distribution: String,
}

/// The packages that a program's C library and its compiler's library come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Libraries {
    pub c: Option<Package>,
    pub compiler: Option<Package>,
}

impl Libraries {
    /// Those that this C compiler links with. None where the machine has no dpkg, or nothing that dpkg has installed.
    pub fn of(c_compiler: &OsStr) -> Self {
        let distribution = fs::read_to_string("/etc/os-release").ok().and_then(|text| distribution(&text));
        let owner = |library: &str| {
            let package = installed(&owner(&file(c_compiler, library)?)?)?;
            Some(Package { distribution: distribution.clone()?, ..package })
        };
        Self { c: owner("libc.a"), compiler: owner("libgcc.a") }
    }
}

impl Package {
    /// Source: the type `deb` of the package URL specification. Scanners look for `upstream`, because advisories are of source packages.
    pub fn purl(&self) -> String {
        let vendor = self.distribution.split('-').next().unwrap_or_default();
        let mut qualifiers = vec![("arch", self.architecture.as_str()), ("distro", self.distribution.as_str())];
        let upstream = self.upstream();
        if upstream != self.name {
            qualifiers.push(("upstream", &upstream));
        }
        purl("deb", &format!("{vendor}/{}", self.name), &self.version, &qualifiers)
    }
}

impl Package {
    /// The source package that advisories name. Debian builds the libraries of its cross compilers from packages of their own, whose versions are those of the usual
    /// sources with `cross` and a number behind them.
    fn upstream(&self) -> String {
        let Some((version, _)) = self.version.split_once("cross").filter(|_| self.name.ends_with("-cross")) else {
            return self.source.clone();
        };
        let source = if self.name.starts_with("libc6") { "glibc" } else { self.source.trim_end_matches("-cross") };
        format!("{source}@{version}")
    }
}

/// Where the compiler finds a library. It repeats the name if it does not.
fn file(c_compiler: &OsStr, library: &str) -> Option<PathBuf> {
    let path = output(Command::new(c_compiler).arg(format!("-print-file-name={library}")))?;
    // Directories of a compiler are full of `..`, and dpkg wants the name under which it has installed the file.
    fs::canonicalize(Path::new(path.trim())).ok().filter(|path| path.is_absolute() && path.is_file())
}

/// The package that has installed a file.
fn owner(file: &Path) -> Option<String> {
    let answer = output(Command::new("dpkg-query").arg("--search").arg(file))?;
    answer.lines().find_map(|line| line.split_once(": ")).map(|(package, _)| package.to_owned())
}

/// What dpkg knows of a package that is installed.
fn installed(name: &str) -> Option<Package> {
    const FORMAT: &str = "${Package}\n${Version}\n${Architecture}\n${source:Package}\n${Maintainer}\n";
    let answer = output(Command::new("dpkg-query").arg("--show").arg(format!("--showformat={FORMAT}")).arg(name))?;
    package(&answer)
}

fn package(answer: &str) -> Option<Package> {
    let mut lines = answer.lines().map(str::to_owned);
    let mut next = || lines.next().filter(|line| !line.is_empty());
    Some(Package {
        name: next()?,
        version: next()?,
        architecture: next()?,
        source: next()?,
        maintainer: next()?,
        distribution: String::new(),
    })
}

/// From the text of os-release. A rolling distribution has no version.
fn distribution(os_release: &str) -> Option<String> {
    let value = |name: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    let id = value("ID")?;
    Some(value("VERSION_ID").map_or_else(|| id.clone(), |version| format!("{id}-{version}")))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.env("LC_ALL", "C").output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_of_debian_has_a_package_url() {
        let answer = "libc6-dev\n2.36-9+deb12u14\namd64\nglibc\nGNU Libc Maintainers <libc@example.com>\n";
        let package = Package { distribution: "debian-12".to_owned(), ..package(answer).unwrap() };
        let expected = "pkg:deb/debian/libc6-dev@2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12&upstream=glibc";
        assert_eq!(package.purl(), expected);
        let own = Package { source: package.name.clone(), ..package };
        assert!(own.purl().ends_with("?arch=amd64&distro=debian-12"));
        assert_eq!(super::package("libc6-dev\n2.36-9\namd64\n\nSomebody\n"), None);
        for (name, version, source, upstream) in [
            ("libc6-dev-arm64-cross", "2.36-8cross1", "cross-toolchain-base", "glibc%402.36-8"),
            ("libgcc-12-dev-arm64-cross", "12.2.0-14cross1", "gcc-12-cross", "gcc-12%4012.2.0-14"),
        ] {
            let answer = format!("{name}\n{version}\nall\n{source}\nSomebody\n");
            let package = Package { distribution: "debian-12".to_owned(), ..super::package(&answer).unwrap() };
            assert!(package.purl().ends_with(&format!("&upstream={upstream}")), "{}", package.purl());
        }
    }

    #[test]
    fn a_distribution_has_a_name_and_a_version() {
        let os_release = "PRETTY_NAME=\"A\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!(distribution(os_release).as_deref(), Some("debian-12"));
        assert_eq!(distribution("ID=rolling\n").as_deref(), Some("rolling"));
        assert_eq!(distribution("NAME=x\n"), None);
    }

    #[test]
    fn libraries_of_this_machine_are_those_that_dpkg_has_installed() {
        let libraries = Libraries::of(OsStr::new("cc"));
        let is_debian = Path::new("/usr/bin/dpkg-query").exists();
        assert_eq!(libraries.c.map(|package| package.source), is_debian.then(|| "glibc".to_owned()));
        assert_eq!(Libraries::of(OsStr::new("/nonexistent/cc")), Libraries::default());
    }
}
