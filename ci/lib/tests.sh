# Sourced by scripts that run a part of the tests.

# Runs a command that runs tests, and fails if it ran none: a filter that fits no test, because a module has another name by now, would pass otherwise.
some_tests() {
    "$@" | awk '{ print } /^running [1-9]/ { ran = 1 } END { exit !ran }' || {
        echo "$0: failed, or ran no test: $*" >&2
        return 1
    }
}
