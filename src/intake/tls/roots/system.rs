//! The operating system's roots, read and parsed at each call.

use rustls::RootCertStore;

use crate::intake::tls::Problem;

/// Whatever can be read; what cannot is a problem.
pub fn load(problems: &mut Vec<Problem>) -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    problems.extend(found.errors.iter().map(|error| Problem::Roots(error.to_string())));
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        problems.push(Problem::Roots("there are none".to_owned()));
    }
    store
}
