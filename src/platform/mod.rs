//! Lambda's Extensions and Telemetry APIs, and the environment of the sandbox.
//!
//! The requests are in `extension-protocol`, and the meaning of the responses in `requests`. Two transports carry them: `reqwest_transport`, an ordinary HTTP
//! client, and `raw`, one plain socket.

pub mod environment;
mod error;
pub mod event;
pub mod extensions_api;
pub mod http1;
pub mod ids;
pub mod json;
pub mod raw;
mod requests;
pub mod reqwest_transport;
pub mod transport;

pub use environment::Environment;
pub use error::{AnswerError, Error};
pub use event::{Event, Invoke, Shutdown};
pub use extension_protocol::{EXTENSION_NAME, Initialization, Subscription};
pub use extensions_api::ExtensionsApi;
pub use ids::{ExtensionId, RequestId, RuntimeApi};
pub use requests::{ExtensionRegistration, Response, SubscriptionOutcome};
pub use transport::Transport;
