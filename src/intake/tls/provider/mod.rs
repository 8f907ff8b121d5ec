//! The cryptographic provider: one of three files, selected by the switches `fips`, `aws-lc` and `ring`. If several are on, the first in this order
//! applies.

#[cfg(all(feature = "aws-lc", not(feature = "fips")))]
mod aws_lc;
#[cfg(feature = "fips")]
mod fips;
#[cfg(not(any(feature = "aws-lc", feature = "fips")))]
mod ring;

#[cfg(all(feature = "aws-lc", not(feature = "fips")))]
pub use aws_lc::{NAME, module, provider};
#[cfg(feature = "fips")]
pub use fips::{NAME, module, provider};
#[cfg(not(any(feature = "aws-lc", feature = "fips")))]
pub use ring::{NAME, module, provider};
