//! Bounded memory: what waits to leave. Knows neither HTTP nor Lambda.

mod capacity;
pub mod contexts;
pub mod logs;
pub mod points;
pub mod sketch;

pub use contexts::Contexts;
pub use logs::LogQueue;
pub use points::Points;
pub use sketch::Sketch;
