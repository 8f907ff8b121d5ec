//! What a plan builds, how long it takes, and how small an effect it can see.

mod build_seconds;
mod estimate;
mod externals;
pub mod hosted;
mod promise;
mod run;
mod text;

pub use estimate::{Estimate, build_minutes};
pub use run::{Planned, plan};
