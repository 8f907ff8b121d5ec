# shellcheck shell=bash
# Sourced by scripts that start sandboxes in a container. Needs bash alone.

# Moves the processes of a control group, given by its folder, to a new group below it: a group that has processes cannot share its CPU time out among others,
# and in a container the root of all that it sees is one. Does nothing where that is not allowed, nor on a machine itself, whose own root is never limited and
# has no type.
empty_control_group() {
    local group=$1 round process
    [[ -e $group/cgroup.type && -w $group/cgroup.procs ]] || return 0
    mkdir -p "$group/job" 2>/dev/null || return 0
    # The list changes while it is read, and what is started meanwhile is in the next one.
    for ((round = 0; round < 5; round++)); do
        for process in $(<"$group/cgroup.procs"); do
            # It may have ended.
            { echo "$process" >"$group/job/cgroup.procs"; } 2>/dev/null || true
        done
        if [[ -z $(<"$group/cgroup.procs") ]]; then
            return 0
        fi
    done
    echo "$0: processes stay in the control group $group: $(<"$group/cgroup.procs" xargs)" >&2
}
