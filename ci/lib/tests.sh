# shellcheck shell=bash
# Sourced by scripts that run a part of the tests.

# Runs a command that runs tests, and fails if it ran none: a filter that fits no test, because a module has another name by now, would pass otherwise.
some_tests() {
    "$@" | awk '{ print } /^running [1-9]/ { ran = 1 } END { exit !ran }' || {
        echo "$0: failed, or ran no test: $*" >&2
        return 1
    }
}

# Runs the tests whose names begin with one of these filters, or all tests without one, in one start of the test program. Fails if a filter fits no test.
#
#   filtered_tests COMMAND… -- [FILTER…]
filtered_tests() {
    local command=() filter list
    while [[ $1 != -- ]]; do
        command+=("$1")
        shift
    done
    shift
    list=$("${command[@]}" -- --list) || return
    for filter in "$@"; do
        [[ $'\n'$list == *$'\n'"$filter"* ]] || {
            echo "$0: no test begins with $filter: ${command[*]}" >&2
            return 1
        }
    done
    some_tests "${command[@]}" -- "$@"
}
