//! How requests reach Lambda's APIs: the switch `raw-control-plane` selects one of two transports.

use std::io;

use extension_protocol::Request;

use super::{
    error::Error,
    ids::RuntimeApi,
    raw::{self, RawTransport},
    requests::{Response, SubscriptionOutcome},
    reqwest_transport::ReqwestTransport,
};
use crate::features::RAW_CONTROL_PLANE;

/// A connection to Lambda's APIs.
#[derive(Debug)]
pub enum Transport {
    /// One plain socket.
    Raw(RawTransport),
    /// The HTTP client that the intakes are reached with, too.
    Reqwest(ReqwestTransport),
}

impl Transport {
    /// Creates the transport of this build. Sends nothing yet.
    pub fn new(api: RuntimeApi) -> Result<Self, Error> {
        if RAW_CONTROL_PLANE {
            Ok(Self::Raw(RawTransport::new(api)))
        } else {
            ReqwestTransport::new(api).map(Self::Reqwest)
        }
    }

    /// Sends a request and waits for the response without a timeout.
    pub async fn exchange(&mut self, request: &Request<'_>) -> Result<Response, Error> {
        match self {
            Self::Raw(transport) => transport.exchange(request).await,
            Self::Reqwest(transport) => transport.exchange(request).await,
        }
    }

    /// Whether the next request has been written and its response can still come. Only a raw transport writes requests ahead.
    pub fn next_is_in_flight(&self) -> bool {
        matches!(self, Self::Raw(transport) if transport.next_is_in_flight())
    }

    /// Waits for the response to a subscription that was written before the next request.
    pub async fn pending_subscription(&mut self) -> Result<SubscriptionOutcome, Error> {
        match self {
            Self::Raw(transport) => transport.pending_subscription().await,
            Self::Reqwest(transport) => {
                Err(raw::transport_error("subscribe", transport.api(), io::ErrorKind::NotConnected.into()))
            }
        }
    }
}
