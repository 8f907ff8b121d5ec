//! Lambda's side: who we run beside, and the Extensions and Telemetry APIs that we call.
//!
//! What is asked and what the answers mean stands in `calls`, once. How it gets there is one of two ways with the same face: `general`, any HTTP client's
//! way, or `raw`, one plain socket.

pub mod backoff;
mod calls;
pub mod control;
pub mod environment;
pub mod event;
pub mod general;
pub mod http1;
pub mod ids;
pub mod json;
pub mod raw;
pub mod subscription;

pub use calls::{EXTENSION_NAME, Registered, Response, Subscribed};
pub use control::{Control, Error, Exchange};
pub use environment::{Environment, Initialization};
pub use event::{Event, Invoke, Shutdown};
pub use ids::{ExtensionId, RequestId, RuntimeApi};

/// The way to the platform that this build goes.
pub type Client = Control<crate::features::ControlPlane>;
