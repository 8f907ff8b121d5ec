//! The calls of the Extensions and Telemetry APIs, over either transport.

use extension_protocol::{Backoff, INIT_RETRIES, Initialization, Request, Subscription};

use super::{
    error::Error,
    event::Event,
    ids::{ExtensionId, RuntimeApi},
    raw::{RawTransport, blocking},
    requests::{self, ExtensionRegistration, Response, SubscriptionOutcome},
    transport::Transport,
};
use crate::os::error::chain;

/// A client of the Extensions and Telemetry APIs. It keeps no id: calls that need one take it, so that none is possible before the registration.
#[derive(Debug)]
pub struct ExtensionsApi {
    transport: Transport,
}

impl ExtensionsApi {
    /// Creates a client over the transport of this build. Sends nothing yet.
    pub fn new(api: RuntimeApi) -> Result<Self, Error> {
        Transport::new(api).map(Self::over)
    }

    /// Creates a client over this transport.
    pub fn over(transport: Transport) -> Self {
        Self { transport }
    }

    /// Continues a blocking connection, on which the next request is in flight, within an async runtime. Without a connection, or if it is no longer
    /// usable, the next request opens another one.
    pub fn resume(api: RuntimeApi, connection: Option<blocking::Connection>) -> Self {
        Self::over(Transport::Raw(RawTransport::resume(api, connection)))
    }

    /// Whether the next request has been written and its response can still come.
    pub fn next_is_in_flight(&self) -> bool {
        self.transport.next_is_in_flight()
    }

    /// Waits for the response to a subscription that was written before the next request.
    pub async fn pending_subscription(&mut self) -> Result<SubscriptionOutcome, Error> {
        self.transport.pending_subscription().await
    }

    /// Registers. Retries temporary errors [`INIT_RETRIES`] times.
    pub async fn register(&mut self, initialization: Initialization) -> Result<ExtensionRegistration, Error> {
        self.retry(&Request::Register(initialization), requests::registered, INIT_RETRIES).await
    }

    /// Subscribes a listener that is bound already to the Telemetry API. Retries temporary errors [`INIT_RETRIES`] times.
    pub async fn subscribe(
        &mut self,
        id: &ExtensionId,
        subscription: Subscription,
    ) -> Result<SubscriptionOutcome, Error> {
        self.retry(&Request::Subscribe { id: &id.0, subscription }, requests::subscribed, INIT_RETRIES).await
    }

    /// As [`subscribe`](Self::subscribe), but retries temporary errors until it is cancelled.
    pub async fn subscribe_persistently(
        &mut self,
        id: &ExtensionId,
        subscription: Subscription,
    ) -> Result<SubscriptionOutcome, Error> {
        self.retry(&Request::Subscribe { id: &id.0, subscription }, requests::subscribed, usize::MAX).await
    }

    /// Waits for the next event.
    pub async fn next(&mut self, id: &ExtensionId) -> Result<Event, Error> {
        requests::event(&self.transport.exchange(&Request::Next { id: &id.0 }).await?)
    }

    async fn retry<T>(
        &mut self,
        request: &Request<'_>,
        read: fn(&Response) -> Result<T, Error>,
        retries: usize,
    ) -> Result<T, Error> {
        let mut pauses = Backoff::default().take(retries);
        loop {
            let reply = self.transport.exchange(request).await.and_then(|response| read(&response));
            match (reply, pauses.next()) {
                (Err(error), Some(pause)) if error.is_temporary() => {
                    let (pause_ms, error) = (pause.as_millis(), chain(&error));
                    tracing::debug!("EXTENSION | trying again in {pause_ms} ms: {error}");
                    tokio::time::sleep(pause).await;
                }
                (reply, _) => return reply,
            }
        }
    }
}

#[cfg(test)]
#[path = "contract_tests.rs"]
mod tests;
