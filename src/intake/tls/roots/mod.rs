//! The roots of trust: one of two files, chosen by the switch `webpki-roots`; beside `fips` always the operating system's, which its owner keeps.

#[cfg(all(feature = "webpki-roots", not(feature = "fips")))]
mod bundled;
#[cfg(any(feature = "fips", not(feature = "webpki-roots")))]
mod system;

#[cfg(all(feature = "webpki-roots", not(feature = "fips")))]
pub use bundled::{are_in_named_files, load};
#[cfg(any(feature = "fips", not(feature = "webpki-roots")))]
pub use system::{are_in_named_files, load};
