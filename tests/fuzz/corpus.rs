//! The inputs that `ci/fuzz` has found and that are kept: each reaches code that the others do not.

use std::{fs, path::Path};

use bottlecap::process::{otlp::Encoding, trace::decode::Version};

use crate::checks;

/// Checks every kept input of a target.
fn replay(target: &str, check: impl Fn(&[u8])) {
    let inputs = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)).unwrap();
    let inputs: Vec<_> = inputs.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(!inputs.is_empty(), "{target} has none");
    for input in inputs {
        check(&input);
    }
}

#[test]
fn every_kept_input_of_the_fuzz_targets_is_handled() {
    let pipeline = checks::pipeline();
    replay("v04", |input| checks::traces(Version::V04, &pipeline, input));
    replay("v05", |input| checks::traces(Version::V05, &pipeline, input));
    replay("stats", checks::statistics);
    replay("otlp_protobuf", |input| checks::otlp(Encoding::Protobuf, &pipeline, input));
    replay("otlp_json", |input| checks::otlp(Encoding::Json, &pipeline, input));
}
