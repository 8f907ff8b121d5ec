# shellcheck shell=bash
# Sets `target` to where cargo and `cargo matrix` put what they make, which CARGO_TARGET_DIR may say, and makes the folder. A relative CARGO_TARGET_DIR is
# one of the checkout: it becomes absolute for everything that is called, because cargo would take it from wherever it is started.
# The scripts that source this read it.
# shellcheck disable=SC2034
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
if [[ -n ${CARGO_TARGET_DIR:-} ]]; then
    target=$(realpath "$target")
    export CARGO_TARGET_DIR=$target
fi
