//! Mozilla's roots, compiled in. Nothing is read or parsed at run time.

use rustls::RootCertStore;

use crate::intake::tls::TlsWarning;

/// Whether environment variables name the root files. There are no files.
pub fn are_in_named_files() -> bool {
    false
}

/// All compiled-in roots; never fails.
pub fn load(_warnings: &mut Vec<TlsWarning>) -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}
