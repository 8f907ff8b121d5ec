//! Lambda's side: who we run beside, and the Extensions and Telemetry APIs that we call.
//!
//! The requests are in `extension-protocol`, and what the responses mean in `requests`, once. How they get there is one of two ways with the same face: `reqwest_transport`, any HTTP client's
//! way, or `raw`, one plain socket.

pub mod environment;
pub mod event;
pub mod extensions_api;
pub mod http1;
pub mod ids;
pub mod json;
pub mod raw;
mod requests;
pub mod reqwest_transport;

pub use environment::Environment;
pub use event::{Event, Invoke, Shutdown};
pub use extension_protocol::{EXTENSION_NAME, Initialization, Subscription};
pub use extensions_api::{Error, ExtensionsApi, Transport};
pub use ids::{ExtensionId, RequestId, RuntimeApi};
pub use requests::{Registered, Response, Subscribed};

/// The way to the platform that this build goes.
pub type Client = ExtensionsApi<crate::features::ControlPlane>;
