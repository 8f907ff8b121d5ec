//! Host name resolution in a static binary.
//!
//! The C library resolves names with plug-ins (NSS) that `/etc/nsswitch.conf` lists, and loads each from a shared library on first use. A static
//! binary would load plug-ins of the machine's C library, which may be a different version, into its own. Two of them, the hosts file and DNS, are
//! built into every C library since 2.34, and Lambda needs no others.

use std::{
    ffi::CStr,
    io,
    net::{SocketAddr, ToSocketAddrs as _},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::thread::run_blocking;
use crate::features::STATIC;

const DATABASE: &CStr = c"hosts";
const SERVICES: &CStr = c"files dns";

/// Selects the built-in plug-ins. Must be called before the first name is resolved. Has no effect in a dynamically linked binary.
pub fn use_builtin_resolver() {
    if STATIC && !choose(DATABASE, SERVICES) {
        tracing::warn!(
            "EXTENSION | cannot select the built-in name resolver; using /etc/nsswitch.conf, so host names may not resolve"
        );
    }
}

/// Resolves `host:port` on a separate thread.
pub async fn resolve(host: String) -> io::Result<Vec<SocketAddr>> {
    run_blocking("resolve", move || host.to_socket_addrs().map(Iterator::collect)).await?
}

/// A DNS resolver for HTTP clients that uses [`resolve`].
#[derive(Debug, Clone, Copy)]
pub struct HostResolver;

impl Resolve for HostResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = format!("{}:0", name.as_str());
        Box::pin(async move {
            let addresses: Addrs = Box::new(resolve(host).await?.into_iter());
            Ok(addresses)
        })
    }
}

/// Selects the services for a name database. Returns false if the C library rejects them.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "nothing but the C library itself can be told this")]
fn choose(database: &CStr, services: &CStr) -> bool {
    use std::ffi::{c_char, c_int};

    unsafe extern "C" {
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }
    // SAFETY: the function reads two static zero-terminated strings and keeps neither; it locks the database that it changes.
    unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) == 0 }
}

/// Other C libraries have no plug-ins.
#[cfg(not(target_env = "gnu"))]
fn choose(_database: &CStr, _services: &CStr) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::net::ToSocketAddrs as _;

    use super::*;

    #[test]
    fn names_are_found_in_the_hosts_file_and_nonsense_is_refused() {
        assert!(choose(DATABASE, SERVICES));
        assert!(("localhost", 80).to_socket_addrs().unwrap().all(|address| address.ip().is_loopback()));
        assert!(!choose(c"no such database", SERVICES));
    }

    #[tokio::test]
    async fn names_are_resolved_and_others_are_an_error() {
        let addresses = resolve("localhost:80".to_owned()).await.unwrap();
        assert!(!addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback()), "{addresses:?}");
        assert!(resolve("a name without a port".to_owned()).await.is_err());
    }
}
