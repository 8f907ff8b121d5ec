# Sets `target` to where cargo and `cargo matrix` put what they make, which CARGO_TARGET_DIR may say, and makes the folder.
# shellcheck shell=bash
# The scripts that source this read it.
# shellcheck disable=SC2034
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
