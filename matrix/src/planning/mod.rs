//! `cargo matrix plan`: what a plan builds, how long it takes, and how small an effect it can see.

mod build_seconds;
mod estimate;
mod externals;
mod hosted;
mod promise;
mod run;
mod text;

pub use estimate::build_minutes;
pub use run::run;
