# Sourced by scripts that install what they need.

# Installs Debian packages, with sudo where it is called by somebody else than root. Says which they are where there is no apt-get.
install_packages() {
    local as_root=()
    if ! command -v apt-get >/dev/null; then
        echo "$0: please install what is known on Debian as: $*" >&2
        exit 1
    fi
    if [[ $EUID -ne 0 ]]; then
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update --quiet
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}
