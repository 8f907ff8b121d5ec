//! Lambda's side: who we run beside, and the Extensions and Telemetry APIs that we call.
//!
//! What is asked and what the answers mean stands in `requests`, once. How it gets there is one of two ways with the same face: `reqwest_transport`, any HTTP client's
//! way, or `raw`, one plain socket.

pub mod backoff;
pub mod environment;
pub mod event;
pub mod extensions_api;
pub mod http1;
pub mod ids;
pub mod json;
pub mod raw;
mod requests;
pub mod reqwest_transport;
pub mod subscription;

pub use environment::{Environment, Initialization};
pub use event::{Event, Invoke, Shutdown};
pub use extensions_api::{Error, ExtensionsApi, Transport};
pub use ids::{ExtensionId, RequestId, RuntimeApi};
pub use requests::{EXTENSION_NAME, Registered, Response, Subscribed};

/// The way to the platform that this build goes.
pub type Client = ExtensionsApi<crate::features::ControlPlane>;
