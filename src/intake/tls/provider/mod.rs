//! Whose arithmetic checks signatures: one of two files, chosen by the switch `aws-lc`.

#[cfg(feature = "aws-lc")]
mod aws_lc;
#[cfg(not(feature = "aws-lc"))]
mod ring;

#[cfg(feature = "aws-lc")]
pub use aws_lc::provider;
#[cfg(not(feature = "aws-lc"))]
pub use ring::provider;
