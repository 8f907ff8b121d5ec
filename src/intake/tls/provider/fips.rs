//! AWS-LC's FIPS module, in the version that holds a certificate, and nothing but what rustls considers approved in it.

use std::ffi::CStr;

use crate::intake::tls::FIPS_MODULE;

/// As `--version=json` has it.
pub const NAME: &str = "aws-lc-fips";

// Later versions of the crate hold later modules, most of which were never validated: whoever builds with another version than the one in
// `fips/Cargo.lock` is stopped here.
const _: () = assert!(
    ends_with(FIPS_MODULE.as_bytes(), aws_lc_fips_sys::AWSLC_VERSION_NUMBER_STRING),
    "aws-lc-fips-sys holds another module than the certified one, which is in the lock file of the folder `fips`: build there"
);

/// What is approved of it.
pub fn provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::default_fips_provider()
}

/// What the module that is linked in calls itself, unless it is out of its FIPS mode.
pub fn module() -> Option<String> {
    aws_lc_rs::try_fips_mode().is_ok().then(version)
}

#[expect(unsafe_code, reason = "no wrapper that would accept the certified module passes its version on")]
fn version() -> String {
    // SAFETY: the module returns a string constant of its own, terminated by a zero.
    let version = unsafe { CStr::from_ptr(aws_lc_fips_sys::awslc_version_string()) };
    version.to_string_lossy().into_owned()
}

/// Whether the text ends with that string of C, which has a zero at its end.
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
