# shellcheck shell=bash
# Sourced by scripts that install what they need.

# Runs a command as root, with sudo where it is called by somebody else, and finds the same programs and settings there.
as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    else
        sudo env "PATH=$PATH" "HOME=$HOME" ${CARGO_TARGET_DIR:+"CARGO_TARGET_DIR=$CARGO_TARGET_DIR"} "$@"
    fi
}

# Prints the Debian packages of those of these tools that are missing, one a line. `venv` is the module of Python, `headers` are those of the C library.
missing_tools() {
    local tool
    for tool in "$@"; do
        case $tool in
        # The headers come without gcc being able to tell that they are missing.
        headers) [[ -e /usr/include/stdio.h ]] || echo libc6-dev ;;
        venv) python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv ;;
        cc) command -v cc >/dev/null || echo gcc ;;
        go) command -v go >/dev/null || echo golang-go ;;
        node) command -v node >/dev/null || echo nodejs ;;
        qemu-aarch64-static) command -v qemu-aarch64-static >/dev/null || echo qemu-user-static ;;
        xz) command -v xz >/dev/null || echo xz-utils ;;
        *) command -v "$tool" >/dev/null || echo "$tool" ;;
        esac
    done
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
