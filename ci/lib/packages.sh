# Sourced by scripts that install what they need.

# Runs a command as root, with sudo where it is called by somebody else, and finds the same programs and settings there.
as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    else
        sudo env "PATH=$PATH" "HOME=$HOME" ${CARGO_TARGET_DIR:+"CARGO_TARGET_DIR=$CARGO_TARGET_DIR"} "$@"
    fi
}

# Installs Debian packages. Says which they are where there is no apt-get.
install_packages() {
    if ! command -v apt-get >/dev/null; then
        echo "$0: please install what is known on Debian as: $*" >&2
        exit 1
    fi
    as_root apt-get update --quiet
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}
