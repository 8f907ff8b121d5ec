# Sourced by scripts that prove something with `matrix`: a proof is worth what the program is worth that makes it.
# shellcheck shell=bash

# The variables that a build of the tool and the tool itself may see, as `NAME=VALUE`, in the array `environment`. RUSTFLAGS, RUSTC_WRAPPER, LD_PRELOAD and whatever else decides
# what is compiled or loaded are not among them.
allowed_environment() {
    environment=()
    local name
    while read -r name; do
        case $name in
        HOME | LANG | LC_ALL | LOGNAME | PATH | TERM | TMPDIR | USER | RUSTUP_HOME | SUDO_UID | SSL_CERT_DIR | SSL_CERT_FILE | SOURCE_DATE_EPOCH | *_proxy | *_PROXY | CARGO_HTTP_* | CARGO_NET_* | CARGO_REGISTR* | RUSTUP_DIST_SERVER | GOPROXY | GOSUMDB | GOCACHE | GOPATH | XDG_CACHE_HOME)
            environment+=("$name=${!name}")
            ;;
        esac
    done < <(compgen -e)
}

# Makes a cargo home without configuration. It has the user's index and those of the user's archives that have the checksum of Cargo.lock; cargo downloads all others, and unpacks
# every one anew: it never compares an archive or a folder that it has with a checksum.
clean_cargo_home() {
    python3 - "${CARGO_HOME:-$HOME/.cargo}/registry" "$1/registry" <<'PYTHON'
import hashlib
import pathlib
import shutil
import sys
import tomllib

theirs, ours = map(pathlib.Path, sys.argv[1:])
lock = tomllib.loads(pathlib.Path("Cargo.lock").read_text())
checksums = {f"{package['name']}-{package['version']}.crate": package.get("checksum") for package in lock["package"]}
ours.mkdir(parents=True)
if (theirs / "index").is_dir():
    shutil.copytree(theirs / "index", ours / "index", symlinks=True)
for archive in theirs.glob("cache/*/*.crate"):
    if archive.name in checksums:
        content = archive.read_bytes()
        if hashlib.sha256(content).hexdigest() == checksums[archive.name]:
            copy = ours / archive.relative_to(theirs)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
PYTHON
}

# Builds `matrix` from nothing below a folder, which is not to have anything in it, as FOLDER/target/debug/matrix: with the versions and checksums of Cargo.lock, and above no folder
# that has a configuration of cargo's.
build_tool() {
    local root=$PWD toolchain
    toolchain=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
    clean_cargo_home "$1/cargo-home" || return
    [[ -n $toolchain ]] || return
    allowed_environment
    (cd / && env -i "${environment[@]}" RUSTUP_TOOLCHAIN="$toolchain" CARGO_HOME="$1/cargo-home" CARGO_TARGET_DIR="$1/target" \
        cargo build --locked --manifest-path "$root/Cargo.toml" --package matrix --bin matrix)
}

# Runs a tool with these arguments and nothing of the environment but what is allowed, and where cargo has its archives and this script's results go.
run_tool() {
    allowed_environment
    local name
    for name in CARGO_HOME CARGO_TARGET_DIR; do
        [[ -z ${!name:-} ]] || environment+=("$name=${!name}")
    done
    env -i "${environment[@]}" "$@"
}
