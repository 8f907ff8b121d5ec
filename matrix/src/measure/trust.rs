//! Makes the trust stores of other operating systems from the certificates of this machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::machine::Certificates;
use super::{Error, hexadecimal, reading, writing};
use crate::plan::TrustStore;
use crate::sandbox::setup::Mount;

/// The certificate bundle on Debian and its derivatives, then on Fedora and its derivatives.
const BUNDLES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Makes the trust store below `directory` and returns the mounts that make it visible in a sandbox.
///
/// Amazon Linux 2023 has one bundle, at two paths. Debian has the bundle, a file for each certificate, and for each a link whose name looks like OpenSSL's
/// subject hash. Here the name is another hash, which matters only to lookups by name.
pub fn mounts(store: TrustStore, directory: &Path) -> Result<Vec<Mount>, Error> {
    if store == TrustStore::Host {
        return Ok(Vec::new());
    }
    from_bundle(store, bundle(), directory)
}

/// The certificates that the trust stores are made from.
pub(super) fn certificates() -> Option<Certificates> {
    let pem = fs::read_to_string(bundle()).ok()?;
    let sha256 = hexadecimal(Sha256::digest(&pem).get(..8).unwrap_or_default());
    Some(Certificates { count: split(&pem).len(), sha256 })
}

fn bundle() -> &'static Path {
    BUNDLES.iter().map(Path::new).find(|bundle| bundle.exists()).unwrap_or(Path::new(BUNDLES[0]))
}

fn from_bundle(store: TrustStore, bundle: &Path, directory: &Path) -> Result<Vec<Mount>, Error> {
    let pem = match fs::read_to_string(bundle) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.map_err(reading(bundle))?,
    };
    let certificates = split(&pem);
    if certificates.is_empty() {
        return Err(Error::NoCertificates(bundle.to_owned()));
    }
    let (ssl, pki) = (directory.join("ssl"), directory.join("pki"));
    let mounted = |source: &Path, target: &str| Mount { source: source.to_owned(), target: PathBuf::from(target) };
    let (mut mounts, mut layout) = (vec![mounted(&ssl, "/etc/ssl")], Layout::default());
    if store == TrustStore::Debian {
        layout.file(ssl.join("certs/ca-certificates.crt"), certificates.join("\n"));
        for (number, certificate) in certificates.iter().enumerate() {
            let name = format!("certificate-{number:03}.pem");
            let hash = hexadecimal(Sha256::digest(certificate).get(..4).unwrap_or_default());
            layout.link(ssl.join("certs").join(format!("{hash}.0")), &name);
            layout.file(ssl.join("certs").join(name), format!("{certificate}\n"));
        }
        // Debian has no such directory, but this machine may.
        layout.directory(pki.clone());
        mounts.extend(Path::new("/etc/pki").exists().then(|| mounted(&pki, "/etc/pki")));
    } else {
        layout.file(pki.join("tls/certs/ca-bundle.crt"), certificates.join("\n"));
        layout.link(ssl.join("certs"), "../pki/tls/certs");
        mounts.push(mounted(&pki, "/etc/pki"));
    }
    layout.write()?;
    Ok(mounts)
}

/// The certificates of a bundle, each with its `BEGIN` and `END` lines.
fn split(pem: &str) -> Vec<String> {
    let certificate = |part: &str| Some(format!("{BEGIN}{}{END}", part.split_once(END)?.0));
    pem.split(BEGIN).skip(1).filter_map(certificate).collect()
}

/// The files of a trust store.
#[derive(Default)]
struct Layout {
    directories: Vec<PathBuf>,
    files: Vec<(PathBuf, String)>,
    links: Vec<(PathBuf, String)>,
}

impl Layout {
    fn directory(&mut self, path: PathBuf) {
        self.directories.push(path);
    }

    fn file(&mut self, path: PathBuf, content: String) {
        self.files.push((path, content));
    }

    fn link(&mut self, path: PathBuf, to: &str) {
        self.links.push((path, to.to_owned()));
    }

    fn write(&self) -> Result<(), Error> {
        let paths = self.files.iter().chain(&self.links).filter_map(|(path, _)| path.parent());
        for directory in self.directories.iter().map(PathBuf::as_path).chain(paths) {
            fs::create_dir_all(directory).map_err(writing(directory))?;
        }
        for (path, content) in &self.files {
            fs::write(path, content).map_err(writing(path))?;
        }
        for (path, to) in &self.links {
            // The link may exist already: a bundle may contain a certificate twice, and an earlier run may have made it.
            match symlink(to, path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                linked => linked.map_err(writing(path))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bundle of two fake certificates, each preceded by a comment as on some systems.
    fn bundle(directory: &Path) -> PathBuf {
        let path = directory.join("bundle");
        fs::write(&path, format!("# one\n{BEGIN}\nAAAA\n{END}\n# two\n{BEGIN}\nBBBB\n{END}\n")).unwrap();
        path
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn amazon_linux_has_one_bundle_under_two_paths() {
        let directory = tempfile::tempdir().unwrap();
        let bundle = bundle(directory.path());
        let mounts = from_bundle(TrustStore::Al2023, &bundle, directory.path()).unwrap();
        let targets: Vec<_> = mounts.iter().map(|mount| mount.target.to_str().unwrap()).collect();
        assert_eq!(targets, ["/etc/ssl", "/etc/pki"]);
        assert_eq!(names(&directory.path().join("pki/tls/certs")), ["ca-bundle.crt"]);
        assert_eq!(names(&directory.path().join("ssl/certs")), ["ca-bundle.crt"], "by way of the link");
        let read = fs::read_to_string(directory.path().join("ssl/certs/ca-bundle.crt")).unwrap();
        assert_eq!(split(&read).len(), 2);
        from_bundle(TrustStore::Al2023, &bundle, directory.path()).unwrap();
    }

    #[test]
    fn debian_has_each_certificate_three_times() {
        let directory = tempfile::tempdir().unwrap();
        from_bundle(TrustStore::Debian, &bundle(directory.path()), directory.path()).unwrap();
        let certs = directory.path().join("ssl/certs");
        let names = names(&certs);
        assert_eq!(names.len(), 5, "{names:?}");
        let hashed: Vec<_> = names.iter().filter(|name| name.ends_with(".0")).collect();
        assert!(hashed.len() == 2 && hashed.iter().all(|name| name.len() == 10), "{hashed:?}");
        assert!(fs::read_to_string(certs.join(hashed[0])).unwrap().starts_with(BEGIN));
    }

    #[test]
    fn without_certificates_the_package_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = from_bundle(TrustStore::Debian, &directory.path().join("none"), directory.path()).unwrap_err();
        assert!(error.to_string().contains("apt-get install ca-certificates"), "{error}");
        assert_eq!(mounts(TrustStore::Host, directory.path()).unwrap(), []);
    }
}
