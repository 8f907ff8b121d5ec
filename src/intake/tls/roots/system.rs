//! The operating system's root store, read and parsed on each call.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use rustls::RootCertStore;
use rustls_native_certs::CertificateResult;

use crate::intake::tls::{
    TlsWarning,
    bundle::{self, CertificateCounts},
};

/// OpenSSL's variables for another store: a file, and folders separated by `:`.
const FILE: &str = "SSL_CERT_FILE";
const FOLDERS: &str = "SSL_CERT_DIR";

/// Where Amazon Linux and Debian store all roots in one file.
const USUAL_BUNDLES: [&str; 2] = ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"];

/// Whether environment variables name the root files, which may then be on a slow file system.
pub fn are_in_named_files() -> bool {
    [FILE, FOLDERS].iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Loads all roots that can be read; the others cause warnings. If the variables name a store without usable roots, the default store is used.
pub fn load(warnings: &mut Vec<TlsWarning>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    let file = env::var_os(FILE).filter(|path| !path.is_empty());
    let folders = env::var_os(FOLDERS).filter(|paths| !paths.is_empty());
    if file.is_none() && folders.is_none() {
        add(&mut store, rustls_native_certs::load_native_certs(), warnings);
    } else {
        warnings.extend(file.and_then(|path| bundle::add(&mut store, FILE, Path::new(&path))));
        let folders = folders.as_ref().map(env::split_paths).into_iter().flatten();
        for folder in folders.filter(|folder| !folder.as_os_str().is_empty()) {
            warnings.extend(add_folder(&mut store, FOLDERS, &folder));
        }
    }
    // The default store also applies if a variable is empty, which the library would take for a file without a name.
    if store.is_empty()
        && let Some(usual) = USUAL_BUNDLES.iter().map(PathBuf::from).find(|path| path.exists())
    {
        add(&mut store, rustls_native_certs::load_certs_from_paths(Some(&usual), None), warnings);
    }
    if store.is_empty() {
        warnings.push(TlsWarning::Roots("there are none".to_owned()));
    }
    store
}

/// Adds every certificate in the regular files of a folder. Files without a certificate are ignored. `setting` names the folder.
fn add_folder(store: &mut RootCertStore, setting: &'static str, folder: &Path) -> Option<TlsWarning> {
    let unused = |why: String| Some(TlsWarning::CertFile { setting, path: folder.to_owned(), why });
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return unused(error.to_string()),
    };
    // OpenSSL finds certificates by links named after hashes, so each file is listed twice. Dangling links are skipped.
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| fs::canonicalize(entry.ok()?.path()).ok()).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut added = CertificateCounts::default();
    for path in paths.iter().filter(|path| path.is_file()) {
        if let Err(error) = added.add_file(store, path) {
            added.refuse(error.to_string());
        }
    }
    added.warning(setting, folder)
}

fn add(store: &mut RootCertStore, found: CertificateResult, warnings: &mut Vec<TlsWarning>) {
    warnings.extend(found.errors.iter().map(|error| TlsWarning::Roots(error.to_string())));
    let (_, unusable) = store.add_parsable_certificates(found.certs);
    if unusable > 0 {
        warnings.push(TlsWarning::Roots(format!("{unusable} certificates cannot be used")));
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;
    use crate::intake::client::tls_server::certificates::Authority;

    fn section(name: &str) -> String {
        let der = STANDARD.encode(&Authority::new(name).certificate);
        format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn all_regular_files_of_a_folder_are_read_once_and_within_the_bound() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        fs::write(place("a.pem"), section("First")).unwrap();
        std::os::unix::fs::symlink("a.pem", place("0123abcd.0")).unwrap();
        std::os::unix::fs::symlink("nowhere", place("89abcdef.0")).unwrap();
        fs::write(place("README"), "no certificate").unwrap();
        let cut = section("Cut").replace("-----END CERTIFICATE-----\n", "");
        fs::write(place("b.pem"), cut + &section("Last")).unwrap();
        nix::unistd::mkfifo(&place("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        fs::File::create(place("huge")).unwrap().set_len(1 << 30).unwrap();
        let mut store = RootCertStore::empty();
        let warning = add_folder(&mut store, "SSL_CERT_DIR", directory.path()).unwrap().to_string();
        assert_eq!(store.len(), 2);
        assert!(warning.contains("2 of 4 certificates cannot be used"), "{warning}");
        let missing = add_folder(&mut store, "SSL_CERT_DIR", &place("missing")).unwrap().to_string();
        assert!(missing.contains("is not used: No such file"), "{missing}");
    }
}
