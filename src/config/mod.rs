//! The customer's settings, which the local sandbox reads with the same crate.

pub use agent_config::*;
