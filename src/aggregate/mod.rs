//! Aggregation in bounded memory of logs and metrics that wait for a flush. Independent of HTTP and Lambda.

pub mod batches;
mod capacity;
pub mod contexts;
pub mod encoded;
pub mod points;
pub mod sketch;

pub use batches::Batches;
pub use contexts::Contexts;
pub use encoded::EncodedBatches;
pub use points::Points;
pub use sketch::Sketch;
