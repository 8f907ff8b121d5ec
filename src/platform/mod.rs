//! Lambda's side: who we run beside, and the Extensions and Telemetry APIs that we call.

pub mod client;
pub mod environment;
pub mod event;
pub mod ids;
pub mod subscription;

pub use client::{Client, Error, Registered, Subscribed};
pub use environment::{Environment, Initialization};
pub use event::{Event, Invoke, Shutdown};
pub use ids::{ExtensionId, RequestId, RuntimeApi};
