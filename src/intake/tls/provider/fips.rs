//! A build of AWS-LC's FIPS module in the version that was validated, restricted to the algorithms that rustls considers approved.

use std::ffi::CStr;

use crate::intake::tls::FIPS_MODULE;

/// The name in `--version=json`.
pub const NAME: &str = "aws-lc-fips";

// Later versions of the crate contain later modules, most of which were never validated. This assertion rejects every version but the one in
// `fips/Cargo.lock`.
const _: () = assert!(
    ends_with(FIPS_MODULE.as_bytes(), aws_lc_fips_sys::AWSLC_VERSION_NUMBER_STRING),
    "aws-lc-fips-sys holds another module than the certified one, which is in the lock file of the folder `fips`: build there"
);

/// The approved algorithms.
pub fn provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::default_fips_provider()
}

/// The name that the linked module reports; None if it is not in FIPS mode.
pub fn module() -> Option<String> {
    aws_lc_rs::try_fips_mode().is_ok().then(version)
}

#[expect(unsafe_code, reason = "no wrapper that would accept the certified module passes its version on")]
fn version() -> String {
    // SAFETY: the module returns a static zero-terminated string.
    let version = unsafe { CStr::from_ptr(aws_lc_fips_sys::awslc_version_string()) };
    version.to_string_lossy().into_owned()
}

/// Whether the text ends with a zero-terminated C string.
const fn ends_with(text: &[u8], string: &[u8]) -> bool {
    let Some((0, end)) = string.split_last() else { return false };
    let Some(start) = text.len().checked_sub(end.len()) else { return false };
    let (_, rest) = text.split_at(start);
    let mut rest = rest;
    let mut end = end;
    while let ([first, others @ ..], [other, end_others @ ..]) = (rest, end) {
        if *first != *other {
            return false;
        }
        (rest, end) = (others, end_others);
    }
    true
}
