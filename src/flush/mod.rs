//! When data leaves, and what becomes of it if it cannot.

mod cycle;
mod retry;
pub mod strategy;

pub use cycle::{Dropped, Flusher};
pub use strategy::{Decision, Strategist};
