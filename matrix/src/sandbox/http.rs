//! The HTTP client of the sandbox, where everything is plain HTTP.

/// A client without proxy and without a root store.
///
/// It never uses TLS. But features are unified over a workspace: built together with the extension, the HTTP library has TLS and needs a crypto provider before
/// it builds any client.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    // An error only means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).tcp_nodelay(true).build()
}
