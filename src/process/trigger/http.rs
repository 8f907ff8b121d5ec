//! What triggers over HTTP have in common.

use super::{
    inferred::Synchronicity,
    json::{entries, first, scalar},
};
use crate::process::propagation::Carrier;

/// Headers with names in any case; each value a scalar, or an array of which the first counts.
pub(super) fn carrier(headers: Option<&str>) -> Carrier {
    let mut carrier = Carrier::default();
    each(headers, |name, value| carrier.add(name, value));
    carrier
}

fn each(headers: Option<&str>, mut see: impl FnMut(&str, &str)) {
    let Some(headers) = headers else { return };
    // Whatever comes before a mistake has been seen.
    let _ = entries(headers, |name, value| {
        let value = first(value).map_or_else(|| scalar(value), scalar);
        if let Some(value) = value {
            see(name, &value);
        }
    });
}

/// The value of one header, by its name in any case.
pub(super) fn header(headers: Option<&str>, wanted: &str) -> Option<String> {
    let mut found = None;
    each(headers, |name, value| {
        if name.eq_ignore_ascii_case(wanted) {
            found = Some(value.to_owned());
        }
    });
    found
}

/// API Gateway and function URLs wait for the function unless the caller says otherwise.
pub(super) fn synchronicity(headers: Option<&str>) -> Synchronicity {
    match header(headers, "x-amz-invocation-type") {
        Some(kind) if kind == "Event" => Synchronicity::Async,
        _ => Synchronicity::Sync,
    }
}
