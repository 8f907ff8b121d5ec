//! The roots of trust: one of two files, chosen by the switch `webpki-roots`.

#[cfg(feature = "webpki-roots")]
mod bundled;
#[cfg(not(feature = "webpki-roots"))]
mod system;

#[cfg(feature = "webpki-roots")]
pub use bundled::load;
#[cfg(not(feature = "webpki-roots"))]
pub use system::load;
