//! Estimates of a plan: what it builds, how long it takes, and its minimum detectable effect.

mod build_seconds;
mod cost;
mod detectable;
mod externals;
pub mod hosted;
mod summary;
mod text;

pub use cost::{Estimate, build_minutes};
pub use summary::{PlanSummary, plan};
