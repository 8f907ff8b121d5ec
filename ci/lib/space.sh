# shellcheck shell=bash
# Sourced by scripts that fill a disk. Needs bash, and df and du of GNU.

# Ends with status 6 unless a directory can come to have so many gigabytes. What it has already counts: a run before this one has left it there.
require_space() {
    local directory=$1 gigabytes=$2 used free
    used=$(du --summarize --block-size=1M "$directory" 2>/dev/null | cut --fields=1)
    free=$(df --block-size=1M --output=avail "$directory" | tail --lines=1)
    if (((used + free) < gigabytes * 1024)); then
        printf '%s: %s GB of disk are needed in %s, which has %d MB, with %d MB free beside them; make room there, or name a directory on another disk in CARGO_TARGET_DIR\n' \
            "$0" "$gigabytes" "$(realpath "$directory")" "$used" "$free" >&2
        exit 6
    fi
}
