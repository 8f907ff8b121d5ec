//! The transport over the HTTP client that the intakes are reached with, too.

use std::sync::Arc;

use extension_protocol::{Header, IDENTIFIER, MAX_RESPONSE_BYTES, Request};
use reqwest::redirect::Policy;

use super::{
    error::{AnswerError, Error},
    ids::RuntimeApi,
    requests::Response,
};
use crate::os::nss::HostResolver;

/// A general HTTP client.
#[derive(Debug)]
pub struct ReqwestTransport {
    http: reqwest::Client,
    api: RuntimeApi,
}

impl ReqwestTransport {
    /// Creates a client that never goes through a proxy and never times out, because the next event may be hours away.
    pub fn new(api: RuntimeApi) -> Result<Self, Error> {
        // No roots: everything here is plain HTTP inside the sandbox, and reading the trust store would cost milliseconds.
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(HostResolver))
            .tls_certs_only([])
            .build()
            .map_err(Error::Build)?;
        Ok(Self { http, api })
    }

    /// The address of the Runtime API.
    pub fn api(&self) -> &RuntimeApi {
        &self.api
    }

    /// Sends a request and waits for the response without a timeout.
    pub async fn exchange(&mut self, request: &Request<'_>) -> Result<Response, Error> {
        let transport = |source: reqwest::Error| Error::Transport {
            call: request.call(),
            api: self.api.clone(),
            source: source.into(),
        };
        let url = format!("http://{}{}", self.api, request.path());
        let mut body = String::new();
        request.write_body(&mut |part| body.push_str(part));
        let mut builder = match request.method() {
            "GET" => self.http.get(url),
            "PUT" => self.http.put(url).body(body),
            _ => self.http.post(url).body(body),
        };
        for Header { name, value } in request.headers() {
            builder = builder.header(name, value);
        }
        let mut response = builder.send().await.map_err(transport)?;
        let status = response.status().as_u16();
        let identifier = response.headers().get(IDENTIFIER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
                return Err(Error::Answer { call: request.call(), source: AnswerError::TooLong(MAX_RESPONSE_BYTES) });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, identifier, body, closes: false })
    }
}
