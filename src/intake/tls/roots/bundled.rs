//! Mozilla's roots, compiled in: nothing is read, nothing is parsed.

use rustls::RootCertStore;

use crate::intake::tls::TlsWarning;

/// Whether a setting names the files: there are none.
pub fn are_in_named_files() -> bool {
    false
}

/// All of them; nothing can go wrong.
pub fn load(_warnings: &mut Vec<TlsWarning>) -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}
