//! The operating system's roots, read and parsed at each call.

use std::{
    env,
    path::{Path, PathBuf},
};

use rustls::RootCertStore;
use rustls_native_certs::CertificateResult;

use crate::intake::tls::{TlsWarning, bundle};

/// Name another store, as OpenSSL has it: a file, and folders separated by `:`.
const FILE: &str = "SSL_CERT_FILE";
const FOLDERS: &str = "SSL_CERT_DIR";

/// Where Amazon Linux and Debian keep all roots in one file.
const USUAL_BUNDLES: [&str; 2] = ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"];

/// Whatever can be read; what cannot is a warning. If the store that is named has nothing usable, the usual one counts.
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
            add(&mut store, rustls_native_certs::load_certs_from_paths(None, Some(&folder)), warnings);
        }
        if store.is_empty()
            && let Some(usual) = USUAL_BUNDLES.iter().map(PathBuf::from).find(|path| path.exists())
        {
            add(&mut store, rustls_native_certs::load_certs_from_paths(Some(&usual), None), warnings);
        }
    }
    if store.is_empty() {
        warnings.push(TlsWarning::Roots("there are none".to_owned()));
    }
    store
}

fn add(store: &mut RootCertStore, found: CertificateResult, warnings: &mut Vec<TlsWarning>) {
    warnings.extend(found.errors.iter().map(|error| TlsWarning::Roots(error.to_string())));
    let (_, unusable) = store.add_parsable_certificates(found.certs);
    if unusable > 0 {
        warnings.push(TlsWarning::Roots(format!("{unusable} certificates cannot be used")));
    }
}
