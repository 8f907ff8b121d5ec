//! The root store: one of two files, selected by the switch `webpki-roots`. With `fips` it is always the operating system's, which its owner
//! maintains.

#[cfg(all(feature = "webpki-roots", not(feature = "fips")))]
mod bundled;
#[cfg(any(feature = "fips", not(feature = "webpki-roots")))]
mod system;

#[cfg(all(feature = "webpki-roots", not(feature = "fips")))]
pub use bundled::{are_in_named_files, load};
#[cfg(any(feature = "fips", not(feature = "webpki-roots")))]
pub use system::{are_in_named_files, load};
