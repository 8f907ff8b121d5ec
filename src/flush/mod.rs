//! When data leaves, and what becomes of it if it cannot.

mod cycle;
mod dropped;
mod keyring;
mod retry;
pub mod strategy;

pub use cycle::Flusher;
pub use dropped::Dropped;
pub use strategy::{Decision, Strategist};
