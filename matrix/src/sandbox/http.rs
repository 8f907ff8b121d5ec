//! The one kind of HTTP client that the sandbox uses: inside the sandbox everything is plain HTTP.

/// A client without proxy and without roots.
///
/// It never does TLS, but features are united over a workspace: built together with the extension, the HTTP library comes with TLS and
/// wants a provider before it builds any client.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    // An error only says that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).tcp_nodelay(true).build()
}
