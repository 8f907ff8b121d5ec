//! HTTP client for all requests to Datadog and AWS. It follows no redirects, bounds the size of responses, and does not count time for which the
//! sandbox was frozen towards timeouts.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::{NoProxy, Proxy, RequestBuilder, Response, StatusCode, header, redirect::Policy};

use super::tls::{self, TlsWarning};
use crate::{
    config::{Http, HttpProtocol},
    os::{log::excerpt, nss::HostResolver, timeout::timeout_awake},
};

/// Maximum number of headers in an HTTP/1.1 response. With the library's own limit, 100, a response with more headers becomes an error although the
/// request was accepted.
const MAX_HEADERS: usize = 1_024;
/// Maximum size of the headers of an HTTP/2 response, in bytes of names and values plus 32 per header. The library's own limit is 16 KiB.
const MAX_HEADER_LIST_BYTES: u32 = 256 << 10;
/// Maximum size in bytes of the host that a redirect names.
const MAX_HOST_BYTES: usize = 512;

/// An HTTP client with fixed settings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    timeout: Duration,
}

/// The reason why an HTTP client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// TLS cannot be set up.
    #[error("TLS could not be set up")]
    Tls(#[source] tls::Error),
    /// The HTTP client cannot be built.
    #[error("the HTTP client could not be built")]
    Http(#[source] reqwest::Error),
}

/// The reason why a request has no response.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The timeout expired.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The request could not be sent, or the response could not be received.
    #[error("{host}")]
    Transport {
        /// Host of the request.
        host: String,
        /// The reason, without the URL.
        #[source]
        source: reqwest::Error,
    },
    /// The response body exceeds the maximum size.
    #[error("an answer of more than {0} bytes")]
    TooLarge(usize),
}

/// A status other than 2xx, with the target host if it is a redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorStatus {
    status: StatusCode,
    redirect: Option<String>,
}

/// A complete response of bounded size.
#[derive(Debug)]
pub struct Reply {
    /// The status, if it is not 2xx.
    pub error: Option<ErrorStatus>,
    /// The headers.
    pub headers: header::HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpClient {
    /// Builds a client that opens a new connection for every request.
    pub fn build(settings: &Http, warnings: &mut Vec<TlsWarning>) -> Result<Self, BuildError> {
        let mut builder = reqwest::Client::builder()
            // The customer has not approved the target of a redirect for API keys and data.
            .redirect(Policy::none())
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
            // A frozen sandbox cannot keep a connection alive, and would notice only by a failed request.
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(HostResolver))
            .no_proxy();
        if let Some(proxy) = &settings.proxy {
            let proxy = Proxy::https(proxy).map_err(BuildError::Http)?;
            builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&settings.no_proxy.join(","))));
        }
        builder = match settings.protocol {
            HttpProtocol::Automatic => builder,
            HttpProtocol::Http1 => builder.http1_only(),
            HttpProtocol::Http2 => builder.http2_prior_knowledge(),
        };
        let config = if settings.skip_ssl_validation {
            tls::insecure_client_config(settings.protocol).map_err(BuildError::Tls)?
        } else {
            let trust = tls::trust(settings.tls_cert_file.as_deref(), settings.protocol).map_err(BuildError::Tls)?;
            // Two clients with the same certificate files have the same warnings.
            let known = warnings.clone();
            warnings.extend(trust.warnings.into_iter().filter(|warning| !known.contains(warning)));
            trust.config
        };
        let http = builder.tls_backend_preconfigured(config).build().map_err(BuildError::Http)?;
        Ok(Self(Arc::new(Inner { http, timeout: settings.timeout })))
    }

    /// Creates a GET request for this client.
    pub fn get(&self, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.0.http.get(url)
    }

    /// Creates a POST request for this client.
    pub fn post(&self, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.0.http.post(url)
    }

    /// Sends a request and returns status and headers of the response. The body, which may echo what was sent, is not read.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, RequestError> {
        let answer = timeout_awake(self.0.timeout, request.send()).await;
        answer.ok_or(RequestError::Timeout(self.0.timeout))?.map_err(transport)
    }

    /// Sends a request and reads the complete response. A body of more than `max_bytes` is an error.
    pub async fn fetch(&self, request: RequestBuilder, max_bytes: usize) -> Result<Reply, RequestError> {
        let exchange = async {
            let response = request.send().await.map_err(transport)?;
            let error = ErrorStatus::of(&response);
            let headers = response.headers().clone();
            Ok::<_, RequestError>(Reply { error, headers, body: body(response, max_bytes).await? })
        };
        timeout_awake(self.0.timeout, exchange).await.ok_or(RequestError::Timeout(self.0.timeout))?
    }
}

impl ErrorStatus {
    /// None if the status is 2xx.
    pub fn of(response: &Response) -> Option<Self> {
        let status = response.status();
        (!status.is_success()).then(|| Self { status, redirect: redirect_target(response) })
    }

    /// The status code.
    pub fn as_u16(&self) -> u16 {
        self.status.as_u16()
    }

    /// Whether the same request may succeed later. Temporary redirects count as temporary; permanent redirects mean that a setting is wrong.
    pub fn is_temporary(&self) -> bool {
        self.status.is_server_error() || matches!(self.as_u16(), 302 | 307 | 408 | 429)
    }
}

impl fmt::Display for ErrorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        match &self.redirect {
            Some(target) => write!(f, ", a redirect to {target}, which is not followed"),
            None => Ok(()),
        }
    }
}

/// Host and port of a redirect's target. The rest of the URL is not shown, because a path may hold secrets.
fn redirect_target(response: &Response) -> Option<String> {
    if !response.status().is_redirection() {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let target = response.url().join(location).ok()?;
    let port = target.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(excerpt(&format!("{}{port}", target.host_str()?), MAX_HOST_BYTES))
}

async fn body(mut response: Response, max_bytes: usize) -> Result<Vec<u8>, RequestError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > max_bytes {
            return Err(RequestError::TooLarge(max_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An error of the HTTP client. Of its URL only the host is kept: the rest may hold secrets.
fn transport(error: reqwest::Error) -> RequestError {
    let host = error.url().and_then(|url| url.host_str()).unwrap_or("unknown host").to_owned();
    RequestError::Transport { host, source: error.without_url() }
}

#[cfg(test)]
#[path = "http_tests.rs"]
pub(super) mod tests;
